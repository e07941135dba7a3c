"""A memory-mapped file as an array, of which a process keeps few pages at a time."""

from __future__ import annotations

import mmap
import operator
import os
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.arrays.remote import contiguous_row
from tilecore.arrays.shipping import file_of

__all__ = ["MappedArray"]

# A map is let go of when it may have become so much larger [byte].
_KEPT_BYTES = 2**25

# Rows as long as a page are written by a call each; shorter ones through the map [byte].
_LONG_ROW = 2**12


class MappedArray:
    """A file's voxels, read and written in place by any number of processes.

    The kernel maps whole pages, and up to two megabytes around a voxel; without care a
    process that works through a file soon has all of it mapped, and one tile of short rows
    may map a hundred times what it needs. That counts as its memory, though it could be had
    back: so pages are let go of again, and large boxes are copied a piece at a time. What was
    written stays in the system's cache until it is on disk.

    Parameters
    ----------
    array : ndarray
        A view of a `numpy.memmap`, whose changes are not private.

    Notes
    -----
    Process-safety: pickles as the file's path, with a pickler that knows how (`Parcel`).
    """

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array = array
        self._n_mapped = 0
        self._descriptor: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels."""
        return self._array.dtype

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
        view = self._array[slices]
        pieces = self._pieces(view)
        if len(pieces) <= 1:
            self._forget(_span(view))
            return view
        block = np.empty_like(view, subok=False)
        for piece in pieces:
            self._forget(_span(view[piece]))
            block[piece] = view[piece]
        return block

    def __setitem__(self, slices: tuple[slice, ...], value: npt.NDArray[Any]) -> None:
        view = self._array[slices]
        n_inner, row_bytes = contiguous_row(view.shape, view.strides, view.itemsize)
        if row_bytes >= _LONG_ROW and hasattr(os, "pwrite"):
            self._write(view, view.ndim - n_inner, value)
            return
        for piece in self._pieces(view):
            self._forget(_span(view[piece]))
            view[piece] = value[piece]

    def _write(self, view: npt.NDArray[Any], n_outer: int, value: npt.NDArray[Any]) -> None:
        """Write long rows as a file is written: new pages come without a page fault for each."""
        data = np.ascontiguousarray(np.broadcast_to(value, view.shape), dtype=view.dtype)
        first, file = self._offset(view), self._file()
        for index in np.ndindex(view.shape[:n_outer]):
            offset = first + sum(map(operator.mul, index, view.strides))
            rest = data[index].reshape(-1).view(np.uint8).data
            while rest:
                n_written = os.pwrite(file, rest, offset)
                rest, offset = rest[n_written:], offset + n_written

    def _offset(self, view: npt.NDArray[Any]) -> int:
        """Where a view begins in the file [byte]."""
        root = self._array
        while isinstance(root.base, np.ndarray):
            root = root.base
        assert isinstance(root, np.memmap)
        return int(root.offset) + view.ctypes.data - root.ctypes.data

    def _file(self) -> int:
        """The open file; closed with this object."""
        if self._descriptor is None:
            path = file_of(self._array)
            assert path is not None
            self._descriptor = os.open(path, os.O_WRONLY)
            weakref.finalize(self, os.close, self._descriptor)
        return self._descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedArray, (self._array,)

    def _pieces(self, view: npt.NDArray[Any]) -> list[tuple[slice, ...]]:
        """Cut a box along the axis of the longest stride, so that each piece spans few pages."""
        span = _span(view)
        if span <= _KEPT_BYTES or view.ndim == 0:
            return [()]
        axis = max(range(view.ndim), key=lambda each: abs(view.strides[each]))
        length = view.shape[axis]
        step = max(1, length * _KEPT_BYTES // span)
        return [(slice(None),) * axis + (slice(first, first + step),) for first in range(0, length, step)]

    def _forget(self, n_bytes: int) -> None:
        """Let go of the pages mapped so far, if `n_bytes` more would be too many."""
        self._n_mapped += n_bytes
        if self._n_mapped > _KEPT_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._n_mapped = n_bytes
            self._map().madvise(mmap.MADV_DONTNEED)

    def _map(self) -> mmap.mmap:
        base: Any = self._array
        while isinstance(base, np.ndarray):
            base = base.base
        found: mmap.mmap = base
        return found


def _span(view: npt.NDArray[Any]) -> int:
    """From a box's first byte to its last one [byte]."""
    if view.size == 0:
        return 0
    span: int = view.itemsize
    for length, stride in zip(view.shape, view.strides, strict=True):
        span += (length - 1) * abs(stride)
    return span
