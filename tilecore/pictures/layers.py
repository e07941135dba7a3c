"""Points of a picture in layers: those of one channel, or hits, false ones and misses, each drawn in its own way."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Layer", "Places", "Points", "are_inside", "draw_circles", "draw_legend", "layers_of"]

Floats: TypeAlias = npt.NDArray[np.float64]
#: Line of matplotlib: solid, or dashes that begin somewhere and have these lengths.
Line: TypeAlias = Literal["solid"] | tuple[float, tuple[float, ...]]

# Colours of the channels; they differ from each other, from grey, and from the lines of the tiles.
_COLOURS = ("#ffb000", "#ff4fc3", "#2fe07d", "#ff5a3c", "#b78bff", "#e6f03c")
# Colour, line and mark in the middle: apart also for those who do not see all colours.
_HIT: tuple[str, Line, str] = ("#ffb000", "solid", "")
_FALSE: tuple[str, Line, str] = ("#ff4fc3", "solid", "x")
_MISSED: tuple[str, Line, str] = ("#2fe07d", (0, (3, 2)), "+")


class Places(Protocol):
    """Positions and sizes of points, in the voxels of the image that is drawn."""

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """Positions of the points, shape (n_points, ndim) [voxel]."""

    @property
    def sigmas(self) -> npt.NDArray[np.float64]:
        """Sigmas, shape (n_points, 1) or (n_points, ndim), or (n_points, 0) if there are none [voxel]."""

    def __len__(self) -> int:
        """Number of points."""


class Points(Places, Protocol):
    """Table of points that can be drawn, such as `tilecore.Blobs`."""

    @property
    def voxel_size_um(self) -> tuple[float, ...] | None:
        """Voxel size along each axis [um]; None if it is not known."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the volume [voxel]; None if it is not known."""

    @property
    def tile_edges(self) -> Sequence[Sequence[int]] | None:
        """Edges between tiles, along each axis [voxel]; None if they are not known."""

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return the column ``channel``, if there are several channels."""


@dataclass(frozen=True)
class Layer:
    """Points that are drawn alike.

    Attributes
    ----------
    label : str
        Name in the legend; empty if there is no legend.
    positions : ndarray, shape (n_points, ndim)
        Positions [voxel].
    diameters : ndarray, shape (n_points, ndim)
        Diameters along each axis [um]; in voxels if the voxel size is not known.
    colour, line, mark
        Colour and line of the circles, and the mark in their middle, as matplotlib names them; no mark if empty.
    """

    label: str
    positions: Floats
    diameters: Floats
    colour: str
    line: Line
    mark: str


def layers_of(
    channels: Collection[int],
    blobs: Points,
    size: Floats,
    shape: tuple[int, ...],
    truth: Places | None = None,
    pairs: npt.NDArray[np.intp] | None = None,
) -> list[Layer]:
    """Divide blobs into layers: by channel, or by whether they match a truth.

    Parameters
    ----------
    channels : collection of int
        Numbers of the channels that are drawn. With a single one, the blobs may have any channel number.
    blobs : Points
        The blobs.
    size : ndarray, shape (ndim,)
        Voxel size along each axis [um], or ones.
    shape : tuple of int
        Shape of the volume [voxel]; what was missed outside of it is counted, but not drawn.
    truth : Places, optional
        What the blobs are compared with.
    pairs : ndarray of int, shape (n_pairs, 2)
        Row numbers of blobs and of the truth that match.
    """
    positions, diameters = blobs.positions, _diameters(blobs, size)
    if truth is None:
        own = [blobs["channel"] == each if len(channels) > 1 else np.ones(len(blobs), bool) for each in channels]
        names = [
            f"channel {channel}: {len(positions[mine])} blobs" for channel, mine in zip(channels, own, strict=True)
        ]
        return [
            Layer(name if len(channels) > 1 else "", positions[mine], diameters[mine], _COLOURS[at % 6], "solid", "")
            for at, (name, mine) in enumerate(zip(names, own, strict=True))
        ]
    matched = np.empty((0, 2), dtype=np.intp) if pairs is None else pairs
    hit, known = (np.isin(np.arange(len(each)), matched[:, at]) for at, each in enumerate((blobs, truth)))
    sizes = _diameters(truth, size)
    if not truth.sigmas.shape[1] and len(blobs):
        sizes = np.tile(np.median(diameters, axis=0), (len(truth), 1))
    inside = are_inside(truth.positions, shape)
    missed, n_outside = inside & ~known, int((~inside & ~known).sum())
    outside = f", {n_outside} outside" if n_outside else ""
    return [
        Layer(f"{hit.sum()} hits", positions[hit], diameters[hit], *_HIT),
        Layer(f"{(~hit).sum()} false", positions[~hit], diameters[~hit], *_FALSE),
        Layer(f"{missed.sum()} missed{outside}", truth.positions[missed], sizes[missed], *_MISSED),
    ]


def are_inside(positions: Floats, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Whether each point lies in a voxel of the volume; elsewhere a projection would show it where it is not."""
    inside: npt.NDArray[np.bool_] = np.all((positions >= -0.5) & (positions < np.asarray(shape) - 0.5), axis=1)
    return inside


def draw_circles(axes: Axes, layer: Layer, centers: Floats, diameters: Floats, width: float) -> None:
    """Draw the points of a layer, with lines of this width [point]."""
    from matplotlib.collections import EllipseCollection

    circles = EllipseCollection(
        diameters[:, 0],
        diameters[:, 1],
        np.zeros(len(centers)),
        units="xy",
        offsets=centers,
        transOffset=axes.transData,
        facecolors="none",
        edgecolors=layer.colour,
        linestyles=[layer.line],
        linewidths=width,
    )
    axes.add_collection(circles)
    if layer.mark:
        axes.plot(*centers.T, layer.mark, color=layer.colour, markersize=5, markeredgewidth=width)


def draw_legend(axes: Axes, layers: list[Layer]) -> None:
    """Draw the legend of colours, lines and marks, if the layers have names."""
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.lines import Line2D

    handles, labels = [], []
    for layer in layers:
        if layer.label:
            line = Line2D([], [], color=layer.colour, linestyle=layer.line, linewidth=1.5)
            mark = Line2D([], [], color=layer.colour, linestyle="none", marker=layer.mark or "none", markersize=5)
            handles.append((line, mark))
            labels.append(layer.label)
    if handles:
        style: dict[str, Any] = {"labelcolor": "white", "facecolor": "black", "edgecolor": "none", "fontsize": 9}
        place: dict[str, Any] = {"loc": "upper right", "borderaxespad": 0.8}
        axes.legend(handles, labels, handler_map={tuple: HandlerTuple(ndivide=1)}, **style, **place)


def _diameters(points: Places, size: Floats) -> Floats:
    """Diameters along each axis, shape (n_points, ndim) [um or voxel]; the same for all points without sigma."""
    ndim = len(size)
    if points.sigmas.shape[1]:
        diameters: Floats = 2 * math.sqrt(ndim) * points.sigmas * np.ones(ndim) * size
        return diameters
    return np.full((len(points), ndim), 6.0 * size.min())
