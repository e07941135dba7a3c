"""Boxes of arrays: cut out, put back, and padded where they reach beyond the volume."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.arrays.shared_memory import SharedMemory
from tilecore.errors import BoundsError, ParameterError, ParameterTypeError
from tilecore.geometry.boxes import Box
from tilecore.geometry.per_axis import Halo, as_halo, as_integers, as_tile_shape

__all__ = ["Boundary", "as_boundary", "extract_box", "extract_ghosted_chunk", "insert_box", "read_padded"]

#: What lies beyond the volume: nothing, a mode of `numpy.pad`, or a value.
Boundary: TypeAlias = Literal["reflect", "symmetric", "edge", "wrap", "constant"] | float | None

_MODES = ("reflect", "symmetric", "edge", "wrap", "constant")


def extract_box(arr: Any, start: Any, stop: Any) -> Any:
    """Cut the box from `start` to `stop` out of an array.

    Parameters
    ----------
    arr : array_like or SharedMemory
        Anything with a shape that can be indexed by slices.
    start, stop : sequence of int
        First voxel, and the voxel after the last, per axis [voxel].

    Returns
    -------
    ndarray
        A view where `arr` gives views.

    Raises
    ------
    BoundsError
        If the box does not lie inside the array.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    slices = _inside(arr, start, stop).slices
    if isinstance(arr, SharedMemory):
        with arr.txn() as array:
            return array[slices]
    return arr[slices]


def insert_box(arr: Any, start: Any, stop: Any, data: npt.ArrayLike) -> Any:
    """Put `data` into the box from `start` to `stop` of an array.

    Parameters
    ----------
    arr : array_like or SharedMemory
        Written in place.
    start, stop : sequence of int
        First voxel, and the voxel after the last, per axis [voxel].
    data : array_like
        Of the box's shape, or to be broadcast to it.

    Returns
    -------
    array_like
        `arr`

    Raises
    ------
    BoundsError
        If the box does not lie inside the array.

    Notes
    -----
    Process-safety: processes that write one zarr chunk at the same time lose data.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    slices = _inside(arr, start, stop).slices
    if isinstance(arr, SharedMemory):
        with arr.txn() as array:
            array[slices] = data
    else:
        arr[slices] = data
    return arr


def extract_ghosted_chunk(
    arr: Any, start_coord: Any, chunks: Any, overlap: Any
) -> tuple[Any, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Cut out a chunk with an overlap around it, as much of it as the array has.

    Parameters
    ----------
    arr : array_like or SharedMemory
    start_coord : sequence of int, shape (ndim,)
        First voxel of the chunk [voxel].
    chunks : sequence of int, shape (ndim,)
        Shape of the chunk [voxel]; less is taken where the array ends.
    overlap : int or sequence of int
        Overlap on both sides [voxel].

    Returns
    -------
    ghosted_chunk : ndarray
    start_ghosted, stop_ghosted : ndarray of int, shape (ndim,)
        Where it lies in `arr` [voxel].

    Raises
    ------
    BoundsError
        If the chunk starts outside the array.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``, there with one overlap for all axes.
    """
    volume = Box.of_shape(arr.shape)
    start = as_integers(start_coord, "start_coord", ndim=volume.ndim)
    if any(not 0 <= first < max(length, 1) for first, length in zip(start, volume.stop, strict=True)):
        raise BoundsError.of("start_coord", start, f"must lie inside the array, of shape {volume.shape}")
    stop = [first + length for first, length in zip(start, as_tile_shape(chunks, volume.ndim, "chunks"), strict=True)]
    chunk = Box(start, tuple(stop)).clipped(volume)
    ghosted = chunk.grown(as_halo(overlap, volume.ndim, "overlap")).clipped(volume)
    return extract_box(arr, ghosted.start, ghosted.stop), np.array(ghosted.start), np.array(ghosted.stop)


def as_boundary(boundary: Any) -> Boundary:
    """Accept a boundary mode, a value to pad with, or None."""
    if boundary is None or boundary in _MODES:
        return boundary  # type: ignore[no-any-return]
    if isinstance(boundary, str):
        raise ParameterError.of("boundary", boundary, f"None, a number, or one of {', '.join(_MODES)}")
    if not isinstance(boundary, (int, float, np.number, np.bool_)):
        raise ParameterTypeError.of("boundary", boundary, f"None, a number, or one of {', '.join(_MODES)}")
    return boundary  # type: ignore[return-value]


def read_padded(array: Any, box: Box, pad: Halo, boundary: Boundary) -> npt.NDArray[Any]:
    """Read a box and the voxels that `boundary` says lie beyond the volume.

    Parameters
    ----------
    array : array_like
        The whole volume.
    box : Box
        Inside the volume.
    pad : sequence of (int, int)
        Voxels before and after the box, per axis, that lie outside the volume.
    boundary : Boundary
        None reads the box alone. Otherwise the block equals this part of the whole
        volume padded by `numpy.pad`, bit for bit, however small the box is.

    Returns
    -------
    ndarray
        A view of `array` where nothing had to be padded and `array` gives views.
    """
    if boundary is None or not any(before or after for before, after in pad):
        return np.asarray(array[box.slices])
    padded = box.grown(pad)
    if boundary == "constant" or not isinstance(boundary, str):
        block = np.full(padded.shape, 0 if boundary == "constant" else boundary, dtype=array.dtype)
        block[box.translated([-first for first in padded.start]).slices] = array[box.slices]
        return block
    return _gather(array, padded, boundary)


def _gather(array: Any, padded: Box, mode: str) -> npt.NDArray[Any]:
    """Fill a block that reaches beyond the volume, piece by piece: 3 pieces an axis at most."""
    block = np.empty(padded.shape, dtype=array.dtype)
    axes = [
        _pieces(first, last, length, mode)
        for first, last, length in zip(padded.start, padded.stop, array.shape, strict=True)
    ]
    for pieces in product(*axes):
        source = tuple(slice(int(index.min()), int(index.max()) + 1) for _, index in pieces)
        part = np.asarray(array[source])
        inside = [index - span.start for (_, index), span in zip(pieces, source, strict=True)]
        block[tuple(target for target, _ in pieces)] = part[np.ix_(*inside)]
    return block


def _pieces(first: int, last: int, length: int, mode: str) -> Sequence[tuple[slice, npt.NDArray[np.intp]]]:
    """Cut an axis into the parts before, in and behind the volume, each with its source coordinates."""
    cuts = [first, min(max(first, 0), last), max(min(last, length), first), last]
    return [
        (slice(low - first, high - first), _source_coordinates(np.arange(low, high), length, mode))
        for low, high in pairwise(cuts)
        if high > low
    ]


def _source_coordinates(coordinates: npt.NDArray[np.intp], length: int, mode: str) -> npt.NDArray[np.intp]:
    """Where in the volume `numpy.pad` would take the voxel of each coordinate from."""
    if mode == "edge" or (mode == "reflect" and length == 1):
        return coordinates.clip(0, length - 1)
    if mode == "wrap":
        return coordinates % length
    # A mirror image repeats itself after going there and back.
    period = 2 * (length - 1) if mode == "reflect" else 2 * length
    there = coordinates % period
    back = period - there if mode == "reflect" else period - 1 - there
    return np.minimum(there, back)


def _inside(arr: Any, start: Any, stop: Any) -> Box:
    shape = tuple(arr.shape)
    first, last = as_integers(start, "start"), as_integers(stop, "stop")
    if len(first) > len(shape):
        raise BoundsError.of("start", first, f"the array has {len(shape)} axes")
    box = Box(first, last)
    if not Box.of_shape(shape[: box.ndim]).contains(box) or any(low < 0 for low in first):
        raise BoundsError(f"box from {first} to {last}: must lie inside the array, of shape {shape}")
    return box
