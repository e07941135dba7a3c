"""What the caller of a verb asks for, checked: the same for all verbs."""

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
    """A function to be applied to the tiles of a volume.

    Attributes
    ----------
    inputs : Inputs
    grid : TileGrid
        The tiles that were asked for; where they are left to us, one that is as large as the volume.
    planned : bool
        Whether the tiles are left to us.
    single_axes : tuple of int
        Axes along which tiles are as short as they can be.
    options : Options
    boundary : Boundary
        What the caller has said, or the function declares, as the halo.
    declared : Declared
        What the function says of itself.
    """

    inputs: Inputs
    grid: TileGrid
    planned: bool
    single_axes: tuple[int, ...]
    options: Options
    boundary: Boundary
    declared: Declared

    def planner(self, workers: int, units: tuple[int, ...], whole_axes: tuple[int, ...]) -> Planner:
        """What chooses the tiles, for so many workers, write units and axes that tiles must span."""
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
        """Open the sources and check what was given with them.

        Raises
        ------
        ParameterError, ParameterTypeError, MissingFileError, UnreadableFileError
        """
        options, declared = Options.of(run), Declared.of(function, kwargs)
        inputs = Inputs.of(source)
        shape, info = inputs.shape, inputs.info
        given = [max(length, 1) for length in shape] if tile_shape is None else for_all_axes(tile_shape, info, 1)
        halo = first_given(halo, declared.halo, 0)
        grid = TileGrid(shape, given, for_all_axes(halo, info, 0))
        boundary = as_boundary(first_given(boundary, declared.boundary))
        return cls(inputs, grid, tile_shape is None, extra_axes(info), options, boundary, declared)
