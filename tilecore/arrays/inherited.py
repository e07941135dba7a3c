"""Arrays that forks of this process inherit: nothing is sent but a number."""

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
    """An array of any kind, for processes that are forked from this one while it lives.

    Parameters
    ----------
    array : array_like

    Notes
    -----
    Process-safety: pickles as a number, which means something only in forks. They see the
    voxels as they were when they were forked, unless these lie in shared memory or in a file.
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
        """Kind of number."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.ArrayLike:
        return self.array[slices]

    def __reduce__(self) -> tuple[Any, ...]:
        return _find, (self._number,)


def _find(number: int) -> InheritedArray:
    return _inherited[number]
