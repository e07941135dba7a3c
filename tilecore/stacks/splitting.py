"""Splitting of stacks as in MagellanMapper: object arrays of sub-ROIs with an overlap.

A sub-ROI is a tile with a halo after it and none before it: the overlap. It owns the
voxels before the overlap, and at the end of an axis all of its voxels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError
from tilecore.geometry.per_axis import as_integers, as_shape
from tilecore.geometry.tiles import TileGrid

__all__ = ["as_overlap", "stack_splitter"]


def stack_splitter(
    shape: Sequence[int], max_pixels: Sequence[int], overlap: Sequence[int] | int | None = None
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.intp]]:
    """Split a stack into sub-ROIs with an overlap.

    Parameters
    ----------
    shape : sequence of int, (Z, Y, X, ...)
        Shape of the stack [voxel]; axes after the third are not split.
    max_pixels : sequence of int, shape (3,)
        Shape of a sub-ROI without its overlap, in z, y, x [voxel].
    overlap : sequence of int, shape (3,), or int, optional
        Length of a sub-ROI's overlap with the next one, in z, y, x [voxel]. Default: no overlap.

    Returns
    -------
    sub_roi_slices : ndarray of object, shape (n_z, n_y, n_x)
        Tuple of three slices for each sub-ROI.
    sub_rois_offsets : ndarray of int, shape (n_z, n_y, n_x, 3)
        First voxel of each sub-ROI, in z, y, x.

    Raises
    ------
    ParameterError, ParameterTypeError
        If a length is negative or zero, the overlap is not a whole number, or there are too few axes.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.

    Examples
    --------
    >>> slices, offsets = stack_splitter((4, 4, 6), (4, 4, 3), (0, 0, 1))
    >>> slices.shape, slices[0, 0, 0]
    ((1, 1, 2), (slice(0, 4, None), slice(0, 4, None), slice(0, 4, None)))
    >>> offsets[0, 0, 1].tolist()
    [0, 0, 3]
    """
    lengths = as_shape(shape)
    if len(lengths) < 3:
        raise ParameterError.of("shape", tuple(shape), "a stack needs at least the axes z, y, x")
    after = as_overlap(overlap)
    grid = TileGrid(lengths[:3], as_integers(max_pixels, "max_pixels", 3, 1), [(0, width) for width in after])
    slices = np.empty(grid.counts, dtype=object)
    offsets = np.zeros((*grid.counts, 3), dtype=np.intp)
    for tile in grid:
        slices[tile.index] = tile.read.slices
        offsets[tile.index] = tile.read.start
    return slices, offsets


def as_overlap(overlap: npt.ArrayLike | None) -> tuple[int, int, int]:
    """Accept an overlap in z, y, x, one for all axes, or None for no overlap."""
    if overlap is None:
        return (0, 0, 0)
    values = np.ravel(overlap)
    z, y, x = as_integers([values[0]] * 3 if np.ndim(overlap) == 0 else values.tolist(), "overlap", 3, 0)
    return z, y, x
