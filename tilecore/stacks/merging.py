"""Merging of stacks as in MagellanMapper: sub-ROIs become one stack, in memory or in a memory-mapped file."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tilecore.array_types import WritableArray
from tilecore.configuration import settings
from tilecore.errors import ParameterError
from tilecore.geometry.per_axis import as_integer, as_integers
from tilecore.spreading import spread
from tilecore.stacks.splitting import as_overlap

__all__ = ["get_split_stack_total_shape", "merge_split_stack", "merge_split_stack2"]

Out = TypeVar("Out", bound=WritableArray)

# Number of voxels from which several threads copy.
_PARALLEL_VOXELS = 2**20


def merge_split_stack(
    sub_rois: npt.NDArray[np.object_], max_pixels: Sequence[int], overlap: Sequence[int] | int | None
) -> npt.NDArray[Any]:
    """Merge sub-ROIs back into one stack.

    Parameters
    ----------
    sub_rois : ndarray of object, shape (n_z, n_y, n_x)
        For each sub-ROI an array with the axes z, y, x and any others.
    max_pixels : sequence of int, shape (3,)
        Shape of a sub-ROI without its overlap, in z, y, x [voxel].
    overlap : sequence of int, shape (3,), or int, or None
        Length of each sub-ROI's overlap with the next one, in z, y, x [voxel].

    Returns
    -------
    ndarray, shape (Z, Y, X, ...)
        The merged stack.

    Raises
    ------
    ParameterError, ParameterTypeError
        If the sub-ROIs do not fit together.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.

    Examples
    --------
    >>> from tilecore import merge_split_stack, stack_splitter
    >>> stack = np.arange(24).reshape(2, 3, 4)
    >>> slices, _ = stack_splitter(stack.shape, (2, 2, 2), 1)
    >>> sub_rois = np.empty_like(slices)
    >>> for index, each in np.ndenumerate(slices):
    ...     sub_rois[index] = stack[each]
    >>> bool((merge_split_stack(sub_rois, (2, 2, 2), 1) == stack).all())
    True
    """
    limits = as_integers(max_pixels, "max_pixels", 3, 1)
    layout = _Layout(sub_rois, as_overlap(overlap), limits)
    merged = np.empty(layout.shape, dtype=layout.dtype)
    layout.copy_into(merged)
    return merged


def merge_split_stack2(
    sub_rois: npt.NDArray[np.object_], overlap: Sequence[int] | int | None, offset: int, output: Out
) -> Out:
    """Merge sub-ROIs directly into an array, such as a memory-mapped file.

    Parameters
    ----------
    sub_rois : ndarray of object, shape (n_z, n_y, n_x)
        For each sub-ROI an array with the axes z, y, x and any others.
    overlap : sequence of int, shape (3,), or int, or None
        Length of each sub-ROI's overlap with the next one, in z, y, x [voxel].
    offset : int
        Number of leading axes of `output`, such as time, whose first element is used.
    output : array_like
        An ndarray, memmap, zarr array, or other object that can be assigned by slices; at least
        as large as the merged stack.

    Returns
    -------
    array_like
        The same object as `output`.

    Raises
    ------
    ParameterError, ParameterTypeError
        If the sub-ROIs do not fit together, or not into `output`.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``, which fails for an overlap larger than 0.
    """
    layout = _Layout(sub_rois, as_overlap(overlap))
    leading = (0,) * as_integer(offset, "offset", minimum=0)
    room = tuple(output.shape)[len(leading) :]
    if len(room) != len(layout.shape) or any(has < needs for has, needs in zip(room, layout.shape, strict=True)):
        raise ParameterError.of("output", tuple(output.shape), f"needs the shape {layout.shape} after {offset} axes")
    layout.copy_into(output, leading)
    return output


def get_split_stack_total_shape(
    sub_rois: npt.NDArray[np.object_], overlap: Sequence[int] | int | None = None
) -> npt.NDArray[np.intp]:
    """Compute the shape of the stack that sub-ROIs give once they are merged.

    Parameters
    ----------
    sub_rois : ndarray of object, shape (n_z, n_y, n_x)
        For each sub-ROI an array with the axes z, y, x and any others; they may have been rescaled.
    overlap : sequence of int, shape (3,), or int, optional
        Length of each sub-ROI's overlap with the next one [voxel]. Default: no overlap.

    Returns
    -------
    ndarray of int, shape (ndim,)
        Shape of the merged stack [voxel].

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.
    """
    return np.array(_Layout(sub_rois, as_overlap(overlap)).shape, dtype=np.intp)


class _Layout:
    """Layout of a merged stack: which voxels each sub-ROI owns, and their place in the stack.

    All sub-ROIs of one plane of the grid have the same length along the plane's axis, so that
    three lists of lengths are enough; they are taken from three edges of the grid.
    """

    def __init__(
        self, sub_rois: npt.NDArray[np.object_], overlap: tuple[int, int, int], limits: tuple[int, ...] | None = None
    ) -> None:
        if not isinstance(sub_rois, np.ndarray) or sub_rois.ndim != 3 or sub_rois.size == 0:
            raise ParameterError.of("sub_rois", np.shape(sub_rois), "must be an array of sub-ROIs in z, y, x")
        self._sub_rois = sub_rois
        first = np.asarray(sub_rois[0, 0, 0])
        if first.ndim < 3:
            raise ParameterError.of("sub_rois[0, 0, 0]", first.shape, "must have at least the axes z, y, x")
        self.dtype = np.result_type(*{np.asarray(sub_roi).dtype for sub_roi in sub_rois.flat})
        self._rest = first.shape[3:]
        self._lengths = [self._edge(axis, overlap[axis], None if limits is None else limits[axis]) for axis in range(3)]
        self._starts = [np.concatenate([[0], np.cumsum(each)]).tolist() for each in self._lengths]
        self.shape: tuple[int, ...] = (*[starts[-1] for starts in self._starts], *self._rest)

    def copy_into(self, output: WritableArray, leading: tuple[int, ...] = ()) -> None:
        """Copy the voxels that each sub-ROI owns to their place in the output."""
        copy_plane = functools.partial(self._copy_plane, output, leading)
        planes = range(len(self._sub_rois))
        # Storage units of a file may hold voxels of two planes, so planes are copied one after the other.
        alone = type(output) not in (np.ndarray, np.memmap) or math.prod(self.shape) < _PARALLEL_VOXELS
        spread(copy_plane, planes, 1 if alone else settings.resolve_workers(None))

    def _copy_plane(self, output: WritableArray, leading: tuple[int, ...], plane: int) -> None:
        starts, lengths = self._starts, self._lengths
        whole: Any = output
        z = slice(starts[0][plane], starts[0][plane + 1])
        places = itertools.product([z], *[[slice(*ends) for ends in itertools.pairwise(each)] for each in starts[1:]])
        shapes = itertools.product([lengths[0][plane]], *lengths[1:])
        for sub_roi, place, shape in zip(self._sub_rois[plane].flat, places, shapes, strict=True):
            part = sub_roi[tuple([slice(length) for length in shape])]
            if part.shape != shape + self._rest:
                raise ParameterError.of("sub_rois", sub_roi.shape, f"{shape + self._rest} voxels are needed at {place}")
            whole[leading + place] = part

    def _edge(self, axis: int, overlap: int, limit: int | None) -> list[int]:
        """Lengths that the sub-ROIs along an edge of the grid own: without the part that the next one repeats."""
        edge = self._sub_rois[tuple(slice(None) if each == axis else 0 for each in range(3))]
        lengths = [int(np.shape(sub_roi)[axis]) for sub_roi in edge]
        owned, left = [lengths[-1]], lengths[-1]
        for length in reversed(lengths[:-1]):
            # At the end of the stack the overlap may be cut short.
            own = length - min(overlap, left) if limit is None else max(length - overlap, min(length, limit))
            if own < 0:
                raise ParameterError.of("overlap", overlap, f"a sub-ROI is {length} voxels long along axis {axis}")
            owned.append(own)
            left += own
        return owned[::-1]
