"""Scale space of a tile: responses scale by scale, either fast with a known error bound, or exact."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from tilecore.blobs.scale_space.exact_responses import ExactResponses, as_image
from tilecore.blobs.scale_space.responses import Singles, respond, rounding_error
from tilecore.blobs.scale_space.scales import ScaleSpace
from tilecore.geometry.tiles import Tile

__all__ = ["HessianTileScaleSpace", "ScaleResponse", "TileScaleSpace", "voxel_range"]

# Number of voxels that are converted to single precision together.
_SLAB_VOXELS = 2**18


class ScaleResponse(NamedTuple):
    """Responses at one scale, in units of the tile's range.

    Attributes
    ----------
    response : ndarray, shape of the tile's write box and a voxel more on each side
        Responses; -inf outside the volume, and where a voxel in the kernels' reach is not finite.
    error : float
        Largest difference from scikit-image's responses.
    offset : float
        Number to add before comparing with other scales.
    """

    response: npt.NDArray[Any]
    error: float
    offset: float


class TileScaleSpace:
    """Responses of a tile at all scales.

    Parameters
    ----------
    block : ndarray
        Voxels of the tile's read box, as read.
    tile : Tile
        The tile.
    shape : tuple of int
        Shape of the volume.
    space : ScaleSpace
        The scales.

    Attributes
    ----------
    target : Box
        The write box enlarged by one voxel on each side, also beyond the volume.
    unit, middle : float
        Numbers that scale voxels to -1 .. 1: ``voxel = middle + unit * single``.
    is_empty : bool
        Whether no voxel is finite.
    """

    def __init__(self, block: npt.NDArray[Any], tile: Tile, shape: tuple[int, ...], space: ScaleSpace) -> None:
        self._block, self._origin, self._shape = block, tile.read.start, shape
        self.space = space
        self.target = tile.write.grown(1)
        self.low, self.high = voxel_range(block)
        self.is_empty = not self.low <= self.high
        extremes = np.array([self.low, self.high], dtype=block.dtype if block.dtype.kind != "f" else np.float64)
        low, high = (0.0, 0.0) if self.is_empty else as_image(extremes, "float64").tolist()
        self.middle = low / 2 + high / 2
        self.unit = (high / 2 - low / 2) or 1.0
        self._exact_responses: dict[int, ScaleResponse] = {}
        self._largest = max(abs(low), abs(high)) / self.unit

    def at_scale(self, number: int) -> ScaleResponse:
        """Compute the responses at a scale in single precision."""
        scale = self.space.scales[number]
        response = respond(self._singles, self._origin, self.target, self._shape, scale)
        # scipy's own rounding: after each tap, or when it stores an image in single precision.
        taps = 8.0 if self.space.dtype == "float32" else 4.0 + 2 * max(scale.radii)
        own_error = taps * scale.gain * self._largest * np.finfo(self.space.dtype).eps
        self._blank(response, scale.radii)
        return ScaleResponse(response, rounding_error(scale) + own_error, scale.constant * self.middle / self.unit)

    def exact_at_scale(self, number: int) -> ScaleResponse:
        """Compute the responses at a scale as scikit-image does, in its units; the last three scales are kept."""
        if number not in self._exact_responses:
            scale = self.space.scales[number]
            response = np.full(self.target.shape, -np.inf, dtype=self.space.dtype)
            response[self._core] = self.exact.everywhere(scale, self.target.clipped(self._shape))
            response[~np.isfinite(response)] = -np.inf
            self._exact_responses.pop(number - 3, None)
            self._exact_responses[number] = ScaleResponse(response, 0.0, 0.0)
        return self._exact_responses[number]

    def positions(self, indices: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Convert indices of a flat response to positions in the volume, shape (n, ndim)."""
        return np.stack(np.unravel_index(indices, self.target.shape), axis=1) + self.target.start

    @cached_property
    def exact(self) -> ExactResponses:
        """Exact responses of the block."""
        return ExactResponses(self._block, self._origin, self._shape)

    @cached_property
    def _singles(self) -> Singles:
        """The block in single precision, scaled to -1 .. 1, with zeros where a voxel is not finite."""
        singles = np.empty(self._block.shape, dtype=np.float32)
        if self._block.dtype in (np.uint8, np.uint16):  # single precision holds these values, and their middle, exactly
            half = (float(self.high) - float(self.low)) / 2 or 1.0
            np.subtract(self._block, np.float32((float(self.low) + float(self.high)) / 2), out=singles)
            singles *= np.float32(1 / half)
            return singles
        step = max(1, _SLAB_VOXELS * len(singles) // max(1, singles.size))
        for first in range(0, len(singles), step):
            part = self._block[first : first + step]
            image = part.astype(np.float64) if part.dtype.kind == "f" else as_image(part, "float64")
            singles[first : first + step] = (image - self.middle) / self.unit
        if self._unknown is not None:
            singles[self._unknown] = 0
        return singles

    @cached_property
    def _unknown(self) -> npt.NDArray[np.bool_] | None:
        if self._block.dtype.kind != "f":
            return None
        unknown = ~np.isfinite(self._block)
        return unknown if unknown.any() else None

    @cached_property
    def _core(self) -> tuple[slice, ...]:
        """Index of the target's part inside the volume, within the target."""
        return self.target.clipped(self._shape).relative_to(self.target.start).slices

    @cached_property
    def _inner(self) -> tuple[slice, ...]:
        """Index of the target's part inside the volume, within the block."""
        return self.target.clipped(self._shape).relative_to(self._origin).slices

    def _blank(self, response: npt.NDArray[Any], reach: tuple[int, ...]) -> None:
        """Set responses to -inf outside the volume, and where a voxel in reach is not finite."""
        for axis, inside in enumerate(self._core):
            across = (slice(None),) * axis
            response[(*across, slice(None, inside.start))] = -np.inf
            response[(*across, slice(inside.stop, None))] = -np.inf
        if self._unknown is not None:
            response[self._core][_dilated(self._unknown, reach)[self._inner]] = -np.inf


class HessianTileScaleSpace(TileScaleSpace):
    """Responses of the determinant of the Hessian at all scales, which are always exact.

    Its sums begin at the image's first pixel, and so do their rounding errors. So the block must
    be the whole image.
    """

    def at_scale(self, number: int) -> ScaleResponse:
        """Compute the responses at a scale as scikit-image does."""
        from skimage.feature import hessian_matrix_det  # loads much that the other detectors do without

        image = as_image(self._block, self.space.dtype)
        if self._unknown is not None:
            image = np.where(self._unknown, 0, image)
        sigma = self.space.sigmas[number][0]
        response = np.full(self.target.shape, -np.inf, dtype=self.space.dtype)
        response[self._core] = hessian_matrix_det(image, sigma)[self._inner]  # type: ignore[no-untyped-call]
        self._blank(response, (int(3 * sigma) // 2 + 2,) * 2)
        return ScaleResponse(response, 0.0, 0.0)

    exact_at_scale = at_scale


def voxel_range(block: npt.NDArray[Any]) -> tuple[Any, Any]:
    """Return the smallest and the largest finite voxel; (1, 0) if there is none."""
    low, high = (block.min(), block.max()) if block.size else (1, 0)
    if block.dtype.kind == "f" and not (np.isfinite(low) and np.isfinite(high)):
        finite = block[np.isfinite(block)]
        low, high = (finite.min(), finite.max()) if finite.size else (1, 0)
    return low, high


def _dilated(mask: npt.NDArray[Any], radii: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Voxels within the radii of a set voxel, along each axis."""
    grown = mask.astype(np.uint8)
    for axis, radius in enumerate(radii):
        grown = ndi.maximum_filter1d(grown, 2 * radius + 1, axis=axis, mode="constant")
    dilated: npt.NDArray[np.bool_] = grown.astype(bool)
    return dilated
