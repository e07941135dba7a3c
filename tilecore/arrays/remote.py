"""An ordinary array of one process that other processes read and write box by box."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.memory.process_memory import transfer

__all__ = ["RemoteArray", "contiguous_row"]

# Gap that is copied as well, because looking up one more address costs as much [byte].
_GAP_BYTES = 2048


class RemoteArray:
    """A plain ndarray that worker processes read and write in place, one box at a time.

    Parameters
    ----------
    array : ndarray
        The array, kept alive by this object; it must not be resized meanwhile.

    Notes
    -----
    Process-safety: pickles as the array's address. The process that made it must live, and
    `is_reachable_by_workers` must have returned True.
    Each box is copied once, from one address space into the other.
    """

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array: npt.NDArray[Any] | None = array
        self._owner = os.getpid()
        self._set_up(array.shape, array.dtype, array.ctypes.data, array.strides)

    def _set_up(self, shape: tuple[int, ...], dtype: np.dtype[Any], address: int, strides: tuple[int, ...]) -> None:
        self.shape, self.dtype = shape, dtype
        self._address, self._strides = address, strides
        self._last: tuple[tuple[tuple[int, ...], bool], _Rows] | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def array(self) -> npt.NDArray[Any] | None:
        """The array itself, in the process that owns it and in its forked children; None elsewhere."""
        return self._array

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
        if self._array is not None:  # the owner, or a forked child that inherited the voxels
            return self._array[slices]
        return self._fetch(*_start_and_shape(slices))

    def __setitem__(self, slices: tuple[slice, ...], value: npt.NDArray[Any]) -> None:
        if self._array is not None and os.getpid() == self._owner:
            self._array[slices] = value
        else:
            self._deliver(*_start_and_shape(slices), value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (self._owner, self.shape, self.dtype, self._address, self._strides)

    def _fetch(self, start: tuple[int, ...], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        if 0 in shape:
            return np.empty(shape, dtype=self.dtype)
        rows = self._rows(shape, spread=True)
        buffer = np.empty(rows.n_bytes, dtype=np.uint8)
        transfer("read", self._owner, self._spans(start, rows), buffer)
        return np.ndarray(shape, self.dtype, buffer=buffer, strides=rows.strides)

    def _deliver(self, start: tuple[int, ...], shape: tuple[int, ...], value: npt.NDArray[Any]) -> None:
        if 0 in shape:
            return
        rows = self._rows(shape, spread=False)
        data = np.asarray(value, dtype=self.dtype)
        if data.shape != shape:
            data = np.broadcast_to(data, shape)
        buffer = np.ascontiguousarray(data.transpose(rows.order)).reshape(-1).view(np.uint8)
        transfer("write", self._owner, self._spans(start, rows), buffer)

    def _spans(self, start: tuple[int, ...], rows: _Rows) -> npt.NDArray[np.uint64]:
        """Address and length of each row of a box, as an array of shape (n_rows, 2) [byte]."""
        first = self._address + sum(map(operator.mul, start, self._strides))
        spans = np.empty((len(rows.offsets), 2), dtype=np.uint64)
        spans[:, 0] = rows.offsets + first
        spans[:, 1] = rows.row_bytes
        return spans

    def _rows(self, shape: tuple[int, ...], *, spread: bool) -> _Rows:
        """Rows of a box of a given shape; the last result is kept, as most tiles have the same shape."""
        key = (shape, spread)
        if self._last is None or self._last[0] != key:
            self._last = (key, _Rows.of(shape, self._strides, self.dtype.itemsize, spread=spread))
        return self._last[1]


@dataclass(frozen=True)
class _Rows:
    """Layout of boxes of one shape in memory, as rows of contiguous bytes.

    Attributes
    ----------
    order : tuple of int
        Axes in order of their strides, the longest first.
    offsets : ndarray of int
        Position of each row, counted from the box's first voxel [byte].
    row_bytes : int
        Length of a row [byte].
    strides : tuple of int
        Strides of the box once its rows lie one after the other [byte].
    """

    order: tuple[int, ...]
    offsets: npt.NDArray[np.int64]
    row_bytes: int
    strides: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Total length of all rows [byte]."""
        return len(self.offsets) * self.row_bytes

    @classmethod
    def of(cls, shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, *, spread: bool) -> _Rows:
        """Find the rows. With `spread`, rows may hold gaps between voxels, such as other channels."""
        order = tuple(sorted(range(len(shape)), key=lambda axis: (-abs(strides[axis]), axis)))
        lengths, steps = [shape[axis] for axis in order], [strides[axis] for axis in order]
        n_inner, row_bytes = contiguous_row(lengths, steps, itemsize)
        if spread and n_inner == 0 and lengths and 0 < steps[-1] <= _GAP_BYTES:
            n_inner, row_bytes = 1, steps[-1] * (lengths[-1] - 1) + itemsize
        n_outer = len(lengths) - n_inner
        offsets = np.zeros(1, dtype=np.int64)
        for length, step in zip(lengths[:n_outer], steps[:n_outer], strict=True):
            offsets = (offsets[:, None] + np.arange(length, dtype=np.int64) * step).reshape(-1)
        # The stride of an axis of length 1 may be anything: it is never taken.
        inner = [step if length > 1 else 0 for length, step in zip(lengths[n_outer:], steps[n_outer:], strict=True)]
        outer = [row_bytes * math.prod(lengths[axis + 1 : n_outer]) for axis in range(n_outer)]
        by_axis = dict(zip(order, [*outer, *inner], strict=True))
        return cls(order, offsets, row_bytes, tuple([by_axis[axis] for axis in range(len(shape))]))


def _start_and_shape(slices: tuple[slice, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Start and shape of a box given by slices that have both ends inside the array."""
    return tuple([each.start for each in slices]), tuple([each.stop - each.start for each in slices])


def contiguous_row(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> tuple[int, int]:
    """Number of last axes that are contiguous in memory, and their length [byte]."""
    n_axes, n_bytes = 0, itemsize
    for length, step in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and step != n_bytes:
            break
        n_axes, n_bytes = n_axes + 1, n_bytes * length
    return n_axes, n_bytes


def _attach(
    owner: int, shape: tuple[int, ...], dtype: np.dtype[Any], address: int, strides: tuple[int, ...]
) -> RemoteArray:
    remote = RemoteArray.__new__(RemoteArray)
    remote._array, remote._owner = None, owner
    remote._set_up(shape, dtype, address, strides)
    return remote
