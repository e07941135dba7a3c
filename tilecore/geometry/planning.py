"""Choosing the tiles: as large as memory allows, as few voxels read twice as can be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilecore.bytesize import format_bytes, parse_bytes
from tilecore.configuration import settings
from tilecore.errors import MemoryBudgetError
from tilecore.geometry.axes import HaloLike, as_halo, as_integers, as_shape
from tilecore.geometry.tiles import TileGrid
from tilecore.machine import available_memory

__all__ = ["TileCosts", "TilePlan", "guessed_bytes", "plan_tiles"]

# Before anything is measured: input, output and two double-precision copies of each voxel.
_GUESSED_COPIES = 2
_GUESSED_BYTES = 16.0

_TILES_PER_WORKER = 4
# How much longer a run may take for the sake of so many tiles.
_PATIENCE = 1.25

# Cores of one machine run at different speeds by so much; what the fastest worker waits for in the end
# is this part of the run, or half a tile if that is less.
_UNEVENNESS = 0.05

# Tiles that leave the processor's caches are slower, the more so the larger they are.
_CACHE_BYTES = 2**25
_CACHE_PENALTY = 0.02

# Each voxel of a column, along the first axis, lies in another page; of more than so many the processor
# loses track, the more so the longer the column is.
_COLUMN_VOXELS = 128
_COLUMN_PENALTY = 0.03

# Reading and decompressing one voxel of a chunked source.
_DECODING_SECONDS = 4e-9


@dataclass(frozen=True)
class TileCosts:
    """What the work on a tile costs; measured on a first small tile, or guessed.

    Attributes
    ----------
    bytes_per_voxel : float
        Memory that a worker needs for each voxel of the read box [byte].
    seconds_per_voxel : float
        Time of the function for each voxel of the read box [s].
    seconds_per_row : float
        Time to reach one more row of contiguous voxels [s].
    seconds_per_tile : float
        Time to hand a tile to a worker and back [s].
    """

    bytes_per_voxel: float
    seconds_per_voxel: float = 20e-9
    seconds_per_row: float = 0.2e-6
    seconds_per_tile: float = 0.5e-3


@dataclass(frozen=True)
class TilePlan:
    """A grid, and what working through it will take.

    Attributes
    ----------
    grid : TileGrid
    workers : int
        How many tiles fit into memory at once, at most as many as were asked for.
    tile_bytes : int
        Memory a worker needs for the largest tile [byte].
    halo_overhead : float
        Voxels read more than once, as a part of the volume.
    units : tuple of int
        Write units that the tiles are multiples of [voxel].
    """

    grid: TileGrid
    workers: int
    tile_bytes: int
    halo_overhead: float
    units: tuple[int, ...]

    @property
    def total_bytes(self) -> int:
        """Memory of all workers together [byte]."""
        return self.tile_bytes * self.workers

    def __str__(self) -> str:
        grid = self.grid
        aligned = "none needed" if set(self.units) <= {1} else f"to {_times(self.units)} voxels"
        return "\n".join(
            [
                f"tiles      {grid.size} ({_times(grid.counts)}) of {_times(grid.tile_shape)} voxels",
                f"halo       {100 * self.halo_overhead:.1f} % more voxels read than written",
                f"memory     {format_bytes(self.tile_bytes)} per worker, {format_bytes(self.total_bytes)} "
                f"for {self.workers} worker{'s' * (self.workers != 1)}",
                f"alignment  {aligned}",
            ]
        )


def _times(lengths: Iterable[int]) -> str:
    return " x ".join(map(str, lengths))


def plan_tiles(
    shape: Sequence[int],
    dtype: npt.DTypeLike,
    *,
    max_memory: int | str | None = None,
    workers: int | None = None,
    halo: HaloLike = 0,
    chunks: Sequence[int] | None = None,
    write_units: Sequence[int] | None = None,
    whole_axes: Sequence[int] = (),
    single_axes: Sequence[int] = (),
    costs: TileCosts | None = None,
) -> TilePlan:
    """Choose the tiles for a volume.

    Of all tile shapes that fit into memory the one is taken with which the run should end
    first: it counts the voxels that halos make to be worked on twice, the rows that have
    to be read, the tiles that have to be handed out, and workers that have nothing left
    to do at the end.

    Parameters
    ----------
    shape : sequence of int
        Shape of the volume [voxel].
    dtype : dtype_like
        Of the volume.
    max_memory : int or str, optional
        Bound on all workers together [byte], e.g. ``"4GB"``; default: half of what is free.
    workers : int, optional
        Number of workers; default: settings, environment, cores.
    halo : int, sequence of int, or sequence of (int, int)
        Context read before and after a tile, per axis [voxel].
    chunks : sequence of int, optional
        Storage chunks of the source [voxel]; tiles that cut them read them more than once.
    write_units : sequence of int, optional
        Storage units of the sink [voxel]; tiles are multiples of them.
    whole_axes : sequence of int
        Axes that must not be cut.
    single_axes : sequence of int
        Axes along which tiles are one write unit long, such as time and channel.
    costs : TileCosts, optional
        As measured; default: a guess from the dtype.

    Returns
    -------
    TilePlan

    Raises
    ------
    MemoryBudgetError
        If one write unit with its halo does not fit.

    Examples
    --------
    >>> plan = plan_tiles((256, 512, 512), "float32", max_memory="2GB", workers=2, halo=8)
    >>> plan.grid.tile_shape
    (128, 128, 512)
    """
    lengths = as_shape(shape)
    pairs = as_halo(halo, len(lengths))
    n_workers = settings.resolve_workers(workers)
    budget = available_memory() // 2 if max_memory is None else parse_bytes(max_memory, "max_memory")
    units = (1,) * len(lengths) if write_units is None else as_integers(write_units, "write_units", len(lengths), 1)
    costs = costs or TileCosts(guessed_bytes(dtype))
    if 0 in lengths:
        return TilePlan(TileGrid(lengths, tuple(max(length, 1) for length in lengths), pairs), n_workers, 0, 0.0, units)
    read_chunks = None if chunks is None else as_integers(chunks, "chunks", len(lengths), 1)
    axes = [
        _Axis(
            length,
            pair,
            unit,
            1 if read_chunks is None else read_chunks[number],
            number in tuple(whole_axes),
            number in tuple(single_axes),
        )
        for number, (length, pair, unit) in enumerate(zip(lengths, pairs, units, strict=True))
    ]
    tile_shape, n_fitting = _best(axes, costs, n_workers, budget)
    grid = TileGrid(lengths, tile_shape, pairs)
    read_voxels = math.prod(axis.largest_read(step) for axis, step in zip(axes, tile_shape, strict=True))
    total_read = math.prod(axis.total_read(step) for axis, step in zip(axes, tile_shape, strict=True))
    overhead = total_read / math.prod(lengths) - 1
    return TilePlan(grid, n_fitting, math.ceil(read_voxels * costs.bytes_per_voxel), overhead, units)


def guessed_bytes(dtype: npt.DTypeLike) -> float:
    """Memory that an unknown function may need for each voxel it reads [byte]."""
    return np.dtype(dtype).itemsize * _GUESSED_COPIES + _GUESSED_BYTES


@dataclass(frozen=True)
class _Axis:
    """One axis of the volume, and the tile lengths worth trying along it."""

    length: int
    halo: tuple[int, int]
    unit: int
    chunk: int
    whole: bool
    single: bool = False

    def candidates(self) -> list[int]:
        """Tile lengths that cut the axis into 1, 2, 3, ... equal parts, in whole units."""
        if self.single:
            return [self.unit]
        n_units = -(-self.length // self.unit)
        counts: Iterable[int] = [1] if self.whole else _counts(n_units)
        return sorted({min(-(-n_units // count) * self.unit, n_units * self.unit) for count in counts})

    def count(self, step: int) -> int:
        """Tiles along the axis."""
        return -(-self.length // step)

    def largest_read(self, step: int) -> int:
        """Length of the longest read box."""
        return min(self.length, step + sum(self.halo))

    def total_read(self, step: int) -> int:
        """Length of all read boxes together: the axis, and at each border between tiles two halos, clipped."""
        before, after = self.halo
        n_borders = self.count(step) - 1
        last = self.length - n_borders * step
        return self.length + _sum_clipped(before, step, step, n_borders) + _sum_clipped(after, last, step, n_borders)

    def total_decoded(self, step: int) -> int:
        """As `total_read`, in whole chunks of the source."""
        cut = 0 if step % self.chunk == 0 and not any(self.halo) else self.chunk - 1
        return self.total_read(step) + 2 * cut * self.count(step)


def _sum_clipped(limit: int, first: int, step: int, n_terms: int) -> int:
    """Sum of min(limit, first + k * step) for k = 0 .. n_terms - 1."""
    n_below = min(max(-((first - limit) // step), 0), n_terms)
    return n_below * first + step * n_below * (n_below - 1) // 2 + (n_terms - n_below) * limit


def _counts(n_units: int) -> list[int]:
    """Into how many parts to try to cut an axis: every number at first, then eight for each doubling."""
    counts = list(range(1, min(n_units, 16) + 1))
    while counts[-1] < n_units:
        counts.append(min(n_units, counts[-1] + max(1, 2 ** (counts[-1].bit_length() - 4))))
    return counts


def _best(axes: list[_Axis], costs: TileCosts, workers: int, budget: int) -> tuple[tuple[int, ...], int]:
    """Tile shape with which the run ends first, and how many workers fit into the budget with it."""
    steps = [axis.candidates() for axis in axes]

    def table(value: str) -> list[npt.NDArray[np.float64]]:
        """One array per axis, shaped so that their product is a table over all tile shapes."""
        columns = [[getattr(axis, value)(step) for step in each] for axis, each in zip(axes, steps, strict=True)]
        return list(
            np.meshgrid(*[np.array(column, dtype=np.float64) for column in columns], indexing="ij", sparse=True)
        )

    counts, reads = table("count"), table("total_read")
    tile_bytes = _product(table("largest_read")) * costs.bytes_per_voxel
    n_tiles = _product(counts)
    smallest = float(tile_bytes.min())
    n_fitting = min(workers, int(budget // max(smallest, 1)))
    if n_fitting < 1:
        raise MemoryBudgetError(
            f"max_memory={format_bytes(budget)}: the smallest tile, one write unit with its halo, "
            f"needs {format_bytes(smallest)}"
        )
    seconds = _product(reads) * costs.seconds_per_voxel + _rows(counts, reads) * costs.seconds_per_row
    seconds = seconds + _product(table("total_decoded")) * _DECODING_SECONDS * any(axis.chunk > 1 for axis in axes)
    seconds = seconds + n_tiles * costs.seconds_per_tile
    seconds = seconds * np.ceil(n_tiles / n_fitting) / n_tiles  # the last round may not need every worker
    if n_fitting > 1:
        seconds = seconds + np.minimum(_UNEVENNESS * seconds, seconds / n_tiles * n_fitting / 2)
    seconds = seconds * (1 + _CACHE_PENALTY * np.log2(np.maximum(tile_bytes / _CACHE_BYTES, 1)))
    columns = table("largest_read")[0] if axes else 1.0
    seconds = seconds * (1 + _COLUMN_PENALTY * np.log2(np.maximum(columns / _COLUMN_VOXELS, 1)))
    seconds = np.where(tile_bytes * n_fitting <= budget, seconds, np.inf)
    enough = np.where(n_tiles >= _TILES_PER_WORKER * n_fitting, seconds, np.inf)
    choice = enough if enough.min() <= _PATIENCE * seconds.min() else seconds
    best = np.unravel_index(int(choice.argmin()), choice.shape)
    return tuple(each[position] for each, position in zip(steps, best, strict=True)), n_fitting


def _product(factors: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    product: npt.NDArray[np.float64] = np.ones(())
    for factor in factors:
        product = product * factor
    return product


def _rows(counts: list[npt.NDArray[np.float64]], reads: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Rows of contiguous voxels that all tiles read: axes that are not cut make one row with the axis before."""
    rows: npt.NDArray[np.float64] = np.ones(())
    uncut: npt.NDArray[np.bool_] = np.ones((), dtype=bool)
    for count, read in zip(reversed(counts), reversed(reads), strict=True):
        rows = rows * np.where(uncut, count, read)
        uncut = uncut & (count == 1)
    return rows
