"""Request of a caller, checked: the parameters that all verbs have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tilecore.array_types import SourceLike
from tilecore.arrays.padding import Boundary, as_boundary
from tilecore.engine.declared import Declared, first_given
from tilecore.engine.inputs import Inputs, extra_axes, for_all_axes
from tilecore.engine.options import Options, RunOptions
from tilecore.engine.pilot import Planner
from tilecore.geometry.per_axis import HaloLike
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
        The requested tiles; if tilecore chooses them, one tile as large as the volume.
    planned : bool
        Whether tilecore chooses the tiles.
    single_axes : tuple of int
        Axes along which tiles are one write unit long.
    options : Options
        Options of the run.
    boundary : Boundary
        Boundary mode from the caller, or from the function's declaration.
    declared : Declared
        Declarations of the function.
    """

    inputs: Inputs
    grid: TileGrid
    planned: bool
    single_axes: tuple[int, ...]
    options: Options
    boundary: Boundary
    declared: Declared

    def planner(self, workers: int, units: tuple[int, ...], whole_axes: tuple[int, ...]) -> Planner:
        """Return the planner that chooses the tiles, for given workers, write units and whole axes."""
        single_axes = tuple([axis for axis in self.single_axes if axis not in whole_axes])
        inputs = self.inputs
        return Planner.of(
            self.grid, inputs.arrays, self.options.max_memory, workers, inputs.chunks, units, (whole_axes, single_axes)
        )

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        kwargs: Mapping[str, Any] | None,
        source: SourceLike,
        *,
        tile_shape: int | Sequence[int] | None,
        halo: HaloLike | None,
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
        given = [max(length, 1) for length in shape] if tile_shape is None else for_all_axes(tile_shape, info, 1)
        halo = first_given(halo, declared.halo, 0)
        grid = TileGrid(shape, given, for_all_axes(halo, info, 0))
        boundary = as_boundary(first_given(boundary, declared.boundary))
        return cls(inputs, grid, tile_shape is None, extra_axes(info), options, boundary, declared)
