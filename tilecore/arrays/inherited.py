"""Arrays that forked children inherit: only a number is sent to them."""

from __future__ import annotations

import itertools
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray

__all__ = ["InheritedArray"]

_numbers = itertools.count()
_inherited: WeakValueDictionary[int, InheritedArray] = WeakValueDictionary()


class InheritedArray:
    """An array of any kind for the processes that are forked from this one while the object lives.

    Parameters
    ----------
    array : array_like
        The array to pass on.

    Notes
    -----
    Process-safety: pickles as a number, which only forked children understand. They see the
    voxels as they were at the fork, unless the voxels lie in shared memory or in a file.
    """

    def __init__(self, array: ReadableArray) -> None:
        self.array = array
        self._number = next(_numbers)
        _inherited[self._number] = self

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.ArrayLike:
        return self.array[slices]

    def __reduce__(self) -> tuple[Any, ...]:
        return _find, (self._number,)


def _find(number: int) -> InheritedArray:
    return _inherited[number]
