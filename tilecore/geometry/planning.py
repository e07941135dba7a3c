"""Choice of the tiles: as large as memory allows, with as few voxels read twice as possible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tilecore.bytesize import format_bytes, parse_bytes
from tilecore.configuration import settings
from tilecore.errors import MemoryBudgetError
from tilecore.geometry.costs import TileCosts, guessed_bytes
from tilecore.geometry.cutting import CutAxis, TileShapes
from tilecore.geometry.per_axis import HaloLike, as_halo, as_integers, as_shape, times
from tilecore.geometry.sharing import ChunkedSource, Sharing
from tilecore.geometry.tiles import TileGrid
from tilecore.machine import available_memory

__all__ = ["TilePlan", "plan_tiles"]

_TILES_PER_WORKER = 4
# Largest factor by which a run may take longer in order to have so many tiles for each worker.
_PATIENCE = 1.1
# A run may take longer by this factor in order to use less memory, where a tile needs more than so much [byte]: how
# much more a voxel costs in blocks far larger than those that were measured is not known, and fresh memory is slow.
_FRUGALITY = 1.04
# Decodes of a chunk for which it is worth trying whether fewer workers could share more.
_SEVERAL_DECODES = 1.2
_AMPLE_BYTES = 2**28


@dataclass(frozen=True)
class TilePlan:
    """Grid of tiles for a run, with the memory and time that the run will take.

    Attributes
    ----------
    grid : TileGrid
        The tiles.
    workers : int
        Number of tiles that fit into memory at once, at most the number that was asked for.
    tile_bytes : int
        Memory a worker needs for the largest tile [byte].
    seconds : float
        Estimated time of the run, if the costs are right [s].
    halo_overhead : float
        Voxels that are read more than once, as a fraction of the volume.
    units : tuple of int
        Write units that the tiles are multiples of, per axis [voxel].
    budget : int
        Memory limit for all workers together, and for decoded chunks that they share [byte].
    source : ChunkedSource or None
        The source, if it is decoded chunk by chunk.
    processes : int or None
        Number of workers that was asked for.
    """

    grid: TileGrid
    workers: int
    tile_bytes: int
    seconds: float
    halo_overhead: float
    units: tuple[int, ...]
    budget: int = 0
    source: ChunkedSource | None = None
    processes: int | None = None

    @cached_property
    def sharing(self) -> Sharing | None:
        """What tiles share of the source's decoded chunks; None if no two tiles read the same chunk."""
        if self.source is None:
            return None
        needs = self.budget, self.tile_bytes, self.workers
        return Sharing.of(self.grid, [self.source], *needs, processes=self.processes)

    @property
    def total_bytes(self) -> int:
        """Memory of all workers together [byte]."""
        return self.tile_bytes * self.workers

    def __str__(self) -> str:
        grid = self.grid
        workers = self.workers if self.sharing is None else self.sharing.workers
        decoders = 0 if self.sharing is None else self.sharing.decoders
        more = f", and {decoders} more that only decode{'s' * (decoders == 1)}" if decoders else ""
        aligned = "none needed" if set(self.units) <= {1} else f"to {times(self.units)} voxels"
        return "\n".join(
            [
                f"tiles      {grid.size} ({times(grid.counts)}) of {times(grid.tile_shape)} voxels",
                f"halo       {100 * self.halo_overhead:.1f} % more voxels read than written",
                f"memory     {format_bytes(self.tile_bytes)} per worker, "
                f"{format_bytes(self.tile_bytes * workers)} for {workers} worker{'s' * (workers != 1)}{more}",
                f"alignment  {aligned}",
                *self._decoding(),
            ]
        )

    def _decoding(self) -> list[str]:
        """Lines about the chunks of the source."""
        if self.source is None:
            return []
        if self.sharing is None:
            return ["decoding   each chunk once, by the tile that reads it"]
        return str(self.sharing).splitlines()


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
    padded: bool = False,
    costs: TileCosts | None = None,
) -> TilePlan:
    """Choose the tile shape and the number of workers for a volume.

    Of all tile shapes that fit into memory, the function takes the one with which the run should
    end first. It counts voxels that are computed twice because of halos, rows that have to be
    read, the fixed time of each tile, and workers that have nothing to do at the end. If fewer
    workers with larger tiles end first, it plans fewer workers. Of large tiles with which the run
    takes about as long, it takes the smallest.

    Parameters
    ----------
    shape : sequence of int
        Shape of the volume [voxel].
    dtype : dtype_like
        Data type of the volume.
    max_memory : int or str, optional
        Memory limit for all workers together [byte], e.g. ``"4GB"``; default: half of the free memory.
    workers : int, optional
        Number of workers; default: from the settings, the environment, or the number of cores.
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
    padded : bool
        Whether blocks have their halo beyond the volume's edges, too: where there is a boundary mode.
    costs : TileCosts, optional
        Measured costs; default: a guess from the dtype.

    Returns
    -------
    TilePlan

    Raises
    ------
    MemoryBudgetError
        If one write unit with its halo does not fit into `max_memory`, even for one worker.

    Examples
    --------
    >>> plan = plan_tiles((256, 512, 512), "float32", max_memory="2GB", workers=2, halo=8)
    >>> plan.grid.tile_shape
    (128, 256, 256)
    """
    lengths = as_shape(shape)
    pairs = as_halo(halo, len(lengths))
    n_workers = settings.resolve_workers(workers)
    budget = available_memory() // 2 if max_memory is None else parse_bytes(max_memory, "max_memory")
    units = (1,) * len(lengths) if write_units is None else as_integers(write_units, "write_units", len(lengths), 1)
    read_chunks = None if chunks is None else as_integers(chunks, "chunks", len(lengths), 1)
    source = None if read_chunks is None else ChunkedSource(lengths, read_chunks, np.dtype(dtype).itemsize)
    costs = costs or TileCosts(guessed_bytes(dtype), bytes_per_tile=0 if source is None else source.chunk_bytes)
    if 0 in lengths:
        return TilePlan(
            TileGrid(lengths, tuple(max(length, 1) for length in lengths), pairs), n_workers, 0, 0.0, 0.0, units
        )
    axes = [
        CutAxis(
            length,
            pair,
            unit,
            1 if read_chunks is None else read_chunks[number],
            number in tuple(whole_axes),
            number in tuple(single_axes),
            padded,
        )
        for number, (length, pair, unit) in enumerate(zip(lengths, pairs, units, strict=True))
    ]
    tile_shape, n_fitting, seconds = _best(axes, costs, n_workers, budget, source)
    grid = TileGrid(lengths, tile_shape, pairs)
    read_voxels = math.prod(axis.largest_read(step) for axis, step in zip(axes, tile_shape, strict=True))
    total_read = math.prod(axis.total_read(step) for axis, step in zip(axes, tile_shape, strict=True))
    overhead = total_read / math.prod(lengths) - 1
    tile_bytes = math.ceil(costs.needed_bytes(read_voxels))
    return TilePlan(grid, n_fitting, tile_bytes, seconds, overhead, units, budget, source, n_workers)


def _best(
    axes: list[CutAxis], costs: TileCosts, workers: int, budget: int, source: ChunkedSource | None
) -> tuple[tuple[int, ...], int, float]:
    """Tile shape and number of workers with which the run ends first, and its time [s]."""
    shapes = TileShapes(axes)
    tile_bytes = costs.needed_bytes(shapes.voxels)
    n_workers = min(workers, int(budget // max(float(tile_bytes.min()), 1)))
    if n_workers < 1:
        raise _does_not_fit(costs, float(shapes.voxels.min()), budget)
    best: tuple[float, int, int] | None = None
    while n_workers:
        fits = tile_bytes * n_workers <= budget
        decodes = None
        if source is not None:
            decodes = shapes.decodes(np.maximum(budget - tile_bytes * n_workers, 0) / source.itemsize, n_workers)
        seconds = np.where(fits, shapes.seconds(costs, n_workers, decodes), np.inf)
        enough = np.where(shapes.n_tiles >= _TILES_PER_WORKER * n_workers, seconds, np.inf)
        choice = enough if enough.min() <= _PATIENCE * seconds.min() else seconds
        position = _frugal(choice, tile_bytes)
        if best is None or choice.flat[position] < best[0]:
            best = float(choice.flat[position]), position, n_workers
        is_best = fits.all() and (decodes is None or decodes.flat[position] < _SEVERAL_DECODES)
        n_workers = 0 if is_best else n_workers // 2  # fewer workers leave room for larger tiles, and for chunks
    assert best is not None
    return shapes.tile_shape(best[1]), best[2], best[0]


def _frugal(seconds: npt.NDArray[np.float64], tile_bytes: npt.NDArray[np.float64]) -> int:
    """Flat position of the shape that uses the least memory of those that take hardly longer than the fastest."""
    memory = np.where(seconds <= _FRUGALITY * seconds.min(), np.maximum(tile_bytes, _AMPLE_BYTES), np.inf)
    return int(np.where(memory == memory.min(), seconds, np.inf).argmin())


def _does_not_fit(costs: TileCosts, n_voxels: float, budget: int) -> MemoryBudgetError:
    text = (
        f"max_memory={format_bytes(budget)}: the smallest tile, one write unit with its halo, "
        f"needs {format_bytes(costs.needed_bytes(n_voxels))}, for one worker"
    )
    if costs.bytes_per_tile:
        text += (
            f": {format_bytes(costs.bytes_per_tile)} for each call, whatever the tile's size, and "
            f"{format_bytes(n_voxels * costs.bytes_per_voxel)} for {n_voxels:.0f} voxels"
        )
    return MemoryBudgetError(text)
