"""The function `open_recording`: any file of a recording as an array that knows its rate and its channels."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore import plugins
from tilecore.array_types import ReadableArray
from tilecore.arrays.foreign import as_readable
from tilecore.arrays.kinds import as_array
from tilecore.errors import ParameterError
from tilecore.formats.kinds import KINDS, READERS, kind_of_suffix
from tilecore.formats.opening import open_source
from tilecore.formats.raw_layout import DataOrder, Layout, read_yaml, yaml_path
from tilecore.formats.reader_errors import as_path
from tilecore.formats.recorded import Recorded
from tilecore.objects.urls import is_url
from tilecore.recordings.header import RecordingHeader
from tilecore.recordings.joined import JoinedArray
from tilecore.recordings.open_ephys import is_of_open_ephys, read_open_ephys
from tilecore.recordings.recording import Recording
from tilecore.recordings.spikeglx import read_spikeglx

__all__ = ["RecordingLike", "is_described", "open_plain", "open_recording"]

#: What is taken as a recording: one that is open, a path, several of them one after the other, or an array.
RecordingLike: TypeAlias = Recording | str | os.PathLike[str] | ReadableArray | Sequence[Any]


def open_recording(
    recording: RecordingLike,
    dtype: npt.DTypeLike | None = None,
    n_channels: int | None = None,
    data_order: DataOrder | None = None,
    *,
    rate: float | None = None,
    gains_uv: float | Sequence[float | None] | None = None,
    stream: str | None = None,
) -> Recording:
    """Open a recording without reading its numbers.

    Parameters
    ----------
    recording : path, array_like, Recording, or list of them
        A file of plain numbers (``.bin``, ``.dat``, ``.raw``); SpikeGLX's ``.bin`` or ``.meta``; Open Ephys's folder,
        ``structure.oebin`` or ``continuous.dat``; ``.npy``, zarr and all else that `open_source` opens, if it has the
        two axes (observations, channels); an array of these axes. Several follow each other in time.
    dtype : dtype_like, optional
        Kind of number, as the next two for plain numbers. Default: what a header, or the ``.yaml`` file of the same
        name, says.
    n_channels : int, optional
    data_order : {"channels", "samples"}, optional
        Whether whole channels follow each other in the file, or the samples of all channels at one time.
    rate : float, optional
        Observations a second [Hz]. Default: what a header says, or a file that `map_batches` has written.
    gains_uv : float or sequence of (float or None), optional
        Microvolts that each channel's 1 stands for [uV]; None of a channel that is no voltage. Default: as of the rate.
    stream : str, optional
        Which stream of Open Ephys, if there are several.

    Returns
    -------
    Recording

    Raises
    ------
    MissingFileError
        If there is no file.
    ParameterError
        If what is needed is neither given nor found, contradicts a file, or files do not fit each other.
    UnreadableFileError
        If a file or its header is damaged.

    Notes
    -----
    Process-safety: a recording pickles as its file's name; each process opens the file for itself.

    Examples
    --------
    >>> import numpy as np, os, tempfile
    >>> from tilecore.recordings import open_recording
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "raw.bin")
    ...     np.arange(60, dtype="int16").tofile(path)
    ...     recording = open_recording(path, "int16", 3, "samples", rate=10)
    ...     recording.shape, recording.seconds, recording[1:3, [2, 0]].tolist()
    ((20, 3), 2.0, [[5, 3], [8, 6]])
    """
    given = (dtype, n_channels, data_order)
    if isinstance(recording, (list, tuple)):
        options: dict[str, Any] = {"rate": rate, "gains_uv": gains_uv, "stream": stream}
        opened = _joined([open_recording(each, *given, **options) for each in recording], _names(recording))
    elif isinstance(recording, (str, os.PathLike)):
        opened = _of_file(recording, *given, stream)
    else:
        opened = _of_array(recording, *given, stream)
    if gains_uv is not None and opened.is_in_uv:
        raise ParameterError.of("gains_uv", gains_uv, "the recording is in microvolts already")
    own = opened.gains_uv if gains_uv is None else _as_gains(gains_uv, opened.shape[1])
    return replace(opened, rate=opened.rate if rate is None else _as_number(rate, "rate"), gains_uv=own)


def _of_array(array: object, *given: object) -> Recording:
    if any(each is not None for each in given):
        raise ParameterError("dtype, n_channels, data_order and stream are for files")
    if isinstance(array, Recording):
        return array
    numbers = as_readable(as_array(array), "recording")
    _check_axes(numbers.shape, "recording")
    return Recording(numbers, in_channels=_is_in_channels(numbers))


def _names(recordings: Sequence[RecordingLike]) -> list[str]:
    """How a message calls each of several recordings."""
    return [
        str(each) if isinstance(each, (str, os.PathLike)) else f"recording {number}"
        for number, each in enumerate(recordings)
    ]


def _of_file(
    path: str | os.PathLike[str],
    dtype: npt.DTypeLike | None,
    n_channels: int | None,
    data_order: DataOrder | None,
    stream: str | None,
) -> Recording:
    path = as_path(path)
    header = _header_of(Path(path), stream)
    if header is not None:
        header.layout.check_agrees(f"the header of {header.data}", dtype, n_channels, data_order)
        numbers = open_plain(header.data, header.layout, header.layout.observations_in(header.data))
        return Recording(numbers, header.rate, header.channel_names, header.gains_uv)
    if stream is not None:
        raise ParameterError.of("stream", stream, f"{path} has no streams: Open Ephys's recordings have")
    is_given = any(each is not None for each in (dtype, n_channels, data_order))
    kind = kind_of_suffix(path)
    is_unknown = kind not in KINDS and plugins.find(READERS, kind) is None
    if is_given or kind == "raw" or (is_unknown and yaml_path(path).is_file()):
        layout, params = Layout.read(path, dtype, n_channels, data_order)
        numbers = open_plain(path, layout, layout.observations_in(path))
        names, recorded = params.get("channel_names"), Recorded.of(params, layout.n_channels)
        return _told(numbers, names, recorded, in_channels=layout.data_order == "channels")
    source = open_source(path)
    _check_axes(source.shape, path)
    info = source.info
    return _told(source, info.channel_names, info.recorded, in_channels=_is_in_channels(source.mapped))


def _told(array: ReadableArray, names: object, recorded: Recorded, *, in_channels: bool) -> Recording:
    """A recording with what its file tells besides the numbers."""
    listed = tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()
    names_of_all = listed if len(listed) == array.shape[1] else ()
    return Recording(array, recorded.rate, names_of_all, recorded.gains_uv, in_channels, recorded.is_in_uv)


def is_described(path: str | os.PathLike[str]) -> bool:
    """Whether plain numbers are described by an acquisition system, or by a ``.yaml`` file beside them."""
    path = as_path(path)
    if is_url(path):
        return False
    is_raw = kind_of_suffix(path) == "raw" and yaml_path(path).is_file() and "shape" not in read_yaml(yaml_path(path))
    return is_raw or _is_of_spikeglx(Path(path)) or is_of_open_ephys(Path(path))


def _is_of_spikeglx(path: Path) -> bool:
    return path.suffix == ".meta" or (path.suffix == ".bin" and path.with_suffix(".meta").is_file())


def _header_of(path: Path, stream: str | None) -> RecordingHeader | None:
    """What an acquisition system says of a recording; None if it is no such system's."""
    if _is_of_spikeglx(path):
        return read_spikeglx(path)
    return read_open_ephys(path, stream) if is_of_open_ephys(path) else None


def open_plain(path: str | os.PathLike[str], layout: Layout, n_observations: int) -> ReadableArray:
    """The numbers of a file without a header, as workers open it."""
    shape = (n_observations, layout.n_channels)
    if 0 in shape:
        return np.empty(shape, layout.dtype)
    return open_source(path, axes="TC", shape=shape, dtype=layout.dtype, order=layout.memory_order)


def _joined(recordings: Sequence[Recording], names: Sequence[str]) -> Recording:
    """Recordings of the same channels, one after the other."""
    array = JoinedArray.of([each.array for each in recordings], names)
    first = recordings[0]
    for each, name in zip(recordings, names, strict=True):
        if (each.rate, each.gains_uv, each.is_in_uv) != (first.rate, first.gains_uv, first.is_in_uv):
            raise ParameterError(f"{name} has another rate, or other gains, than {names[0]}: they cannot be joined")
        if each.channel_names and first.channel_names and each.channel_names != first.channel_names:
            raise ParameterError(f"{name} has other channels than {names[0]}: they cannot be joined")
    return replace(first, array=array, in_channels=all(each.in_channels for each in recordings))


def _check_axes(shape: tuple[int, ...], name: str) -> None:
    if len(shape) != 2:
        raise ParameterError(f"{name} has the shape {shape}: a recording has two axes, observations and channels")


def _is_in_channels(array: object) -> bool:
    """Whether the observations of a channel lie beside each other."""
    return isinstance(array, np.ndarray) and array.flags.f_contiguous and not array.flags.c_contiguous


def _as_gains(gains_uv: float | Sequence[float | None], n_channels: int) -> tuple[float | None, ...]:
    listed = list(gains_uv) if isinstance(gains_uv, Iterable) else [gains_uv] * n_channels
    if len(listed) != n_channels:
        raise ParameterError.of("gains_uv", gains_uv, f"one for each of {n_channels} channels, or one for all")
    return tuple([None if each is None else _as_number(each, "gains_uv") for each in listed])


def _as_number(value: float, name: str) -> float:
    """A number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < math.inf:
        raise ParameterError.of(name, value, "a number above zero is needed")
    return float(value)
