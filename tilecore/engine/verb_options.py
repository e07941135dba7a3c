"""The options of verbs that are cut into tiles, as types alone: they are described where a verb takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tilecore.arrays.padding import Boundary
from tilecore.engine.options import RunOptions
from tilecore.geometry.per_axis import HaloLike, TileShapeLike
from tilecore.geometry.placement import ScaleLike

__all__ = ["MapOptions", "TileOptions"]


class TileOptions(RunOptions, total=False):
    """What every verb takes besides the function and the source: see `iter_tiles`."""

    tile_shape: TileShapeLike
    halo: HaloLike | None
    boundary: Boundary
    kwargs: Mapping[str, Any] | None
    pass_tile: bool


class MapOptions(TileOptions, total=False):
    """What `map_tiles` takes besides these and its outputs."""

    scale: ScaleLike | None
    drop_axis: int | Sequence[int]
    new_axis: Mapping[int, int] | None
    overwrite: bool
    inplace: bool
