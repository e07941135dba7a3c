"""Indices in numpy's form, converted to one integer or slice per axis."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from tilecore.array_types import Index
from tilecore.errors import BoundsError, ParameterError, ParameterTypeError
from tilecore.geometry.boxes import Box

__all__ = ["box_around", "expanded", "within_block"]


def expanded(index: Index, shape: tuple[int, ...]) -> list[int | slice]:
    """Convert an index to one integer or slice per axis, with non-negative bounds.

    Raises
    ------
    BoundsError, ParameterError, ParameterTypeError
        If the index does not fit, has a negative step, or is neither an integer nor a slice.
    """
    items: list[Any] = list(index) if isinstance(index, tuple) else [index]
    for place in [number for number, item in enumerate(items) if item is Ellipsis][:1]:
        items[place : place + 1] = [slice(None)] * (len(shape) - len(items) + 1)
    if len(items) > len(shape):
        raise BoundsError.of("index", index, f"at most {len(shape)} indices are allowed, one per axis")
    items += [slice(None)] * (len(shape) - len(items))
    return [_bounded(item, length) for item, length in zip(items, shape, strict=True)]


def box_around(steps: Sequence[int | slice]) -> Box:
    """Box around the voxels of an index that was expanded."""
    ends = [(step, step + 1) if isinstance(step, int) else (step.start, step.stop) for step in steps]
    return Box.trusted(tuple([first for first, _ in ends]), tuple([stop for _, stop in ends]))


def within_block(step: int | slice) -> int | slice:
    """Index to apply to an axis of the block that was read: 0 for an integer, a step for a slice."""
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
        raise ParameterTypeError.of("index", item, "only integers and slices can be used") from None
    if not -length <= number < length:
        raise BoundsError.of("index", item, f"the axis has {length} voxels")
    return number % length
