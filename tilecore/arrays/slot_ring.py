"""Ring of shared slots, which carry blocks to workers that cannot reach the array itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.arrays.shared import SharedArray

__all__ = ["SlotArray"]


class SlotArray:
    """Shared slots that each hold one block of an array at a time.

    Parameters
    ----------
    array : array_like
        Array from which the blocks are cut; it stays in the process that made it.
    n_slots : int
        Number of slots.
    slot_voxels : int
        Size of the largest block [voxel].

    Notes
    -----
    Process-safety: pickles as the descriptor of the slots, without the array. The owner
    fills a slot before it submits the task that reads it, and not again before that task
    has ended. Slots are used again and again, because copying into used pages is four
    times faster than into fresh ones.
    """

    def __init__(self, array: ReadableArray, n_slots: int, slot_voxels: int) -> None:
        self.shape, self.dtype = array.shape, np.dtype(array.dtype)
        self.array: ReadableArray | None = array
        self._slots = SharedArray((n_slots, slot_voxels), self.dtype)
        self._view = self._slots.view()

    @property
    def n_slots(self) -> int:
        """Number of slots."""
        return self._slots.shape[0]

    def block(self, slot: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return a slot as a block of the given shape."""
        return self._view[slot, : math.prod(shape)].reshape(shape)

    def fill(self, slot: int, block: npt.NDArray[Any]) -> None:
        """Copy a block into a slot."""
        np.copyto(self.block(slot, block.shape), block)

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (self._slots, self.shape)


def _attach(slots: SharedArray, shape: tuple[int, ...]) -> SlotArray:
    array = SlotArray.__new__(SlotArray)
    array.shape, array.dtype, array.array = shape, slots.dtype, None
    array._slots, array._view = slots, slots.view()
    return array
