"""Order in which the tiles of a grid are worked on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

__all__ = ["TileOrder"]


@dataclass(frozen=True)
class TileOrder:
    """Order of the tiles of a grid: one axis after the other, the outermost of which changes most slowly.

    Attributes
    ----------
    counts : tuple of int
        Number of tiles along each axis.
    axes : tuple of int
        The axes, from the outermost to the innermost.
    back_and_forth : bool
        Whether every other pass along an axis goes backwards, so that the next tile is always a neighbour.

    Examples
    --------
    >>> list(TileOrder((2, 3), (1, 0)))
    [0, 3, 1, 4, 2, 5]
    >>> list(TileOrder((2, 3), (0, 1), back_and_forth=True))
    [0, 1, 2, 5, 4, 3]
    """

    counts: tuple[int, ...]
    axes: tuple[int, ...]
    back_and_forth: bool = False

    @classmethod
    def of_grid(cls, counts: Sequence[int]) -> TileOrder:
        """Order of the tiles' numbers."""
        return cls(tuple(counts), tuple(range(len(counts))))

    @cached_property
    def size(self) -> int:
        """Number of tiles."""
        return math.prod(self.counts)

    @property
    def is_by_number(self) -> bool:
        """Whether the tiles come in the order of their numbers."""
        return not self.back_and_forth and self.axes == tuple(range(len(self.counts)))

    @cached_property
    def tiles_per_layer(self) -> int:
        """Number of tiles at one place of the outermost axis: tiles at positions from a multiple of it to the next."""
        return self.size // self.counts[self.axes[0]] if self.axes and self.size else 1

    def __iter__(self) -> Iterator[int]:
        if self.is_by_number:
            return iter(range(self.size))
        return map(self.number, range(self.size))

    def number(self, position: int) -> int:
        """Number of the tile at a position of the order."""
        index = self.index(position)
        number = 0
        for count, place in zip(self.counts, index, strict=True):
            number = number * count + place
        return number

    def index(self, position: int) -> tuple[int, ...]:
        """Index, per axis of the grid, of the tile at a position of the order."""
        index = [0] * len(self.counts)
        passed = position  # the number of passes that were begun, for each axis from the innermost on
        for axis in reversed(self.axes):
            passed, place = divmod(passed, self.counts[axis])
            index[axis] = self.counts[axis] - 1 - place if self.back_and_forth and passed % 2 else place
        return tuple(index)

    def position(self, index: Sequence[int]) -> int:
        """Position, in the order, of the tile at an index per axis of the grid."""
        position = 0
        for axis in self.axes:
            count, place = self.counts[axis], index[axis]
            position = position * count + (count - 1 - place if self.back_and_forth and position % 2 else place)
        return position

    def positions(self, ranges: Sequence[range]) -> list[int]:
        """Positions, in the order, of all tiles in a range of indices per axis; ascending."""
        if self.back_and_forth:
            return sorted(map(self.position, product(*ranges)))
        positions = [0]
        for axis in self.axes:
            count, span = self.counts[axis], ranges[axis]
            positions = [outer * count + place for outer in positions for place in span]
        return positions
