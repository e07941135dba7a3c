"""Tests of the units of a source, against a look at each voxel and each tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from hypothesis import assume, example, given
from hypothesis import strategies as st

from tilecore.geometry.boxes import Box
from tilecore.geometry.tiles import Tile, TileGrid
from tilecore.geometry.unit_grid import UnitGrid, merged_units


@st.composite
def unit_grids(draw: st.DrawFn, max_ndim: int = 3, *, any_axes: bool = True) -> UnitGrid:
    """Strategy for small sources: with as many axes as the grid of tiles, or more, or fewer; also parts of files."""
    ndim = draw(st.integers(1, max_ndim))
    longest = {1: 40, 2: 12, 3: 7}[ndim]
    lengths = st.integers(1, longest)
    halos = st.integers(0, longest + 2)
    steps = draw(st.tuples(*[st.integers(1, longest + 2)] * ndim))
    grid = TileGrid(draw(st.tuples(*[lengths] * ndim)), steps, draw(st.tuples(*[st.tuples(halos, halos)] * ndim)))
    n_axes = draw(st.integers(1, ndim + 1)) if any_axes else ndim
    shape = (*grid.shape, draw(st.integers(1, 4)))[:n_axes]
    unit = draw(st.tuples(*[st.integers(1, longest + 2)] * n_axes))
    return UnitGrid(shape, unit, grid, tuple([draw(st.integers(0, step - 1)) for step in unit]))


def voxels_read(units: UnitGrid, tile: Tile) -> set[tuple[int, ...]]:
    """Voxels of the source that a tile reads; axes that the grid lacks are read whole."""
    own = tile.read.start, tile.read.stop
    beyond = units.shape[units.grid.ndim :]
    bounds = [*zip(*own, strict=True), *((0, length) for length in beyond)][: len(units.shape)]
    return set(product(*[range(first, stop) for first, stop in bounds]))


def unit_of(units: UnitGrid, voxel: Sequence[int]) -> int:
    """Number of the unit that a voxel belongs to."""
    number = 0
    for place, step, length, before in zip(voxel, units.unit, units.shape, units.offset, strict=True):
        number = number * math.ceil((length + before) / step) + (place + before) // step
    return number


@given(unit_grids())
def test_units_divide_the_source(units: UnitGrid) -> None:
    owners = {voxel: unit_of(units, voxel) for voxel in product(*map(range, units.shape))}
    assert units.size == math.prod(units.counts) == len(set(owners.values()))
    for number in range(units.size):
        box = units.box(units.index(number))
        inside = set(product(*map(range, box.start, box.stop)))
        assert inside == {voxel for voxel, owner in owners.items() if owner == number}


@given(unit_grids())
def test_tiles_touch_the_units_of_the_voxels_that_they_read(units: UnitGrid) -> None:
    for tile in units.grid:
        expected = sorted({unit_of(units, voxel) for voxel in voxels_read(units, tile)})
        assert units.touched(tile.read) == expected
        assert math.prod(map(len, units.spans(tile.read))) == len(expected)
        sizes = [units.box(units.index(number)).size for number in expected]
        assert units.decoded_voxels(tile.read) == sum(sizes)


@given(unit_grids(), st.data())
def test_parts_of_a_box_are_what_it_has_of_each_unit(units: UnitGrid, data: st.DataObject) -> None:
    start = [data.draw(st.integers(0, length - 1)) for length in units.shape]
    box = Box(start, [data.draw(st.integers(at + 1, length)) for at, length in zip(start, units.shape, strict=True)])
    parts = list(units.parts(box))
    assert [number for number, _, _ in parts] == units.touched(box)
    for number, unit, wanted in parts:
        whole = units.box(units.index(number))
        assert unit == tuple(zip(whole.start, whole.stop, strict=True))
        common = whole.intersection(box)
        assert wanted == tuple(zip(common.start, common.stop, strict=True))


@given(unit_grids())
def test_readers_of_a_unit_are_the_tiles_that_touch_it(units: UnitGrid) -> None:
    touching: dict[int, set[tuple[int, ...]]] = {number: set() for number in range(units.size)}
    for tile in units.grid:
        for number in units.touched(tile.read):
            touching[number].add(tile.index)
    for number, tiles in touching.items():
        assert set(product(*units.readers(units.box(units.index(number))))) == tiles


@given(unit_grids(), st.data())
def test_readers_of_any_box_are_the_tiles_that_read_a_voxel_of_it(units: UnitGrid, data: st.DataObject) -> None:
    start = [data.draw(st.integers(0, length - 1)) for length in units.shape]
    stop = [data.draw(st.integers(first + 1, length)) for first, length in zip(start, units.shape, strict=True)]
    inside = set(product(*map(range, start, stop)))
    readers = {tile.index for tile in units.grid if voxels_read(units, tile) & inside}
    assert set(product(*units.readers(Box(start, stop)))) == readers


@given(unit_grids(), st.data())
def test_what_several_tiles_read_along_an_axis(units: UnitGrid, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, units.grid.ndim - 1))
    first = data.draw(st.integers(0, units.grid.counts[axis] - 1))
    last = data.draw(st.integers(first, units.grid.counts[axis] - 1))
    reads = [tile.read for tile in units.grid if first <= tile.index[axis] <= last]
    expected = min(read.start[axis] for read in reads), max(read.stop[axis] for read in reads)
    assert units.read_along(axis, first, last) == expected


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 300)), min_size=1, max_size=5), st.integers(1, 10**6))
@example([(1, 64), (8, 256), (1024, 512)], 2**18)
def test_joined_units_are_as_large_as_asked_unless_limits_forbid(axes: list[tuple[int, int]], n_voxels: int) -> None:
    unit, limits = [own for own, _ in axes], [limit for _, limit in axes]
    joined = merged_units(unit, limits, n_voxels)
    assert math.prod(joined) >= n_voxels or all(length >= limit for length, limit in zip(joined, limits, strict=True))
    for length, own, limit in zip(joined, unit, limits, strict=True):
        assert length % own == 0  # units are whole chunks
        assert length == own or length < 2 * limit
    if joined != tuple(unit):
        assert math.prod(map(min, joined, limits)) < 2 * n_voxels


@given(unit_grids())
def test_joined_units_hold_whole_chunks(units: UnitGrid) -> None:
    joined = UnitGrid(units.shape, merged_units(units.unit, units.shape, 20), units.grid, units.offset)
    assume(joined.size < units.size)
    for number in range(units.size):
        box = units.box(units.index(number))
        owners = {unit_of(joined, voxel) for voxel in product(*map(range, box.start, box.stop))}
        assert len(owners) == 1
