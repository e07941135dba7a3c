"""Exact responses at single voxels, for decisions that single precision leaves open."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from skimage.util import img_as_float

from tilecore.blobs.scale_space.scales import Scale, folded
from tilecore.geometry.boxes import Box

__all__ = ["ExactResponses", "as_image"]

Points = npt.NDArray[np.intp]
#: Sums so far, by the kernel that was used along each axis.
_States: TypeAlias = dict[tuple[int, ...], npt.NDArray[np.float64]]

# Times for a choice of method [s]: one product around a voxel, one product in scipy's passes, and one voxel.
_PATCH_SECONDS, _PASS_SECONDS, _POINT_SECONDS = 1.3e-9, 1e-9, 50e-6
# Number of voxels around points that are processed together.
_BATCH_VOXELS = 2**21


def as_image(block: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """Convert voxels as scikit-image does: integers are scaled, floats stay as they are."""
    if block.dtype.kind == "u":  # many times faster, for the many small blocks
        return block * _unit(block.dtype)
    image: npt.NDArray[Any] = img_as_float(block)  # type: ignore[no-untyped-call]
    return image.astype(dtype, copy=False)


@lru_cache(maxsize=8)
def _unit(dtype: np.dtype[Any]) -> np.float64:
    """Factor by which scikit-image multiplies unsigned integers."""
    return np.float64(img_as_float(np.ones(1, dtype=dtype))[0])  # type: ignore[no-untyped-call]


class ExactResponses:
    """Responses of a block, computed as scikit-image does for the whole volume, equal to the last bit.

    scipy's sum for a voxel has a fixed order (the centre, then pairs of taps from the outermost
    to the innermost), whatever voxels surround it: the same sum over the voxels within the
    kernels' reach gives the same bits.

    Parameters
    ----------
    block : ndarray
        Voxels as read, not scaled.
    origin : tuple of int
        Position of the block's first voxel in the volume.
    shape : tuple of int
        Shape of the volume.
    """

    def __init__(self, block: npt.NDArray[Any], origin: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self._block, self._origin, self._shape = block, origin, shape

    def at(self, scale: Scale, points: Points) -> npt.NDArray[np.float64]:
        """Compute the response at some points.

        Parameters
        ----------
        scale : Scale
            Scale of the response.
        points : ndarray of int, shape (n, ndim)
            Positions in the volume; the block must hold all voxels within the scale's radii.

        Returns
        -------
        ndarray of float64, shape (n,)
            Response at each point.
        """
        step = max(1, _BATCH_VOXELS // math.prod(2 * radius + 1 for radius in scale.radii[1:]))
        batches = [points[first : first + step] for first in range(0, len(points), step)]
        return np.concatenate([np.empty(0), *[self._batch(scale, batch) for batch in batches]])

    def everywhere(self, scale: Scale, box: Box) -> npt.NDArray[Any]:
        """Compute the response in a box, in scikit-image's dtype; not finite if a voxel in reach is not finite."""
        reach = box.grown(scale.radii).clipped(self._shape)
        block = self._block[reach.relative_to(self._origin).slices]
        inner = box.relative_to(reach.start).slices
        return scale.dense(as_image(block, scale.space.dtype))[inner]

    @staticmethod
    def pays(scale: Scale, n_points: int, n_voxels: int) -> bool:
        """Whether computing single points takes less time than computing all voxels of a box."""
        taps = [2 * radius + 1 for radius in scale.radii]
        by_points = n_points * (_POINT_SECONDS + 2 * math.prod(taps) * _PATCH_SECONDS)
        return by_points < n_voxels * len(taps) * sum(taps) * _PASS_SECONDS

    def _batch(self, scale: Scale, points: Points) -> npt.NDArray[np.float64]:
        """Compute the response at points, axis by axis; the first axis is done point by point, to stay in the cache."""
        dtype = scale.space.dtype
        lines = [_contract(self._patch(scale, point), scale.kernels[0], dtype) for point in points.tolist()]
        states: _States = {(index,): np.stack(each) for index, each in enumerate(zip(*lines, strict=True))}
        for kernels in scale.kernels[1:]:
            wanted = _wanted(states, scale)
            contracted = {key: _contract(np.moveaxis(each, 1, 0), kernels, dtype) for key, each in states.items()}
            states = {key: contracted[key[:-1]][key[-1]] for key in wanted}
        return _combined(states, scale)

    def _patch(self, scale: Scale, point: list[int]) -> npt.NDArray[np.float64]:
        """Return the voxels around a point, mirrored at the volume's edges."""
        cuts = list(zip(point, scale.radii, self._origin, self._shape, strict=True))
        inside = [slice(max(at - radius, 0) - first, at + radius + 1 - first) for at, radius, first, _ in cuts]
        patch = self._block[tuple(inside)]
        for axis, (at, radius, _, length) in enumerate(cuts):
            if at < radius or at + radius >= length:
                taps = folded(np.arange(at - radius, at + radius + 1), length)
                patch = patch.take(taps - max(at - radius, 0), axis)
        return as_image(patch, scale.space.dtype).astype(np.float64, copy=False)


def _contract(
    lines: npt.NDArray[np.float64], kernels: tuple[npt.NDArray[np.float64], ...], dtype: str
) -> list[npt.NDArray[np.float64]]:
    """Sum along the first axis with each kernel, in scipy's order, and round as scipy does when it stores."""
    center = len(lines) // 2
    sums = [lines[center] * kernel[center] for kernel in kernels]
    pair, product = np.empty_like(sums[0]), np.empty_like(sums[0])
    for reach in range(center, 0, -1):
        np.add(lines[center - reach], lines[center + reach], out=pair)
        for total, kernel in zip(sums, kernels, strict=True):
            np.multiply(pair, kernel[center - reach], out=product)
            np.add(total, product, out=total)
    return sums if dtype == "float64" else [total.astype(dtype).astype(np.float64) for total in sums]


def _wanted(states: _States, scale: Scale) -> list[tuple[int, ...]]:
    """Combinations of kernels that are needed: at most one derivative, or the same Gaussian along all axes."""
    keys = [(*key, which) for key in states for which in (0, 1)]
    return [key for key in keys if (sum(key) <= 1 if scale.is_laplacian else len(set(key)) == 1)]


def _combined(states: _States, scale: Scale) -> npt.NDArray[np.float64]:
    """Combine the terms to the response, rounded at each step as scikit-image stores it."""
    dtype = np.dtype(scale.space.dtype)
    ndim = scale.pair.shape[1]
    if scale.is_laplacian:
        terms = [states[tuple([int(axis == term) for axis in range(ndim)])].astype(dtype) for term in range(ndim)]
        total = terms[0]
        for number in range(1, ndim):
            total = total + terms[number]
        response = -total * np.mean(scale.pair[0]) ** 2
    else:
        response = states[(0,) * ndim].astype(dtype) - states[(1,) * ndim].astype(dtype)
        response *= scale.factor
    return np.asarray(response, dtype=np.float64)
