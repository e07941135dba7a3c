"""Plan of what tiles share: which units are kept for others, in which order of tiles, and in how many bytes."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tilecore.bytesize import format_bytes
from tilecore.geometry.decoding import AxisUnits
from tilecore.geometry.per_axis import times
from tilecore.geometry.rehearsal import Rehearsed, choose_order, reckoned
from tilecore.geometry.tile_order import TileOrder
from tilecore.geometry.tiles import TileGrid
from tilecore.geometry.unit_grid import UnitGrid, merged_units
from tilecore.machine import usable_cores

__all__ = ["ChunkedSource", "Sharing"]

# Size of a unit that is handled alone [byte]: smaller ones are joined, as each takes some microseconds.
_UNIT_BYTES = 2**18
# Decodes of a unit, on average, that are as good as one.
_ONCE = 1.02
# Fewer workers, with which each unit is decoded once, are not worth it if decoding takes less than this part of the
# time with more of them.
_PATIENCE = 0.6
# Room for the alignment of units [byte].
_SLACK = 2**20


class ChunkedSource(NamedTuple):
    """What has to be known of a source that is decoded chunk by chunk.

    Attributes
    ----------
    shape, chunks : tuple of int
        Shape of the source, and of a chunk [voxel].
    itemsize : int
        Size of a voxel [byte].
    start : tuple of int
        Place of the source's first voxel among the chunks, where it is a part of a file [voxel]; default: 0.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    itemsize: int
    start: tuple[int, ...] = ()

    @property
    def chunk_bytes(self) -> int:
        """Memory in which a worker decodes a chunk [byte]."""
        return math.prod(map(min, self.chunks, self.shape)) * self.itemsize

    def units(self, grid: TileGrid) -> UnitGrid:
        """Units of the source: its chunks, or several of them together if they are small."""
        lengths = [step + sum(halo) for step, halo in zip(grid.tile_shape, grid.halo, strict=True)]
        limits = (*map(min, lengths, self.shape), *self.shape[grid.ndim :])
        return self._in_units(merged_units(self.chunks, limits, _UNIT_BYTES // self.itemsize), grid)

    def alone(self, grid: TileGrid) -> UnitGrid:
        """Each chunk of the source as a unit."""
        return self._in_units(self.chunks, grid)

    def _in_units(self, unit: tuple[int, ...], grid: TileGrid) -> UnitGrid:
        offset = [first % step for first, step in zip(self.start, unit, strict=False)]
        return UnitGrid(self.shape, unit, grid, tuple(offset))


@dataclass(frozen=True)
class Sharing:
    """What the tiles of a run share.

    Attributes
    ----------
    grid : TileGrid
        Tiles of the run.
    units : tuple of UnitGrid
        Units of each source that is shared.
    itemsizes : tuple of int
        Size of a voxel of each of these sources [byte].
    order : TileOrder
        Order in which the tiles are worked on.
    capacity : int
        Bytes in which units may be kept.
    workers : int
        Number of tiles worked on at once.
    expected : Rehearsed
        How often a unit is decoded, and how many bytes are kept at once.
    once_bytes : int
        Memory, of all tiles and units together, with which each unit would be decoded once [byte].
    """

    grid: TileGrid
    units: tuple[UnitGrid, ...]
    itemsizes: tuple[int, ...]
    order: TileOrder
    capacity: int
    workers: int
    expected: Rehearsed
    once_bytes: int

    @classmethod
    def of(
        cls,
        grid: TileGrid,
        sources: Sequence[ChunkedSource],
        budget: int,
        tile_bytes: int,
        workers: int,
        *,
        by_number: bool = False,
    ) -> Sharing | None:
        """Plan what is shared; None if no two tiles read the same unit.

        If the units of so many tiles at once do not fit into memory, fewer tiles are worked on.

        Parameters
        ----------
        grid : TileGrid
            Tiles of the run.
        sources : sequence of ChunkedSource
            Sources that are decoded.
        budget : int
            Memory for all tiles and units together [byte].
        tile_bytes : int
            Memory that a worker needs for the largest tile [byte].
        workers : int
            Largest number of tiles to work on at once.
        by_number : bool
            Whether tiles must be worked on in the order of their numbers.
        """
        if not grid.size or not any(_is_shared(each, grid) for each in sources):
            return None
        units = tuple([each.units(grid) for each in sources])
        itemsizes = tuple([each.itemsize for each in sources])
        orders = [TileOrder.of_grid(grid.counts)] if by_number else None
        everything = sum(math.prod(each.shape) * each.itemsize for each in sources) + _SLACK

        def room(n_workers: int) -> int:
            return min(max(budget - n_workers * tile_bytes, 0), everything)

        @functools.cache
        def decodes(n_workers: int) -> float:
            return min(reckoned(units, itemsizes, room(n_workers), n_workers, orders).values()).decodes

        most = max(min(workers, grid.size, budget // max(tile_bytes, 1)), 1)
        fitting = next((n for n in range(most, 0, -1) if decodes(n) <= _ONCE), most)
        if fitting < most:
            cores = usable_cores()
            if decodes(most) / min(most, cores) < _PATIENCE / min(fitting, cores):
                fitting = most
        capacity = room(fitting)
        order, expected = choose_order(units, itemsizes, capacity, fitting, orders)
        ample = min(reckoned(units, itemsizes, everything, fitting, orders).values())
        once_bytes = fitting * tile_bytes + ample.most_bytes
        return cls(grid, units, itemsizes, order, capacity, fitting, expected, once_bytes)

    def __str__(self) -> str:
        decodes, most_bytes = self.expected
        n_read, n_kept = format_bytes(decodes * self.n_bytes), format_bytes(most_bytes)
        text = (
            f"decoding   {decodes:.2f} times for each of {self.n_units} units of {times(self.units[0].unit)} voxels\n"
            f"           {n_read} are read in all, {n_kept} kept for later tiles"
        )
        return text if decodes <= _ONCE else f"{text}\n           once with max_memory={_megabytes(self.once_bytes)}"

    def is_ample(self, workers: int) -> bool:
        """Whether every unit is decoded once, and so many tiles can be worked on at once."""
        return self.expected.decodes <= _ONCE and self.workers >= min(workers, self.grid.size)

    @property
    def n_bytes(self) -> int:
        """Size of the voxels of all sources [byte]."""
        return sum(math.prod(each.shape) * size for each, size in zip(self.units, self.itemsizes, strict=True))

    @property
    def n_units(self) -> int:
        """Number of units of all sources."""
        return sum(each.size for each in self.units)


def _megabytes(n_bytes: int) -> str:
    """Size as `max_memory` takes it, rounded up."""
    return f"{-(-n_bytes // 10**6)}MB"


def _is_shared(source: ChunkedSource, grid: TileGrid) -> bool:
    """Whether several tiles read one chunk: also where the source lacks an axis along which there are several."""
    along = AxisUnits.of_grid(source.alone(grid))
    is_shared = any(axis.visits > 1 for axis in along) or math.prod(grid.counts[len(source.shape) :]) > 1
    return is_shared and 0 not in source.shape
