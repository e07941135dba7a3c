"""Blocks of a variable, and which of them can be written as chunks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tilecore.errors import ParameterTypeError

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["block_shape", "fits", "in_equal_blocks", "labelled"]


def labelled(given: DataArray, parameter: str) -> DataArray:
    """Refuse what is not a labelled array.

    Raises
    ------
    ParameterTypeError
        If it is so.
    """
    xarray = sys.modules.get("xarray")  # which has been imported where there is an array of it
    if xarray is None or not isinstance(given, xarray.DataArray):
        raise ParameterTypeError.of(parameter, given, "an array of xarray is needed: xarray.DataArray")
    array: DataArray = given
    return array


def in_equal_blocks(var: DataArray) -> DataArray:
    """The variable as dask blocks that are all of one shape, but for the last ones: those that zarr can have.

    Blocks of different lengths become as long as the longest. What is in memory is cut as dask thinks best.
    """
    wanted: Any = "auto" if var.dtype.kind in "biufcmM" else -1
    if var.chunks is not None:
        lengths = block_shape(var)
        if all(set(chunks[:-1]) <= {length} for chunks, length in zip(var.chunks, lengths, strict=True)):
            return var
        wanted = dict(zip(var.dims, lengths, strict=True))
    return var.copy(data=var.variable.chunk(wanted).data)  # coordinates stay in memory


def block_shape(var: DataArray) -> tuple[int, ...]:
    """Shape of the largest block, at least 1 along each dimension."""
    return tuple([max(1, *chunks) for chunks in var.chunks or ()])


def fits(blocks: Sequence[int], units: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether each block is made of whole units, so that no two blocks write the same one."""
    return all(block >= length or block % unit == 0 for block, unit, length in zip(blocks, units, shape, strict=True))
