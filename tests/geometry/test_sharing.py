"""Tests of the plan of what tiles share: it keeps to its memory, and gives up workers only where that helps."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tilecore.geometry import sharing as sharing_module
from tilecore.geometry.rehearsal import reckoned, rehearse
from tilecore.geometry.sharing import ChunkedSource, Sharing
from tilecore.geometry.tile_order import TileOrder
from tilecore.geometry.tiles import TileGrid

_ONCE = 1.02
_SLACK = 2**20


class Wanted(NamedTuple):
    """Parameters of a plan."""

    grid: TileGrid
    sources: list[ChunkedSource]
    budget: int
    tile_bytes: int
    workers: int

    def plan(self, *, by_number: bool = False) -> Sharing | None:
        return Sharing.of(*self, by_number=by_number)

    @property
    def everything(self) -> int:
        """Size of all sources [byte]."""
        return sum(math.prod(each.shape) * each.itemsize for each in self.sources)


@st.composite
def wanted(draw: st.DrawFn) -> Wanted:
    """Strategy for sources of some MiB, in chunks of any size, and tiles of which some hundred are there at most."""
    ndim = draw(st.integers(1, 3))
    longest, most_tiles = {1: (10**7, 60), 2: (4000, 10), 3: (300, 5)}[ndim]
    shape = draw(st.tuples(*[st.integers(1, longest)] * ndim))
    steps = [draw(st.integers(-(-length // most_tiles), length)) for length in shape]
    halos = st.integers(0, longest // 10)
    grid = TileGrid(shape, steps, draw(st.tuples(*[halos] * ndim)))
    sources = []
    for _ in range(draw(st.integers(1, 2))):
        own = (*shape, 2)[: draw(st.sampled_from([ndim, ndim, ndim, ndim + 1, max(ndim - 1, 1)]))]
        chunks = tuple([draw(st.integers(-(-length // 12), 2 * length)) for length in own])
        sources.append(ChunkedSource(own, chunks, draw(st.sampled_from([1, 2, 8]))))
    tile_bytes = 10 * math.prod(
        min(step + 2 * halo, n) for step, (halo, _), n in zip(steps, grid.halo, shape, strict=True)
    )
    budget = tile_bytes + draw(st.integers(0, 40 * tile_bytes))
    return Wanted(grid, sources, budget, tile_bytes, draw(st.integers(1, 16)))


@given(wanted(), st.booleans())
def test_a_plan_keeps_to_its_memory(asked: Wanted, by_number: bool) -> None:
    plan = asked.plan(by_number=by_number)
    assume(plan is not None)
    assert plan is not None
    assert 1 <= plan.workers <= min(asked.workers, asked.grid.size)
    assert 0 <= plan.capacity <= asked.everything + _SLACK
    assert plan.capacity + plan.workers * asked.tile_bytes <= asked.budget
    assert plan.expected.decodes >= 1
    assert plan.n_units == sum(each.size for each in plan.units)


@given(wanted())
def test_all_orders_by_number_are_those_of_the_grid(asked: Wanted) -> None:
    plan = asked.plan(by_number=True)
    assert plan is None or list(plan.order) == list(range(asked.grid.size))


@given(wanted())
def test_there_is_no_plan_only_where_no_chunk_is_read_by_two_tiles(asked: Wanted) -> None:
    grid, is_shared = asked.grid, False
    for source in asked.sources:
        seen: set[int] = set()
        chunks = tuple(map(min, source.chunks, source.shape))
        units = sharing_module.UnitGrid(source.shape, chunks, grid)
        for tile in grid:
            touched = set(units.touched(tile.read))
            is_shared = is_shared or bool(seen & touched)
            seen |= touched
    assert (asked.plan() is not None) == is_shared


@given(wanted())
def test_with_memory_for_everything_each_unit_is_decoded_once_by_all_workers(asked: Wanted) -> None:
    budget = asked.workers * asked.tile_bytes + 2 * asked.everything + _SLACK
    plan = asked._replace(budget=budget).plan()
    assume(plan is not None)
    assert plan is not None
    assert plan.expected.decodes <= _ONCE
    assert plan.workers == min(asked.workers, asked.grid.size)
    assert plan.is_ample(asked.workers)


@given(wanted(), st.sampled_from([1, 2, 4, 64]))
def test_fewer_workers_only_where_more_would_decode_much_more(asked: Wanted, cores: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing_module, "usable_cores", lambda: cores)
        plan = asked.plan()
    assume(plan is not None)
    assert plan is not None
    most = max(min(asked.workers, asked.grid.size, asked.budget // asked.tile_bytes), 1)

    def decodes(workers: int) -> float:
        room = min(asked.budget - workers * asked.tile_bytes, asked.everything + _SLACK)
        return min(reckoned(plan.units, plan.itemsizes, room, workers).values()).decodes

    if plan.workers == most:
        return
    assert decodes(plan.workers) <= _ONCE < decodes(plan.workers + 1)
    n_busy = min(plan.workers, cores)
    seconds = max(1 / n_busy, (1 + decodes(plan.workers)) / (n_busy + plan.decoders))  # 1 for all other work
    assert (1 + decodes(most)) / min(most, cores, asked.workers) >= 0.6 * seconds


@settings(max_examples=30)
@given(wanted(), st.integers(1, 8))
def test_workers_that_only_decode_have_a_core_and_memory(asked: Wanted, cores: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing_module, "usable_cores", lambda: cores)
        plan = asked.plan()
    assume(plan is not None and plan.decoders > 0)
    assert plan is not None
    assert plan.workers + plan.decoders <= min(cores, asked.workers)
    chunk_bytes = max(each.chunk_bytes for each in asked.sources)
    taken = plan.workers * asked.tile_bytes + plan.decoders * chunk_bytes + plan.capacity
    assert taken <= asked.budget
    assert plan.expected.most_bytes <= plan.capacity


@given(wanted())
def test_what_is_expected_is_what_a_rehearsal_shows(asked: Wanted) -> None:
    plan = asked.plan()
    assume(plan is not None)
    assert plan is not None
    if plan.capacity < 2**16:  # so little that alignment takes most of it
        return
    mine = rehearse(plan.units, plan.itemsizes, plan.order, plan.capacity)
    assert mine.most_bytes <= plan.capacity
    assert mine.decodes <= 1.25 * plan.expected.decodes


@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (0,)])
def test_an_empty_grid_shares_nothing(shape: tuple[int, ...]) -> None:
    grid = TileGrid(shape, (2,) * len(shape), 1)
    assert Sharing.of(grid, [ChunkedSource(shape, (3,) * len(shape), 2)], 10**6, 100, 4) is None


def test_an_empty_source_shares_nothing() -> None:
    grid = TileGrid((8, 8), (2, 2), 1)
    assert Sharing.of(grid, [ChunkedSource((8, 8, 0), (4, 4, 1), 2)], 10**6, 100, 4) is None


def test_an_empty_source_beside_another_is_no_matter() -> None:
    grid = TileGrid((8, 8), (2, 2), 1)
    sources = [ChunkedSource((8, 8, 0), (4, 4, 1), 2), ChunkedSource((8, 8), (4, 4), 2)]
    plan = Sharing.of(grid, sources, 10**6, 100, 4)
    assert plan is not None
    assert plan.expected.decodes == 1


def test_a_source_without_the_last_axis_is_shared_by_all_tiles_along_it() -> None:
    grid = TileGrid((8, 6), (8, 2))
    plan = Sharing.of(grid, [ChunkedSource((8,), (8,), 4)], 10**6, 100, 4)
    assert plan is not None
    assert plan.expected.decodes == 1
    assert plan.order.size == 3


def test_memory_that_is_shared_out_by_workers_is_kept_for_units_instead() -> None:
    """Of eight workers, so many work that the frontier of chunks fits beside them."""
    grid = TileGrid((128, 512, 512), (64, 128, 128), 16)
    source = ChunkedSource(grid.shape, (64, 64, 64), 2)
    tile_bytes = 20 * 96 * 160 * 160
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing_module, "usable_cores", lambda: 8)
        plans = [Sharing.of(grid, [source], n * tile_bytes, tile_bytes, 8) for n in (1, 2, 4, 8, 16)]
    workers = [plan.workers for plan in plans if plan is not None]
    assert len(workers) == 5
    assert workers == sorted(workers)
    assert workers[-1] == 8
    assert plans[-1] is not None and plans[-1].expected.decodes <= _ONCE


def test_a_plan_reads_as_text() -> None:
    plan = Sharing.of(TileGrid((64, 64), (16, 16), 2), [ChunkedSource((64, 64), (32, 32), 2)], 10**6, 100, 4)
    assert plan is not None
    assert str(plan).startswith("decoding   1.00 times for each of ")
    assert str(plan).endswith(" kept for later tiles")


def test_small_chunks_are_joined() -> None:
    source = ChunkedSource((1000, 1000, 1000), (1, 1, 1000), 2)
    units = source.units(TileGrid(source.shape, (100, 100, 1000), 4))
    assert units.unit == (2, 128, 1000)
    assert TileOrder.of_grid(units.grid.counts).is_by_number
