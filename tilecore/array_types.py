"""Types that many rooms share: arrays that are read or written, and what callers may give for them."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from types import EllipsisType
from typing import Any, Protocol, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "ArrayIndex",
    "BoxIndex",
    "DTypesLike",
    "Index",
    "Json",
    "LabelledArray",
    "OneOutput",
    "OneSource",
    "OutputLike",
    "ReadableArray",
    "SharesMemory",
    "SourceLike",
    "WritableArray",
]


class ReadableArray(Protocol):
    """What boxes are read from: an ndarray, a zarr array, a `Source`, a `SharedArray`, or an array of your own."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""
        ...

    def __getitem__(self, slices: tuple[slice, ...], /) -> npt.ArrayLike:
        """Read a box."""
        ...


class LabelledArray(ReadableArray, Protocol):
    """An array of xarray, whose axes have names: a ``DataArray`` or a ``Variable``."""

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """Names of the axes."""
        ...

    @property
    def attrs(self) -> dict[Any, Any]:
        """Attributes by name."""
        ...


class WritableArray(Protocol):
    """What boxes are written into: an ndarray, a zarr array, a `Sink`, a `SharedArray`, or an array of your own."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""
        ...

    def __setitem__(self, slices: tuple[slice, ...], values: npt.NDArray[Any], /) -> None:
        """Write a box."""
        ...


class SharesMemory(Protocol):
    """What has a shared array in it, such as `SharedMemory`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""
        ...

    def shared(self) -> ReadableArray:
        """The shared array."""
        ...


#: One volume: an array, or the path of a file that `open_source` opens.
OneSource: TypeAlias = ReadableArray | SharesMemory | str | os.PathLike[str]
#: What a caller may give as source: one volume, or a list of several.
SourceLike: TypeAlias = OneSource | Sequence[OneSource]
#: One place for results: an array, or the path of a file to be made; None: a new array.
OneOutput: TypeAlias = WritableArray | SharesMemory | str | os.PathLike[str] | None
#: What a caller may give as output: one place for results, or a list of several.
OutputLike: TypeAlias = OneOutput | Sequence[OneOutput]

#: What a caller may write for the dtypes of outputs: one for all, or a list with one for each.
DTypesLike: TypeAlias = npt.DTypeLike | Sequence[npt.DTypeLike | None] | None

#: What cuts a region out of an array, as numpy takes it: integers and slices, one for each axis.
Index: TypeAlias = SupportsIndex | slice | EllipsisType | tuple[SupportsIndex | slice | EllipsisType, ...]
#: What cuts a box out of an array: the result has all its axes.
BoxIndex: TypeAlias = slice | EllipsisType | tuple[slice | EllipsisType, ...]
_OfAxis: TypeAlias = (
    SupportsIndex | slice | EllipsisType | Sequence[int] | npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_] | None
)
#: Everything that numpy takes as index: also arrays of integers, masks, None for a new axis, and names of fields.
ArrayIndex: TypeAlias = _OfAxis | tuple[_OfAxis, ...] | str

#: A value that can be written as JSON.
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
