"""Pictures of points, such as blobs, on maximum projections of their volume."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.errors import MissingDependencyError, ParameterError
from tilecore.pictures.projections import Planes, brightest_of, max_projection
from tilecore.pictures.scale_bar import draw_scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

__all__ = ["Points", "canvas", "check_picture", "draw_blobs"]

Floats: TypeAlias = npt.NDArray[np.float64]

_TILES = "#4aa8ff"
# Colours of the channels; they differ from each other, from grey, and from the lines of the tiles.
_COLOURS = ("#ffb000", "#ff4fc3", "#2fe07d", "#ff5a3c", "#b78bff", "#e6f03c")

# Length of the longest side of the z projection, margins, gaps, and height of a line of text [inch].
_SIDE, _MARGIN, _GAP, _LINE = 8.0, 0.15, 0.12, 0.17

# Line width of the circles [inch], the fraction of a panel that lines may cover before they hide the image, and
# the fraction at which a crowded panel is shown: then it shows fewer planes.
_LINE_WIDTH, _CROWDED, _SPARSE = 0.8 / 72, 0.25, 0.12


class Points(Protocol):
    """Table of points that can be drawn, such as `tilecore.Blobs`."""

    @property
    def voxel_size_um(self) -> tuple[float, ...] | None:
        """Voxel size along each axis [um]; None if it is not known."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """Positions of the points, shape (n_points, ndim) [voxel]."""

    @property
    def sigmas(self) -> npt.NDArray[np.float64]:
        """Sigmas, shape (n_points, 1) or (n_points, ndim), or (n_points, 0) if there are none [voxel]."""

    @property
    def tile_edges(self) -> Sequence[Sequence[int]] | None:
        """Edges between tiles, along each axis [voxel]; None if they are not known."""

    def __len__(self) -> int:
        """Number of points."""

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return the column ``channel``, if there are several channels."""


def check_picture(path: str | os.PathLike[str]) -> None:
    """Refuse a picture that cannot be made, before any work.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    ParameterError
        If the suffix is unknown.
    """
    known = canvas().get_supported_filetypes()
    if Path(path).suffix.lower()[1:] not in known:
        kinds = ", ".join(f".{each}" for each in sorted(known))
        raise ParameterError.of("picture", os.fspath(path), f"this suffix is unknown; known ones are {kinds}")


def draw_blobs(source: ReadableArray | Mapping[int, Any], blobs: Points, path: str | os.PathLike[str]) -> None:
    """Draw blobs as circles on the projections of their volume along z, y and x.

    Parameters
    ----------
    source : array_like, shape (Z, Y, X) or (Y, X), or mapping of int to array_like
        The volume, or a mapping from channel numbers to volumes: the image then shows the brightest
        channel at each voxel, each with its own contrast, and their blobs have different colours.
    blobs : Blobs, or other Points
        The points. Their voxel size sets the proportions of the panels and the scale bar; their
        tile edges are drawn as lines.
    path : path_like
        Path of the picture; its suffix chooses the format.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    ParameterError
        If the volume has no voxels.

    Notes
    -----
    If the lines of the circles would cover more than a quarter of a panel, the panel shows only the planes around the
    middle, with the blobs that reach into them, and the picture names these planes.
    """
    from matplotlib.figure import Figure

    new_canvas = canvas()
    volumes = dict(source) if isinstance(source, Mapping) else {0: source}
    picture = _Picture(volumes, blobs)
    panels = picture.panels()
    note = picture.note(panels)
    width, height = picture.width, picture.height + _LINE * len(note)
    figure = Figure(figsize=(width, height), dpi=150, facecolor="black")
    new_canvas(figure)
    for panel in panels:
        left, bottom, across, down = panel.place
        axes = figure.add_axes((left / width, bottom / height, across / width, down / height))
        picture.draw(axes, panel)
    top = 1 - _MARGIN / 2 / height
    figure.text(_MARGIN / width, top, "\n".join(note), color="white", fontsize=8, va="top", linespacing=1.2)
    figure.savefig(path, facecolor=figure.get_facecolor())


@dataclass(frozen=True)
class _Panel:
    """Panel of one projection: its place [inch], its planes along the projected axis, and its blobs.

    The axis is None for an image of two axes.
    """

    projected: int | None
    place: tuple[float, float, float, float]
    planes: range | None  # None: all
    blobs: npt.NDArray[np.intp]


class _Picture:
    """Sizes and points that all panels of a picture have in common."""

    def __init__(self, volumes: Mapping[int, Any], blobs: Points) -> None:
        self.volumes, self.blobs = volumes, blobs
        self.shape = tuple(int(length) for length in next(iter(volumes.values())).shape)
        if 0 in self.shape:
            raise ParameterError.of("source", self.shape, "has no voxels to draw")
        self.size = np.asarray(blobs.voxel_size_um or (1.0,) * blobs.ndim)
        self.extent = np.asarray(self.shape) * self.size
        self.depth = 0.0 if blobs.ndim == 2 else float(self.extent[0])
        self.scale = scale = _SIDE / max(self.extent[-1] + self.depth, self.extent[-2] + self.depth)
        self.sides = [self.extent[-1] * scale, self.extent[-2] * scale, self.depth * scale]
        more = (_GAP + self.sides[2]) * (self.depth > 0)
        self.width, self.height = (each + 2 * _MARGIN + more for each in self.sides[:2])
        self.diameters = _diameters(blobs, self.size)

    def panels(self) -> list[_Panel]:
        """Panels of the picture, one for each projection: z at the top, y below, x on the right."""
        width, height, depth = self.sides
        if not self.depth:
            return [_Panel(None, (_MARGIN, _MARGIN, width, height), None, np.arange(len(self.blobs)))]
        bottom = _MARGIN + depth + _GAP
        places = [
            (_MARGIN, bottom, width, height),
            (_MARGIN, _MARGIN, width, depth),
            (_MARGIN + width + _GAP, bottom, depth, height),
        ]
        return [_Panel(axis, place, *self._chosen(axis)) for axis, place in enumerate(places)]

    def note(self, panels: list[_Panel]) -> list[str]:
        """Lines of text that name the planes shown, if not all are shown."""
        parts = [
            f"{'zyx'[axis]} {panel.planes[0]} to {panel.planes[-1]} of {self.shape[axis]} ({len(panel.blobs)} blobs)"
            for axis, panel in enumerate(panels)
            if panel.planes is not None
        ]
        why = f"as all {len(self.blobs)} blobs would hide the image"
        text = f"Planes around the middle alone, {why}: {', '.join(parts)}"
        return textwrap.wrap(text, max(20, int(15 * self.width))) if parts else []

    def draw(self, axes: Axes, panel: _Panel) -> None:
        """Draw one projection; its rows and columns are the other two axes, with y pointing down."""
        size = self.size
        shown = [axis for axis in range(self.blobs.ndim) if axis != panel.projected]
        down, across = shown if panel.projected != 2 else shown[::-1]
        image = brightest_of(_projection(volume, panel) for volume in self.volumes.values())
        edges: Any = [-0.5 * size[across], (image.shape[1] - 0.5) * size[across]]
        edges += [(image.shape[0] - 0.5) * size[down], -0.5 * size[down]]
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, extent=edges, aspect="auto", interpolation="nearest")
        _draw_tiles(axes, self.blobs, size, down, across)
        # Planes cannot be left out here, so the lines get finer and hide less of the image.
        crowd = self._covers(shown)[panel.blobs].sum() / _CROWDED
        style: dict[str, Any] = {"linewidths": 72 * _LINE_WIDTH / min(max(crowd, 1), 3)}
        for colour, mine in self._by_channel(panel.blobs):
            centers = self.blobs.positions[mine] * size
            style |= {"edgecolors": colour}
            _draw_circles(axes, centers[:, [across, down]], self.diameters[mine][:, [across, down]], style)
        axes.set_xlim(edges[:2])
        axes.set_ylim(edges[2:])
        axes.set_axis_off()
        if panel.projected in (0, None):
            draw_scale_bar(axes, self.extent[-1], size[-1], "um" if self.blobs.voxel_size_um else "voxels")
            self._draw_legend(axes)

    def _chosen(self, axis: int) -> tuple[range | None, npt.NDArray[np.intp]]:
        """Choose planes around the middle of an axis whose blobs do not cover too much; None stands for all planes."""
        everything = np.arange(len(self.blobs))
        covers = self._covers([other for other in range(self.blobs.ndim) if other != axis])
        if covers.sum() <= _CROWDED:
            return None, everything
        middle = (self.shape[axis] - 1) / 2
        # Distance from the middle to where a blob begins: all blobs that reach into the planes are drawn.
        distances = np.abs(self.blobs.positions[:, axis] - middle) - self.diameters[:, axis] / self.size[axis] / 2
        nearest = np.argsort(distances, kind="stable")
        n_shown = int(np.searchsorted(np.cumsum(covers[nearest]), _SPARSE, side="right"))
        # Up to the plane before the first blob that is too many, but at least one plane.
        reach = max(0.5, float(distances[nearest[min(n_shown, len(nearest) - 1)]]) - 0.5)
        planes = range(max(0, math.ceil(middle - reach)), min(self.shape[axis], math.floor(middle + reach) + 1))
        if len(planes) == self.shape[axis]:
            return None, everything
        return planes, np.flatnonzero(distances <= reach)

    def _covers(self, shown: list[int]) -> npt.NDArray[np.float64]:
        """Fraction of a panel of these two axes that the line of each blob's circle covers."""
        lines = np.pi / 2 * self.diameters[:, shown].sum(axis=1) * self.scale * _LINE_WIDTH
        covers: npt.NDArray[np.float64] = lines / (self.extent[shown] * self.scale).prod()
        return covers

    def _by_channel(self, chosen: npt.NDArray[np.intp]) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
        """Iterate over the channels: the colour of each, and the numbers of its chosen blobs.

        With one channel, the blobs may have any channel number.
        """
        for number, channel in enumerate(self.volumes):
            own = self.blobs["channel"][chosen] == channel
            yield _COLOURS[number % len(_COLOURS)], chosen[own] if len(self.volumes) > 1 else chosen

    def _draw_legend(self, axes: Axes) -> None:
        """Draw the legend of colours and channels, if there are several."""
        from matplotlib.lines import Line2D

        if len(self.volumes) == 1:
            return
        style: dict[str, Any] = {"linestyle": "none", "marker": "o", "fillstyle": "none", "markersize": 8}
        lines = [
            Line2D([], [], color=colour, label=f"channel {channel}: {len(mine)} blobs", **style)
            for channel, (colour, mine) in zip(self.volumes, self._by_channel(np.arange(len(self.blobs))), strict=True)
        ]
        place: dict[str, Any] = {"loc": "upper right", "borderaxespad": 0.8}
        axes.legend(handles=lines, fontsize=9, labelcolor="white", facecolor="black", edgecolor="none", **place)


def canvas() -> type[FigureCanvasAgg]:
    """Import the part of matplotlib that draws into files.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise MissingDependencyError(
            'pictures need matplotlib: pip install "tilecore[plot]", or ".[plot]" in the folder of the sources'
        ) from error
    return FigureCanvasAgg


def _diameters(blobs: Points, size: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Diameters along each axis, shape (n_blobs, ndim) [um or voxel]; the same for all blobs without sigma."""
    if blobs.sigmas.shape[1]:
        diameters: npt.NDArray[np.float64] = 2 * math.sqrt(blobs.ndim) * blobs.sigmas * np.ones(blobs.ndim) * size
        return diameters
    return np.full((len(blobs), blobs.ndim), 6.0 * size.min())


def _projection(volume: ReadableArray, panel: _Panel) -> npt.NDArray[Any]:
    axis, planes = panel.projected, panel.planes
    if axis is None:
        return np.asarray(volume[tuple(map(slice, volume.shape))])
    image = max_projection(volume if planes is None else Planes(volume, axis, planes.start, planes.stop), axis)
    return image.T if axis == 2 else image


def _draw_tiles(axes: Axes, blobs: Points, size: npt.NDArray[np.float64], down: int, across: int) -> None:
    style: dict[str, Any] = {"color": _TILES, "linewidth": 0.7, "alpha": 0.8, "linestyle": (0, (4, 3))}
    for axis, draw in ((down, axes.axhline), (across, axes.axvline)):
        for edge in blobs.tile_edges[axis] if blobs.tile_edges else ():
            draw((edge - 0.5) * size[axis], **style)


def _draw_circles(axes: Axes, centers: Floats, diameters: Floats, style: dict[str, Any]) -> None:
    from matplotlib.collections import EllipseCollection

    circles = EllipseCollection(
        diameters[:, 0],
        diameters[:, 1],
        np.zeros(len(centers)),
        units="xy",
        offsets=centers,
        transOffset=axes.transData,
        facecolors="none",
        **style,
    )
    axes.add_collection(circles)
