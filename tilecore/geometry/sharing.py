"""Plan of what tiles share: which units are kept for others, in which order of tiles, and in how many bytes."""

from __future__ import annotations

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
# Fewer tiles at once, so that each unit is decoded once, are not worth it if the run takes less than this part of the
# time with more of them.
_PATIENCE = 0.6
# Time of all other work, in units of that in which everything is decoded once: as for a cheap function.
_OTHER_WORK = 1.0
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
    decoders : int
        Number of further workers, for whose tiles there is no memory: they only decode.
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
    decoders: int
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
        processes: int | None = None,
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
        processes : int, optional
            Number of workers that there are; default: as many.
        by_number : bool
            Whether tiles must be worked on in the order of their numbers.
        """
        if not grid.size or not any(_is_shared(each, grid) for each in sources):
            return None
        problem = _Problem(grid, tuple(sources), budget, tile_bytes, by_number=by_number)
        most = max(min(workers, grid.size, budget // max(tile_bytes, 1)), 1)
        cores = min(processes or workers, usable_cores())
        n_tiles = problem.best(most, cores)
        room = problem.room(n_tiles)
        shared = problem.units, problem.itemsizes
        order, expected = choose_order(*shared, min(room, problem.everything), n_tiles, problem.orders)
        n_decoders = problem.decoders(n_tiles, cores, expected)
        capacity = min(room - n_decoders * problem.chunk_bytes, problem.everything)
        once_bytes = n_tiles * tile_bytes + problem.reckoned(problem.everything, n_tiles).most_bytes
        return cls(grid, *shared, order, capacity, n_tiles, n_decoders, expected, once_bytes)

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


class _Problem:
    """How often units are decoded, whatever number of tiles is worked on at once."""

    def __init__(
        self, grid: TileGrid, sources: tuple[ChunkedSource, ...], budget: int, tile_bytes: int, *, by_number: bool
    ) -> None:
        self.units = tuple([each.units(grid) for each in sources])
        self.itemsizes = tuple([each.itemsize for each in sources])
        self.orders = [TileOrder.of_grid(grid.counts)] if by_number else None
        self.everything = sum(math.prod(each.shape) * each.itemsize for each in sources) + _SLACK
        self.chunk_bytes = max(each.chunk_bytes for each in sources)
        self._budget, self._tile_bytes = budget, tile_bytes
        self._expected: dict[int, Rehearsed] = {}

    def best(self, most: int, cores: int) -> int:
        """Number of tiles, up to `most`, to be worked on at once by workers that use so many cores."""

        def seconds(n_tiles: int) -> float:
            n_busy, expected = min(n_tiles, cores), self.expected(n_tiles)
            whole = (_OTHER_WORK + expected.decodes) / (n_busy + self.decoders(n_tiles, cores, expected))
            return max(whole, _OTHER_WORK / n_busy)

        fitting = next((n for n in range(most, 0, -1) if self.expected(n).decodes <= _ONCE), most)
        return fitting if fitting == most or seconds(most) >= _PATIENCE * seconds(fitting) else most

    def decoders(self, n_tiles: int, cores: int, expected: Rehearsed) -> int:
        """Number of cores, beside those of the tiles, that can decode in memory that is not needed for units."""
        n_fitting = (self.room(n_tiles) - expected.most_bytes) // max(self.chunk_bytes, 1)
        return max(min(cores - n_tiles, n_fitting), 0)

    def expected(self, n_tiles: int) -> Rehearsed:
        """Decodes, and bytes kept at once, with so many tiles at once."""
        if n_tiles not in self._expected:
            self._expected[n_tiles] = self.reckoned(self.room(n_tiles), n_tiles)
        return self._expected[n_tiles]

    def reckoned(self, capacity: int, n_tiles: int) -> Rehearsed:
        """Decodes, and bytes kept at once, of the best order."""
        return min(reckoned(self.units, self.itemsizes, capacity, n_tiles, self.orders).values())

    def room(self, n_tiles: int) -> int:
        """Memory that is left for units [byte]."""
        return max(self._budget - n_tiles * self._tile_bytes, 0)


def _megabytes(n_bytes: int) -> str:
    """Size as `max_memory` takes it, rounded up."""
    return f"{-(-n_bytes // 10**6)}MB"


def _is_shared(source: ChunkedSource, grid: TileGrid) -> bool:
    """Whether several tiles read one chunk: also where the source lacks an axis along which there are several."""
    along = AxisUnits.of_grid(source.alone(grid))
    is_shared = any(axis.visits > 1 for axis in along) or math.prod(grid.counts[len(source.shape) :]) > 1
    return is_shared and 0 not in source.shape
