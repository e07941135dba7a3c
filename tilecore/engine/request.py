"""Request of a caller, checked: the parameters that all verbs have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tilecore.array_types import SourceLike
from tilecore.arrays.padding import Boundary, as_boundary, check_boundary
from tilecore.engine.declared import Declared, first_given
from tilecore.engine.dimensions import HaloByName, TileShapeByName, values_by_name
from tilecore.engine.inputs import Inputs, extra_axes, for_all_axes
from tilecore.engine.options import Options, RunOptions
from tilecore.engine.pilot import Planner
from tilecore.formats.image_info import ImageInfo
from tilecore.geometry.per_axis import TileShapeLike, as_tile_shape
from tilecore.geometry.tiles import TileGrid

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """Request to apply a function to the tiles of a volume.

    Attributes
    ----------
    inputs : Inputs
        The sources.
    grid : TileGrid
        The requested tiles; along axes where tilecore chooses, they are as long as the volume.
    asked : tuple of (int or None)
        Length of a tile along each axis; None where tilecore chooses it.
    single_axes : tuple of int
        Axes along which tiles are one write unit long.
    options : Options
        Options of the run.
    boundary : Boundary
        Boundary mode from the caller, or from the function's declaration.
    declared : Declared
        Declarations of the function.
    chosen_elsewhere : bool
        Whether the tiles were chosen on another host, which may have more memory for each worker than this one.
    """

    inputs: Inputs
    grid: TileGrid
    asked: tuple[int | None, ...]
    single_axes: tuple[int, ...]
    options: Options
    boundary: Boundary
    declared: Declared
    chosen_elsewhere: bool = False

    @property
    def planned(self) -> bool:
        """Whether tilecore chooses the tiles, along one axis at least, or how many of them run at once."""
        return None in self.asked or self.chosen_elsewhere

    def planner(
        self, workers: int, units: tuple[int, ...], whole_axes: tuple[int, ...], memory: int | None = None
    ) -> Planner:
        """Return the planner that chooses the tiles, for given workers, write units and whole axes.

        `memory` is what the workers have if the caller sets no limit; None: what this machine has [byte].
        """
        given = {axis: length for axis, length in enumerate(self.asked) if length is not None}
        units = tuple([given.get(axis, unit) for axis, unit in enumerate(units)])
        single_axes = tuple([axis for axis in {*self.single_axes, *given} if axis not in whole_axes])
        inputs = self.inputs
        axes, asked = (whole_axes, single_axes), self.options.max_memory
        limit = memory if asked is None else asked
        more = {"padded": self.boundary is not None, "bytes_per_voxel": self.declared.bytes_per_voxel}
        planner = Planner.of(self.grid, inputs.arrays, limit, workers, inputs.chunks, units, axes, **more)
        planner.check_room()
        return planner

    def with_tiles(self, grid: TileGrid) -> Self:
        """The same request for tiles that another part of the run has, which it may have chosen for its own host."""
        return replace(self, grid=grid, asked=grid.tile_shape, chosen_elsewhere=self.planned)

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        kwargs: Mapping[str, Any] | None,
        source: SourceLike,
        *,
        tile_shape: TileShapeByName,
        halo: HaloByName | None,
        boundary: Boundary,
        run: RunOptions,
    ) -> Request:
        """Open the sources and check the parameters of a verb.

        Raises
        ------
        ParameterError, ParameterTypeError, MissingFileError, UnreadableFileError
            If a parameter or a source is wrong.
        """
        options, declared = Options.of(run), Declared.of(function, kwargs)
        inputs = Inputs.of(source)
        shape, info = inputs.shape, inputs.info
        asked = _asked(_lengths(tile_shape, inputs), shape, info)
        lengths = [max(n, 1) if given is None else given for given, n in zip(asked, shape, strict=True)]
        margin = values_by_name(first_given(halo, declared.halo, 0), inputs.names, "halo", 0)
        grid = TileGrid(shape, lengths, for_all_axes(margin, info, 0))
        boundary = as_boundary(first_given(boundary, declared.boundary))
        if any(map(any, grid.halo)):
            for array in inputs.arrays:
                check_boundary(boundary, np.dtype(array.dtype))
        return cls(inputs, grid, asked, extra_axes(info), options, boundary, declared)


def _lengths(tile_shape: TileShapeByName, inputs: Inputs) -> TileShapeLike:
    """The shape of a tile, for each axis if it was given by names, where -1 is the whole axis."""
    if not isinstance(tile_shape, Mapping):
        return tile_shape
    lengths: Any = values_by_name(tile_shape, inputs.names, "tile_shape", None)
    return [max(n, 1) if given == -1 else given for given, n in zip(lengths, inputs.shape, strict=True)]


def _asked(tile_shape: TileShapeLike, shape: tuple[int, ...], info: ImageInfo | None) -> tuple[int | None, ...]:
    """Length of a tile along each axis; None where it is to be chosen."""
    listed = list(tile_shape) if isinstance(tile_shape, Iterable) else tile_shape
    if listed is None:
        return (None,) * len(shape)
    if not isinstance(listed, list) or None not in listed:
        return as_tile_shape(for_all_axes(listed, info, 1), len(shape))
    given = for_all_axes(listed, info, None)
    lengths = as_tile_shape([1 if each is None else each for each in given], len(shape))
    known = zip(given, lengths, shape, strict=True)
    return tuple([None if each is None else min(length, max(n, 1)) for each, length, n in known])
