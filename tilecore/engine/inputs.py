"""Inputs: whatever a caller gives as a volume, and which of its axes are which."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilecore.array_types import OneSource, ReadableArray, SourceLike
from tilecore.arrays.access import Access, Reach
from tilecore.arrays.extents import Extent
from tilecore.arrays.kinds import access_of, as_array
from tilecore.errors import ParameterError, ParameterTypeError, SourceChangedError
from tilecore.formats.file_sink import FileSink
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.opening import open_source
from tilecore.geometry.boxes import Box

__all__ = ["Inputs", "extra_axes", "extra_voxels", "for_all_axes"]


@dataclass(frozen=True)
class Inputs:
    """The sources of a run.

    Attributes
    ----------
    arrays : tuple of array_like
        As they were opened; the first gives the volume.
    info : ImageInfo or None
        What the volume's file says of it.
    """

    arrays: tuple[Any, ...]
    info: ImageInfo | None

    @classmethod
    def of(cls, source: SourceLike) -> Inputs:
        """Turn one source, or a list of sources, into arrays that can be cut by slices.

        Parameters
        ----------
        source : array_like, path, or list of them
            An ndarray, memmap, SharedArray, SharedMemory, anything with a shape, a dtype and
            slices (zarr, a source of `open_source`), or the path of an image file. Of several,
            the first gives the volume; the others agree with its axes, as far as both have them.

        Raises
        ------
        ParameterError
            If shapes differ.
        ParameterTypeError
            If it is no array, or one of Python objects.
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
        info = getattr(arrays[0], "info", None)  # zarr arrays have one too, of another kind
        return cls(arrays, info if isinstance(info, ImageInfo) else None)

    @functools.cached_property
    def accesses(self) -> tuple[Access, ...]:
        """How each source is reached, as it was when it was first asked: a file may be replaced meanwhile."""
        return tuple([access_of(array) for array in self.arrays])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the volume [voxel]."""
        return tuple([int(length) for length in self.arrays[0].shape])

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """What of the volume is decoded as one piece [voxel]; None if every voxel can be read alone."""
        chunks = getattr(self.arrays[0], "chunks", None)
        return None if chunks is None else tuple([int(each) for each in chunks[: len(self.shape)]])

    @property
    def extents(self) -> list[tuple[Extent, ...]]:
        """Where the voxels of each source lie."""
        return [access.extents for access in self.accesses]

    def for_workers(self, reach: Reach) -> tuple[Any, ...]:
        """The form in which workers read each source; None for those that they cannot reach."""
        return tuple([access.readable(reach) for access in self.accesses])

    def bytes_of(self, box: Box) -> int:
        """Bytes of a box of the volume in all sources."""
        n_bytes = 0
        for array in self.arrays:
            n_axes = min(len(array.shape), box.ndim)
            extra = extra_voxels(array, box.ndim)
            n_bytes += math.prod(box.shape[:n_axes]) * extra * np.dtype(array.dtype).itemsize
        return n_bytes

    def stamps(self) -> list[Any]:
        """What the files behind the sources say of themselves."""
        return [access.stamps() for access in self.accesses]

    def check_unchanged(self, before: list[Any], written: Sequence[Hashable]) -> None:
        """Refuse the results if a source was changed while they were computed, other than by the run itself.

        Parameters
        ----------
        before : list
            What `stamps` gave.
        written : sequence of hashable
            Files that the run has written into.

        Raises
        ------
        SourceChangedError
        """
        for stamp, now, extents in zip(before, self.stamps(), self.extents, strict=True):
            if stamp is not None and stamp != now and not any(extent.space in written for extent in extents):
                raise SourceChangedError(
                    f"{stamp['path']} was changed while the run read it: its results would be of both; run it again"
                )


def _opened(source: OneSource) -> ReadableArray:
    if isinstance(source, (str, os.PathLike)):
        return open_source(source)
    array: Any = as_array(source)
    if isinstance(array, FileSink) and not array.is_created:
        array = array.result()
    if not all(hasattr(array, name) for name in ("shape", "dtype", "__getitem__")):
        raise ParameterTypeError.of("source", source, "an array, a path, or a list of them")
    if isinstance(array, np.ma.MaskedArray):
        raise ParameterTypeError("source: tiles would lose the mask of a masked array; fill it first, or give both")
    if np.dtype(array.dtype).hasobject:
        raise ParameterTypeError.of("source", array.dtype, "arrays of Python objects cannot be tiled")
    opened: ReadableArray = array
    return opened


def extra_voxels(source: ReadableArray, ndim: int) -> int:
    """Voxels of the axes that a source has beyond the volume's, for each voxel of the volume."""
    return math.prod(source.shape[ndim:])


def extra_axes(info: ImageInfo | None) -> tuple[int, ...]:
    """Axes of a file along which tiles have a length of one, as voxels there are no neighbours."""
    return () if info is None else info.separate_axes


def for_all_axes(values: Any, info: ImageInfo | None, rest: int) -> Any:
    """Values given for z, y, x as values for all axes of a file, with `rest` for the extra ones."""
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
