"""Storage units of a source, and which tiles of a run read them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

from tilecore.geometry.boxes import Box
from tilecore.geometry.tiles import TileGrid

__all__ = ["Spans", "UnitGrid", "merged_units"]

#: For each axis the first voxel, and the voxel after the last one.
Spans: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class UnitGrid:
    """The units in which a source is decoded, as the tiles of a run see them.

    The source may have more axes than the grid of tiles, which every tile reads whole, or lack its last axes.

    Attributes
    ----------
    shape : tuple of int
        Shape of the source [voxel].
    unit : tuple of int
        Shape of a unit [voxel].
    grid : TileGrid
        Tiles of the run.
    offset : tuple of int
        Voxels of the first unit of each axis that lie before the source, as where it is a part of a file; default: 0.
    """

    shape: tuple[int, ...]
    unit: tuple[int, ...]
    grid: TileGrid
    offset: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", self.offset or (0,) * len(self.shape))

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of units along each axis of the source."""
        axes = zip(self.shape, self.unit, self.offset, strict=True)
        return tuple([-(-(length + before) // step) if length else 0 for length, step, before in axes])

    @cached_property
    def size(self) -> int:
        """Number of units."""
        return math.prod(self.counts)

    def spans(self, read: Box) -> list[range]:
        """Units, along each axis of the source, that a tile reads."""
        n_axes = min(read.ndim, len(self.shape))
        axes = zip(read.start[:n_axes], read.stop[:n_axes], self.unit[:n_axes], self.offset[:n_axes], strict=True)
        spans = [range((first + before) // step, -(-(last + before) // step)) for first, last, step, before in axes]
        return spans + [range(count) for count in self.counts[n_axes:]]

    def touched(self, read: Box) -> list[int]:
        """Numbers of the units that a tile reads, ascending."""
        numbers = [0]
        for count, span in zip(self.counts, self.spans(read), strict=True):
            numbers = [outer * count + place for outer in numbers for place in span]
        return numbers

    def parts(self, read: Box) -> Iterator[tuple[int, Spans, Spans]]:
        """Number, voxels, and voxels that are read, of each unit that a box of the source touches.

        The same as `touched` and `box` tell, but quickly, as each tile asks for it.
        """
        axes = []
        across = self.size
        for axis, span in enumerate(self.spans(read)):
            step, before, length = self.unit[axis], self.offset[axis], self.shape[axis]
            across //= self.counts[axis]
            bounds = [(max(at * step - before, 0), min((at + 1) * step - before, length)) for at in span]
            low, high = read.start[axis], read.stop[axis]
            wanted = [(max(first, low), min(stop, high)) for first, stop in bounds]
            axes.append(list(zip([at * across for at in span], bounds, wanted, strict=True)))
        for parts in product(*axes):
            numbers, units, spans = zip(*parts, strict=True) if parts else ((), (), ())
            yield sum(numbers), units, spans

    def decoded_voxels(self, read: Box) -> int:
        """Number of voxels in the units that a tile reads."""
        first = self.box([span.start for span in self.spans(read)])
        last = self.box([span.stop - 1 for span in self.spans(read)])
        return math.prod([stop - start for start, stop in zip(first.start, last.stop, strict=True)])

    def index(self, number: int) -> tuple[int, ...]:
        """Index of a unit, per axis."""
        index = []
        for count in reversed(self.counts):
            number, place = divmod(number, count)
            index.append(place)
        return tuple(reversed(index))

    def box(self, index: Sequence[int]) -> Box:
        """Voxels of a unit; the first and the last units of an axis begin and end with it."""
        axes = list(zip(index, self.unit, self.offset, self.shape, strict=True))
        start = [max(place * step - before, 0) for place, step, before, _ in axes]
        stop = [min((place + 1) * step - before, length) for place, step, before, length in axes]
        return Box.trusted(tuple(start), tuple(stop))

    def readers(self, box: Box) -> list[range]:
        """Tiles, along each axis of the grid, that read a part of a box of the source."""
        grid = self.grid
        spans = []
        for axis, (count, step, (before, after)) in enumerate(
            zip(grid.counts, grid.tile_shape, grid.halo, strict=True)
        ):
            if axis >= box.ndim:
                spans.append(range(count))
                continue
            first = max((box.start[axis] - after) // step, 0)
            spans.append(range(first, min((box.stop[axis] + before - 1) // step, count - 1) + 1))
        return spans

    def read_along(self, axis: int, first: int, last: int) -> tuple[int, int]:
        """First voxel, and the voxel after the last one, that tiles from place `first` to `last` of an axis read."""
        step, (before, after) = self.grid.tile_shape[axis], self.grid.halo[axis]
        return max(first * step - before, 0), min((last + 1) * step + after, self.grid.shape[axis])


def merged_units(unit: Sequence[int], limits: Sequence[int], n_voxels: int) -> tuple[int, ...]:
    """Join units that are small, along the last axes first, until they have about `n_voxels` voxels.

    Parameters
    ----------
    unit : sequence of int
        Shape of a unit [voxel].
    limits : sequence of int
        Lengths up to which units may grow along each axis, such as those of a tile [voxel].
    n_voxels : int
        Number of voxels, within these lengths, of a unit that needs no other.

    Examples
    --------
    >>> merged_units((1, 8, 1024), (64, 256, 512), 2**18)
    (2, 256, 1024)
    """
    lengths = list(unit)
    for axis in reversed(range(len(lengths))):
        while math.prod(map(min, lengths, limits)) < n_voxels and lengths[axis] < limits[axis]:
            lengths[axis] *= 2
    return tuple(lengths)
