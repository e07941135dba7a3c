"""Windows: the part of a file's image that a source shows, one position on some axes and a range on the others."""

from __future__ import annotations

from collections.abc import Iterable
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.errors import BoundsError
from tilecore.geometry.boxes import Box

__all__ = ["Window", "box_in_file", "cropped", "part_of", "with_all_axes", "without_chosen_axes"]

#: For each axis of the file a position, or a range.
Window: TypeAlias = tuple[int | slice, ...]


def box_in_file(window: Window, box: Box) -> Box:
    """Box of the whole file, for a box of what the window shows.

    Raises
    ------
    BoundsError
        If the box does not lie inside the window.
    """
    shape = [part.stop - part.start for part in window if isinstance(part, slice)]
    if not Box.of_shape(shape).contains(box):
        raise BoundsError.of("box", box, f"the image has the shape {tuple(shape)}")
    own = iter(zip(box.start, box.stop, strict=True))
    spans = [(part, part + 1) if isinstance(part, int) else [part.start + end for end in next(own)] for part in window]
    return Box([first for first, _ in spans], [stop for _, stop in spans])


def cropped(window: Window, box: Box) -> Window:
    """Window that shows only a box of what this one shows."""
    spans = box_in_file(window, box).slices
    return tuple([part if isinstance(part, int) else span for part, span in zip(window, spans, strict=True)])


def with_all_axes(window: Window, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """View of an array of what the window shows, with an axis of length 1 for each axis that has one position."""
    return array[_index(window, np.newaxis)]


def without_chosen_axes(window: Window, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """View of an array of the whole file's axes, without those that have one position."""
    return array[_index(window, 0)]


def part_of(array: npt.NDArray[Any], slices: tuple[slice, ...]) -> npt.NDArray[Any]:
    """View of a part of an array, also if the array has no axes."""
    place: tuple[slice | EllipsisType, ...] = (*slices, ...)
    return array[place]


def _index(window: Iterable[int | slice], chosen: int | None) -> tuple[int | slice | None, ...]:
    return tuple([chosen if isinstance(part, int) else slice(None) for part in window])
