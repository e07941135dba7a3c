"""Tests of the order of tiles: each comes once, and places and positions belong together."""

from __future__ import annotations

import math
from itertools import product

from hypothesis import example, given
from hypothesis import strategies as st

from tilecore.geometry.tile_order import TileOrder
from tilecore.geometry.tiles import TileGrid


@st.composite
def orders(draw: st.DrawFn, max_ndim: int = 4, min_count: int = 0) -> TileOrder:
    """Strategy for orders of up to a few hundred tiles."""
    ndim = draw(st.integers(0, max_ndim))
    counts = draw(st.tuples(*[st.integers(min_count, {0: 0, 1: 40, 2: 12, 3: 6, 4: 4}[ndim])] * ndim))
    return TileOrder(counts, tuple(draw(st.permutations(range(ndim)))), draw(st.booleans()))


@given(orders())
def test_each_tile_comes_once(order: TileOrder) -> None:
    assert order.size == math.prod(order.counts)
    assert sorted(order) == list(range(order.size))


@given(orders())
def test_numbers_are_those_of_the_grid(order: TileOrder) -> None:
    grid = TileGrid(order.counts, (1,) * len(order.counts))
    for position, number in enumerate(order):
        assert order.number(position) == number
        assert order.index(position) == grid[number].index


@given(orders())
def test_the_position_of_an_index_is_the_position_that_it_came_from(order: TileOrder) -> None:
    for position in range(order.size):
        assert order.position(order.index(position)) == position


@given(orders())
def test_the_outermost_axis_changes_most_slowly(order: TileOrder) -> None:
    for position in range(order.size if order.axes else 0):
        assert order.index(position)[order.axes[0]] == position // order.tiles_per_layer


@given(orders())
def test_straight_orders_are_sorted_by_their_axes(order: TileOrder) -> None:
    straight = TileOrder(order.counts, order.axes)
    indices = list(map(straight.index, range(order.size)))
    assert indices == sorted(indices, key=lambda index: [index[axis] for axis in order.axes])


@given(orders(), st.data())
def test_positions_of_ranges_are_those_of_the_tiles_in_them(order: TileOrder, data: st.DataObject) -> None:
    ranges = []
    for count in order.counts:
        first = data.draw(st.integers(0, count))
        ranges.append(range(first, data.draw(st.integers(first, count))))
    inside = set(product(*ranges))
    assert order.positions(ranges) == [each for each in range(order.size) if order.index(each) in inside]


@given(orders(min_count=1))
@example(TileOrder((2, 3, 2), (1, 2, 0), back_and_forth=True))
def test_back_and_forth_the_next_tile_is_a_neighbour(order: TileOrder) -> None:
    turning = TileOrder(order.counts, order.axes, back_and_forth=True)
    for position in range(1, order.size):
        pairs = zip(turning.index(position - 1), turning.index(position), strict=True)
        assert sum(abs(new - old) for old, new in pairs) == 1


@given(orders(min_count=1))
def test_an_order_by_number_is_known_as_such(order: TileOrder) -> None:
    if order.is_by_number:
        assert list(order) == list(range(order.size))
    assert TileOrder.of_grid(order.counts).is_by_number


def test_an_order_of_many_tiles_takes_no_memory() -> None:
    order = TileOrder((10**6, 10**6, 10**6), (2, 0, 1), back_and_forth=True)
    position = 123_456_789_012_345_678
    assert order.position(order.index(position)) == position
    assert order.size == 10**18
