"""A memory-mapped file as an array that keeps only few pages in a process's memory."""

from __future__ import annotations

import mmap
import operator
import os
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.arrays.bases import mapped_file, root_map
from tilecore.arrays.remote import contiguous_row
from tilecore.errors import UnreadableFileError

__all__ = ["MappedArray"]

# Mapped bytes after which pages are released [byte].
_KEPT_BYTES = 2**25

# Shortest rows that are written, and read, by a call each instead of through the map [byte].
_LONG_ROW, _LONG_READ = 2**12, 2**16


class MappedArray:
    """Voxels of a file that any number of processes read and write in place.

    The kernel maps whole pages, up to two megabytes around a voxel. Without care, a process
    that works through a file soon has all of it mapped, and one tile of short rows may map a
    hundred times what it needs. This counts as the process's memory, although the system could
    take it back. So pages are released again, and large boxes are copied piece by piece.
    Written voxels stay in the system's cache until they are on disk.

    Parameters
    ----------
    array : ndarray
        View of a `numpy.memmap` whose changes are not private.
    copies : bool
        Whether boxes are copies instead of views. If a file is cut off while somebody reads a
        view of it, the process ends; the caller's own process should therefore use copies.

    Raises
    ------
    UnreadableFileError
        If the file has been replaced since it was mapped; also on reading or writing, if the
        file has been cut off.

    Notes
    -----
    Process-safety: pickles as the file's path, with a pickler that can do so (`Parcel`).
    """

    def __init__(self, array: npt.NDArray[Any], *, copies: bool = False) -> None:
        self._array, self._copies = array, copies
        self._n_mapped = 0
        file = mapped_file(array)
        if file is None:
            raise UnreadableFileError("the mapped file was replaced or removed after it was mapped; open it again")
        self._path, self._size = file.path, file.size
        self._descriptor = os.open(file.path, os.O_RDWR if array.flags.writeable else os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""
        return self._array.dtype

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
        if self._copies:
            return self.copy_of(slices)
        self._check_size()
        view = self._array[slices]
        pieces = self._pieces(view)
        if len(pieces) <= 1:
            self._forget(_span(view))
            return view
        return self._copied(view, pieces)

    def copy_of(self, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read a box as an array of its own; long rows by calls on the file, which cost no page faults."""
        self._check_size()
        view = self._array[slices]
        n_outer = self._long_rows(view, _LONG_READ)
        if n_outer is None:
            return self._copied(view, self._pieces(view))
        block = np.empty(view.shape, view.dtype)
        self._transfer(view, n_outer, block, os.preadv)
        return block

    def _copied(self, view: npt.NDArray[Any], pieces: list[tuple[slice, ...]]) -> npt.NDArray[Any]:
        block = np.empty_like(view, subok=False)
        for piece in pieces:
            self._forget(_span(view[piece]))
            block[piece] = view[piece]
        return block

    def __setitem__(self, slices: tuple[slice, ...], value: npt.NDArray[Any]) -> None:
        self._check_size()
        view = self._array[slices]
        if (n_outer := self._long_rows(view, _LONG_ROW)) is not None:
            data = np.ascontiguousarray(np.broadcast_to(value, view.shape), dtype=view.dtype)
            self._transfer(view, n_outer, data, os.pwritev)
            return
        for piece in self._pieces(view):
            self._forget(_span(view[piece]))
            view[piece] = value[piece]

    def _check_size(self) -> None:
        if os.fstat(self._descriptor).st_size < self._size:
            raise UnreadableFileError(f"{self._path} was cut off while it was in use")

    def _long_rows(self, view: npt.NDArray[Any], least: int) -> int | None:
        """Number of axes outside the rows of a box if its rows are long; None otherwise."""
        n_inner, row_bytes = contiguous_row(view.shape, view.strides, view.itemsize)
        return view.ndim - n_inner if row_bytes >= least and view.size and hasattr(os, "preadv") else None

    def _transfer(
        self,
        view: npt.NDArray[Any],
        n_outer: int,
        data: npt.NDArray[Any],
        call: Callable[[int, list[memoryview], int], int],
    ) -> None:
        """Read or write long rows by calls on the file: new pages then come without a page fault for each."""
        first = self._offset(view)
        for index in np.ndindex(view.shape[:n_outer]):
            offset = first + sum(map(operator.mul, index, view.strides))
            rest = data[index].reshape(-1).view(np.uint8).data
            while rest:
                n_bytes = call(self._descriptor, [rest], offset)
                if n_bytes == 0:
                    raise UnreadableFileError(f"{self._path} was cut off while it was read")
                rest, offset = rest[n_bytes:], offset + n_bytes

    def _offset(self, view: npt.NDArray[Any]) -> int:
        """Position in the file where a view begins [byte]."""
        root = root_map(self._array)
        assert root is not None
        return int(root.offset) + view.ctypes.data - root.ctypes.data

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedArray, (self._array,)  # no copies: a file that is cut off ends the worker only

    def _pieces(self, view: npt.NDArray[Any]) -> list[tuple[slice, ...]]:
        """Cut a box along the axis with the longest stride, so that each piece spans few pages."""
        span = _span(view)
        if span <= _KEPT_BYTES or view.ndim == 0:
            return [()]
        axis = max(range(view.ndim), key=lambda each: abs(view.strides[each]))
        length = view.shape[axis]
        step = max(1, length * _KEPT_BYTES // span)
        return [(slice(None),) * axis + (slice(first, first + step),) for first in range(0, length, step)]

    def _forget(self, n_bytes: int) -> None:
        """Release the pages mapped so far if `n_bytes` more would be too many."""
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
    """Distance from a box's first byte to its last one [byte]."""
    if view.size == 0:
        return 0
    span: int = view.itemsize
    for length, stride in zip(view.shape, view.strides, strict=True):
        span += (length - 1) * abs(stride)
    return span
