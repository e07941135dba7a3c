"""Casts of results to the dtypes of the outputs: what an output cannot hold is refused, not changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.errors import TilecoreError
from tilecore.geometry.tiles import Tile

__all__ = ["CastError", "converted"]


class CastError(TilecoreError, ValueError):
    """A result has values that the output's dtype cannot hold."""


def converted(array: npt.NDArray[Any], dtype: np.dtype[Any], inferred: bool, tile: Tile) -> npt.NDArray[Any]:
    """Convert an array to the output's dtype; values that it cannot hold are refused.

    Integers get numbers without the digits after the point, and bool is whether a number is not zero, as in numpy.
    """
    if inferred and array.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise CastError(
            f"{tile}: the result has dtype {array.dtype}, that of another tile has {dtype}; choose with dtype= "
            "the one of the output"
        )
    if array.dtype.kind == "c" and dtype.kind != "c":
        raise CastError(f"{tile}: complex numbers do not fit into dtype {dtype}; take a part of them in the function")
    if array.dtype == dtype or np.can_cast(array.dtype, dtype) or array.size == 0:
        return array.astype(dtype, copy=False)
    if dtype.kind in "iu":
        low, high = array.min(), array.max()  # NaN becomes both minimum and maximum
        if not _are_within(low, high, np.iinfo(dtype)):
            raise CastError(
                f"{tile}: values from {low} to {high} do not fit into dtype {dtype}; clip them in the function "
                "or choose another dtype"
            )
    elif dtype.kind in "SUmM":  # text would be cut off, times rounded
        raise CastError(f"{tile}: values of dtype {array.dtype} do not fit into dtype {dtype}")
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError as error:
        raise CastError(
            f"{tile}: values do not fit into dtype {dtype}, which would make them infinite; scale them in the function "
            "or choose another dtype"
        ) from error


def _are_within(low: Any, high: Any, limits: np.iinfo[Any]) -> bool:
    """Whether integers can hold the part before the point of a least and of a largest number.

    They are compared as integers of Python: a limit that became a float would be rounded.
    """
    if low != low:  # noqa: PLR0124 - NaN, or no time
        return False
    times = (np.datetime64, np.timedelta64)
    try:
        least, largest = (int(each.astype(np.int64) if isinstance(each, times) else each) for each in (low, high))
    except OverflowError:  # infinite
        return False
    return bool(limits.min <= least and largest <= limits.max)
