"""Feeder of slots: reads blocks of arrays for workers that cannot reach these arrays."""

from __future__ import annotations

from tilecore.array_types import ReadableArray
from tilecore.arrays.slot_ring import SlotArray
from tilecore.engine.inputs import extra_voxels
from tilecore.engine.jobs import TileJob
from tilecore.engine.tile_tasks import TileTask
from tilecore.geometry.tiles import TileGrid

__all__ = ["Feeder"]


class Feeder:
    """Copies blocks into free slots before their tasks are submitted.

    Parameters
    ----------
    job : TileJob
        Job that reads blocks.
    grid : TileGrid
        Tiles of the run.
    stranded : dict of array_like
        Sources that workers cannot reach, by their numbers.
    n_slots : int
        Number of slots.

    Attributes
    ----------
    slots : dict of SlotArray
        Slots that replace the sources, by the same numbers.
    """

    def __init__(
        self,
        job: TileJob,
        grid: TileGrid,
        stranded: dict[int, ReadableArray],
        n_slots: int,
    ) -> None:
        self._job, self._grid, self._arrays = job, grid, stranded
        largest = grid.largest_block(clipped=job.boundary is None)
        self.slots = {
            number: SlotArray(array, n_slots, largest * extra_voxels(array, grid.ndim))
            for number, array in stranded.items()
        }
        self._free = list(range(n_slots))

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return bool(self._free)

    def fill(self, task: TileTask) -> TileTask:
        """Copy a task's blocks into a free slot, and return the task with its slot."""
        tile = task.tile(self._grid)
        for number, array in self._arrays.items():
            self.slots[number].fill(self._free[-1], self._job.read(array, tile))
        return task._replace(slot=self._free.pop())

    def empty(self, task: TileTask) -> TileTask:
        """Free the slot of a task that has ended, successfully or not."""
        self._free.append(task.slot)
        return task._replace(slot=-1)
