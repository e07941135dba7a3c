"""Decoded units of a source in memory that all workers share: how a worker fills it, and reads blocks from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.arrays.padding import read_box_into
from tilecore.arrays.shared import SharedArray
from tilecore.geometry.boxes import Box
from tilecore.geometry.retention import Place
from tilecore.geometry.unit_grid import Spans, UnitGrid

__all__ = ["SharedUnits"]


class SharedUnits:
    """A source, and shared memory in which some of its units lie decoded.

    Parameters
    ----------
    source : array_like
        The source in the form in which workers read it.
    units : UnitGrid
        Its units.
    axis : int
        Axis along which only a part of a unit may be there.
    memory : SharedArray
        Bytes in which units lie.

    Notes
    -----
    Process-safety: pickles as descriptors. Only the process that made it decides what lies where, and writes that down
    in a table that all processes see. It changes no line of the table, and uses no memory again, as long as a task
    that it has given out may read them. So no lock is needed, and none can be left locked.
    """

    def __init__(self, source: ReadableArray, units: UnitGrid, axis: int, memory: SharedArray) -> None:
        self.shape, self.dtype = tuple(source.shape), np.dtype(source.dtype)
        self._source, self._units, self._axis, self._memory = source, units, axis, memory
        # A line for each unit: offset [byte], first voxel and the voxel after the last one along the axis.
        self._table = SharedArray((units.size, 3), np.int64, reserve=False)

    def close(self) -> None:
        """Free the memory, as far as this process is concerned."""
        self._memory.close()
        self._table.close()

    def place(self, number: int, place: Place) -> None:
        """Write down where a unit lies."""
        self._table[number] = (place.offset, place.box.start[self._axis], place.box.stop[self._axis])

    def move(self, old: Place, new: Place) -> None:
        """Copy a part of a unit from one place to another."""
        within = new.box.relative_to(old.box.start).slices
        self._voxels(new.offset, _spans(new.box))[...] = self._voxels(old.offset, _spans(old.box))[within]

    def decode(self, numbers: Iterable[int]) -> None:
        """Decode units into their places."""
        for number in numbers:
            offset, held = self._line(number, _spans(self._units.box(self._units.index(number))))
            read_box_into(self._source, _box(held), self._voxels(offset, held))

    def expect(self, read: Box, mask: int) -> None:
        """Tell the system that units are read soon: of those that a tile reads, the ones of a mask."""
        if (expect := getattr(self._source, "expect", None)) is not None:
            for bit, number in enumerate(self._units.touched(read)):
                if mask >> bit & 1:
                    expect(self._units.box(self._units.index(number)))

    def through(self, read: Box, mask: int) -> _Sharer | ReadableArray:
        """The source for one task, which takes some of the units that it reads from memory.

        Parameters
        ----------
        read : Box
            Read box of the task's tile.
        mask : int
            A bit for each unit that the tile reads, from the lowest on: whether it is taken from memory.
        """
        if not mask:
            return self._source
        numbers = self._units.touched(read)
        return _Sharer(self, {number for bit, number in enumerate(numbers) if mask >> bit & 1})

    def read(self, box: Box, there: set[int]) -> npt.NDArray[Any]:
        """Read a box; units that are `there` come from memory."""
        block = np.empty(box.shape, self.dtype)
        for number, unit, wanted in self._units.parts(box):
            part = block[tuple([slice(low - at, high - at) for (low, high), at in zip(wanted, box.start, strict=True)])]
            if number not in there or not self._copy(number, unit, wanted, part):
                read_box_into(self._source, _box(wanted), part)
        return block

    def _copy(self, number: int, unit: Spans, wanted: Spans, part: npt.NDArray[Any]) -> bool:
        """Copy the wanted voxels of a unit from memory; False if it does not hold all of them."""
        offset, held = self._line(number, unit)
        first, stop = held[self._axis]
        if first > wanted[self._axis][0] or stop < wanted[self._axis][1]:
            return False
        spans = zip(wanted, held, strict=True)
        within = tuple([slice(low - start, high - start) for (low, high), (start, _) in spans])
        part[...] = self._voxels(offset, held)[within]
        return True

    def _line(self, number: int, unit: Spans) -> tuple[int, Spans]:
        """Where a unit lies [byte], and which of its voxels do."""
        offset, first, stop = self._table[number].tolist()
        return offset, (*unit[: self._axis], (first, stop), *unit[self._axis + 1 :])

    def _voxels(self, offset: int, held: Spans) -> npt.NDArray[Any]:
        return np.ndarray([stop - first for first, stop in held], self.dtype, self._memory.view(), offset)


def _spans(box: Box) -> Spans:
    return tuple(zip(box.start, box.stop, strict=True))


def _box(spans: Spans) -> Box:
    start, stop = zip(*spans, strict=True)
    return Box.trusted(start, stop)


class _Sharer:
    """A source of which a task takes some units from memory."""

    def __init__(self, units: SharedUnits, there: set[int]) -> None:
        self.shape, self.dtype = units.shape, units.dtype
        self._units, self._there = units, there

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
        return self._units.read(Box.from_slices(slices), self._there)
