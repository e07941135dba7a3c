"""Reader of Imaris files (``.ims``): HDF5 with a pyramid, whose channels and time points are datasets of their own."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError, UnreadableFileError
from tilecore.formats.hdf5.reader import find_dataset, import_h5py
from tilecore.formats.hdf5.regions import read_dataset
from tilecore.formats.image_info import MICROMETRES, ImageInfo, positive_size
from tilecore.formats.reader_errors import reading
from tilecore.geometry.boxes import Box

if TYPE_CHECKING:
    import h5py

__all__ = ["ImarisReader", "open_imaris"]

# Datasets that stay open, as each of them may keep 1 MiB of chunks in memory.
_MOST_KEPT = 64


def open_imaris(path: str, *, level: int = 0) -> ImarisReader:
    """Open one level of the pyramid of an Imaris file."""
    h5py = import_h5py(path)
    with reading(path, "an Imaris file"):
        file = h5py.File(path, "r")
        try:
            return ImarisReader(file, path, level)
        except BaseException:
            file.close()
            raise


class ImarisReader:
    """Reader of one level of an Imaris file, with the axes TCZYX.

    Parameters
    ----------
    file : h5py.File
        The open file.
    path : str
        Path of the file.
    level : int
        Number of the level.

    References
    ----------
    .. [1] "Imaris File Format Description", https://imaris.oxinst.com/support/imaris-file-format
    """

    mapped = None

    def __init__(self, file: h5py.File, path: str, level: int) -> None:
        self._path, self._file, self._level = path, file, level
        self._found: dict[tuple[int, int], h5py.Dataset] = {}
        levels = _count(file.get("DataSet"), "ResolutionLevel")
        if not levels:
            raise UnreadableFileError(f"{path} has no group /DataSet/ResolutionLevel 0: it is not an Imaris file")
        if not 0 <= level < levels:
            raise ParameterError.of("level", level, f"{path} has {levels} level(s), numbered from 0")
        n_times = _count(file[f"DataSet/ResolutionLevel {level}"], "TimePoint")
        n_channels = _count(file[f"DataSet/ResolutionLevel {level}/TimePoint 0"], "Channel") if n_times else 0
        shapes = tuple([(n_times, n_channels, *self._lengths(number)) for number in range(levels)])
        data = self._data(0, 0)
        chunks = None if data.chunks is None else (1, 1, *map(min, data.chunks, shapes[level][2:]))
        image = dict(file["DataSetInfo/Image"].attrs) if "DataSetInfo/Image" in file else {}
        size, origin = _place(image, shapes[level][2:])
        self.info = ImageInfo(
            "imaris",
            shapes[level],
            np.dtype(data.dtype),
            "TCZYX",
            size,
            self._channel_names(n_channels),
            chunks,
            chunks,
            data.compression or "none",
            shapes,
            origin,
        )
        self._finalizer = weakref.finalize(self, file.close)

    def verify(self) -> None:
        """Look for all channels and time points, whose datasets must be alike."""
        n_times, n_channels, *lengths = self.info.shape
        for time, channel in product(range(n_times), range(n_channels)):
            data = self._data(time, channel)
            if data.dtype != self.info.dtype or any(map(int.__lt__, data.shape, lengths)):
                raise UnreadableFileError(f"{self._path}:{data.name} has {data.shape} voxels of {data.dtype}: too few")

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Read a box; what Imaris has added to the end of each axis lies outside of all boxes."""
        result = np.empty(box.shape, self.info.dtype)
        self.read_into(box, result)
        return result

    def read_into(self, box: Box, out: npt.NDArray[Any]) -> None:
        """Read a box into an array."""
        times, channels, *_ = box.slices
        inner = Box(box.start[2:], box.stop[2:])
        with reading(self._path, "an Imaris file"):
            for time, channel in product(*(range(each.start, each.stop) for each in (times, channels))):
                volume = out[time - times.start, channel - channels.start]
                read_dataset(self._data(time, channel), self._path, inner, volume)

    def _data(self, time: int, channel: int) -> h5py.Dataset:
        """Dataset of a time and a channel, which is looked for once."""
        if (time, channel) in self._found:
            return self._found[time, channel]
        name = f"DataSet/ResolutionLevel {self._level}/TimePoint {time}/Channel {channel}/Data"
        try:
            found = find_dataset(self._file, self._path, name)
        except ParameterError as error:
            raise UnreadableFileError(f"{self._path} has no dataset /{name}: it is damaged or not complete") from error
        if len(found.shape) != 3:
            raise UnreadableFileError(f"{self._path}:/{name} has the shape {found.shape}; three axes are needed")
        if len(self._found) == _MOST_KEPT:
            self._found.clear()
        self._found[time, channel] = found
        return found

    def _lengths(self, level: int) -> tuple[int, int, int]:
        """Lengths of z, y, x, without what was added to fill chunks."""
        channel = self._file[f"DataSet/ResolutionLevel {level}/TimePoint 0/Channel 0"]
        z, y, x = [int(_text(channel.attrs, f"ImageSize{axis}")) for axis in "ZYX"]
        return z, y, x

    def _channel_names(self, n_channels: int) -> tuple[str, ...]:
        groups = [self._file.get(f"DataSetInfo/Channel {number}") for number in range(n_channels)]
        names = tuple(["" if group is None else _text(group.attrs, "Name") for group in groups])
        return names if all(names) else ()


def _count(group: h5py.Group | None, name: str) -> int:
    """Number of members that are called by a name and a number, from 0."""
    number = 0
    while group is not None and f"{name} {number}" in group:
        number += 1
    return number


def _place(
    image: Mapping[str, Any], lengths: tuple[int, ...]
) -> tuple[tuple[float, float, float] | None, tuple[float, float, float]]:
    """Voxel size, and position of the first voxel's centre [um]: the file tells the outer edges of the image."""
    factor = MICROMETRES.get(_text(image, "Unit") or "um", math.nan)
    low, high = ([_number(image, f"{name}{axis}") * factor for axis in (2, 1, 0)] for name in ("ExtMin", "ExtMax"))
    size = positive_size([(last - first) / max(n, 1) for first, last, n in zip(low, high, lengths, strict=True)])
    if size is None:
        return None, (0.0, 0.0, 0.0)
    z, y, x = [first + length / 2 for first, length in zip(low, size, strict=True)]
    return size, (z, y, x)


def _number(attributes: Mapping[str, Any], name: str) -> float:
    return float(_text(attributes, name) or "nan")


def _text(attributes: Mapping[str, Any], name: str) -> str:
    """Text of an attribute, which Imaris stores as an array of single characters; empty if there is none."""
    value = attributes.get(name, "")
    if isinstance(value, str):
        return value.strip()
    return b"".join(np.atleast_1d(value).astype("S").tolist()).decode(errors="replace").strip("\0 ")
