"""Variables of one dataset, with their labels joined: what one lacks and another has becomes NaN, with a warning."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tilecore.bytesize import format_bytes
from tilecore.errors import ParameterError

if TYPE_CHECKING:
    from pandas import Index
    from xarray import DataArray, Dataset

__all__ = ["LabelsDifferWarning", "joined"]

# Joining may make the variables of a dataset so many times as large, all together.
_MOST = 4

_INSTEAD = "return_dict=True (of open_dataset, open_minian) gives each variable as it is"


class LabelsDifferWarning(UserWarning):
    """Variables have different labels along a dimension; they were joined, and padded with NaN."""


def joined(variables: Mapping[str, DataArray], *, strict: bool = False) -> Dataset:
    """One dataset of several variables, aligned by an outer join of their labels.

    Parameters
    ----------
    variables : mapping of str to DataArray
    strict : bool
        Whether labels that differ are an error.

    Raises
    ------
    ParameterError
        If labels differ and `strict` is true, scalars contradict each other, dimensions without labels have different
        lengths, or padding makes the variables more than four times as large, all together.

    Warns
    -----
    LabelsDifferWarning
        If a variable was padded; it names the variable, the dimension, and the bytes that this adds.
    """
    import xarray

    _check_scalars(variables)
    unions = _unions(variables)
    if unions:
        _tell_of_padding(variables, unions, strict=strict)
    try:
        return xarray.merge(list(variables.values()), compat="no_conflicts", join="outer", combine_attrs="override")
    except ValueError as error:  # xarray's own MergeError and AlignmentError are such, too
        raise ParameterError(f"the variables {', '.join(variables)} cannot be joined: {error}. {_INSTEAD}") from error


def _check_scalars(variables: Mapping[str, DataArray]) -> None:
    seen: dict[Hashable, tuple[str, object]] = {}
    for name, var in variables.items():
        for label, coordinate in var.coords.items():
            if coordinate.ndim:
                continue
            value = coordinate.values[()]
            other, known = seen.setdefault(label, (name, value))
            if known != value and not (_is_nan(known) or _is_nan(value)):
                raise ParameterError(
                    f"{label!r} is {known!s} in the variable {other!r} and {value!s} in {name!r}: they come from "
                    f"different recordings; keep them in different folders. {_INSTEAD}"
                )


def _is_nan(value: object) -> bool:
    return isinstance(value, (float, np.floating)) and math.isnan(value)


def _unions(variables: Mapping[str, DataArray]) -> dict[Hashable, Index]:
    """All labels of each dimension whose labels differ between variables."""
    found: dict[Hashable, list[tuple[str, Index]]] = {}
    for name, var in variables.items():
        for dim, index in var.indexes.items():
            found.setdefault(dim, []).append((name, index))
    unions = {}
    for dim, several in found.items():
        union = several[0][1]
        differs = False
        for name, index in several[1:]:
            if not index.equals(several[0][1]):
                differs = True
                if not (index.is_unique and union.is_unique):
                    raise ParameterError(
                        f"{dim!r} of the variables {several[0][0]!r} and {name!r} has different labels, and some are "
                        f"there twice: they cannot be joined. {_INSTEAD}"
                    )
                union = union.union(index)
        if differs:
            unions[dim] = union
    return unions


def _tell_of_padding(variables: Mapping[str, DataArray], unions: Mapping[Hashable, Index], *, strict: bool) -> None:
    before = after = 0
    lines = []
    for name, var in variables.items():
        before += var.nbytes
        padded = [dim for dim in var.dims if dim in unions and len(unions[dim]) > var.sizes[dim]]
        lengths = [len(unions[dim]) if dim in padded else var.sizes[dim] for dim in var.dims]
        size = math.prod(lengths) * (_padded_itemsize(var.dtype) if padded else var.dtype.itemsize)
        after += size
        lines += [
            f"{name!r} lacks {len(unions[dim]) - var.sizes[dim]} of {len(unions[dim])} labels of {dim!r}"
            for dim in padded
        ]
        if padded:
            lines[-1] += f" (+{format_bytes(size - var.nbytes)})"
    if not lines:  # the same labels in another order
        return
    text = "; ".join(lines)
    if strict:
        raise ParameterError(f"labels differ: {text}. {_INSTEAD}")
    if after > _MOST * before:
        raise ParameterError(
            f"labels differ: {text}. Joined, the variables would take {format_bytes(after)} instead of "
            f"{format_bytes(before)}. {_INSTEAD}"
        )
    # The caller of open_dataset, which calls this by way of joined.
    warnings.warn(f"labels differ, and NaN was put in: {text}. {_INSTEAD}", LabelsDifferWarning, stacklevel=4)


def _padded_itemsize(dtype: np.dtype[np.generic]) -> int:
    """Size of a value in which NaN can stand [byte]: integers become floats, truth values Python's objects."""
    if dtype.kind in "iu":
        return 4 if dtype.itemsize <= 2 else 8
    return 8 if dtype.kind == "b" else dtype.itemsize
