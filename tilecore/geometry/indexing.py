"""Indices as numpy takes them, as one integer or slice per axis."""

from __future__ import annotations

import operator
from typing import Any

from tilecore.array_types import Index
from tilecore.errors import BoundsError, ParameterError, ParameterTypeError

__all__ = ["expanded", "within_block"]


def expanded(index: Index, shape: tuple[int, ...]) -> list[int | slice]:
    """One integer or slice with non-negative bounds per axis.

    Raises
    ------
    BoundsError, ParameterError, ParameterTypeError
        If the index does not fit, goes backwards, or is neither.
    """
    items: list[Any] = list(index) if isinstance(index, tuple) else [index]
    for place in [number for number, item in enumerate(items) if item is Ellipsis][:1]:
        items[place : place + 1] = [slice(None)] * (len(shape) - len(items) + 1)
    if len(items) > len(shape):
        raise BoundsError(f"{len(items)} indices for {len(shape)} axes")
    items += [slice(None)] * (len(shape) - len(items))
    return [_bounded(item, length) for item, length in zip(items, shape, strict=True)]


def within_block(step: int | slice) -> int | slice:
    """What to take of an axis of the block that was read."""
    return 0 if isinstance(step, int) else slice(None, None, step.step)


def _bounded(item: Any, length: int) -> int | slice:
    if isinstance(item, slice):
        start, stop, step = item.indices(length)
        if step < 0:
            raise ParameterError.of("index", item, "steps must be positive")
        return slice(start, max(start, stop), step)
    try:
        number = operator.index(item)
    except TypeError:
        raise ParameterTypeError.of("index", item, "integers and slices are read") from None
    if not -length <= number < length:
        raise BoundsError.of("index", item, f"the axis has {length} voxels")
    return number % length
