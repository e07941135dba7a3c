"""An ordinary array of one process, read and written box by box from others."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.geometry.boxes import Box
from tilecore.memory.remote import Direction, transfer

__all__ = ["RemoteArray"]

# Looking up one more address costs as much as copying this many bytes.
_GAP_BYTES = 2048


class RemoteArray:
    """A plain ndarray that worker processes read and write in place, one box at a time.

    Parameters
    ----------
    array : ndarray
        Kept alive by this object; it must not be resized meanwhile.

    Notes
    -----
    Process-safety: pickles as the array's address. The process that made it must live,
    and `is_reachable_by_workers` must have said that it can be reached.
    A box is copied once, from one address space into the other.
    """

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array: npt.NDArray[Any] | None = array
        self._owner = os.getpid()
        self._set_up(array.shape, array.dtype, array.ctypes.data, array.strides)

    def _set_up(self, shape: tuple[int, ...], dtype: np.dtype[Any], address: int, strides: tuple[int, ...]) -> None:
        self.shape, self.dtype = shape, dtype
        self._address, self._strides = address, strides

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def array(self) -> npt.NDArray[Any] | None:
        """The array itself, in the process that owns it and in its forks."""
        return self._array

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
        if self._array is not None:  # the owner, or a fork of it that inherited the voxels
            return self._array[slices]
        return self._fetch(Box.from_slices(slices))

    def __setitem__(self, slices: tuple[slice, ...], value: npt.NDArray[Any]) -> None:
        if self._array is not None and os.getpid() == self._owner:
            self._array[slices] = value
        else:
            self._deliver(Box.from_slices(slices), value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (self._owner, self.shape, self.dtype, self._address, self._strides)

    def _fetch(self, box: Box) -> npt.NDArray[Any]:
        if box.size == 0:
            return np.empty(box.shape, dtype=self.dtype)
        order = self._memory_order()
        shape = [box.shape[axis] for axis in order]
        strides = [self._strides[axis] for axis in order]
        row_axes, row_bytes = self._row(shape, strides)
        if row_axes == 0 and shape and 0 < strides[-1] <= _GAP_BYTES:
            # Voxels that do not touch (one channel of many): read what lies between them too.
            row_axes, row_bytes = 1, strides[-1] * (shape[-1] - 1) + self.dtype.itemsize
        n_outer = len(shape) - row_axes
        buffer = np.empty((*shape[:n_outer], row_bytes), dtype=np.uint8)
        self._transfer("read", self._spans(box, order[:n_outer], row_bytes), buffer.reshape(-1))
        # The stride of an axis of length 1 may be anything: it is never taken.
        inner = [step if length > 1 else 0 for length, step in zip(shape[n_outer:], strides[n_outer:], strict=True)]
        block = np.ndarray(tuple(shape), self.dtype, buffer=buffer, strides=(*buffer.strides[:-1], *inner))
        return block.transpose(np.argsort(order)) if block.ndim else block

    def _deliver(self, box: Box, value: npt.NDArray[Any]) -> None:
        if box.size == 0:
            return
        order = self._memory_order()
        shape = [box.shape[axis] for axis in order]
        row_axes, row_bytes = self._row(shape, [self._strides[axis] for axis in order])
        data = np.broadcast_to(np.asarray(value, dtype=self.dtype), box.shape).transpose(order)
        buffer = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        self._transfer("write", self._spans(box, order[: len(shape) - row_axes], row_bytes), buffer)

    def _memory_order(self) -> list[int]:
        """Axes from the longest stride to the shortest, as the voxels lie in memory."""
        return sorted(range(self.ndim), key=lambda axis: (-abs(self._strides[axis]), axis))

    def _row(self, shape: list[int], strides: list[int]) -> tuple[int, int]:
        """How many of the last axes lie side by side without a gap, and their length [byte]."""
        n_axes, n_bytes = 0, self.dtype.itemsize
        for length, stride in zip(reversed(shape), reversed(strides), strict=True):
            if length != 1 and stride != n_bytes:
                break
            n_axes, n_bytes = n_axes + 1, n_bytes * length
        return n_axes, n_bytes

    def _spans(self, box: Box, row_order: list[int], n_bytes: int) -> npt.NDArray[np.uint64]:
        """Address and length of each row of a box."""
        first = self._address + sum(start * step for start, step in zip(box.start, self._strides, strict=True))
        addresses = np.array([first], dtype=np.int64)
        for axis in row_order:
            steps = np.arange(box.shape[axis], dtype=np.int64) * self._strides[axis]
            addresses = (addresses[:, None] + steps).reshape(-1)
        spans = np.empty((len(addresses), 2), dtype=np.uint64)
        spans[:, 0] = addresses
        spans[:, 1] = n_bytes
        return spans

    def _transfer(self, direction: Direction, spans: npt.NDArray[np.uint64], buffer: npt.NDArray[np.uint8]) -> None:
        transfer(direction, self._owner, spans, buffer)


def _attach(
    owner: int, shape: tuple[int, ...], dtype: np.dtype[Any], address: int, strides: tuple[int, ...]
) -> RemoteArray:
    remote = RemoteArray.__new__(RemoteArray)
    remote._array, remote._owner = None, owner
    remote._set_up(shape, dtype, address, strides)
    return remote
