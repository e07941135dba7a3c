"""Tasks of a run: tiles to be worked on, and parts of tiles that do not fit into memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tilecore.engine.write_units import halves
from tilecore.geometry.boxes import Box
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = ["Ahead", "DecodeTask", "TileTask", "cut_in_two", "looking_ahead"]


class Ahead(NamedTuple):
    """A tile that comes soon, and what is read of the sources for it.

    Attributes
    ----------
    number : int
        Number of the tile in the grid.
    missing : tuple of int, or None
        For each source, which of the units that the tile reads are not in shared memory: a bit for each. None: all of
        its read box is read.
    """

    number: int
    missing: tuple[int, ...] | None = None


class TileTask(NamedTuple):
    """A tile, or a part of a tile, to be worked on.

    Attributes
    ----------
    number : int
        Number of the tile in the grid.
    part : Box or None
        Part of the tile's write box, if the whole did not fit into memory; otherwise None.
    slot : int
        Number of the slot that holds its blocks, if the worker cannot reach a source; otherwise -1.
    shared : tuple of int
        For each source, which of the units that the tile reads lie decoded in shared memory: a bit for each.
        Empty if none do.
    ahead : Ahead or None
        What is read soon after this tile; None if nobody needs to be told.
    """

    number: int
    part: Box | None = None
    slot: int = -1
    shared: tuple[int, ...] = ()
    ahead: Ahead | None = None

    def tile(self, grid: TileGrid) -> Tile:
        """Return the tile, or the part of it as a tile."""
        whole = grid[self.number]
        return whole if self.part is None else grid.part(whole, self.part)


class DecodeTask(NamedTuple):
    """Units of a source to be decoded into shared memory.

    Attributes
    ----------
    source : int
        Number of the source.
    units : tuple of int
        Numbers of the units.
    """

    source: int
    units: tuple[int, ...]


def looking_ahead(numbers: Iterable[int], distance: int) -> Iterator[TileTask]:
    """Make tasks of tiles that follow each other; each tells of the tile that comes so much later."""
    window: deque[int] = deque()
    for number in numbers:
        window.append(number)
        if len(window) > distance:
            yield TileTask(window.popleft(), ahead=Ahead(number))
    yield from map(TileTask, window)


def cut_in_two(task: TileTask, grid: TileGrid, units: Sequence[int], whole_axes: Sequence[int]) -> list[TileTask]:
    """Cut a tile in two along its longest axis, between write units.

    Parameters
    ----------
    task : TileTask
        Task of the tile.
    grid : TileGrid
        Tiles of the run.
    units : sequence of int
        Write units; the parts must be multiples of them [voxel].
    whole_axes : sequence of int
        Axes that are not cut.

    Returns
    -------
    list of TileTask
        Two tasks, or an empty list if the tile cannot be cut.
    """
    return [TileTask(task.number, half) for half in halves(task.tile(grid).write, units, whole_axes)]
