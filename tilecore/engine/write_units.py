"""Write units: parts of an output that no two tiles may write, such as chunks or shards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tilecore.errors import AlignmentError
from tilecore.geometry.boxes import Box
from tilecore.geometry.placement import Placement
from tilecore.geometry.tiles import TileGrid

__all__ = ["check_alignment", "common_units", "cut_steps", "halves"]


def common_units(placement: Placement, outputs: Iterable[tuple[int, ...] | None]) -> tuple[int, ...]:
    """Units that tiles must be multiples of, so that no two tiles write the same unit of any output."""
    units = placement.units(None)
    for of_output in outputs:
        own = placement.units(of_output)
        units = tuple([math.lcm(unit, other) for unit, other in zip(units, own, strict=True)])
    return units


def cut_steps(grid: TileGrid, placement: Placement) -> tuple[int | None, ...]:
    """Length of a tile's result along each axis of the output; None where one tile spans the axis."""
    lengths = zip(placement.shape(grid.tile_shape), placement.shape(grid.shape), strict=True)
    return tuple([step if step < length else None for step, length in lengths])


def check_alignment(grid: TileGrid, units: tuple[int, ...]) -> None:
    """Refuse a grid in which two tiles would write the same storage unit.

    Raises
    ------
    AlignmentError
        If two tiles would; the message names the nearest tile shapes that work.
    """
    cut = [
        axis
        for axis, (count, step, unit) in enumerate(zip(grid.counts, grid.tile_shape, units, strict=True))
        if count > 1 and (step % unit or (grid.ragged != "keep" and unit > 1))
    ]
    if not cut:
        return
    pairs = list(zip(grid.tile_shape, units, strict=True))
    smaller = tuple(max(step // unit, 1) * unit for step, unit in pairs)
    larger = tuple(-(-step // unit) * unit for step, unit in pairs)
    raise AlignmentError(
        f"tile_shape={grid.tile_shape}: two tiles would write one storage unit of the output, of {units} voxels, "
        f"and data would be lost; use {' or '.join(map(str, dict.fromkeys([smaller, larger])))}, or an output whose "
        "chunks, or shards, divide the tiles"
    )


def halves(box: Box, units: Sequence[int], whole_axes: Sequence[int]) -> list[Box]:
    """Cut a box in two along the longest axis that may be cut, between write units; an empty list if impossible."""
    lengths = [
        (length // 2 // unit * unit, axis)
        for axis, (length, unit) in enumerate(zip(box.shape, units, strict=True))
        if axis not in whole_axes
    ]
    half, axis = max(lengths, default=(0, 0))
    if half == 0:
        return []
    stop, start = list(box.stop), list(box.start)
    stop[axis] = start[axis] = box.start[axis] + half
    return [Box(box.start, stop), Box(start, box.stop)]
