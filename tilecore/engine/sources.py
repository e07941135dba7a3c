"""Sources: whatever a caller gives as a volume, in a form that workers can reach."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tilecore.arrays.mapped import MappedArray
from tilecore.arrays.remote import RemoteArray
from tilecore.arrays.shared import SharedArray
from tilecore.arrays.shared_memory import SharedMemory
from tilecore.arrays.shipping import file_of, is_reachable
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.executors.base import Reach
from tilecore.formats.description import ImageInfo
from tilecore.formats.opening import open_source
from tilecore.formats.source import FileSource
from tilecore.memory.remote import is_reachable_by_workers

__all__ = ["extra_axes", "for_all_axes", "info_of", "open_sources", "shape_of", "within_reach"]


def open_sources(source: Any) -> tuple[Any, ...]:
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
    several = isinstance(source, (list, tuple))
    arrays = tuple([_open(each) for each in (source if several else [source])])
    if not arrays:
        raise ParameterError.of("source", source, "at least one array is needed")
    first = tuple(arrays[0].shape)
    for array in arrays[1:]:
        shape = tuple(array.shape)
        if any(mine != other for mine, other in zip(first, shape, strict=False)):
            raise ParameterError.of("source", shape, f"must agree with the first source, of shape {first}")
    return arrays


def within_reach(array: Any, reach: Reach) -> Any:
    """Give an array the form in which workers of an executor reach it without a copy.

    Returns
    -------
    array_like
        Read-only. A plain ndarray that the workers cannot reach comes back as it is.
    """
    if isinstance(array, FileSource) and array.mapped is not None:
        array = array.mapped
    if not isinstance(array, np.ndarray):
        return array
    if reach == "shipped" and not is_reachable(array) and is_reachable_by_workers():
        return RemoteArray(array)
    view = array.view()
    view.flags.writeable = False
    return view if file_of(view) is None else MappedArray(view)


def _open(source: Any) -> Any:
    if isinstance(source, (str, os.PathLike)):
        return open_source(source)
    if isinstance(source, SharedMemory):
        source = source.shared()
    if isinstance(source, SharedArray):
        return source.view()
    if not all(hasattr(source, name) for name in ("shape", "dtype", "__getitem__")):
        raise ParameterTypeError.of("source", source, "an array, a path, or a list of them")
    if isinstance(source, np.ma.MaskedArray):
        raise ParameterTypeError("source: tiles would lose the mask of a masked array; fill it first, or give both")
    if np.dtype(source.dtype).hasobject:
        raise ParameterTypeError.of("source", source.dtype, "arrays of Python objects cannot be tiled")
    return source


def shape_of(arrays: Sequence[Any]) -> tuple[int, ...]:
    """Shape of the volume that several sources make."""
    return tuple(int(length) for length in arrays[0].shape)


def info_of(arrays: Sequence[Any]) -> ImageInfo | None:
    """What the volume's file says of it; None if it is no file that was opened here."""
    return arrays[0].info if isinstance(arrays[0], FileSource) else None


def extra_axes(info: ImageInfo | None) -> tuple[int, ...]:
    """Axes of a file, such as time and channel, along which voxels are no neighbours: tiles of one there."""
    return () if info is None else tuple([axis for axis, name in enumerate(info.axes) if name in "TC"])


def for_all_axes(values: Any, info: ImageInfo | None, rest: Any) -> Any:
    """Values given for z, y, x as values for all axes of a file, with `rest` for the extra ones."""
    extra = extra_axes(info)
    if info is None or not extra or values is None:
        return values
    spatial = len(info.shape) - len(extra)
    listed = list(values) if isinstance(values, Sequence) else [values] * spatial
    if len(listed) != spatial:
        return values
    for axis in extra:
        listed.insert(axis, rest)
    return listed
