"""Responses of a tile at one scale, computed fast in single precision, with a known error bound."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.blobs.scale_space.scales import Scale, folded
from tilecore.geometry.boxes import Box

__all__ = ["Singles", "respond", "rounding_error"]

Singles: TypeAlias = npt.NDArray[np.float32]

# Number of voxels in the planes that are processed together; they stay in the processor's cache.
_SLAB_VOXELS = 2**18


def rounding_error(scale: Scale) -> float:
    """Return a bound on the error of `respond`, for an image of magnitude one.

    Products with zeros outside the band are exact, so only the kernel's own taps count.
    The largest error found, for noise, steps, binary images and nuclei, is 2.5 units.
    """
    return scale.gain * (4.0 + math.sqrt(2 * max(scale.radii) + 1)) * 2.0**-24


def respond(image: Singles, origin: tuple[int, ...], target: Box, shape: tuple[int, ...], scale: Scale) -> Singles:
    """Compute the response at one scale, in seven passes over the volume instead of nine.

    The sum over axes of one derivative and two Gaussians needs two images between the axes:
    all Gaussians so far, and the sum of terms with one derivative so far. A difference of
    Gaussians needs two as well. Each pass is a product with a banded matrix; mirroring at
    the volume's edge is part of the matrix, so nothing is padded.

    Parameters
    ----------
    image : ndarray of float32, 2D or 3D
        Voxels of at least the target, enlarged by the scale's radii and clipped to the volume.
    origin : tuple of int
        Position of the image's first voxel in the volume.
    target : Box
        Box of the response. Beyond the volume the response is that of the nearest voxel inside.
    shape : tuple of int
        Shape of the volume.
    scale : Scale
        Scale of the response.

    Returns
    -------
    ndarray of float32, shape of the target
        The response.
    """
    axes = [
        _Axis(start, stop, first, length, radius)
        for start, stop, first, length, radius in zip(
            target.start, target.stop, origin, shape, scale.radii, strict=True
        )
    ]
    source = image[tuple([axis.reach for axis in axes])]
    both = np.empty((len(source), 2, *target.shape[1:]), dtype=np.float32)
    columns = axes[-1].bands(*scale.kernels[-1])
    if len(axes) == 2:
        _along_rows(source, both.transpose(1, 0, 2), columns)
    else:
        _in_planes(source, both, columns, axes[1], scale)
    return _across_planes(both, axes[0], scale, target.shape)


#: Pieces of an axis: the outputs, the inputs (both counted from the first), and a matrix for each kernel.
_Bands: TypeAlias = list[tuple[slice, slice, list[Singles]]]


class _Axis(NamedTuple):
    """One axis of the passes: wanted range, and available range."""

    start: int
    stop: int
    origin: int
    length: int
    radius: int

    @property
    def reach(self) -> slice:
        """Range of the image that is needed."""
        first, last = max(self.start - self.radius, 0), min(self.stop + self.radius, self.length)
        return slice(first - self.origin, last - self.origin)

    def bands(self, *kernels: npt.NDArray[np.float64]) -> _Bands:
        """Cut the axis into pieces, and write the kernels as a matrix for each chunk."""
        # The band is a parallelogram in its matrix: short pieces waste fewer products, long ones are multiplied faster.
        step = 16 * (2 + self.radius // 20)
        first = max(self.start - self.radius, 0)
        found = []
        for start in range(self.start, self.stop, step):
            wanted = np.arange(start, min(start + step, self.stop)).clip(0, self.length - 1)
            taps = folded(wanted[:, None] + np.arange(-self.radius, self.radius + 1), self.length) - first
            low, high = int(taps.min()), int(taps.max()) + 1
            matrices = []
            for kernel in kernels:
                matrix = np.zeros((len(wanted), high - low))
                np.add.at(matrix, (np.arange(len(wanted))[:, None], taps - low), kernel)
                matrices.append(matrix.astype(np.float32))
            outputs = slice(start - self.start, start - self.start + len(wanted))
            found.append((outputs, slice(low, high), matrices))
        return found


def _in_planes(source: Singles, both: Singles, columns: _Bands, axis: _Axis, scale: Scale) -> None:
    """Compute the passes along x and y, some planes at a time."""
    height, width = source.shape[1], both.shape[3]
    step = max(1, _SLAB_VOXELS // max(1, 2 * height * width))
    buffer = np.empty((min(step, len(source)), height, 2, width), dtype=np.float32)
    rows = [
        (outputs, inputs, own, _alternating(other, own) if scale.is_laplacian else other)
        for outputs, inputs, (own, other) in axis.bands(*scale.kernels[1])
    ]
    for first in range(0, len(source), step):
        planes = source[first : first + step]
        lines = buffer[: len(planes)]
        _along_rows(planes, lines.transpose(2, 0, 1, 3), columns)
        alternating = lines.reshape(len(planes), 2 * height, width)
        result = both[first : first + step]
        for outputs, inputs, own, other in rows:
            np.matmul(own, lines[:, inputs, 0], out=result[:, 0, outputs])
            terms = alternating[:, _doubled(inputs)] if scale.is_laplacian else lines[:, inputs, 1]
            np.matmul(other, terms, out=result[:, 1, outputs])


def _along_rows(source: Singles, both: Singles, columns: _Bands) -> None:
    """Compute the pass along x, which gives two results."""
    for outputs, inputs, matrices in columns:
        for matrix, result in zip(matrices, both, strict=True):
            np.matmul(source[..., inputs], matrix.T, out=result[..., outputs])


def _across_planes(both: Singles, axis: _Axis, scale: Scale, shape: tuple[int, ...]) -> Singles:
    """Compute the last pass, along the first axis, which combines both results."""
    first, second = scale.kernels[0]
    weights = (second, first) if scale.is_laplacian else (first, -second)
    response = np.empty((shape[0], math.prod(shape[1:])), dtype=np.float32)
    lines = both.reshape(2 * len(both), -1)
    for outputs, inputs, matrices in axis.bands(*[scale.factor * each for each in weights]):
        np.matmul(_alternating(*matrices), lines[_doubled(inputs)], out=response[outputs])
    return response.reshape(shape)


def _alternating(first: Singles, second: Singles) -> Singles:
    """Combine two matrices to one, for lines that alternate."""
    return np.stack([first, second], axis=2).reshape(len(first), -1)


def _doubled(inputs: slice) -> slice:
    return slice(2 * inputs.start, 2 * inputs.stop)
