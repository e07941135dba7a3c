"""Which decoded units of the sources are kept for later tiles, and where, as the order of the tiles tells.

The whole order is known before the run. So a unit is kept from when it is decoded until the last tile that reads it has
ended; of a unit only the part that tiles of later layers read; and where memory is short, the unit goes that takes most
memory for most time until it is read again. A cache that knows only the past can do none of this.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tilecore.geometry.boxes import Box
from tilecore.geometry.ranges import Ranges
from tilecore.geometry.tile_order import TileOrder
from tilecore.geometry.unit_grid import UnitGrid

__all__ = ["ALIGNMENT", "Held", "Place", "Retention", "UnitKey"]

#: A unit: number of its source, and its number among the source's units.
UnitKey: TypeAlias = tuple[int, int]

#: Ranges begin at multiples of this, so that voxels of any dtype are aligned [byte].
ALIGNMENT = 64


class Place(NamedTuple):
    """Voxels of a source that lie in a range of bytes, in C order."""

    offset: int
    box: Box
    n_bytes: int


@dataclass(slots=True)
class Held:
    """A unit that is kept, or is being decoded.

    Attributes
    ----------
    place : Place
        Where its voxels lie.
    uses : list of int
        Positions, in the order, of the tiles that will read it; ascending.
    layer : int
        Place, along the outermost axis, of the first of these tiles.
    is_decoded : bool
        Whether its voxels are there.
    n_readers : int
        Number of tasks that read it now, so that it must stay where it is.
    """

    place: Place
    uses: list[int]
    layer: int
    is_decoded: bool = False
    n_readers: int = 0


class Retention:
    """Decides which units are kept in a limited number of bytes.

    Parameters
    ----------
    units : sequence of UnitGrid
        Units of each source.
    itemsizes : sequence of int
        Size of a voxel of each source [byte].
    order : TileOrder
        Order of the tiles.
    capacity : int
        Bytes in which units may be kept.
    was_done : callable, optional
        Tells whether an earlier run has finished the tile of a number.
    move : callable, optional
        Function ``move(source, number, old, new)`` that copies a part of a unit to another place.
    n_at_once : int
        Number of tiles that are worked on at once.
    spare : int
        Bytes that these tiles never need: in them lie units that are decoded early, for tiles that come after them.
    """

    def __init__(
        self,
        units: Sequence[UnitGrid],
        itemsizes: Sequence[int],
        order: TileOrder,
        capacity: int,
        was_done: Callable[[int], bool] | None = None,
        move: Callable[[int, int, Place, Place], object] | None = None,
        n_at_once: int = 1,
        spare: int = 0,
    ) -> None:
        self._units, self._itemsizes, self._order = units, itemsizes, order
        self._was_done, self._move = was_done, move
        self._ranges = Ranges(capacity // ALIGNMENT * ALIGNMENT)
        self._held: dict[UnitKey, Held] = {}
        self._n_at_once, self._spare = n_at_once, spare
        self._next = 0  # position of the tile that comes next
        self._early: dict[UnitKey, int] = {}  # position of the tile for which each was decoded early
        self._finished: set[int] = set()
        self._first_open = 0  # all positions before it are finished

    @property
    def highest_bytes(self) -> int:
        """Largest number of bytes that were kept at once."""
        return self._ranges.highest

    def held(self, key: UnitKey) -> Held | None:
        """The unit, if it is kept or is being decoded."""
        return self._held.get(key)

    def touched(self, read: Box) -> Iterator[UnitKey]:
        """Units, of all sources, that a tile reads."""
        for source, units in enumerate(self._units):
            for number in units.touched(read):
                yield source, number

    def open_uses(self, key: UnitKey) -> list[int]:
        """Positions, in the order, of the tiles that read a unit and have not ended; ascending."""
        units = self._units[key[0]]
        readers = units.readers(units.box(units.index(key[1])))
        return [each for each in self._order.positions(readers) if not self._is_finished(each)]

    def is_kept_for_others(self, uses: list[int], position: int, *, is_due: bool) -> bool:
        """Whether a unit with these open uses is decoded for all tiles, and not by the one at `position` for itself.

        Tiles before the one that comes next read already what they need. Those before a later one may still need it.
        """
        return bool(uses) and (uses[-1] > position or (not is_due and uses[0] < position))

    def admit(self, key: UnitKey, uses: list[int], position: int, *, is_due: bool) -> Held | None:
        """Find room for a unit that is not kept now.

        Parameters
        ----------
        key : tuple of int
            The unit.
        uses : list of int
            Its open uses, for which `is_kept_for_others` holds.
        position : int
            Position, in the order, of the tile for which it is decoded.
        is_due : bool
            Whether this tile comes next: only then other units are let go, if they are less useful. For one that comes
            much later there is only room that none before it needs.

        Returns
        -------
        Held or None
            The unit, to be decoded into its place; None if there is no room.
        """
        source, number = key
        units = self._units[source]
        needed = self._part(units, units.box(units.index(number)), uses)
        n_bytes = self._n_bytes(source, needed)
        if is_due:
            self._next = position
        is_early = position >= self._next + self._n_at_once
        if is_early and n_bytes > self._spare - self._early_bytes():
            return None
        offset = self._ranges.take(n_bytes)
        if offset is None and is_due:
            later = uses[bisect_right(uses, position)]
            offset = self._make_room(n_bytes, position, n_bytes * (later - position))
        if offset is None:
            return None
        held = Held(Place(offset, needed, n_bytes), uses, uses[0] // self._order.tiles_per_layer)
        self._held[key] = held
        if is_early:
            self._early[key] = position
        return held

    def decoded(self, key: UnitKey) -> None:
        """Note that the voxels of a unit are in their place."""
        self._held[key].is_decoded = True
        self._settle(key)

    def forget(self, key: UnitKey) -> None:
        """Let a unit go, whoever needs it."""
        self._early.pop(key, None)
        place = self._held.pop(key).place
        self._ranges.give_back(place.offset, place.n_bytes)

    def begin(self, keys: Iterable[UnitKey]) -> None:
        """Keep units where they are, as a task reads them."""
        for key in keys:
            self._held[key].n_readers += 1

    def end(self, keys: Iterable[UnitKey]) -> None:
        """Note that the task no longer reads these units."""
        for key in keys:
            self._held[key].n_readers -= 1
            self._settle(key)

    def finish(self, position: int, read: Box) -> None:
        """Note that the tile at a position of the order has ended, and let go what no other tile needs."""
        if position < self._first_open:
            return
        self._finished.add(position)
        while self._first_open < self._order.size and self._is_finished(self._first_open):
            self._finished.discard(self._first_open)
            self._first_open += 1
        for key in self.touched(read):
            held = self._held.get(key)
            if held is not None and position in held.uses:
                held.uses.remove(position)
                self._settle(key)

    def _early_bytes(self) -> int:
        """Size of units whose tiles are still not among those that come next."""
        first = self._next + self._n_at_once
        self._early = {key: position for key, position in self._early.items() if position >= first}
        return sum(self._held[key].place.n_bytes for key in self._early)

    def _is_finished(self, position: int) -> bool:
        if position < self._first_open or position in self._finished:
            return True
        return self._was_done is not None and self._was_done(self._order.number(position))

    def _n_bytes(self, source: int, box: Box) -> int:
        return -(-math.prod(box.shape) * self._itemsizes[source] // ALIGNMENT) * ALIGNMENT

    def _settle(self, key: UnitKey) -> None:
        """Let a unit go, or the part of it that no later tile reads, unless a task uses it now."""
        held = self._held[key]
        if held.n_readers or not held.is_decoded:
            return
        if not held.uses:
            self.forget(key)
        elif (layer := held.uses[0] // self._order.tiles_per_layer) != held.layer:
            held.layer = layer
            self._shrink(key, held)

    def _shrink(self, key: UnitKey, held: Held) -> None:
        """Move the part that later layers of tiles read to a place of its own, if it is much smaller."""
        source, old = key[0], held.place
        needed = self._part(self._units[source], old.box, held.uses)
        n_bytes = self._n_bytes(source, needed)
        if 4 * n_bytes > 3 * old.n_bytes or (offset := self._ranges.take(n_bytes, "high")) is None:
            return
        held.place = Place(offset, needed, n_bytes)
        if self._move is not None:
            self._move(*key, old, held.place)
        self._ranges.give_back(old.offset, old.n_bytes)

    def _part(self, units: UnitGrid, box: Box, uses: Sequence[int]) -> Box:
        """Part of a unit that tiles at some positions read, along the outermost axis of the order."""
        axis = self._order.axes[0] if self._order.axes else 0
        if axis >= box.ndim:
            return box
        per_layer = self._order.tiles_per_layer
        first, stop = units.read_along(axis, uses[0] // per_layer, uses[-1] // per_layer)
        start, end = list(box.start), list(box.stop)
        start[axis], end[axis] = max(start[axis], first), min(end[axis], stop)
        return Box.trusted(tuple(start), tuple(end))

    def _make_room(self, n_bytes: int, position: int, rank: int) -> int | None:
        """Let units go that take more memory for more time than a new one of this rank; return where there is room."""

        def rank_of(key: UnitKey) -> int:
            held = self._held[key]
            return held.place.n_bytes * (held.uses[0] - position)

        free = [key for key, held in self._held.items() if held.is_decoded and not held.n_readers]
        free.sort(key=rank_of)
        while free and rank_of(free[-1]) > rank:
            self.forget(free.pop())
            if (offset := self._ranges.take(n_bytes)) is not None:
                return offset
        return None
