"""Exact responses at single voxels, where single precision leaves a decision open."""

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
#: Sums so far, by which kernel was used along each axis.
_States: TypeAlias = dict[tuple[int, ...], npt.NDArray[np.float64]]

# Time of one product in a patch around a voxel, and in scipy's passes over an image [s]; and of a voxel's patch.
_PATCH_SECONDS, _PASS_SECONDS, _POINT_SECONDS = 1.3e-9, 1e-9, 50e-6
# Voxels of the patches worked on together.
_BATCH_VOXELS = 2**21


def as_image(block: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """Voxels as scikit-image sees them: whole numbers scaled, floats as they are."""
    if block.dtype.kind == "u":  # many times faster, on the small patches of which there are many
        return block * _unit(block.dtype)
    image: npt.NDArray[Any] = img_as_float(block)  # type: ignore[no-untyped-call]
    return image.astype(dtype, copy=False)


@lru_cache(maxsize=8)
def _unit(dtype: np.dtype[Any]) -> np.float64:
    """What scikit-image multiplies whole numbers without a sign by."""
    return np.float64(img_as_float(np.ones(1, dtype=dtype))[0])  # type: ignore[no-untyped-call]


class ExactResponses:
    """Responses of a block as scikit-image computes them for the whole volume, to the last bit.

    scipy's sum for a voxel has a fixed order (its own tap, then pairs of taps from the outermost
    to the innermost), whatever lies around: the same sum over the voxels within the kernels'
    reach gives the same bits.

    Parameters
    ----------
    block : ndarray
        Raw voxels.
    origin : tuple of int
        Position of its first voxel in the volume.
    shape : tuple of int
        Shape of the volume.
    """

    def __init__(self, block: npt.NDArray[Any], origin: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self._block, self._origin, self._shape = block, origin, shape

    def at(self, scale: Scale, points: Points) -> npt.NDArray[np.float64]:
        """Response at points.

        Parameters
        ----------
        scale : Scale
        points : ndarray of int, shape (n, ndim)
            In the volume; the block holds what lies within the scale's radii.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        step = max(1, _BATCH_VOXELS // math.prod(2 * radius + 1 for radius in scale.radii[1:]))
        batches = [points[first : first + step] for first in range(0, len(points), step)]
        return np.concatenate([np.empty(0), *[self._batch(scale, batch) for batch in batches]])

    def everywhere(self, scale: Scale, box: Box) -> npt.NDArray[Any]:
        """Response in a box, of the dtype in which scikit-image keeps it; not finite where a voxel in reach is not."""
        reach = box.grown(scale.radii).clipped(self._shape)
        block = self._block[reach.relative_to(self._origin).slices]
        inner = box.relative_to(reach.start).slices
        return scale.dense(as_image(block, scale.space.dtype))[inner]

    @staticmethod
    def pays(scale: Scale, n_points: int, n_voxels: int) -> bool:
        """Whether so many points are settled sooner one by one than all voxels of a box together."""
        taps = [2 * radius + 1 for radius in scale.radii]
        by_points = n_points * (_POINT_SECONDS + 2 * math.prod(taps) * _PATCH_SECONDS)
        return by_points < n_voxels * len(taps) * sum(taps) * _PASS_SECONDS

    def _batch(self, scale: Scale, points: Points) -> npt.NDArray[np.float64]:
        """Contract patches axis by axis: the first of each by itself, to stay in the cache, the others together."""
        dtype = scale.space.dtype
        lines = [_contract(self._patch(scale, point), scale.kernels[0], dtype) for point in points.tolist()]
        states: _States = {(index,): np.stack(each) for index, each in enumerate(zip(*lines, strict=True))}
        for kernels in scale.kernels[1:]:
            wanted = _wanted(states, scale)
            contracted = {key: _contract(np.moveaxis(each, 1, 0), kernels, dtype) for key, each in states.items()}
            states = {key: contracted[key[:-1]][key[-1]] for key in wanted}
        return _combined(states, scale)

    def _patch(self, scale: Scale, point: list[int]) -> npt.NDArray[np.float64]:
        """The voxels around a point, mirrored at the volume's edge."""
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
    """Sum along the first axis with each kernel, in scipy's order, and round as scipy stores it."""
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
    """Which kernel along each axis so far: at most one derivative, or the same Gaussian throughout."""
    keys = [(*key, which) for key in states for which in (0, 1)]
    return [key for key in keys if (sum(key) <= 1 if scale.is_laplacian else len(set(key)) == 1)]


def _combined(states: _States, scale: Scale) -> npt.NDArray[np.float64]:
    """Put the terms together, each step rounded as scikit-image stores it."""
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
