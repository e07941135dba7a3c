"""Integers per axis, in the forms that callers may give for a shape, a tile shape or a halo."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError, ParameterTypeError

__all__ = [
    "Coordinates",
    "Halo",
    "HaloLike",
    "TileShapeLike",
    "as_halo",
    "as_integer",
    "as_integers",
    "as_shape",
    "as_tile_shape",
    "times",
]

#: A place in a volume, or a shape: a whole number for each axis [voxel].
Coordinates: TypeAlias = Sequence[int] | npt.NDArray[Any]
#: Context before and after a tile, per axis [voxel].
Halo: TypeAlias = tuple[tuple[int, int], ...]
#: Forms of a halo that a caller may give: one number, one per axis, or a pair per axis.
HaloLike: TypeAlias = int | Sequence[int] | Sequence[tuple[int, int]]
#: Shape of a tile as callers give it: one length for all axes, or one for each; None where it is to be chosen.
TileShapeLike: TypeAlias = int | Sequence[int | None] | None


def as_integer(value: Any, name: str, minimum: int | None = None) -> int:
    """Accept one whole number, also as a float such as 2.0, which older callers pass as an offset."""
    try:
        number = operator.index(value)
    except TypeError:
        if not isinstance(value, (float, np.floating)) or not float(value).is_integer():
            raise ParameterTypeError.of(name, value, "whole numbers are needed") from None
        number = int(value)
    if minimum is not None and number < minimum:
        raise ParameterError.of(name, value, f"must be at least {minimum}")
    return number


def as_integers(values: object, name: str, ndim: int | None = None, minimum: int | None = None) -> tuple[int, ...]:
    """Accept a sequence of whole numbers, one per axis."""
    if type(values) is tuple and minimum is None and ndim in (None, len(values)) and set(map(type, values)) == {int}:
        return values  # the most common case: a grid may have millions of boxes
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise ParameterTypeError.of(name, values, "a sequence of whole numbers, one per axis")
    numbers = tuple(as_integer(value, name, minimum) for value in values)
    if ndim is not None and len(numbers) != ndim:
        raise ParameterError.of(name, values, f"{ndim} numbers are needed, one per axis")
    return numbers


def as_shape(shape: object, name: str = "shape") -> tuple[int, ...]:
    """Accept the shape of a volume: axes of length 0 or more."""
    return as_integers(shape, name, minimum=0)


def as_tile_shape(tile_shape: object, ndim: int, name: str = "tile_shape") -> tuple[int, ...]:
    """Accept the shape of a tile: axes of length 1 or more, or one length for all axes."""
    if not isinstance(tile_shape, Iterable):
        return (as_integer(tile_shape, name, minimum=1),) * ndim
    return as_integers(tile_shape, name, ndim, minimum=1)


def as_halo(halo: object, ndim: int, name: str = "halo") -> Halo:
    """Accept a halo as one number, one number per axis, or a (before, after) pair per axis.

    Examples
    --------
    >>> as_halo(2, 2), as_halo((1, 2), 2), as_halo([(0, 3), (1, 1)], 2)
    (((2, 2), (2, 2)), ((1, 1), (2, 2)), ((0, 3), (1, 1)))
    """
    if not isinstance(halo, Iterable):
        width = as_integer(halo, name, minimum=0)
        return ((width, width),) * ndim
    axes = list(halo)
    if len(axes) != ndim:
        raise ParameterError.of(name, halo, f"one entry per axis is needed, {ndim} in all")
    return tuple(_as_pair(axis, name) for axis in axes)


def _as_pair(axis: object, name: str) -> tuple[int, int]:
    if not isinstance(axis, Iterable):
        width = as_integer(axis, name, minimum=0)
        return width, width
    before, after = as_integers(axis, name, ndim=2, minimum=0)
    return before, after


def times(lengths: Iterable[int]) -> str:
    """A shape in words, such as ``2 x 3``."""
    return " x ".join(map(str, lengths))
