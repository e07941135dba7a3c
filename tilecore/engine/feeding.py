"""Feeding: blocks of plain arrays, put where workers that cannot reach those arrays find them."""

from __future__ import annotations

import math
from collections.abc import Callable

from tilecore.arrays.slots import SlotArray
from tilecore.engine.jobs import TileJob, TileTask
from tilecore.geometry.tiles import TileGrid

__all__ = ["Feeder"]


class Feeder:
    """Puts blocks into slots before their tasks are handed out, as long as there are free ones.

    Parameters
    ----------
    job : TileJob
    stranded : list of int
        Numbers of the sources that workers cannot reach.
    prepare : callable
        Whether a task may be started yet: gives the task, or None.
    n_slots : int

    Attributes
    ----------
    sources : tuple of array_like
        The job's, with slots in place of those.
    """

    def __init__(
        self, job: TileJob, stranded: list[int], prepare: Callable[[TileTask], TileTask | None], n_slots: int
    ) -> None:
        self._job, self._prepare = job, prepare
        self._arrays = [job.sources[number] for number in stranded]
        slot_voxels = _largest_block(job.grid, clipped=job.boundary is None)
        self._slots = [SlotArray(array, n_slots, slot_voxels * job.extra_voxels(array)) for array in self._arrays]
        by_number = dict(zip(stranded, self._slots, strict=True))
        self.sources = tuple([by_number.get(number, each) for number, each in enumerate(job.sources)])
        self._free = list(range(n_slots))

    def prepare(self, task: TileTask) -> TileTask | None:
        """Fill a slot with a task's blocks; None if none is free yet."""
        if not self._free or self._prepare(task) is None:
            return None
        slot = self._free.pop()
        tile = task.tile(self._job.grid)
        for array, slots in zip(self._arrays, self._slots, strict=True):
            slots.fill(slot, self._job.read(array, tile))
        return task._replace(slot=slot)

    def finish(self, task: TileTask) -> TileTask:
        """Take back the slot of a task that has ended, well or not."""
        self._free.append(task.slot)
        return task._replace(slot=-1)


def _largest_block(grid: TileGrid, *, clipped: bool) -> int:
    lengths = []
    for step, whole, (before, after) in zip(grid.tile_shape, grid.shape, grid.halo, strict=True):
        length = min(step, whole) + before + after
        lengths.append(min(length, whole) if clipped else length)
    return math.prod(lengths)
