"""Shared memory as in SCOUT: a block of memory whose array is got by a ``with`` block."""

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
    """Shared memory for an array of one shape and dtype, created in the parent and used in all processes.

    Parameters
    ----------
    shape : sequence of int, or int
        Length of each axis [voxel]; a single number for one axis.
    dtype : dtype_like
        Data type of the voxels.
    backend : {"shm", "memfd", "mmap"}, optional
        Kind of memory. Default: ``"shm"``, a file in ``/dev/shm``, on Linux, or ``"memfd"`` if
        ``/dev/shm`` is too small; ``"mmap"``, a memory-mapped temporary file, elsewhere.

    Attributes
    ----------
    shape : tuple of int
        Length of each axis [voxel].
    dtype : numpy.dtype
        Data type of the voxels.

    Raises
    ------
    SharedMemoryError
        If the memory cannot be allocated.

    Notes
    -----
    Process-safety: as for `SharedArray`. An instance in a module is sent to the workers of
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
        """Return the memory as an ndarray, inside a ``with`` block."""
        yield self._array.view()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def pathname(self) -> str:
        """Path by which other processes of this user can open the memory; created at the first use."""
        return self._array.segment.path

    def shared(self) -> SharedArray:
        """Return the same memory as a `SharedArray`."""
        return self._array


def _create(shape: Sequence[int], dtype: npt.DTypeLike, backend: str | None) -> SharedArray:
    if backend is not None:
        return SharedArray(shape, dtype, backend=backend)
    if default_backend() != "memfd":
        return SharedArray(shape, dtype)
    try:
        return SharedArray(shape, as_shared_dtype(dtype), backend="shm")
    except SharedMemoryError:  # /dev/shm is too small or missing, for example in containers
        return SharedArray(shape, dtype, backend="memfd")
