"""Values as float64 in the same order, also where float64 cannot hold them: filters of scipy compute in float64."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterTypeError

__all__ = ["Numbers", "as_numbers", "ordered"]

#: An array of numbers that have an order.
Numbers: TypeAlias = npt.NDArray[Any]


def as_numbers(array: npt.ArrayLike, parameter: str) -> Numbers:
    """Return an array of bool, whole numbers or real numbers, with one axis at least.

    Raises
    ------
    ParameterTypeError
        If it is none.
    """
    numbers = np.asarray(array)
    if numbers.dtype.kind not in "biuf" or numbers.ndim == 0:
        raise ParameterTypeError.of(parameter, array, "an array of numbers that have an order is needed")
    return numbers


def ordered(numbers: Numbers) -> tuple[npt.NDArray[np.float64], Numbers | None]:
    """Return float64 values in the same order as an array's.

    Parameters
    ----------
    numbers : ndarray
        Numbers without NaN.

    Returns
    -------
    values : ndarray of float64
        The numbers, if float64 holds them all; otherwise the place of each one in `table`.
    table : ndarray or None
        The different numbers, in ascending order; None where `values` are the numbers.
    """
    is_held = numbers.dtype.itemsize < 8 or numbers.dtype == np.float64  # numpy also casts int64, and rounds it
    if is_held:
        return numbers.astype(np.float64), None
    table, places = np.unique(numbers, return_inverse=True)
    return places.reshape(numbers.shape).astype(np.float64), table
