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
    """Convert an array to the output's dtype; values that it cannot hold are refused."""
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
        limits = np.iinfo(dtype)
        low, high = array.min(), array.max()  # NaN becomes both minimum and maximum, and fails both comparisons
        if not (low > limits.min - 1 and high < limits.max + 1):
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
