"""Tests of what is kept for later tiles: with real voxels in real bytes, by several tasks at once that may fail."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from tilecore.geometry.boxes import Box
from tilecore.geometry.retention import Place, Retention, UnitKey
from tilecore.geometry.tile_order import TileOrder
from tilecore.geometry.tiles import Tile, TileGrid
from tilecore.geometry.unit_grid import UnitGrid

_DTYPES = ("u1", "u2", "f4", "f8")


class Geometry(NamedTuple):
    """Tiles in an order, and sources that they read."""

    units: list[UnitGrid]
    dtypes: list[str]
    order: TileOrder

    @property
    def grid(self) -> TileGrid:
        return self.units[0].grid

    @property
    def n_bytes(self) -> int:
        """Size of all sources, and of as much room for alignment as their units can need [byte]."""
        sizes = zip(self.units, self.dtypes, strict=True)
        return sum(math.prod(each.shape) * np.dtype(dtype).itemsize + 64 * each.size for each, dtype in sizes)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Strategy for one or two sources with as many axes as the grid of up to 200 tiles, or more, or fewer."""
    ndim = draw(st.integers(1, 3))
    longest = {1: 60, 2: 24, 3: 12}[ndim]
    shape = draw(st.tuples(*[st.integers(1, longest)] * ndim))
    steps = [draw(st.integers(-(-length // {1: 60, 2: 12, 3: 5}[ndim]), length)) for length in shape]
    halos = st.integers(0, longest // 3)
    grid = TileGrid(shape, steps, draw(st.tuples(*[st.tuples(halos, halos)] * ndim)))
    units, dtypes = [], []
    for _ in range(draw(st.integers(1, 2))):
        own = (*shape, 3)[: draw(st.sampled_from([ndim, ndim, ndim, ndim + 1, max(ndim - 1, 1)]))]
        unit = tuple([draw(st.integers(-(-length // 8), length)) for length in own])
        units.append(UnitGrid(own, unit, grid, tuple([draw(st.integers(0, step - 1)) for step in unit])))
        dtypes.append(draw(st.sampled_from(_DTYPES)))
    axes = tuple(draw(st.permutations(range(ndim))))
    return Geometry(units, dtypes, TileOrder(grid.counts, axes, draw(st.booleans())))


@dataclass
class Task:
    """Task of a tile that is being worked on, and the units that it has found in memory."""

    position: int
    tile: Tile
    keys: list[UnitKey]
    places: list[Place] = field(default_factory=list)


class Run:
    """A run as a supply of units does it, in which chance decides what ends next, and what fails."""

    def __init__(
        self,
        geometry: Geometry,
        capacity: int,
        random: Random,
        was_done: Callable[[int], bool] | None = None,
        failures: float = 0.0,
        n_at_once: int = 1,
        spare: int = 0,
    ) -> None:
        self.geometry, self.capacity, self.random, self.failures = geometry, capacity, random, failures
        self.was_done = was_done or (lambda number: False)
        self.memory = np.zeros(capacity, "u1")
        self.sources = [
            np.arange(1, math.prod(each.shape) + 1).reshape(each.shape).astype(dtype)
            for each, dtype in zip(geometry.units, geometry.dtypes, strict=True)
        ]
        self.retention = Retention(
            geometry.units,
            [each.dtype.itemsize for each in self.sources],
            geometry.order,
            capacity,
            was_done,
            self.move,
            n_at_once,
            spare,
        )
        self.decoding: list[UnitKey] = []
        self.tasks: list[Task] = []
        self.n_decoded: Counter[UnitKey] = Counter()
        self.n_moved = 0
        self.finished: set[int] = set()
        self.readers: dict[UnitKey, list[int]] = {}
        for position, number in enumerate(geometry.order):
            for key in self.retention.touched(geometry.grid[number].read):
                self.readers.setdefault(key, []).append(position)

    def go(self, n_at_once: int, n_ahead: int = 0) -> None:
        """Work on all tiles, so many at once, and look so many ahead."""
        order = self.geometry.order
        waiting = [each for each in range(order.size) if not self.was_done(order.number(each))]
        while waiting or self.tasks or self.decoding:
            is_due, n_before = True, len(waiting)
            for position in waiting[: max(n_at_once - len(self.tasks), 0) + n_ahead]:
                has_room = len(self.tasks) < n_at_once
                if self.start(position, is_due=is_due and has_room, has_room=has_room):
                    waiting.remove(position)
                else:
                    is_due = False
            self.check_places()
            if self.tasks or self.decoding:
                self.end_something(waiting)
            else:
                assert len(waiting) < n_before or not waiting, "a tile waits for nothing"
        self.check_nothing_is_left()

    def start(self, position: int, *, is_due: bool, has_room: bool) -> bool:
        """Start the task of a tile if what it reads is there."""
        tile = self.geometry.grid[self.geometry.order.number(position)]
        there, alone, is_ready = [], [], has_room
        for key in self.retention.touched(tile.read):
            held = self.retention.held(key)
            if held is not None and held.is_decoded:
                there.append(key)
            elif held is not None:
                is_ready = False
            else:
                uses = self.retention.open_uses(key)
                assert uses == [each for each in self.readers[key] if not self.is_finished(each)]
                if not self.retention.is_kept_for_others(uses, position, is_due=is_due):
                    alone.append(key)
                elif self.retention.admit(key, uses, position, is_due=is_due) is not None:
                    self.decoding.append(key)
                    is_ready = False
                elif is_due:
                    alone.append(key)
                else:
                    is_ready = False
        if is_ready:
            self.retention.begin(there)
            self.n_decoded.update(alone)
            self.tasks.append(Task(position, tile, there, [self.place(key) for key in there]))
        return is_ready

    def end_something(self, waiting: list[int]) -> None:
        """End a task that decodes or one that works on a tile, whichever chance takes."""
        if self.decoding and (not self.tasks or self.random.random() < 0.6):
            key = self.decoding.pop(self.random.randrange(len(self.decoding)))
            self.n_decoded[key] += 1
            if self.random.random() < self.failures:
                self.retention.forget(key)
                return
            place = self.place(key)
            self.voxels(key[0], place)[...] = self.sources[key[0]][place.box.slices]
            self.retention.decoded(key)
            return
        task = self.tasks.pop(self.random.randrange(len(self.tasks)))
        self.check_voxels(task)
        if self.random.random() < self.failures:  # it is tried again
            self.retention.end(task.keys)
            waiting.insert(0, task.position)
            return
        self.finished.add(task.position)
        ends = [lambda: self.retention.end(task.keys), lambda: self.retention.finish(task.position, task.tile.read)]
        for end in self.random.sample(ends, 2):
            end()
        if self.random.random() < self.failures:
            self.retention.finish(task.position, task.tile.read)

    def is_finished(self, position: int) -> bool:
        return position in self.finished or self.was_done(self.geometry.order.number(position))

    def place(self, key: UnitKey) -> Place:
        held = self.retention.held(key)
        assert held is not None
        return held.place

    def voxels(self, source: int, place: Place) -> npt.NDArray[np.generic]:
        """Voxels in a place, as an array."""
        dtype = self.sources[source].dtype
        assert place.offset % dtype.itemsize == 0
        assert place.n_bytes >= place.box.size * dtype.itemsize
        own = self.memory[place.offset : place.offset + place.box.size * dtype.itemsize]
        return own.view(dtype).reshape(place.box.shape)

    def move(self, source: int, number: int, old: Place, new: Place) -> None:
        """Copy voxels to their new place, where no task reads others."""
        self.n_moved += 1
        assert old.box.contains(new.box)
        assert all((source, number) not in task.keys for task in self.tasks)
        assert (source, number) not in self.decoding
        self.voxels(source, new)[...] = self.voxels(source, old)[new.box.relative_to(old.box.start).slices]

    def check_voxels(self, task: Task) -> None:
        """Check that what a task found in memory is still where it was, and is what the tile reads of the source."""
        assert [self.place(key) for key in task.keys] == task.places
        for (source, number), place in zip(task.keys, task.places, strict=True):
            units = self.geometry.units[source]
            own, ndim = units.box(units.index(number)), min(task.tile.read.ndim, len(units.shape))
            start = [*map(max, own.start, task.tile.read.start), *own.start[ndim:]]
            stop = [*map(min, own.stop, task.tile.read.stop), *own.stop[ndim:]]
            part = Box(start, stop)
            assert place.box.contains(part)
            found = self.voxels(source, place)[part.relative_to(place.box.start).slices]
            np.testing.assert_array_equal(found, self.sources[source][part.slices])

    def check_places(self) -> None:
        """Check that no two units share a byte, and that none lies beyond the memory."""
        places = [held.place for key in self.readers if (held := self.retention.held(key)) is not None]
        places.sort()
        for place in places:
            assert 0 <= place.offset <= place.offset + place.n_bytes <= self.capacity
        for low, high in pairwise(places):
            assert low.offset + low.n_bytes <= high.offset
        assert sum(place.n_bytes for place in places) <= self.retention.highest_bytes <= self.capacity

    def check_nothing_is_left(self) -> None:
        assert [key for key in self.readers if self.retention.held(key) is not None] == []
        assert self.retention._ranges.n_taken == 0


SEEDS = st.integers(0, 2**32)


@given(geometries(), st.floats(0, 1), st.integers(1, 6), SEEDS)
def test_tiles_find_the_voxels_of_the_source(geometry: Geometry, part: float, n_at_once: int, seed: int) -> None:
    Run(geometry, int(part * geometry.n_bytes), Random(seed)).go(n_at_once)


@given(geometries(), st.floats(0, 1), st.integers(1, 6), SEEDS, st.sampled_from([0.02, 0.1, 0.4]))
def test_tiles_find_the_voxels_of_the_source_though_tasks_fail(
    geometry: Geometry, part: float, n_at_once: int, seed: int, failures: float
) -> None:
    Run(geometry, int(part * geometry.n_bytes), Random(seed), failures=failures).go(n_at_once)


@given(geometries(), st.floats(0, 1), st.integers(1, 6), SEEDS, st.floats(0, 1))
def test_units_that_only_finished_tiles_read_are_not_decoded(
    geometry: Geometry, part: float, n_at_once: int, seed: int, done: float
) -> None:
    random = Random(seed)
    earlier = {number for number in range(geometry.grid.size) if random.random() < done}
    run = Run(geometry, int(part * geometry.n_bytes), random, earlier.__contains__)
    run.go(n_at_once)
    needed = {
        key
        for number in set(range(geometry.grid.size)) - earlier
        for key in run.retention.touched(geometry.grid[number].read)
    }
    assert set(run.n_decoded) == needed


@given(geometries(), st.integers(1, 6), SEEDS)
def test_where_there_is_room_each_unit_is_decoded_once(geometry: Geometry, n_at_once: int, seed: int) -> None:
    run = Run(geometry, 2 * geometry.n_bytes, Random(seed))
    run.go(n_at_once)
    assert run.n_decoded == Counter(dict.fromkeys(run.readers, 1))


@given(geometries(), st.integers(1, 12), st.floats(0, 0.5), SEEDS)
def test_what_is_decoded_early_takes_nothing_from_others(
    geometry: Geometry, n_ahead: int, part: float, seed: int
) -> None:
    """Where the tile at work has room for all that is shared, and for gaps, looking ahead makes nobody decode again."""
    alone = Run(geometry, 2 * geometry.n_bytes, Random(seed))
    alone.go(1)
    spare = int(part * geometry.n_bytes)
    run = Run(geometry, 5 * alone.retention.highest_bytes // 4 + spare, Random(seed), spare=spare)
    run.go(1, n_ahead)
    assert run.n_decoded == Counter(dict.fromkeys(run.readers, 1))


@given(geometries(), st.integers(1, 6), SEEDS)
def test_without_memory_each_tile_decodes_for_itself(geometry: Geometry, n_at_once: int, seed: int) -> None:
    run = Run(geometry, 0, Random(seed))
    run.go(n_at_once)
    assert run.n_decoded == Counter({key: len(readers) for key, readers in run.readers.items()})
    assert run.retention.highest_bytes == 0


def test_only_what_later_layers_read_is_kept_of_a_unit() -> None:
    grid = TileGrid((32, 64), (16, 16), ((2, 3), (0, 0)))
    geometry = Geometry([UnitGrid(grid.shape, (16, 64), grid)], ["u1"], TileOrder.of_grid(grid.counts))
    run = Run(geometry, geometry.n_bytes, Random(0))
    run.go(1)
    assert run.n_moved == 1
    assert run.retention.highest_bytes < 2 * 16 * 64 + 4 * 64
