"""Tiles: the units of work, and the grid that cuts a volume into them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal, TypeAlias, overload

from tilecore.errors import BoundsError, ParameterError
from tilecore.geometry.boxes import Box
from tilecore.geometry.per_axis import Halo, HaloLike, as_halo, as_integers, as_shape, as_tile_shape

__all__ = ["Ragged", "Tile", "TileGrid"]


#: How to cut an axis whose length is not a multiple of the tile's: keep a smaller last tile, or balance all tiles.
Ragged: TypeAlias = Literal["keep", "balance"]


@dataclass(frozen=True, slots=True)
class Tile:
    """Unit of work: a write box that its result owns, and a read box with the context around it.

    ::

        pad                                read
        +----+-----------------------------------------------+
        :    |  halo before   +-----------+    halo after    |
        :    |                |   write   |                  |
        :    |                +-----------+                  |
        +----+-----------------------------------------------+
             ^ edge of the volume

    Attributes
    ----------
    number : int
        Position in the grid's order (last axis fastest).
    index : tuple of int
        Position in the grid, per axis.
    write : Box
        Box that the tile's result owns; the write boxes of a grid partition the volume.
    read : Box
        The write box and its halo, clipped to the volume.
    pad : tuple of (int, int)
        Voxels of the halo, before and after per axis, that lie outside the volume.
    """

    number: int
    index: tuple[int, ...]
    write: Box
    read: Box
    pad: Halo

    @property
    def inner(self) -> Box:
        """The write box in coordinates of the read box: it cuts the halo off a result."""
        return self.write.relative_to(self.read.start)

    def __str__(self) -> str:
        return f"tile {self.index} (write {_span(self.write)}, read {_span(self.read)})"


@dataclass(frozen=True, init=False)
class TileGrid(Sequence[Tile]):
    """A volume cut into tiles: a sequence that makes each tile only when it is asked for.

    Parameters
    ----------
    shape : sequence of int
        Shape of the volume [voxel]; if an axis is empty, the grid has no tile.
    tile_shape : int or sequence of int
        Shape of a write box [voxel]; if it is larger than the volume, there is one tile.
    halo : int, sequence of int, or sequence of (int, int)
        Context read before and after a tile, per axis [voxel].
    ragged : {"keep", "balance"}
        How to cut an axis that is not a multiple of the tile's length: keep a smaller last tile,
        or make all tiles as equal as possible, none larger than `tile_shape`.

    Raises
    ------
    ParameterError, ParameterTypeError
        If a length is negative, a tile length is zero, a halo is negative, the numbers
        of axes differ, or a number is not whole.

    Notes
    -----
    Immutable and picklable. A grid of 10**9 tiles needs no more memory than a grid of one.

    Examples
    --------
    >>> grid = TileGrid((10, 10), (4, 5), halo=1)
    >>> len(grid), grid.counts
    (6, (3, 2))
    >>> grid[0].write, grid[0].read
    (Box(start=(0, 0), stop=(4, 5)), Box(start=(0, 0), stop=(5, 6)))
    >>> grid[-1].inner.slices
    (slice(1, 3, None), slice(1, 6, None))
    """

    shape: tuple[int, ...]
    tile_shape: tuple[int, ...]
    halo: Halo
    ragged: Ragged

    def __init__(
        self,
        shape: Sequence[int],
        tile_shape: int | Sequence[int],
        halo: HaloLike = 0,
        *,
        ragged: Ragged = "keep",
    ) -> None:
        lengths = as_shape(shape)
        if ragged not in ("keep", "balance"):
            raise ParameterError.of("ragged", ragged, "'keep' or 'balance'")
        object.__setattr__(self, "shape", lengths)
        object.__setattr__(self, "tile_shape", as_tile_shape(tile_shape, len(lengths)))
        object.__setattr__(self, "halo", as_halo(halo, len(lengths)))
        object.__setattr__(self, "ragged", ragged)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of tiles along each axis."""
        return tuple([-(-length // step) for length, step in zip(self.shape, self.tile_shape, strict=True)])

    @cached_property
    def size(self) -> int:
        """Number of tiles, also where it is too large for ``len``."""
        return math.prod(self.counts)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def largest_block(self, *, clipped: bool) -> int:
        """Number of voxels of the largest block; `clipped`: whether halos end at the volume's edges."""
        lengths = []
        for step, whole, (before, after) in zip(self.tile_shape, self.shape, self.halo, strict=True):
            length = min(step, whole) + before + after
            lengths.append(min(length, whole) if clipped else length)
        return math.prod(lengths)

    @property
    def volume(self) -> Box:
        """Box of the whole volume."""
        return Box.of_shape(self.shape)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Tile]:
        return (self._tile(index) for index in product(*map(range, self.counts)))

    @overload
    def __getitem__(self, number: int) -> Tile: ...
    @overload
    def __getitem__(self, number: slice) -> list[Tile]: ...
    def __getitem__(self, number: int | slice) -> Tile | list[Tile]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(self.size))]
        position = number + self.size if number < 0 else number
        if not 0 <= position < self.size:
            raise BoundsError.of("number", number, f"the grid has {self.size} tiles")
        index = []
        for count in reversed(self.counts):
            position, remainder = divmod(position, count)
            index.append(remainder)
        return self._tile(tuple(reversed(index)))

    def __contains__(self, tile: object) -> bool:
        return isinstance(tile, Tile) and 0 <= tile.number < self.size and self[tile.number] == tile

    def at(self, index: Sequence[int]) -> Tile:
        """Tile at a position per axis; negative positions count from the end.

        Raises
        ------
        BoundsError
            If a position lies outside the grid.
        """
        position = as_integers(index, "index", ndim=self.ndim)
        position = tuple([i + count if i < 0 else i for i, count in zip(position, self.counts, strict=True)])
        if not all(0 <= i < count for i, count in zip(position, self.counts, strict=True)):
            raise BoundsError.of("index", tuple(index), f"the grid has {self.counts} tiles along its axes")
        return self._tile(position)

    def part(self, tile: Tile, write: Box) -> Tile:
        """Part of a tile as a tile of its own, which owns `write` and has the grid's halo around it.

        Raises
        ------
        BoundsError
            If `write` reaches beyond the tile's write box.
        """
        if not tile.write.contains(write):
            raise BoundsError.of("write", write, f"must lie inside {tile.write}")
        return self._tile_owning(tile.number, tile.index, write.start, write.stop)

    def around(self, write: Box) -> Tile:
        """Tile with number -1 that owns any given box, with the grid's halo around it."""
        return self._tile_owning(-1, (), write.start, write.stop)

    def _tile(self, index: tuple[int, ...]) -> Tile:
        number = 0
        bounds = []
        for axis, position in enumerate(index):
            number = number * self.counts[axis] + position
            bounds.append(self._axis_bounds(axis, position))
        start, stop = zip(*bounds, strict=True) if bounds else ((), ())
        return self._tile_owning(number, index, start, stop)

    def _tile_owning(self, number: int, index: tuple[int, ...], start: tuple[int, ...], stop: tuple[int, ...]) -> Tile:
        read_start, read_stop, pad = [], [], []
        for first, last, length, (before, after) in zip(start, stop, self.shape, self.halo, strict=True):
            low, high = first - before, last + after
            read_start.append(max(low, 0))
            read_stop.append(min(high, length))
            pad.append((max(-low, 0), max(high - length, 0)))
        read = Box.trusted(tuple(read_start), tuple(read_stop))
        return Tile(number, index, Box.trusted(start, stop), read, tuple(pad))

    def _axis_bounds(self, axis: int, position: int) -> tuple[int, int]:
        length, step = self.shape[axis], self.tile_shape[axis]
        if self.ragged == "keep":
            return position * step, min((position + 1) * step, length)
        count = self.counts[axis]
        return position * length // count, (position + 1) * length // count

    def _axis_index(self, axis: int, coordinate: int) -> int:
        """Position, along one axis, of the tile that owns a coordinate."""
        if self.ragged == "keep":
            return coordinate // self.tile_shape[axis]
        # The largest position p with floor(p * length / count) <= coordinate.
        return ((coordinate + 1) * self.counts[axis] - 1) // self.shape[axis]


def _span(box: Box) -> str:
    return "[" + ", ".join(f"{first}:{last}" for first, last in zip(box.start, box.stop, strict=True)) + "]"
