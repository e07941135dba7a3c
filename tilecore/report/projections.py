"""Pictures of blobs on the maximum projection of their volume."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.engine.collecting import reduce_tiles
from tilecore.errors import MissingDependencyError

__all__ = ["draw_blobs", "max_projection"]


def max_projection(source: Any, axis: int = 0) -> npt.NDArray[Any]:
    """Brightest voxel along an axis, without reading the whole volume at once."""
    planes = tuple(1 if number == axis else length for number, length in enumerate(source.shape))
    step = max(1, 2**26 // max(1, int(np.prod(planes)) * np.dtype(source.dtype).itemsize))
    tile_shape = tuple(step if number == axis else max(length, 1) for number, length in enumerate(planes))
    brightest: npt.NDArray[Any] = reduce_tiles(
        np.max, np.maximum, source, tile_shape=tile_shape, kwargs={"axis": axis}, executor="threads", progress=False
    )
    return brightest


def draw_blobs(source: Any, blobs: npt.NDArray[Any], path: str | os.PathLike[str]) -> None:
    """Draw blobs as circles on the projection of their volume along z.

    Parameters
    ----------
    source : array_like, shape (Z, Y, X)
    blobs : ndarray, shape (n_blobs, >= 4)
        z, y, x, sigma [voxel].
    path : path_like
        PNG file to be made.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.collections import EllipseCollection
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("pictures need matplotlib: pip install tilecore[plot]") from error
    image = max_projection(source)
    figure = Figure(figsize=(8, 8 * image.shape[0] / image.shape[1]), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(image, cmap="gray", vmax=np.percentile(image, 99.8))
    diameters = 2 * np.sqrt(3) * blobs[:, 3]
    circles = EllipseCollection(
        diameters,
        diameters,
        np.zeros(len(blobs)),
        units="xy",
        offsets=blobs[:, [2, 1]],
        transOffset=axes.transData,
        facecolors="none",
        edgecolors="#ffb000",
        linewidths=1,
    )
    axes.add_collection(circles)
    axes.set_axis_off()
    figure.savefig(path)
