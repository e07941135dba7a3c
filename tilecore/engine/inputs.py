"""Inputs: the sources that a caller gives as volumes, and the meaning of their axes."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from tilecore.array_types import OneSource, ReadableArray, SourceLike
from tilecore.arrays.access import MOST_SENT_BYTES, Access, Reach, chunk_lengths
from tilecore.arrays.extents import Extent
from tilecore.arrays.foreign import as_readable
from tilecore.arrays.kinds import access_of, as_array
from tilecore.bytesize import format_bytes
from tilecore.engine.dimensions import check_labels, names_of
from tilecore.errors import ParameterError, SourceChangedError
from tilecore.formats.file_sink import FileSink
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.labels import info_of_labels, told_axes
from tilecore.formats.opening import open_source
from tilecore.geometry.boxes import Box

__all__ = ["Inputs", "extra_axes", "extra_voxels", "for_all_axes", "refuse_to_send"]


@dataclass(frozen=True)
class Inputs:
    """The sources of a run.

    Attributes
    ----------
    arrays : tuple of array_like
        The opened sources; the first one is the volume.
    info : ImageInfo or None
        Properties of the volume from its file, or from its labels; None if it has neither.
    names : tuple of str
        Names of the volume's axes; empty if it does not name them.
    """

    arrays: tuple[Any, ...]
    info: ImageInfo | None
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: SourceLike) -> Inputs:
        """Open one source or a list of sources, as arrays that are indexed by slices.

        Parameters
        ----------
        source : array_like, path, or list of them
            An ndarray, memmap, SharedArray, SharedMemory, any object with a shape, a dtype and
            slices (zarr, h5py, dask, tensorstore, a source of `open_source`), or whose voxels numpy can see
            (xarray, torch on the CPU), or the path of an image file. If there are several,
            the first is the volume; the others must agree with its axes, as far as both have them.

        Raises
        ------
        ParameterError
            If shapes differ.
        ParameterTypeError
            If a source is not an array, or is an array of Python objects.
        MissingFileError, UnreadableFileError
            If a path does not lead to an array.
        """
        given: list[Any] | tuple[Any, ...] = source if isinstance(source, (list, tuple)) else [source]
        arrays = tuple([_opened(each) for each in given])
        if not arrays:
            raise ParameterError.of("source", source, "at least one array is needed")
        first = tuple(arrays[0].shape)
        for array in arrays[1:]:
            shape = tuple(array.shape)
            if any(mine != other for mine, other in zip(first, shape, strict=False)):
                raise ParameterError.of("source", shape, f"must agree with the first source, of shape {first}")
        told = [told_axes(each) or told_axes(array) or "" for each, array in zip(given, arrays, strict=True)]
        for axes in told[1:]:
            _check_order(told[0], axes)
        check_labels(given)
        info = getattr(arrays[0], "info", None)  # zarr arrays have one too, of another kind
        known = info if isinstance(info, ImageInfo) else info_of_labels(given[0])
        return cls(arrays, known, names_of(given[0], arrays[0]))

    @functools.cached_property
    def accesses(self) -> tuple[Access, ...]:
        """Access to each source, fixed at first use, because a file may be replaced later."""
        return tuple([access_of(array) for array in self.arrays])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the volume [voxel]."""
        return tuple([int(length) for length in self.arrays[0].shape])

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of a chunk of the volume, which is decoded as a whole [voxel]; None if each voxel can be read alone."""
        return chunk_lengths(self.arrays[0])

    @property
    def extents(self) -> list[tuple[Extent, ...]]:
        """Extents of the voxels of each source."""
        return [access.extents for access in self.accesses]

    def for_workers(self, reach: Reach) -> tuple[Any, ...]:
        """Each source in the form in which workers read it; None for sources that they cannot reach."""
        return tuple([access.readable(reach) for access in self.accesses])

    def bytes_of(self, box: Box) -> int:
        """Size of a box of the volume in all sources together [byte]."""
        n_bytes = 0
        for array in self.arrays:
            n_axes = min(len(array.shape), box.ndim)
            extra = extra_voxels(array, box.ndim)
            n_bytes += math.prod(box.shape[:n_axes]) * extra * np.dtype(array.dtype).itemsize
        return n_bytes

    def stamps(self) -> list[Any]:
        """Names, sizes and times of change of the files behind each source."""
        return [access.stamps() for access in self.accesses]

    def check_unchanged(self, before: list[Any], written: Sequence[Hashable]) -> None:
        """Raise an error if a source was changed during the run, except by the run itself.

        Parameters
        ----------
        before : list
            Result of `stamps` at the start of the run.
        written : sequence of hashable
            Spaces (files or memory) that the run has written into.

        Raises
        ------
        SourceChangedError
            If a source was changed.
        """
        for stamp, now, extents in zip(before, self.stamps(), self.extents, strict=True):
            if stamp is not None and stamp != now and not any(extent.space in written for extent in extents):
                raise SourceChangedError(
                    f"{stamp['path']} was changed while the run read it: the results would mix both; run it again"
                )


def refuse_to_send(source: ReadableArray) -> NoReturn:
    """Refuse an array that workers on other machines cannot reach."""
    n_bytes = math.prod(source.shape) * np.dtype(source.dtype).itemsize
    limit = f"; at most {format_bytes(MOST_SENT_BYTES)} are sent" if n_bytes > MOST_SENT_BYTES else ""
    raise ParameterError(
        f"source: {format_bytes(n_bytes)} in a {type(source).__name__} of this process are out of the workers' reach"
        f"{limit}. Write them to a file that all workers see, and give its path: "
        'tilecore.map_tiles(np.copy, source, out="volume.zarr")'
    )


def _opened(source: OneSource) -> ReadableArray:
    if isinstance(source, (str, os.PathLike)):
        return open_source(source)
    array: Any = as_array(source)
    if isinstance(array, FileSink) and not array.is_created:
        array = array.result()
    return as_readable(array, "source")


def _check_order(first: str, other: str) -> None:
    """Refuse two sources that both name an axis, but at different places: their voxels would be mixed up."""
    if any(letter in first and first.index(letter) != place for place, letter in enumerate(other)):
        raise ParameterError.of(
            "source", other, f"the first source has the axes {first}; give both in one order (axes= names them)"
        )


def extra_voxels(source: ReadableArray, ndim: int) -> int:
    """Number of voxels on a source's additional axes, for each voxel of the volume."""
    return math.prod(source.shape[ndim:])


def extra_axes(info: ImageInfo | None) -> tuple[int, ...]:
    """Axes of a file along which tiles have length one, as neighbours there show the same place."""
    return () if info is None else info.separate_axes


def for_all_axes(values: Any, info: ImageInfo | None, rest: int | None) -> Any:
    """Extend values given for z, y, x to all axes of a file, with `rest` for the additional axes."""
    extra = extra_axes(info)
    if info is None or not extra or values is None:
        return values
    spatial = len(info.shape) - len(extra)
    plain = values.tolist() if isinstance(values, np.ndarray) else values
    listed = list(plain) if isinstance(plain, Iterable) else [plain] * spatial
    if len(listed) != spatial:
        return values
    for axis in extra:
        listed.insert(axis, rest)
    return listed
