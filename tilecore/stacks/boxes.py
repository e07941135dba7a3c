"""Boxes as in SCOUT: cut them out of arrays, insert them, and find the points inside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray, SharesMemory, WritableArray
from tilecore.arrays.kinds import as_array
from tilecore.arrays.shared import SharedArray
from tilecore.errors import BoundsError, ParameterError
from tilecore.geometry.boxes import Box
from tilecore.geometry.per_axis import Coordinates, as_integers

__all__ = ["box_slice_idx", "extract_box", "filter_points_in_box", "insert_box"]

Scalar = TypeVar("Scalar", bound=np.generic)
#: A place in a volume, also between voxels.
Place: TypeAlias = Sequence[float] | npt.NDArray[Any]
Given = TypeVar("Given", bound=WritableArray | SharesMemory)


def box_slice_idx(start: Coordinates, stop: Coordinates) -> tuple[slice, ...]:
    """Index, as a tuple of slices, that cuts the box from `start` to `stop` out of an array.

    Parameters
    ----------
    start, stop : sequence of int
        First voxel, and the voxel after the last, per axis [voxel].

    Returns
    -------
    tuple of slice

    Raises
    ------
    ParameterError
        If the lengths differ or an axis ends before it starts.
    BoundsError
        If a start is negative: an array would count it from its end.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.

    Examples
    --------
    >>> box_slice_idx((0, 5), (2, 9))
    (slice(0, 2, None), slice(5, 9, None))
    """
    box = Box(start, stop)
    if any(first < 0 for first in box.start):
        raise BoundsError.of("start", box.start, "must not be negative")
    return box.slices


@overload
def extract_box(arr: npt.NDArray[Scalar], start: Coordinates, stop: Coordinates) -> npt.NDArray[Scalar]: ...
@overload
def extract_box(arr: SharedArray | SharesMemory, start: Coordinates, stop: Coordinates) -> npt.NDArray[Any]: ...
@overload
def extract_box(arr: ReadableArray, start: Coordinates, stop: Coordinates) -> Any: ...
def extract_box(arr: ReadableArray | SharesMemory, start: Coordinates, stop: Coordinates) -> Any:
    """Cut the box from `start` to `stop` out of an array.

    Parameters
    ----------
    arr : array_like or SharedMemory
        Object with a shape that can be indexed by slices.
    start, stop : sequence of int
        First voxel, and the voxel after the last, per axis [voxel].

    Returns
    -------
    ndarray
        The box; a view if `arr` gives views.

    Raises
    ------
    BoundsError
        If the box does not lie inside the array.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    array: Any = as_array(arr)
    return array[_inside(arr, start, stop).slices]


def insert_box(arr: Given, start: Coordinates, stop: Coordinates, data: npt.ArrayLike) -> Given:
    """Write `data` into the box from `start` to `stop` of an array.

    Parameters
    ----------
    arr : array_like or SharedMemory
        Array to be written in place.
    start, stop : sequence of int
        First voxel, and the voxel after the last, per axis [voxel].
    data : array_like
        Values of the box's shape, or values that can be broadcast to it.

    Returns
    -------
    array_like
        The same object as `arr`.

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
    array: Any = as_array(arr)
    array[_inside(arr, start, stop).slices] = data
    return arr


@overload
def filter_points_in_box(
    coords: npt.ArrayLike, start: Place, stop: Place, return_idx: Literal[False] = False
) -> npt.NDArray[Any]: ...
@overload
def filter_points_in_box(
    coords: npt.ArrayLike, start: Place, stop: Place, return_idx: Literal[True]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]: ...
@overload
def filter_points_in_box(
    coords: npt.ArrayLike, start: Place, stop: Place, return_idx: bool
) -> npt.NDArray[Any] | tuple[npt.NDArray[Any], npt.NDArray[np.intp]]: ...
def filter_points_in_box(
    coords: npt.ArrayLike, start: Place, stop: Place, return_idx: bool = False
) -> npt.NDArray[Any] | tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Keep the points that lie in the box from `start` to `stop`.

    Parameters
    ----------
    coords : array_like, shape (n_points, >= ndim)
        The first columns are coordinates in the order of `start` [voxel].
    start, stop : sequence of float, shape (ndim,)
        Bounds of the box; a point on `start` is inside, one on `stop` is not [voxel].
    return_idx : bool
        Whether to return also the numbers of the rows that are kept.

    Returns
    -------
    points : ndarray, shape (n_kept, n_columns)
        Rows of the points in the box.
    rows : ndarray of int, shape (n_kept,)
        Their row numbers; only if `return_idx` is true.

    Raises
    ------
    ParameterError
        If `coords` has too few columns for the box.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``, which allows only three axes.
    """
    points = np.asarray(coords)
    low, high = np.asarray(start), np.asarray(stop)
    if points.ndim != 2 or low.shape != high.shape or points.shape[1] < low.size:
        raise ParameterError.of(
            "coords", points.shape, f"shape (n_points, at least {low.size}) is needed for the box {start} to {stop}"
        )
    position = points[:, : low.size]
    rows = np.flatnonzero(((position >= low) & (position < high)).all(axis=1))
    return (points[rows], rows) if return_idx else points[rows]


def _inside(arr: WritableArray | ReadableArray | SharesMemory, start: Coordinates, stop: Coordinates) -> Box:
    shape = tuple(arr.shape)
    first, last = as_integers(start, "start"), as_integers(stop, "stop")
    if len(first) > len(shape):
        raise BoundsError.of("start", first, f"the array has {len(shape)} axes")
    box = Box(first, last)
    if not Box.of_shape(shape[: box.ndim]).contains(box) or any(low < 0 for low in first):
        raise BoundsError(f"box from {first} to {last}: must lie inside the array of shape {shape}")
    return box
