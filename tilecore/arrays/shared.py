"""Arrays in memory that processes share."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ArrayIndex, BoxIndex
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.geometry.per_axis import as_shape
from tilecore.memory.segments import Access, Mapping, Segment

__all__ = ["SharedArray", "as_shared_dtype"]

# Size of a piece that stays in the processor's cache between gathering and writing [byte].
_SLAB_BYTES = 2**21


class SharedArray:
    """An array in shared memory, which is sent to other processes as a small descriptor.

    Parameters
    ----------
    shape : sequence of int
        Length of each axis [voxel]; axes may be empty.
    dtype : dtype_like
        Any dtype of fixed size; not ``object``.
    backend : {"memfd", "shm", "mmap"}, optional
        Kind of memory, see `Segment`; default: the best one that this system has.
    reserve : bool
        Whether to allocate the memory now; use False only if `fill` is called before anything else.

    Raises
    ------
    SharedMemoryError
        If the memory cannot be allocated.
    ParameterTypeError
        If the dtype holds Python objects.

    Notes
    -----
    Process-safety: pickles as a descriptor, in the arguments or the initializer of a
    worker process of any start method, and for any process of this user while this one
    lives. All processes see the same voxels; they must agree on who writes which.
    Nothing is left behind: the memory is freed when the last process that uses it ends.
    Views stay valid after `close`; the memory is freed when the last of them is deleted.

    Examples
    --------
    >>> with SharedArray.from_array(np.arange(6).reshape(2, 3)) as shared:
    ...     int(shared.view()[1].sum())
    12
    """

    def __init__(
        self, shape: Sequence[int], dtype: npt.DTypeLike, *, backend: str | None = None, reserve: bool = True
    ) -> None:
        kind = as_shared_dtype(dtype)
        # A dtype such as (float, 3) adds axes; spelling them out keeps shape and dtype true.
        self.shape: tuple[int, ...] = as_shape(shape) + kind.shape
        self.dtype: np.dtype[Any] = kind.base
        self._segment: Segment | None = Segment(self.nbytes, backend, reserve=reserve)
        self._views: dict[Access, npt.NDArray[Any]] = {}
        self._readonly = False

    @classmethod
    def create(cls, shape: Sequence[int], dtype: npt.DTypeLike, *, backend: str | None = None) -> Self:
        """Create an array of zeros; the parameters are those of the class."""
        return cls(shape, dtype, backend=backend)

    @classmethod
    def from_array(cls, array: npt.ArrayLike, *, backend: str | None = None) -> Self:
        """Copy an array into shared memory, once.

        Parameters
        ----------
        array : array_like
            Array of any layout; the shared array is in C order.
        backend : {"memfd", "shm", "mmap"}, optional
            As for the class.
        """
        source = np.asarray(array)
        shared = cls(source.shape, source.dtype, backend=backend, reserve=False)
        shared.fill(source)
        return shared

    def fill(self, array: npt.ArrayLike) -> None:
        """Copy an array of the same shape and dtype into the shared array; fastest before it is used."""
        source = np.asarray(array)
        if (source.shape, source.dtype) != (self.shape, self.dtype):
            raise ParameterError.of("array", (source.shape, source.dtype), f"{self.shape} of {self.dtype} is needed")
        if self.nbytes == 0:
            return
        if source.flags.c_contiguous:
            self.segment.fill([_as_bytes(source)])
            return
        rows = max(1, _SLAB_BYTES * len(source) // self.nbytes)
        offset = 0
        for first in range(0, len(source), rows):
            offset = self.segment.fill([_as_bytes(np.ascontiguousarray(source[first : first + rows]))], offset)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the voxels [byte]."""
        return self.size * self.dtype.itemsize

    @property
    def segment(self) -> Segment:
        """Segment that holds the bytes."""
        if self._segment is None:
            raise ValueError("the shared array is closed; use it before close(), or inside its 'with' block")
        return self._segment

    def view(self, *, readonly: bool = False) -> npt.NDArray[Any]:
        """Return the shared voxels as an ndarray.

        Parameters
        ----------
        readonly : bool
            Whether the view is read-only; it cannot be made writable again.
        """
        access: Access = "read" if readonly or self._readonly else "write"
        if access not in self._views:
            self._views[access] = self._over(self.segment.map(access))
        return self._views[access]

    def private_view(self) -> npt.NDArray[Any]:
        """Return the voxels as an ndarray whose changes stay in that ndarray."""
        return self._over(self.segment.map("private"))

    def readonly(self) -> SharedArray:
        """Return a descriptor of the same voxels that gives read-only views, here and in other processes."""
        return _attach(self.segment, self.shape, self.dtype, True)

    def close(self) -> None:
        """Release the memory; it is freed once no view and no other process uses it."""
        self._views = {}
        self._segment = None

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.view(), dtype=dtype, copy=copy)

    @overload
    def __getitem__(self, index: BoxIndex) -> npt.NDArray[Any]: ...
    @overload
    def __getitem__(self, index: ArrayIndex) -> Any: ...
    def __getitem__(self, index: ArrayIndex) -> Any:
        return self.view()[index]

    def __setitem__(self, index: ArrayIndex, value: npt.ArrayLike) -> None:
        self.view()[index] = value

    def __len__(self) -> int:
        return len(self.view())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (self.segment, self.shape, self.dtype, self._readonly)

    def __repr__(self) -> str:
        state = "closed" if self._segment is None else self._segment.backend
        return f"SharedArray(shape={self.shape}, dtype={self.dtype}, {state})"

    def _over(self, buffer: Mapping) -> npt.NDArray[Any]:
        return np.ndarray(self.shape, self.dtype, buffer=buffer)


def as_shared_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Accept a dtype whose voxels are plain bytes: processes can share nothing else."""
    kind = np.dtype(dtype)
    if kind.hasobject:
        raise ParameterTypeError.of("dtype", kind, "Python objects cannot be shared; use numbers or fixed-size text")
    return kind


def _as_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return a C-contiguous array as bytes, also if its dtype has no buffer format (datetime64)."""
    return array.reshape(-1).view(np.uint8) if array.dtype.itemsize else np.empty(0, dtype=np.uint8)


def _attach(segment: Segment, shape: tuple[int, ...], dtype: np.dtype[Any], readonly: bool) -> SharedArray:
    shared = SharedArray.__new__(SharedArray)
    shared.shape, shared.dtype = shape, dtype
    shared._segment, shared._views, shared._readonly = segment, {}, readonly
    return shared


class HoldsSharedArray(abc.ABC):
    """Base class of objects that hold a `SharedArray`; modules of lower layers recognize them by it."""

    @abc.abstractmethod
    def shared(self) -> SharedArray:
        """The shared array."""
