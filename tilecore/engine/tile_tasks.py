"""Tasks: tiles to be worked on, and parts of those that do not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tilecore.engine.write_units import halves
from tilecore.geometry.boxes import Box
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = ["TileTask", "cut_in_two"]


class TileTask(NamedTuple):
    """A tile, or a part of one, to be worked on.

    Attributes
    ----------
    number : int
        The tile's number in the grid.
    part : Box or None
        The part of its write box, where the whole did not fit into memory.
    slot : int
        Where its input waits, if it does not lie where the worker can reach it.
    """

    number: int
    part: Box | None = None
    slot: int = -1

    def tile(self, grid: TileGrid) -> Tile:
        """The tile, or the part as a tile."""
        whole = grid[self.number]
        return whole if self.part is None else grid.part(whole, self.part)


def cut_in_two(task: TileTask, grid: TileGrid, units: Sequence[int], whole_axes: Sequence[int]) -> list[TileTask]:
    """Cut a tile in two along its longest axis, between write units.

    Parameters
    ----------
    task : TileTask
    grid : TileGrid
    units : sequence of int
        What the parts must be multiples of [voxel].
    whole_axes : sequence of int
        Axes that are not cut.

    Returns
    -------
    list of TileTask
        Empty if it cannot be cut.
    """
    return [TileTask(task.number, half) for half in halves(task.tile(grid).write, units, whole_axes)]
