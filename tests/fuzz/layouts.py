"""Arrays of every layout in memory, in shared memory and in mapped files."""

from __future__ import annotations

import math
import random as randomness
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tilecore import SharedArray

LAYOUTS = ["C", "F", "transposed", "strided", "reversed", "inside", "unaligned"]
PLACES = ["memory", "memory", "shared", "map", "map at an offset"]

#: What the room around an array holds before and after.
AROUND = 77


class Layout(NamedTuple):
    """Position and order of an array inside a larger one.

    Attributes
    ----------
    shape, dtype
        Of the larger one.
    cut : callable
        Gives the array as a view of it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    cut: Callable[[np.ndarray], np.ndarray]


def draw_layout(random: randomness.Random, name: str, shape: Sequence[int], dtype: Any) -> Layout:
    """Draw the layout of an array of a given shape, by name."""
    shape, kind, axes = tuple(shape), np.dtype(dtype), range(len(shape))
    if name == "unaligned":
        size = math.prod(shape) * kind.itemsize
        return Layout((size + 1,), np.dtype("u1"), lambda whole: whole[1:].view(kind).reshape(shape))
    if name in ("F", "transposed"):
        order = list(reversed(axes)) if name == "F" else random.sample(axes, len(shape))
        back = np.argsort(order)
        return Layout(tuple(shape[axis] for axis in order), kind, lambda whole: whole.transpose(back))
    steps, before, after = [1] * len(shape), [0] * len(shape), [0] * len(shape)
    for axis in axes:
        if name == "strided":
            steps[axis] = random.choice([1, 2, 2, 3])
        if name == "reversed":
            steps[axis] = random.choice([-1, -1, 1, -2])
        if name != "C":
            before[axis], after[axis] = random.randint(0, 3), random.randint(0, 2)
    room = tuple(b + abs(s) * n + a for b, s, n, a in zip(before, steps, shape, after, strict=True))
    cuts = tuple(slice(b, b + abs(s) * n, abs(s)) for b, s, n in zip(before, steps, shape, strict=True))
    turned = tuple(slice(None, None, 1 if step > 0 else -1) for step in steps)
    return Layout(room, kind, lambda whole: whole[cuts][turned])


class Room:
    """Larger array somewhere, which contains the array.

    Attributes
    ----------
    array : ndarray
        The array, which is a view.
    """

    def __init__(self, layout: Layout, place: str, path: Path) -> None:
        self.layout, self._path, self._offset = layout, path, 0
        size = math.prod(layout.shape) * layout.dtype.itemsize
        if place == "shared":
            self.whole = SharedArray(layout.shape, layout.dtype).view()
        elif place.startswith("map") and size:  # no system maps a file without bytes
            self._offset = 24 if place != "map" else 0
            path.write_bytes(bytes(self._offset + size))
            self.whole = self._mapped("r+")
        else:
            self.whole = np.empty(layout.shape, layout.dtype)
        self.is_mapped = isinstance(self.whole, np.memmap)
        self.whole[...] = AROUND
        self.array = layout.cut(self.whole)

    def _mapped(self, mode: Any) -> np.memmap:
        return np.memmap(self._path, self.layout.dtype, mode, self._offset, self.layout.shape)

    def readonly(self) -> np.ndarray:
        """The same array, from a read-only map if it is mapped."""
        if self.is_mapped:
            self.whole.flush()
            return self.layout.cut(self._mapped("r"))
        view = self.array.view()
        view.flags.writeable = False
        return view

    def assert_nothing_else_written(self, what: str) -> None:
        """Fail if anything beside the array was changed."""
        self.array[...] = np.full((), AROUND).astype(self.array.dtype)
        fresh = np.empty(self.layout.shape, self.layout.dtype)
        fresh[...] = AROUND
        self.layout.cut(fresh)[...] = np.full((), AROUND).astype(self.array.dtype)
        assert fresh.tobytes() == np.array(self.whole).tobytes(), f"{what}: written outside of the output"
