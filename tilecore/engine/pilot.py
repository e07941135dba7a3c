"""Pilot: a few calls before the run, which measure time and memory of a call, and the plan that follows.

A worker calls the function on blocks of different sizes, at most three times. The first block is small. That call
may have to import modules, so it counts only if it was quick. The second block is as large as a quick function, or
a small part of the run's time, allows. Then a first plan is made, and checked before anything is written or
recorded: the third call works on a tile of that plan, or on the largest block that takes a small part of the run's
time. If no such block is larger than the second, and the first call told nothing, it uses the first block again.
The final plan follows from all calls. If two calls already show clearly that a call takes long whatever the block's
size, and how much memory it needs, there is no third. No result of these calls is kept.

A straight line through the measurements gives a fixed part of every call, and a part for each voxel. In doubt the
fixed part is taken larger: this makes larger tiles, which cost little if that was wrong, while smaller tiles may
cost much. Memory is taken as large as the calls allow. Time that other processes used does not count.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from tilecore.bytesize import parse_bytes
from tilecore.engine.cancelling import Cancel, first_outcomes
from tilecore.engine.findings import TELLING_VOXELS, Findings
from tilecore.engine.measuring import Measurement
from tilecore.errors import MemoryBudgetError
from tilecore.executors.base import Crew
from tilecore.geometry.boxes import Box
from tilecore.geometry.costs import TileCosts, guessed_bytes
from tilecore.geometry.planning import TilePlan, plan_tiles
from tilecore.geometry.sharing import ChunkedSource, Sharing
from tilecore.geometry.tiles import TileGrid
from tilecore.geometry.unit_grid import UnitGrid
from tilecore.machine import available_memory

__all__ = ["PilotTask", "Planner", "try_out"]

_log = logging.getLogger(__name__)

_MOST_CALLS = 3
_FIRST_VOXELS, _LARGEST_VOXELS = 2**9, 2**22
# Smallest growth of a block that tells anything new, and largest growth.
_LEAST_GROWTH, _MOST_GROWTH = 2, 64

# Time up to which a call may be made even in a short run [s]; a longer call must be a small part of the run.
_QUICK_SECONDS = 0.02
_PART_OF_RUN = 1 / 32
# Least time of a voxel [s]; without it the plan would have only as many tiles as workers.
_LEAST_SECONDS = 1e-9
# Largest part of the free memory in which decoded units are kept.
_PART_OF_FREE = 0.75


class PilotTask(NamedTuple):
    """Calls before the run, as a task for a worker.

    Attributes
    ----------
    planner : Planner
        Planner that chooses the blocks.
    """

    planner: Planner

    def run(self, measure: Callable[[Box], Measurement]) -> Findings:
        """Measure the function on a few blocks; `measure` gets their write boxes."""
        calls: list[Measurement] = []
        box: Box | None = self.planner.box(self.planner.first_voxels)
        for _ in range(_MOST_CALLS):
            if box is None:
                break
            try:
                calls.append(self.planner.without_reading(measure(box), box))
                box = self.planner.next_box(calls)
            except Exception:
                larger = self.planner.box(TELLING_VOXELS)
                if calls:  # the known calls are enough, and the run will show whether the error comes again
                    break
                if larger == box:
                    raise
                box = larger  # the function may not accept such small blocks
        return Findings(tuple(calls))


def try_out(crew: Crew, planner: Planner, cancel: Cancel | None = None) -> Findings | None:
    """Measure the function on a few blocks in a worker; None if it fails."""
    crew.submit(PilotTask(planner))
    outcome = next(iter(first_outcomes(crew, cancel)), None)
    findings, reason = (None, None) if outcome is None else (outcome.value, outcome.failure and outcome.failure.reason)
    del outcome  # a failure's exception refers to this frame, as in the task loop
    if not isinstance(findings, Findings):  # the function may not accept blocks of this size: the run will tell
        _log.info("the pilot failed (%s); the plan is a guess", reason)
        return None
    _log.info("pilot: %s", findings)
    return findings


@dataclass(frozen=True)
class Planner:
    """Chooses the tiles of a run, and the blocks of its pilot.

    Attributes
    ----------
    shape, dtype, workers, halo, chunks, units, whole_axes, single_axes
        As for `plan_tiles`, checked.
    budget : int
        Memory limit for all workers together [byte].
    source_bytes : tuple of int
        Size of each source for one voxel of the volume [byte].
    padded : bool
        Whether blocks have their halo beyond the volume's edges, too.
    bytes_per_voxel : float or None
        Memory that the function declares to need for each voxel of a block [byte]; None if it declares nothing.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    budget: int
    workers: int
    halo: tuple[tuple[int, int], ...]
    units: tuple[int, ...]
    chunks: tuple[int, ...] | None = None
    whole_axes: tuple[int, ...] = ()
    single_axes: tuple[int, ...] = ()
    source_bytes: tuple[int, ...] = ()
    padded: bool = False
    bytes_per_voxel: float | None = None

    @classmethod
    def of(
        cls,
        grid: TileGrid,
        sources: Sequence[Any],
        max_memory: int | str | None,
        workers: int,
        chunks: Iterable[int] | None,
        units: tuple[int, ...],
        axes: tuple[tuple[int, ...], tuple[int, ...]],
        *,
        padded: bool = False,
        bytes_per_voxel: float | None = None,
    ) -> Planner:
        """Build the planner from the parts of a run; `axes` holds the whole axes and the single axes."""
        return cls(
            grid.shape,
            np.dtype(sources[0].dtype),
            available_memory() // 2 if max_memory is None else parse_bytes(max_memory, "max_memory"),
            workers,
            grid.halo,
            units,
            None if chunks is None else tuple([int(each) for each in chunks][: grid.ndim]),
            *axes,
            tuple([np.dtype(each.dtype).itemsize * math.prod(each.shape[grid.ndim :]) for each in sources]),
            padded,
            bytes_per_voxel,
        )

    def plan(self, findings: Findings | None = None) -> TilePlan:
        """Choose the tiles; without findings, from guessed costs."""
        return self._plan_for(self._guess if findings is None else self.costs(findings))

    def sharing(
        self,
        grid: TileGrid,
        sources: Sequence[ChunkedSource],
        findings: Findings | None,
        *,
        processes: int,
        by_number: bool,
    ) -> Sharing | None:
        """Plan what the tiles of a grid share of the sources' units; the parameters are those of `Sharing.of`."""
        tile_bytes = self.tile_bytes(grid, findings)
        budget = min(self.budget, int(_PART_OF_FREE * available_memory()))  # a caller may give more than there is
        needs = budget, tile_bytes, self.workers
        return Sharing.of(grid, sources, *needs, processes=processes, by_number=by_number)

    def tile_bytes(self, grid: TileGrid, findings: Findings | None) -> int:
        """Memory that a worker needs for the largest tile of a grid [byte]."""
        costs = self._guess if findings is None else self.costs(findings)
        return math.ceil(costs.needed_bytes(grid.largest_block(clipped=not self.padded)))

    def costs(self, findings: Findings) -> TileCosts:
        """Compute the costs of a tile from the measurements."""
        seconds, seconds_per_voxel = findings.seconds()
        # Voxels that were never written use no memory yet, so a block and a result are the least.
        least = float(sum(self.source_bytes) + sum(self.source_bytes[:1]))
        fixed_bytes, bytes_per_voxel = findings.bytes(least, self._guess.bytes_per_voxel)
        decoding = findings.seconds_per_decoded_voxel
        return TileCosts(
            bytes_per_voxel=bytes_per_voxel if self.bytes_per_voxel is None else self.bytes_per_voxel,
            seconds_per_voxel=max(seconds_per_voxel, _LEAST_SECONDS),
            seconds_per_tile=TileCosts.seconds_per_tile + seconds,
            bytes_per_tile=max(fixed_bytes, self._chunk_bytes),
            seconds_per_decoded_voxel=TileCosts.seconds_per_decoded_voxel if decoding is None else decoding,
        )

    def without_reading(self, call: Measurement, write: Box) -> Measurement:
        """Take reading out of a call's time, if it was that of whole chunks of the source, which is reckoned apart."""
        if self.chunks is None:
            return replace(call, read_seconds=0.0)
        n_decoded = UnitGrid(self.shape, self.chunks, self._one_tile).decoded_voxels(self._read(write))
        return replace(call, seconds=call.seconds - call.read_seconds, n_decoded=n_decoded)

    @property
    def first_voxels(self) -> int:
        """Number of voxels in the first block: few, as the function may be slow."""
        return min(_FIRST_VOXELS, max(math.prod(self.shape) // 64, 64))

    def next_box(self, calls: Sequence[Measurement]) -> Box | None:
        """Write box of the pilot's next call; None if it would tell little, or take long."""
        findings, last = Findings(tuple(calls)), calls[-1]
        costs = self.costs(findings)
        room = (self.budget - costs.bytes_per_tile) / costs.bytes_per_voxel
        quick = last.n_voxels * _QUICK_SECONDS / max(last.seconds + last.read_seconds, 1e-9)
        small = math.prod(self.shape) * _PART_OF_RUN / self.workers
        most = min(max(quick, small), last.n_voxels * _MOST_GROWTH, room)
        boxes = [self.box(2**power) for power in range(_LARGEST_VOXELS.bit_length())]
        again = len(calls) == 1 and room < last.n_voxels  # the memory may have been used by modules
        if len(calls) > 1:
            try:
                plan = self._plan_for(costs)
            except MemoryBudgetError:  # the run will raise this error
                return None
            unclear = findings.memory_is_unclear
            if last.seconds > max(_QUICK_SECONDS, self._run_seconds(findings, plan) * _PART_OF_RUN) and not unclear:
                return None
            boxes.insert(0, plan.grid[plan.grid.size // 2].write)  # before other boxes of its size
            most = min(most, self._n_read(boxes[0]))
            again = unclear or findings.first_tells_nothing
        sizes = {box: size for box in boxes if last.n_voxels * _LEAST_GROWTH <= (size := self._n_read(box)) <= most}
        return max(sizes, key=lambda box: sizes[box], default=self.box(self.first_voxels) if again else None)

    def _run_seconds(self, findings: Findings, plan: TilePlan) -> float:
        """Estimated time of the run [s]; if the first call told nothing, each voxel takes as long as in the second."""
        last = findings.calls[-1]
        if not findings.first_tells_nothing:
            return plan.seconds
        return last.seconds / last.n_voxels * math.prod(self.shape) / plan.workers

    @property
    def _guess(self) -> TileCosts:
        """Costs of a tile before anything is measured."""
        needed = guessed_bytes(self.dtype) if self.bytes_per_voxel is None else self.bytes_per_voxel
        return TileCosts(needed, bytes_per_tile=self._chunk_bytes)

    def _plan_for(self, costs: TileCosts) -> TilePlan:
        return plan_tiles(
            self.shape,
            self.dtype,
            max_memory=self.budget,
            workers=self.workers,
            halo=self.halo,
            chunks=self.chunks,
            write_units=self.units,
            whole_axes=self.whole_axes,
            single_axes=self.single_axes,
            padded=self.padded,
            costs=costs,
        )

    def box(self, n_voxels: int) -> Box:
        """Box of about `n_voxels` voxels in the middle of the volume, with edges between write units."""
        lengths = [1 if axis in self.single_axes else length for axis, length in enumerate(self.shape)]
        free = [axis for axis in range(len(lengths)) if axis not in self.whole_axes]
        while math.prod(lengths) > n_voxels and free:
            longest = max(free, key=lengths.__getitem__)
            if lengths[longest] == 1:
                break
            lengths[longest] = -(-lengths[longest] // 2)
        start, stop = [], []
        for length, unit, whole in zip(lengths, self.units, self.shape, strict=True):
            in_units = min(-(-length // unit) * unit, whole)
            start.append((whole - in_units) // 2 // unit * unit)
            stop.append(start[-1] + in_units)
        return Box(start, stop)

    def check_room(self) -> None:
        """Refuse halos with which not even the block of the smallest tile fits into memory, before one is read.

        Raises
        ------
        MemoryBudgetError
            If it does not.
        """
        least = TileCosts(bytes_per_voxel=float(sum(self.source_bytes)), bytes_per_tile=self._chunk_bytes)
        if least.needed_bytes(self._n_read(self.box(1))) > self.budget:
            self._plan_for(least)

    @property
    def _chunk_bytes(self) -> int:
        """Memory in which a worker decodes a chunk of the volume [byte]."""
        return 0 if self.chunks is None else ChunkedSource(self.shape, self.chunks, self.dtype.itemsize).chunk_bytes

    def _read(self, write: Box) -> Box:
        return self._one_tile.around(write).read

    @property
    def _one_tile(self) -> TileGrid:
        return TileGrid(self.shape, self.shape, self.halo)

    def _n_read(self, write: Box) -> int:
        return write.grown(self.halo).size if self.padded else self._read(write).size
