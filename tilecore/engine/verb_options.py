"""The options of verbs that are cut into tiles, as types alone: they are described where a verb takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tilecore.arrays.padding import Boundary
from tilecore.engine.dimensions import AxesByName, HaloByName, NewAxes, ScaleByName, TileShapeByName
from tilecore.engine.options import RunOptions

__all__ = ["MapOptions", "TileOptions"]


class TileOptions(RunOptions, total=False):
    """What every verb takes besides the function and the source: see `iter_tiles`."""

    tile_shape: TileShapeByName
    halo: HaloByName | None
    boundary: Boundary
    kwargs: Mapping[str, Any] | None
    pass_tile: bool


class MapOptions(TileOptions, total=False):
    """What `map_tiles` takes besides these and its outputs."""

    scale: ScaleByName | None
    drop_axis: AxesByName
    new_axis: NewAxes | None
    overwrite: bool
    inplace: bool
