"""Choice of the way from one chunk shape to another: the one that moves the fewest bytes, of those that fit."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from tilecore.bytesize import format_bytes
from tilecore.errors import MemoryBudgetError
from tilecore.geometry.per_axis import times
from tilecore.geometry.rechunking import Rechunking, RechunkPass, RechunkPlan, decoded_length

__all__ = ["plan_rechunk"]

# Size up to which a tile grows where nothing more is moved for it, as each tile takes time of its own [byte].
_AMPLE_BYTES = 2**23
# Fewest tiles for each worker that are left when tiles grow.
_TILES_PER_WORKER = 4


def plan_rechunk(problem: Rechunking, *, max_memory: int, workers: int) -> RechunkPlan:
    """Choose the way that moves the fewest bytes of voxels, of those that fit into memory; of these one pass first.

    Every worker has a tile in each pass, as long as there are enough units. If nothing fits, fewer workers are planned.

    Parameters
    ----------
    problem : Rechunking
    max_memory : int
        Memory limit for all workers together [byte].
    workers : int
        Number of workers.

    Raises
    ------
    MemoryBudgetError
        If not even one worker with one unit of the target, or one chunk of the source, fits.

    Examples
    --------
    >>> planes_to_columns = Rechunking((64, 64, 64), 4, chunks=(1, 64, 64), units=(64, 8, 8))
    >>> print(plan_rechunk(planes_to_columns, max_memory=2**19, workers=2))
    volume     64 x 64 x 64 voxels, 1.0 MiB
    from       chunks of 1 x 64 x 64
    to         units of 64 x 8 x 8, each written as a whole
    way        2 passes, through a temporary file of 1.0 MiB
    pass 1     8 tiles of 8 x 64 x 64 voxels: reads 1.0 MiB, writes 1.0 MiB
    pass 2     8 tiles of 64 x 8 x 64 voxels: reads 1.0 MiB, writes 1.0 MiB
    moved      4.0 MiB, 4.00 times the volume
    memory     192.0 KiB per worker, 384.0 KiB for 2 workers, of 512.0 KiB allowed
    """
    for n_workers in range(workers, 0, -1):
        search = _Search(problem, max_memory, n_workers)
        ways = [each for each in (search.in_one_pass(), search.in_two_passes()) if each is not None]
        if ways:
            passes = min(ways, key=lambda way: (sum(each.bytes_read + each.bytes_written for each in way), len(way)))
            return RechunkPlan(problem, passes, n_workers, max_memory)
    unit, chunk = problem.clipped(problem.units), problem.clipped(problem.chunks)
    least = min(problem.one_pass(unit).worker_bytes, max(x.worker_bytes for x in problem.two_passes(chunk, unit)))
    raise MemoryBudgetError(
        f"max_memory={format_bytes(max_memory)}: a unit of {times(unit)} voxels of the output, and a chunk of "
        f"{times(chunk)} of the source, need {format_bytes(least)}, for one worker"
    )


@dataclass(frozen=True)
class _Search:
    """Search for the best tiles for a number of workers."""

    problem: Rechunking
    max_memory: int
    workers: int

    def in_one_pass(self) -> tuple[RechunkPass, ...] | None:
        """The best single pass; None if none fits."""
        problem = self.problem
        axes = zip(problem.shape, problem.units, problem.chunks or (1,) * len(problem.shape), strict=True)
        choices = [_worthwhile(*each) for each in axes] or [[]]
        n_units, found = problem.count(problem.clipped(problem.units)), []

        def fits(tile_shape: tuple[int, ...]) -> bool:
            return self._fits(problem.one_pass(tile_shape), n_units)

        for first in product(*choices[:-1]):
            # Lengths are worth their memory: the longest that fits is the one that moves the least.
            n_fitting = bisect_right(choices[-1], 0, key=lambda last: int(not fits((*first, last))))
            tile_shape = (*first, *choices[-1][max(n_fitting - 1, 0) : n_fitting])
            if len(tile_shape) == len(problem.shape) and fits(tile_shape):
                found.append(problem.one_pass(tile_shape))
        if not found:
            return None
        best = min(found, key=lambda each: (each.bytes_read, each.worker_bytes))
        return (problem.one_pass(self._grown(best.tile_shape, fits)),)

    def in_two_passes(self) -> tuple[RechunkPass, ...] | None:
        """The best two passes; None if none fit."""
        problem = self.problem
        first, second = problem.clipped(problem.chunks), problem.clipped(problem.units)
        n_first, n_second = problem.count(first), problem.count(second)

        def fits(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
            filling, emptying = problem.two_passes(one, other)
            return self._fits(filling, n_first) and self._fits(emptying, n_second)

        if not fits(first, second):
            return None
        first = self._grown(first, lambda tile_shape: fits(tile_shape, second))
        return problem.two_passes(first, self._grown(second, lambda tile_shape: fits(first, tile_shape)))

    def _fits(self, one: RechunkPass, n_most: int) -> bool:
        """Whether each worker has memory for a tile, and has a tile if there are enough of the smallest ones."""
        return one.worker_bytes * self.workers <= self.max_memory and one.n_tiles >= min(self.workers, n_most)

    def _grown(self, tile_shape: tuple[int, ...], fits: Callable[[tuple[int, ...]], bool]) -> tuple[int, ...]:
        """Double the lengths of small tiles, the last axis first: no edge is added, so nothing more is moved."""
        problem, grown = self.problem, list(tile_shape)
        for axis in reversed(range(len(grown))):
            while grown[axis] < problem.shape[axis]:
                longer = [*grown[:axis], min(2 * grown[axis], problem.shape[axis]), *grown[axis + 1 :]]
                is_small = math.prod(longer) * problem.itemsize <= _AMPLE_BYTES
                is_many = problem.count(longer) >= _TILES_PER_WORKER * self.workers
                if not (is_small and is_many and fits(tuple(longer))):
                    break
                grown = longer
        return tuple(grown)


def _worthwhile(length: int, unit: int, chunk: int) -> list[int]:
    """Lengths of tiles, made of whole units, that decode less than every shorter one; the shortest first."""
    lengths: list[int] = []
    least = 0
    for step in range(min(unit, max(length, 1)), max(length, 1) + unit, unit):
        decoded = decoded_length(length, min(step, max(length, 1)), chunk)
        if not lengths or decoded < least:
            lengths.append(min(step, max(length, 1)))
            least = decoded
    return lengths
