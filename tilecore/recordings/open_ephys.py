"""Recordings of the Open Ephys GUI in its binary format: ``structure.oebin`` and the streams that it describes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tilecore.errors import MissingFileError, ParameterError, UnreadableFileError
from tilecore.formats.reader_errors import as_path, reading
from tilecore.recordings.header import RecordingHeader, as_positive

__all__ = ["is_of_open_ephys", "read_open_ephys"]

_OEBIN, _DATA = "structure.oebin", "continuous.dat"

_UV_IN = {"uV": 1.0, "µV": 1.0, "μV": 1.0, "mV": 1e3, "V": 1e6}  # micro sign and Greek mu
# Inputs whose numbers are in volts where the file tells no unit; those of electrodes are in microvolts then.
_VOLTS_BY_NAME = re.compile(r"(^|_)(ADC|AUX)_?[0-9]*$", re.IGNORECASE)
_VOLTS_BY_DESCRIPTION = re.compile(r"(ADC|AUX)", re.IGNORECASE)
_SYNC = re.compile(r"(^|_)SYNC$", re.IGNORECASE)


def read_open_ephys(path: str | os.PathLike[str], stream: str | None = None) -> RecordingHeader:
    """Read what Open Ephys says about a stream of a recording.

    Parameters
    ----------
    path : path_like
        ``structure.oebin``, the folder of the recording in which it lies, the folder of a stream below it, or the
        ``continuous.dat`` there.
    stream : str, optional
        Name of the stream, or of its folder. Needed where there are several, and the path names none.

    Returns
    -------
    RecordingHeader

    Raises
    ------
    ParameterError
        If there are several streams and none is chosen, there is none of that name, or the path is that of another
        file.
    MissingFileError
        If ``structure.oebin`` or the stream's ``continuous.dat`` is missing.
    UnreadableFileError
        If one of them is damaged.

    References
    ----------
    .. [1] Binary format, https://open-ephys.github.io/gui-docs/User-Manual/Recording-data/Binary-format.html
    """
    oebin, folder = _places(Path(os.path.abspath(as_path(path))))
    with reading(str(oebin), "a description of Open Ephys"):
        streams = _streams(oebin)
        chosen = _choose(oebin, streams, folder, stream)
        return chosen.header(oebin)


def _places(path: Path) -> tuple[Path, str | None]:
    """Where ``structure.oebin`` lies, and the folder of the stream that the path names."""
    if path.name == _OEBIN:
        oebin, folder = path, None
    elif path.is_dir() and ((path / _OEBIN).is_file() or path.parent.name != "continuous"):
        oebin, folder = path / _OEBIN, None
    elif path.is_dir() or path.name == _DATA:
        stream = path if path.is_dir() else path.parent
        oebin, folder = stream.parent.parent / _OEBIN, stream.name
    elif path.exists():
        raise ParameterError.of("path", str(path), f"{_OEBIN}, the folder in which it lies, or a {_DATA} is needed")
    else:
        raise MissingFileError.of("path", str(path), "there is no such file or folder")
    if not oebin.is_file():
        raise MissingFileError(
            f"{oebin}: there is no such file; give the folder of one recording, such as experiment1/recording1"
        )
    return oebin, folder


@dataclass(frozen=True)
class _Entry:
    """An object of the JSON document; errors name the file, the place and the key."""

    place: str
    content: Mapping[str, object]

    @classmethod
    def of(cls, place: str, content: object) -> _Entry:
        if not isinstance(content, dict):
            raise UnreadableFileError.of(place, content, "a JSON object is needed, {...}")
        return cls(place, content)

    def text(self, key: str, default: str | None = None) -> str:
        """A text."""
        value = self.content.get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        return value

    def number(self, key: str) -> float:
        """A number above zero."""
        value = self.content.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(key, "a number")
        return as_positive(value, f"{self.place}: {key}")

    def entries(self, key: str) -> list[_Entry]:
        """A list of objects."""
        values = self.content.get(key)
        if not isinstance(values, list):
            raise self._wrong(key, "a list")
        return [_Entry.of(f"{self.place}: {key}[{at}]", value) for at, value in enumerate(values)]

    def _wrong(self, key: str, kind: str) -> UnreadableFileError:
        if key not in self.content:
            return UnreadableFileError(f"{self.place}: {key} is missing; it must be {kind}. The file is damaged")
        return UnreadableFileError.of(f"{self.place}: {key}", self.content[key], f"must be {kind}; the file is damaged")


@dataclass(frozen=True)
class _Stream:
    """A stream of a recording: its names, and what is said about it."""

    folder: str
    name: str
    entry: _Entry

    def header(self, oebin: Path) -> RecordingHeader:
        """Its file, and what the numbers mean."""
        channels, n_channels = self.entry.entries("channels"), self.entry.number("num_channels")
        if len(channels) != n_channels:
            raise UnreadableFileError(
                f"{self.entry.place} contradicts itself: num_channels is {n_channels:g}, and channels has "
                f"{len(channels)} entries"
            )
        names = [channel.text("channel_name") for channel in channels]
        gains = [_gain_uv(channel) for channel in channels]
        data = oebin.parent / "continuous" / self.folder / _DATA
        return RecordingHeader.of(oebin, data, self.entry.number("sample_rate"), names, gains)


def _streams(oebin: Path) -> list[_Stream]:
    document = _Entry.of(str(oebin), json.loads(oebin.read_bytes()))
    streams = []
    for entry in document.entries("continuous"):
        folder = entry.text("folder_name").rstrip("/\\")
        if folder in ("", ".", "..") or set(folder) & set("/\\\0"):
            raise UnreadableFileError.of(f"{entry.place}: folder_name", folder, "must be the name of one folder")
        streams.append(_Stream(folder, entry.text("stream_name", folder), entry))
    if not streams:
        raise UnreadableFileError(f"{oebin}: continuous is empty: the recording has no samples, only events or spikes")
    return streams


def _choose(oebin: Path, streams: Sequence[_Stream], folder: str | None, name: str | None) -> _Stream:
    """The stream that the path and the parameter name."""
    here = [each for each in streams if folder in (None, each.folder)]
    if not here:
        raise UnreadableFileError(f"{oebin} says nothing of the stream {folder!r}; it has {_listed(streams)}")
    chosen = [each for each in here if name in (None, each.folder)] or [each for each in here if name == each.name]
    if not chosen:
        raise ParameterError.of("stream", name, f"{oebin} has {_listed(here)}")
    if len(chosen) > 1:
        raise ParameterError.of("stream", name, f"{oebin} has {_listed(chosen)}: choose one")
    return chosen[0]


def _listed(streams: Sequence[_Stream]) -> str:
    """Streams by the names of their folders, which tell them apart."""
    return ", ".join(repr(each.folder) for each in streams)


def _gain_uv(channel: _Entry) -> float | None:
    name, units = channel.text("channel_name"), channel.text("units", "").strip()
    if _SYNC.search(name) or (units and units not in _UV_IN):
        return None
    if not units:
        is_volts = _VOLTS_BY_NAME.search(name) or _VOLTS_BY_DESCRIPTION.match(channel.text("description", ""))
        units = "V" if is_volts else "uV"
    return _UV_IN[units] * channel.number("bit_volts")


def is_of_open_ephys(path: Path) -> bool:
    """Whether a path leads to a recording of Open Ephys, or to a stream of one."""
    if path.name == _OEBIN:
        return True
    if not (path.is_dir() or path.name == _DATA):
        return False
    stream = os.path.abspath(path if path.is_dir() else path.parent)
    recording = os.path.dirname(os.path.dirname(stream))
    return any(os.path.isfile(os.path.join(folder, _OEBIN)) for folder in (stream, recording))
