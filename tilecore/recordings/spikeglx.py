"""Recordings of SpikeGLX: the ``.meta`` file beside a ``.bin`` file of numbers."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from tilecore.errors import MissingFileError, ParameterError, UnreadableFileError
from tilecore.formats.reader_errors import as_path, reading
from tilecore.recordings.header import RecordingHeader, as_positive

__all__ = ["read_spikeglx"]


class _Device(NamedTuple):
    """How a kind of device calls things: its tags, its counts of channels, and the channels that they count."""

    prefix: str
    counts: str
    kinds: tuple[str, ...]


_DEVICES = {
    "imec": _Device("im", "ApLfSy", ("AP", "LF", "SY")),
    "nidq": _Device("ni", "MnMaXaDw", ("MN", "MA", "XA", "XD")),
    "obx": _Device("ob", "XaDwSy", ("XA", "XD", "SY")),
}
_WORDS = ("XD", "SY")  # bits, no voltages
_MOST_CHANNELS = 2**20  # more than any device has: a damaged file must not fill the memory

# Probes with the electronics of Neuropixels 1.0: their table tells gains, of each channel or once for all of them.
_IN_ROWS = (0, 1015, 1016, 1020, 1022, 1030, 1031, 1032, 1100, 1120, 1121, 1122, 1123, 1200, 1300)
_IN_HEAD = (1110,)
# Neuropixels 2.0, the first ones and the later ones: the electronics have one gain.
_NP2, _LATER_NP2 = (21, 24), (2003, 2004, 2013, 2014)
_FIXED = dict.fromkeys(_NP2, 80) | dict.fromkeys(_LATER_NP2, 100)
# What stands for the highest voltage where the file does not tell it: numbers of 10, 14, 12 and 16 bits with a sign.
_MAX_INTS = dict.fromkeys(_IN_ROWS + _IN_HEAD, 512) | dict.fromkeys(_NP2, 8192) | dict.fromkeys(_LATER_NP2, 2048)
_MAX_INT_OF_OTHERS = 32768


class _Channel(NamedTuple):
    """A channel of the file: its kind, and its number among those of its kind and among all that were acquired."""

    kind: str
    number: int
    acquired: int


def read_spikeglx(path: str | os.PathLike[str]) -> RecordingHeader:
    """Read what SpikeGLX says about a recording.

    Parameters
    ----------
    path : path_like
        The ``.bin`` file, or the ``.meta`` file beside it: of a probe (AP, LF), of NI-DAQ, or of a OneBox.

    Returns
    -------
    RecordingHeader

    Raises
    ------
    ParameterError
        If the path is that of another file.
    MissingFileError
        If one of the two files is missing.
    UnreadableFileError
        If the metadata are damaged or contradict themselves, tell of another size than the file has, or tell of a probe
        whose gain is unknown.

    References
    ----------
    .. [1] Metadata guides of SpikeGLX, https://billkarsh.github.io/SpikeGLX/#metadata-guides
    """
    data, meta = _pair(Path(as_path(path)))
    tags = _Tags.of(meta)
    device = _DEVICES.get(tags.text("typeThis"))
    if device is None:
        raise UnreadableFileError.of(
            f"{meta}: typeThis", tags.text("typeThis"), f"must be one of {', '.join(_DEVICES)}"
        )
    _check_size(tags, data)
    channels = _saved_channels(tags, device)
    rate = tags.positive(f"{device.prefix}SampRate")
    return RecordingHeader.of(meta, data, rate, _names(tags, channels), _gains_uv(tags, device, channels))


def _pair(path: Path) -> tuple[Path, Path]:
    """The file of numbers and the file of metadata, given one of them."""
    kind = path.suffix.lower()
    if kind not in (".bin", ".meta"):
        raise ParameterError.of("path", str(path), "the .bin or the .meta file of a SpikeGLX recording is needed")
    other = path.with_suffix(".bin" if kind == ".meta" else ".meta")
    for file, why in ((path, "there is no such file"), (other, f"there is no such file, which {path.name} needs")):
        if not file.is_file():
            raise MissingFileError.of("path", str(file), why)
    return (other, path) if kind == ".meta" else (path, other)


@dataclass(frozen=True)
class _Tags:
    """Lines ``tag=value`` of a ``.meta`` file; errors name the file and the tag."""

    path: Path
    values: dict[str, str]

    @classmethod
    def of(cls, path: Path) -> _Tags:
        with reading(str(path), "SpikeGLX metadata"):
            # Notes and names of folders may be in the code page of the recording machine; all else is ASCII.
            text = path.read_bytes().decode("utf-8", errors="replace")
        pairs = (line.partition("=") for line in text.split("\n"))
        return cls(path, {tag.strip().removeprefix("~"): value.strip() for tag, is_pair, value in pairs if is_pair})

    def text(self, tag: str) -> str:
        """A value that has to be there."""
        if not self.values.get(tag):
            raise UnreadableFileError(f"{self.path} does not tell {tag}: it is cut off, or no metadata of SpikeGLX")
        return self.values[tag]

    def positive(self, tag: str, default: float | None = None) -> float:
        """A number above zero."""
        if default is not None and not self.values.get(tag):
            return default
        return as_positive(self.text(tag), f"{self.path}: {tag}")

    def whole(self, tag: str, text: str, most: int = _MOST_CHANNELS) -> int:
        """A whole number in a tag's value."""
        if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
            raise UnreadableFileError.of(
                f"{self.path}: {tag}", text, f"a whole number from 0 to {most} is needed there"
            )
        return int(text)

    def counts(self, tag: str, kinds: tuple[str, ...]) -> list[int]:
        """Number of channels of each kind."""
        counts = [self.whole(tag, each.strip()) for each in self.text(tag).split(",")]
        if len(counts) != len(kinds):
            needed = f"{len(kinds)} numbers are needed, of {', '.join(kinds)}"
            raise UnreadableFileError.of(f"{self.path}: {tag}", self.values[tag], needed)
        return counts


def _check_size(tags: _Tags, data: Path) -> None:
    """Compare the file's size with the one told; where SpikeGLX has crashed, none is told."""
    size, told = data.stat().st_size, tags.values.get("fileSizeBytes")
    if told and tags.whole("fileSizeBytes", told, most=2**63) != size:
        what_to_do = "one of them is cut off or was changed. Copy both again"
        raise UnreadableFileError(f"{data} has {size} bytes, {tags.path} says fileSizeBytes={told}: {what_to_do}")


def _saved_channels(tags: _Tags, device: _Device) -> list[_Channel]:
    """The file's channels, in its order."""
    acquired = tags.counts(f"acq{device.counts}", device.kinds)
    saved = tags.counts(f"sns{device.counts}", device.kinds)
    ends, channels = list(accumulate(acquired)), []
    for index in _saved_indices(tags, acquired, saved):
        place = bisect_right(ends, index)
        if place == len(ends):
            raise UnreadableFileError(f"{tags.path}: snsSaveChanSubset has channel {index} of {ends[-1]} acquired ones")
        channels.append(_Channel(device.kinds[place], index - ends[place] + acquired[place], index))
    found = [sum(channel.kind == kind for channel in channels) for kind in device.kinds]
    n_saved = tags.whole("nSavedChans", tags.text("nSavedChans"))
    if found != saved or n_saved != len(channels):
        raise UnreadableFileError(
            f"{tags.path} contradicts itself: of {', '.join(device.kinds)}, snsSaveChanSubset has {found} channels and "
            f"sns{device.counts} has {saved}; nSavedChans is {n_saved}. It is damaged or was changed"
        )
    return channels


def _saved_indices(tags: _Tags, acquired: list[int], saved: list[int]) -> list[int]:
    """Which channels of all acquired the file has; ``all`` are those of the kinds that it has any of."""
    tag, indices = "snsSaveChanSubset", list[int]()
    if tags.text(tag) == "all":
        for end, n_acquired, n_saved in zip(accumulate(acquired), acquired, saved, strict=True):
            indices += range(end - n_acquired, end) if n_saved else ()
        return indices
    for part in tags.text(tag).split(","):
        first, is_range, last = part.partition(":")
        low = tags.whole(tag, first.strip())
        high = tags.whole(tag, last.strip()) if is_range else low
        if high < low or (indices and low <= indices[-1]):
            raise UnreadableFileError.of(f"{tags.path}: {tag}", part, "channels must stand there in rising order")
        indices += range(low, high + 1)
    return indices


def _names(tags: _Tags, channels: list[_Channel]) -> list[str]:
    """Names in the channel map, whose entries are (name;number:place on the screen)."""
    entries = re.findall(r"\(([^();:]+);([0-9]{1,9}):[0-9]+\)", tags.values.get("snsChanMap", ""))
    told = {int(acquired): name for name, acquired in entries}
    return [told.get(channel.acquired, f"{channel.kind}{channel.number}") for channel in channels]


def _gains_uv(tags: _Tags, device: _Device, channels: list[_Channel]) -> list[float | None]:
    if all(channel.kind in _WORDS for channel in channels):
        return [None] * len(channels)
    probe = _Probe.of(tags) if device.prefix == "im" else None
    max_int = tags.positive(f"{device.prefix}MaxInt", _MAX_INTS.get(probe.kind) if probe else _MAX_INT_OF_OTHERS)
    highest_uv = 1e6 * tags.positive(f"{device.prefix}AiRangeMax")

    def gain(channel: _Channel) -> float:
        if probe:
            return probe.gain(channel)
        return 1 if channel.kind == "XA" else tags.positive(f"ni{channel.kind}Gain")

    return [None if channel.kind in _WORDS else highest_uv / max_int / gain(channel) for channel in channels]


@dataclass(frozen=True)
class _Probe:
    """A kind of probe, and its table: what stands before the rows, and the row of each channel."""

    tags: _Tags
    kind: int
    head: list[str]
    rows: dict[str, list[str]]

    @classmethod
    def of(cls, tags: _Tags) -> _Probe:
        head, *rows = re.findall(r"\(([^()]*)\)", tags.values.get("imroTbl", "")) or [""]
        fields = head.split(",")
        # The first ones tell the kind in the table; those of phase 3A begin it with serial number, option and channels.
        told = tags.values.get("imDatPrb_type") or {2: fields[0], 3: "0"}.get(len(fields)) or tags.text("imDatPrb_type")
        by_channel = {row[0]: row for row in map(str.split, rows) if row}
        return cls(tags, tags.whole("imDatPrb_type", told), fields, by_channel)

    def gain(self, channel: _Channel) -> float:
        """How much the voltage is amplified."""
        band, path = ("AP", "LF").index(channel.kind), self.tags.path
        if self.kind in _IN_ROWS + _IN_HEAD and self.tags.values.get("imroTbl"):
            row = self.head if self.kind in _IN_HEAD else self.rows.get(str(channel.number), [])
            place = f"{path}: imroTbl, gain of {channel.kind} channel {channel.number}"
            if len(row) < 5:
                raise UnreadableFileError(f"{place}: it is not told; the table is cut off")
            return as_positive(row[3 + band], place)
        tag = ("imChan0apGain", "imChan0lfGain")[band]
        if not self.tags.values.get(tag) and self.kind not in _FIXED:
            raise UnreadableFileError(
                f"{path}: imDatPrb_type={self.kind}: the gain of this kind of probe is not known here. If you know it, "
                f"add a line {tag}= with the gain to the file"
            )
        return self.tags.positive(tag, _FIXED.get(self.kind))
