"""SCOUT's way of sharing: a block of memory that is entered as a transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.arrays.shared import HoldsSharedArray, SharedArray, as_shared_dtype
from tilecore.errors import SharedMemoryError
from tilecore.memory.segments import default_backend

__all__ = ["SharedMemory"]


class SharedMemory(HoldsSharedArray):
    """Shared memory for an array of one shape and dtype, made in the parent and used everywhere.

    Parameters
    ----------
    shape : sequence of int, or int
        [voxel]
    dtype : dtype_like
    backend : {"shm", "memfd", "mmap"}, optional
        Default: ``"shm"``, a file in ``/dev/shm``, on Linux, or ``"memfd"`` where
        ``/dev/shm`` is too small; ``"mmap"``, a memory-mapped temporary file, elsewhere.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype

    Raises
    ------
    SharedMemoryError
        If the memory cannot be had.

    Notes
    -----
    Process-safety: as `SharedArray`. A module-level instance reaches the workers of
    `pmap_chunks` with the function that uses it, under every start method.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.

    Examples
    --------
    >>> memory = SharedMemory((2, 3), np.float32)
    >>> with memory.txn() as array:
    ...     array[...] = 1
    >>> with memory.txn() as array:
    ...     float(array.sum())
    6.0
    """

    def __init__(self, shape: int | Sequence[int], dtype: npt.DTypeLike, *, backend: str | None = None) -> None:
        self._array = _create(shape if isinstance(shape, Iterable) else (shape,), dtype, backend)
        self.shape: tuple[int, ...] = self._array.shape
        self.dtype: np.dtype[Any] = self._array.dtype

    @contextlib.contextmanager
    def txn(self) -> Iterator[npt.NDArray[Any]]:
        """Enter the memory: gives an ndarray of the shape and dtype given at construction."""
        yield self._array.view()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def pathname(self) -> str:
        """A path by which other processes of this user can open the memory; made when asked for."""
        return self._array.segment.path

    def shared(self) -> SharedArray:
        """The same memory as a `SharedArray`."""
        return self._array


def _create(shape: Sequence[int], dtype: npt.DTypeLike, backend: str | None) -> SharedArray:
    if backend is not None:
        return SharedArray(shape, dtype, backend=backend)
    if default_backend() != "memfd":
        return SharedArray(shape, dtype)
    try:
        return SharedArray(shape, as_shared_dtype(dtype), backend="shm")
    except SharedMemoryError:  # /dev/shm is small or missing, as in containers
        return SharedArray(shape, dtype, backend="memfd")
