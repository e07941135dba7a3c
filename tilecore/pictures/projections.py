"""Maximum projections of volumes, and images that combine several channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.engine.collecting import reduce_tiles
from tilecore.errors import ParameterError

__all__ = ["Planes", "brightest_of", "check_drawable", "max_projection"]

# Percentiles of an image's voxels that are shown as black and as white [percent].
_BLACK, _WHITE = 1.0, 99.8


def check_drawable(source: ReadableArray) -> None:
    """Refuse numbers that have no order, so that none of them is the brightest.

    Raises
    ------
    ParameterError
        If they are complex.
    """
    if np.dtype(source.dtype).kind == "c":
        raise ParameterError.of(
            "source", str(source.dtype), "complex numbers cannot be drawn; numpy.abs makes magnitudes of them"
        )


def max_projection(source: ReadableArray, axis: int = 0) -> npt.NDArray[Any]:
    """Return the brightest voxels along an axis, without reading the whole volume at once; NaN counts as darkest."""
    planes = tuple(1 if number == axis else length for number, length in enumerate(source.shape))
    step = max(1, 2**26 // max(1, int(np.prod(planes)) * np.dtype(source.dtype).itemsize))
    tile_shape = tuple(step if number == axis else max(length, 1) for number, length in enumerate(planes))
    brightest: npt.NDArray[Any] = reduce_tiles(
        _brightest, np.fmax, source, tile_shape=tile_shape, kwargs={"axis": axis}, executor="threads", progress=False
    )
    return brightest


def brightest_of(images: Iterable[npt.NDArray[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Return the brightest of several images at each voxel, after scaling each image's contrast to 0 to 1."""
    brightest: Any = None
    for image in images:
        stretched = _stretched(image)
        brightest = stretched if brightest is None else np.fmax(brightest, stretched)
    assert brightest is not None
    return brightest  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Planes:
    """Some planes of a volume across one axis, read when they are needed.

    Attributes
    ----------
    source : array_like
        The volume.
    axis : int
        Axis across which the planes lie.
    start, stop : int
        First plane, and the plane after the last [voxel].
    """

    source: ReadableArray
    axis: int
    start: int
    stop: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        lengths = list(self.source.shape)
        lengths[self.axis] = self.stop - self.start
        return tuple(lengths)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the volume."""
        dtype: np.dtype[Any] = np.dtype(self.source.dtype)
        return dtype

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.ArrayLike:
        items = list(slices)
        first, last, _ = items[self.axis].indices(self.stop - self.start)
        items[self.axis] = slice(self.start + first, self.start + last)
        return self.source[tuple(items)]


def _stretched(image: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
    """Scale an image's contrast from 0, for its darkest voxels, to 1, for all but its brightest; NaN stays."""
    values: npt.NDArray[Any] = image.astype(np.float64 if image.dtype.itemsize > 4 else np.float32)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (_BLACK, _WHITE)) if finite.size else (0.0, 1.0)
    if high <= low:  # a single value, or only a few brighter voxels
        low, high = (low, finite.max()) if finite.size and finite.max() > low else (low, low + 1)
    stretched: npt.NDArray[np.floating[Any]] = np.clip((values - low) / (high - low), 0, 1)
    return stretched


def _brightest(block: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    brightest: npt.NDArray[Any] = np.fmax.reduce(block, axis=axis)
    return brightest
