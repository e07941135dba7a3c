"""Boxes: half-open integer intervals, one per axis."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from tilecore.errors import ParameterError
from tilecore.geometry.per_axis import Coordinates, HaloLike, as_halo, as_integers

__all__ = ["Box"]


@dataclass(frozen=True, slots=True, init=False)
class Box:
    """A half-open integer interval per axis: from `start` up to, not including, `stop`.

    Parameters
    ----------
    start, stop : sequence of int
        First voxel, and the voxel after the last one, per axis [voxel]. ``stop`` is nowhere
        smaller than ``start``; where they are equal the box is empty.

    Raises
    ------
    ParameterError
        If the lengths differ or an axis ends before it starts.
    ParameterTypeError
        If a number is not whole.

    Notes
    -----
    Immutable, hashable and picklable: safe to share between threads and processes.

    Examples
    --------
    >>> box = Box((0, 2), (4, 8))
    >>> box.shape, box.size, box.slices
    ((4, 6), 24, (slice(0, 4, None), slice(2, 8, None)))
    >>> box.grown(3).clipped((5, 10))
    Box(start=(0, 0), stop=(5, 10))
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __init__(self, start: Coordinates, stop: Coordinates) -> None:
        first = as_integers(start, "start")
        last = as_integers(stop, "stop", ndim=len(first))
        if any(map(operator.lt, last, first)):
            raise ParameterError.of("stop", last, f"must not lie before start={first}")
        object.__setattr__(self, "start", first)
        object.__setattr__(self, "stop", last)

    @classmethod
    def trusted(cls, start: tuple[int, ...], stop: tuple[int, ...]) -> Box:
        """Box of numbers that are known to be whole and in order; they are not checked again."""
        box = cls.__new__(cls)
        object.__setattr__(box, "start", start)
        object.__setattr__(box, "stop", stop)
        return box

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Box:
        """Box of a whole volume: from zero to `shape`."""
        return cls((0,) * len(shape), shape)

    @classmethod
    def from_slices(cls, slices: Sequence[slice]) -> Box:
        """Box of a tuple of slices, each with a start and a stop and step 1."""
        return cls(tuple(axis.start for axis in slices), tuple(axis.stop for axis in slices))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.start)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return tuple([last - first for first, last in zip(self.start, self.stop, strict=True)])

    @property
    def size(self) -> int:
        """Number of voxels, exact for any shape."""
        return math.prod(self.shape)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Index that cuts this box out of an array."""
        return tuple([slice(first, last) for first, last in zip(self.start, self.stop, strict=True)])

    def grown(self, halo: HaloLike) -> Box:
        """Box enlarged by a halo; it may reach below zero (see `clipped`)."""
        pairs = as_halo(halo, self.ndim)
        return Box(
            tuple([first - before for first, (before, _) in zip(self.start, pairs, strict=True)]),
            tuple([last + after for last, (_, after) in zip(self.stop, pairs, strict=True)]),
        )

    def clipped(self, volume: Box | Sequence[int]) -> Box:
        """Part of this box that lies inside a volume, which is given as a box or as a shape."""
        return self.intersection(volume if isinstance(volume, Box) else Box.of_shape(volume))

    def intersection(self, other: Box) -> Box:
        """Common part of two boxes; an empty box if they share nothing."""
        self._check_axes(other)
        start = tuple([max(pair) for pair in zip(self.start, other.start, strict=True)])
        stop = tuple([min(pair) for pair in zip(self.stop, other.stop, strict=True)])
        return Box(start, tuple([max(pair) for pair in zip(start, stop, strict=True)]))

    def translated(self, offset: Sequence[int]) -> Box:
        """Box moved by `offset`, which may be negative."""
        steps = as_integers(offset, "offset", ndim=self.ndim)
        return Box(
            tuple([first + step for first, step in zip(self.start, steps, strict=True)]),
            tuple([last + step for last, step in zip(self.stop, steps, strict=True)]),
        )

    def relative_to(self, origin: Sequence[int]) -> Box:
        """The same box in coordinates that begin at `origin`, such as the start of another box."""
        return self.translated([-first for first in origin])

    def contains(self, other: Box | Sequence[float]) -> bool:
        """Whether a point, or every voxel of another box, lies in this box."""
        if isinstance(other, Box):
            self._check_axes(other)
            if other.size == 0:
                return True
            first, last = other.start, tuple([stop - 1 for stop in other.stop])
            return self.contains(first) and self.contains(last)
        if len(other) != self.ndim:
            raise ParameterError.of("point", other, f"{self.ndim} coordinates are needed")
        axes = zip(self.start, other, self.stop, strict=True)
        return all(first <= coordinate < last for first, coordinate, last in axes)

    def _check_axes(self, other: Box) -> None:
        if other.ndim != self.ndim:
            raise ParameterError.of("box", other, f"{self.ndim} axes are needed")
