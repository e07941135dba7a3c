"""Pictures of blobs on the maximum projections of their volume."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.blobs.table import Blobs
from tilecore.engine.collecting import reduce_tiles
from tilecore.errors import MissingDependencyError

__all__ = ["draw_blobs", "max_projection"]

_BLOBS, _TILES = "#ffb000", "#4aa8ff"
# Length of the longest side of the picture of the z projection, and the space around it [inch].
_SIDE, _MARGIN, _GAP = 8.0, 0.15, 0.12


def max_projection(source: Any, axis: int = 0) -> npt.NDArray[Any]:
    """Brightest voxel along an axis, without reading the whole volume at once; NaN counts as darkest."""
    planes = tuple(1 if number == axis else length for number, length in enumerate(source.shape))
    step = max(1, 2**26 // max(1, int(np.prod(planes)) * np.dtype(source.dtype).itemsize))
    tile_shape = tuple(step if number == axis else max(length, 1) for number, length in enumerate(planes))
    brightest: npt.NDArray[Any] = reduce_tiles(
        _brightest, np.fmax, source, tile_shape=tile_shape, kwargs={"axis": axis}, executor="threads", progress=False
    )
    return brightest


def draw_blobs(source: Any, blobs: Blobs, path: str | os.PathLike[str]) -> None:
    """Draw blobs as circles on the projections of their volume along z, y and x.

    Parameters
    ----------
    source : array_like, shape (Z, Y, X) or (Y, X)
    blobs : Blobs
        Its voxel size gives the panels their proportions and the scale bar its length; its
        tiles are drawn as lines.
    path : path_like
        PNG file to be made.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("pictures need matplotlib: pip install tilecore[plot]") from error
    size = np.asarray(blobs.voxel_size_um or (1.0,) * blobs.ndim)
    extent = np.asarray(source.shape) * size
    depth = 0.0 if blobs.ndim == 2 else float(extent[0])
    scale = _SIDE / max(extent[-1] + depth, extent[-2] + depth)
    sides = [extent[-1] * scale, extent[-2] * scale, depth * scale]
    width, height = (each + 2 * _MARGIN + (_GAP + sides[2]) * (depth > 0) for each in sides[:2])
    figure = Figure(figsize=(width, height), dpi=150, facecolor="black")
    FigureCanvasAgg(figure)
    for projected, (left, bottom, across, down) in _panels(sides, depth > 0).items():
        axes = figure.add_axes((left / width, bottom / height, across / width, down / height))
        _draw_panel(axes, source, blobs, size, projected)
        if projected in (0, None):
            _draw_scale_bar(axes, extent[-1], "um" if blobs.voxel_size_um else "voxels")
    figure.savefig(path, facecolor=figure.get_facecolor())


def _panels(sides: list[float], is_volume: bool) -> dict[int | None, tuple[float, float, float, float]]:
    """Left, bottom, width and height of each panel, by the axis it is projected along: z above y, x on the right."""
    width, height, depth = sides
    bottom = _MARGIN + (depth + _GAP) * is_volume
    panels: dict[int | None, tuple[float, float, float, float]] = {
        0 if is_volume else None: (_MARGIN, bottom, width, height)
    }
    if is_volume:
        panels[1] = (_MARGIN, _MARGIN, width, depth)
        panels[2] = (_MARGIN + width + _GAP, bottom, depth, height)
    return panels


def _draw_panel(axes: Any, source: Any, blobs: Blobs, size: npt.NDArray[np.float64], projected: int | None) -> None:
    """One projection: rows and columns are the axes that are left, those of x turned so that y points down."""
    shown = [axis for axis in range(blobs.ndim) if axis != projected]
    image = np.asarray(source[...] if projected is None else max_projection(source, projected))
    down, across = shown if projected != 2 else shown[::-1]
    if projected == 2:
        image = image.T
    edges = [-0.5 * size[across], (image.shape[1] - 0.5) * size[across]]
    edges += [(image.shape[0] - 0.5) * size[down], -0.5 * size[down]]
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, (1, 99.8)) if finite.size else (0, 1)
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, extent=edges, aspect="auto", interpolation="nearest")
    _draw_tiles(axes, blobs, size, down, across)
    _draw_circles(axes, blobs, size, down, across)
    axes.set_xlim(edges[:2])
    axes.set_ylim(edges[2:])
    axes.set_axis_off()


def _draw_tiles(axes: Any, blobs: Blobs, size: npt.NDArray[np.float64], down: int, across: int) -> None:
    style = {"color": _TILES, "linewidth": 0.7, "alpha": 0.8, "linestyle": (0, (4, 3))}
    for axis, draw in ((down, axes.axhline), (across, axes.axvline)):
        for edge in blobs.tile_edges[axis] if blobs.tile_edges else ():
            draw((edge - 0.5) * size[axis], **style)


def _draw_circles(axes: Any, blobs: Blobs, size: npt.NDArray[np.float64], down: int, across: int) -> None:
    from matplotlib.collections import EllipseCollection

    if blobs.sigmas.shape[1]:
        diameters = 2 * math.sqrt(blobs.ndim) * blobs.sigmas * np.ones(blobs.ndim) * size
    else:
        diameters = np.full((len(blobs), blobs.ndim), 6.0 * size.min())
    centers = blobs.positions * size
    circles = EllipseCollection(
        diameters[:, across],
        diameters[:, down],
        np.zeros(len(blobs)),
        units="xy",
        offsets=centers[:, [across, down]],
        transOffset=axes.transData,
        facecolors="none",
        edgecolors=_BLOBS,
        linewidths=0.8,
    )
    axes.add_collection(circles)


def _draw_scale_bar(axes: Any, extent: float, unit: str) -> None:
    """A bar of a round length, about a sixth of the picture's width."""
    rough = extent / 6
    power = 10.0 ** math.floor(math.log10(rough))
    length = max(step * power for step in (1, 2, 5) if step * power <= rough)
    left, bottom = axes.get_xlim()[0], axes.get_ylim()[0]
    height = abs(axes.get_ylim()[0] - axes.get_ylim()[1])
    start, level = left + 0.03 * extent, bottom - 0.03 * height
    outline = {"color": "black", "linewidth": 6, "solid_capstyle": "butt"}
    axes.plot([start, start + length], [level, level], **outline)
    axes.plot([start, start + length], [level, level], **{**outline, "color": "white", "linewidth": 3.5})
    axes.annotate(
        f"{length:g} {unit}",
        (start + length / 2, level),
        xytext=(0, 5),
        textcoords="offset points",
        color="white",
        ha="center",
        fontsize=9,
        bbox={"facecolor": "black", "alpha": 0.6, "pad": 1, "edgecolor": "none"},
    )


def _brightest(block: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    brightest: npt.NDArray[Any] = np.fmax.reduce(block, axis=axis)
    return brightest
