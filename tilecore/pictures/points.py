"""Pictures of points, such as blobs, on maximum projections of their volume."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.errors import ParameterError
from tilecore.extras import need
from tilecore.pictures.layers import Places, Points, draw_circles, draw_legend, layers_of
from tilecore.pictures.projections import Planes, brightest_of, check_drawable, max_projection
from tilecore.pictures.scale_bar import draw_scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

__all__ = ["canvas", "check_picture", "draw_blobs", "figure_of_blobs"]

# Lines between tiles.
_TILE_LINES: dict[str, Any] = {"color": "#4aa8ff", "linewidth": 0.7, "alpha": 0.8, "linestyle": (0, (4, 3))}

# Length of the longest side of the z projection, margins, gaps, and height of a line of text [inch].
_SIDE, _MARGIN, _GAP, _LINE = 8.0, 0.15, 0.12, 0.17
# Least length of a side of a panel, and least distance of lines between tiles: with less, nothing could be seen [inch].
_LEAST_SIDE, _LEAST_TILE = 0.9, 0.3

# Line width of the circles [inch], the fraction of a panel that lines may cover before they hide the image, and
# the fraction at which a crowded panel is shown: then it shows fewer planes.
_LINE_WIDTH, _CROWDED, _SPARSE = 0.8 / 72, 0.25, 0.12


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


def draw_blobs(
    source: ReadableArray | Mapping[int, Any] | None,
    blobs: Points,
    path: str | os.PathLike[str],
    *,
    truth: Places | None = None,
    pairs: npt.NDArray[np.intp] | None = None,
    drawn_voxel: Sequence[float] | None = None,
) -> None:
    """Draw blobs as circles on the projections of their volume along z, y and x, into a file.

    Parameters
    ----------
    source, blobs, truth, pairs, drawn_voxel
        As for `figure_of_blobs`.
    path : path_like
        Path of the picture; its suffix chooses the format.

    Raises
    ------
    MissingDependencyError, ParameterError
        As for `figure_of_blobs`.
    """
    figure_of_blobs(source, blobs, truth=truth, pairs=pairs, drawn_voxel=drawn_voxel).savefig(path)


def figure_of_blobs(
    source: ReadableArray | Mapping[int, Any] | None,
    blobs: Points,
    *,
    truth: Places | None = None,
    pairs: npt.NDArray[np.intp] | None = None,
    drawn_voxel: Sequence[float] | None = None,
) -> Figure:
    """Draw blobs as circles on the projections of their volume along z, y and x.

    Parameters
    ----------
    source : array_like, shape (Z, Y, X) or (Y, X), or mapping of int to array_like, or None
        The volume, or a mapping from channel numbers to volumes: the image then shows the brightest
        channel at each voxel, each with its own contrast, and their blobs have different colours. None: no image.
    blobs : Blobs, or other Points
        The points. Their voxel size sets the proportions of the panels and the scale bar; their
        tile edges are drawn as lines.
    truth : Blobs, or other Places, optional
        Points to compare with, in the same voxels: hits, false blobs and missed ones are drawn in different ways, and
        counted in a legend. Missed ones outside the volume are only counted.
    pairs : ndarray of int, shape (n_pairs, 2), optional
        Row numbers of the blobs and of the truth that match: `tilecore.Matching.pairs`.
    drawn_voxel : sequence of float, optional
        Size of the volume's voxels along each axis, for the proportions and the scale bar where their size in
        micrometres is not known: those of a coarse volume, in voxels of the fine one [voxel].

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    ParameterError
        If the volume has no voxels, or complex ones, or is not that of the blobs.

    Notes
    -----
    If the lines of the circles would cover more than a quarter of a panel, the panel shows only the planes around the
    middle, with the blobs that reach into them. A side that is too short to show anything is drawn longer than it is.
    Lines between tiles are left out where they lie too close. The picture tells each of these.
    """
    from matplotlib.figure import Figure

    new_canvas = canvas()
    volumes = {} if source is None else dict(source) if isinstance(source, Mapping) else {0: source}
    picture = _Picture(volumes, blobs, truth, pairs, drawn_voxel)
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
    return figure


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

    def __init__(
        self,
        volumes: Mapping[int, Any],
        blobs: Points,
        truth: Places | None,
        pairs: npt.NDArray[np.intp] | None,
        drawn_voxel: Sequence[float] | None,
    ) -> None:
        self.volumes, self.blobs = volumes, blobs
        self.shape = _shape_of(volumes, blobs, truth)
        if 0 in self.shape:
            raise ParameterError.of("source", self.shape, "has no voxels to draw")
        self.size = np.asarray(blobs.voxel_size_um or drawn_voxel or (1.0,) * blobs.ndim)
        self.extent = np.asarray(self.shape) * self.size
        depth = 0.0 if blobs.ndim == 2 else float(self.extent[0])
        true_sides = self.extent * _SIDE / max(self.extent[-1] + depth, self.extent[-2] + depth)
        self.sides = np.maximum(true_sides, _LEAST_SIDE)
        self.stretch = self.sides / true_sides
        more = 0.0 if blobs.ndim == 2 else _GAP + self.sides[0]
        self.width, self.height = (float(each) + 2 * _MARGIN + more for each in self.sides[:-3:-1])
        self.layers = layers_of(volumes or [0], blobs, self.size, self.shape, truth, pairs)
        self.positions = np.concatenate([layer.positions for layer in self.layers])
        self.diameters = np.concatenate([layer.diameters for layer in self.layers])
        self.layer_numbers = np.repeat(np.arange(len(self.layers)), [len(layer.positions) for layer in self.layers])

    def panels(self) -> list[_Panel]:
        """Panels of the picture, one for each projection: z at the top, y below, x on the right."""
        *depths, height, width = self.sides.tolist()
        if not depths:
            return [_Panel(None, (_MARGIN, _MARGIN, width, height), None, np.arange(len(self.positions)))]
        (depth,) = depths
        bottom = _MARGIN + depth + _GAP
        places = [
            (_MARGIN, bottom, width, height),
            (_MARGIN, _MARGIN, width, depth),
            (_MARGIN + width + _GAP, bottom, depth, height),
        ]
        return [_Panel(axis, place, *self._chosen(axis)) for axis, place in enumerate(places)]

    def note(self, panels: list[_Panel]) -> list[str]:
        """Lines of text that tell what is not shown, or not as it is."""
        names = "zyx"[-len(self.shape) :]
        planes = [
            f"{names[axis]} {panel.planes[0]} to {panel.planes[-1]} of {self.shape[axis]} ({len(panel.blobs)} blobs)"
            for axis, panel in enumerate(panels)
            if panel.planes is not None
        ]
        why = f"as all {len(self.positions)} blobs would hide the image"
        stretched = [f"{name} {by:.3g}x" for name, by in zip(names, self.stretch, strict=True) if by > 1.001]
        close = [name for axis, name in enumerate(names) if self._edges(axis) != self._edges(axis, every=True)]
        texts = {
            f"Planes around the middle alone, {why}: {', '.join(planes)}": planes,
            f"Drawn longer than it is: {', '.join(stretched)}": stretched,
            f"Without the lines between tiles along {', '.join(close)}, which are too close": close,
        }
        width = max(20, int(15 * self.width))
        return [line for text, parts in texts.items() if parts for line in textwrap.wrap(text, width)]

    def draw(self, axes: Axes, panel: _Panel) -> None:
        """Draw one projection; its rows and columns are the other two axes, with y pointing down."""
        size = self.size
        shown = [axis for axis in range(self.blobs.ndim) if axis != panel.projected]
        down, across = shown if panel.projected != 2 else shown[::-1]
        edges: Any = [-0.5 * size[across], (self.shape[across] - 0.5) * size[across]]
        edges += [(self.shape[down] - 0.5) * size[down], -0.5 * size[down]]
        if self.volumes:
            image = brightest_of(_projection(volume, panel) for volume in self.volumes.values())
            axes.imshow(image, cmap="gray", vmin=0, vmax=1, extent=edges, aspect="auto", interpolation="nearest")
        for axis, draw in ((down, axes.axhline), (across, axes.axvline)):
            for edge in self._edges(axis):
                draw((edge - 0.5) * size[axis], **_TILE_LINES)
        # Planes cannot be left out here, so the lines get finer and hide less of the image.
        crowd = self._covers(shown)[panel.blobs].sum() / _CROWDED
        width = 72 * _LINE_WIDTH / min(max(crowd, 1), 3)
        for number, layer in enumerate(self.layers):
            mine = panel.blobs[self.layer_numbers[panel.blobs] == number]
            centers, diameters = self.positions[mine] * size, self.diameters[mine]
            draw_circles(axes, layer, centers[:, [across, down]], diameters[:, [across, down]], width)
        axes.set_xlim(edges[:2])
        axes.set_ylim(edges[2:])
        axes.set_axis_off()
        if panel.projected in (0, None):
            draw_scale_bar(axes, self.extent[-1], size[-1], "um" if self.blobs.voxel_size_um else "voxels")
            draw_legend(axes, self.layers)

    def _edges(self, axis: int, *, every: bool = False) -> list[int]:
        """Edges between tiles along an axis that are drawn: all, or none if the lines would hide the image."""
        edges = list(self.blobs.tile_edges[axis]) if self.blobs.tile_edges else []
        return edges if every or self.sides[axis] >= _LEAST_TILE * (len(edges) + 1) else []

    def _chosen(self, axis: int) -> tuple[range | None, npt.NDArray[np.intp]]:
        """Choose planes around the middle of an axis whose blobs do not cover too much; None stands for all planes."""
        everything = np.arange(len(self.positions))
        covers = self._covers([other for other in range(self.blobs.ndim) if other != axis])
        if covers.sum() <= _CROWDED:
            return None, everything
        middle = (self.shape[axis] - 1) / 2
        # Distance from the middle to where a blob begins: all blobs that reach into the planes are drawn.
        distances = np.abs(self.positions[:, axis] - middle) - self.diameters[:, axis] / self.size[axis] / 2
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
        lines = np.pi / 2 * (self.diameters * self.sides / self.extent)[:, shown].sum(axis=1) * _LINE_WIDTH
        covers: npt.NDArray[np.float64] = lines / self.sides[shown].prod()
        return covers


def canvas() -> type[FigureCanvasAgg]:
    """Import the part of matplotlib that draws into files.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    need("a picture", "plot", "matplotlib.backends.backend_agg")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    return FigureCanvasAgg


def _projection(volume: ReadableArray, panel: _Panel) -> npt.NDArray[Any]:
    axis, planes = panel.projected, panel.planes
    if axis is None:
        return np.asarray(volume[tuple(map(slice, volume.shape))])
    image = max_projection(volume if planes is None else Planes(volume, axis, planes.start, planes.stop), axis)
    return image.T if axis == 2 else image


def _shape_of(volumes: Mapping[int, Any], blobs: Points, truth: Places | None) -> tuple[int, ...]:
    """Shape of the volume: as it is, or as the blobs tell, or up to the last point [voxel]."""
    for volume in volumes.values():
        check_drawable(volume)
        shape = tuple(int(length) for length in volume.shape)
        if len(shape) != blobs.ndim or blobs.shape not in (None, shape):
            told = blobs.shape or f"{blobs.ndim} axes"
            raise ParameterError.of(
                "source", shape, f"the points are of another volume, of {told}: draw them on theirs"
            )
        return shape
    ends = [points.positions.max(axis=0, initial=0) for points in (blobs, truth) if points is not None]
    return blobs.shape or tuple((np.ceil(np.max(ends, axis=0)).astype(int) + 1).tolist())
