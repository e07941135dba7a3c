"""Chunks as in SCOUT: their number, first voxels and overlaps, and the points that they own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray, SharesMemory
from tilecore.errors import BoundsError, ParameterError
from tilecore.geometry.boxes import Box
from tilecore.geometry.per_axis import Coordinates, HaloLike, as_halo, as_integers, as_tile_shape
from tilecore.geometry.tiles import TileGrid
from tilecore.stacks.boxes import extract_box

__all__ = ["chunk_coordinates", "chunk_dims", "extract_ghosted_chunk", "filter_ghosted_points"]


def chunk_dims(img_shape: Sequence[int], chunk_shape: Sequence[int]) -> tuple[int, ...]:
    """Count the chunks that cover an image, per axis.

    Parameters
    ----------
    img_shape : sequence of int
        Shape of the image [voxel].
    chunk_shape : sequence of int
        Shape of one chunk [voxel].

    Returns
    -------
    tuple of int
        Number of chunks along each axis.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.

    Examples
    --------
    >>> chunk_dims((10, 10), (4, 5))
    (3, 2)
    """
    return TileGrid(img_shape, chunk_shape).counts


def chunk_coordinates(shape: Sequence[int], chunks: Sequence[int]) -> npt.NDArray[np.intp]:
    """List the first voxel of each chunk, last axis fastest.

    Parameters
    ----------
    shape : sequence of int
        Shape of the image [voxel].
    chunks : sequence of int
        Shape of one chunk [voxel].

    Returns
    -------
    ndarray of int, shape (n_chunks, ndim)
        Position of each chunk's first voxel.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.

    Examples
    --------
    >>> chunk_coordinates((4, 6), (2, 3)).tolist()
    [[0, 0], [0, 3], [2, 0], [2, 3]]
    """
    grid = TileGrid(shape, chunks)
    numbers = np.indices(grid.counts, dtype=np.intp).reshape(grid.ndim, -1).T
    return np.ascontiguousarray(numbers * np.asarray(grid.tile_shape, dtype=np.intp))


def extract_ghosted_chunk(
    arr: ReadableArray | SharesMemory, start_coord: Coordinates, chunks: int | Coordinates, overlap: HaloLike
) -> tuple[Any, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Cut a chunk out of an array, with the overlap around it, as far as the array reaches.

    Parameters
    ----------
    arr : array_like or SharedMemory
        The array.
    start_coord : sequence of int, shape (ndim,)
        First voxel of the chunk [voxel].
    chunks : sequence of int, shape (ndim,)
        Shape of the chunk [voxel]; the chunk is smaller at the array's end.
    overlap : int or sequence of int
        Overlap on both sides of the chunk [voxel].

    Returns
    -------
    ghosted_chunk : ndarray
        Voxels of the chunk with its overlap.
    start_ghosted, stop_ghosted : ndarray of int, shape (ndim,)
        First voxel, and the voxel after the last, of `ghosted_chunk` in `arr` [voxel].

    Raises
    ------
    BoundsError
        If the chunk starts outside the array.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``, which has one overlap for all axes.
    """
    volume = Box.of_shape(arr.shape)
    start = as_integers(start_coord, "start_coord", ndim=volume.ndim)
    if any(not 0 <= first < max(length, 1) for first, length in zip(start, volume.stop, strict=True)):
        raise BoundsError.of("start_coord", start, f"must lie inside the array of shape {volume.shape}")
    stop = [first + length for first, length in zip(start, as_tile_shape(chunks, volume.ndim, "chunks"), strict=True)]
    chunk = Box(start, tuple(stop)).clipped(volume)
    ghosted = chunk.grown(as_halo(overlap, volume.ndim, "overlap")).clipped(volume)
    return extract_box(arr, ghosted.start, ghosted.stop), np.array(ghosted.start), np.array(ghosted.stop)


def filter_ghosted_points(
    start_ghosted: Coordinates,
    start_coord: Coordinates,
    centers_local: npt.ArrayLike,
    chunks: int | Coordinates,
    overlap: HaloLike,
) -> npt.NDArray[Any]:
    """Keep the points that a chunk owns, of those found in the chunk with its overlap.

    Parameters
    ----------
    start_ghosted : sequence of int, shape (ndim,)
        First voxel of the chunk with its overlap [voxel].
    start_coord : sequence of int, shape (ndim,)
        First voxel of the chunk [voxel].
    centers_local : array_like, shape (n_points, >= ndim)
        Points in coordinates of the chunk with its overlap [voxel].
    chunks : sequence of int, shape (ndim,)
        Shape of the chunk [voxel].
    overlap : int or sequence of int
        Overlap on both sides of the chunk; smaller at the image's edges [voxel].

    Returns
    -------
    ndarray, shape (n_kept, n_columns)
        Points that are kept, still in coordinates of the chunk with its overlap.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``, which allows only three axes.
    """
    start = as_integers(start_coord, "start_coord")
    ghosted = as_integers(start_ghosted, "start_ghosted", ndim=len(start))
    as_halo(overlap, len(start), "overlap")
    points = np.asarray(centers_local)
    if points.ndim != 2 or points.shape[1] < len(start):
        raise ParameterError.of("centers_local", points.shape, f"shape (n_points, at least {len(start)}) is needed")
    own = np.ones(len(points), dtype=bool)
    for axis, length in enumerate(as_tile_shape(chunks, len(start), "chunks")):
        first = start[axis] - ghosted[axis]  # the overlap, smaller at the image's edge
        column = points[:, axis]
        own &= column < first + length
        if first > 0:
            own &= column >= first
    return points[own]
