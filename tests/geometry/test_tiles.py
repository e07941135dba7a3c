"""Tests of tile grids and law 1: the write boxes partition the volume."""

from __future__ import annotations

import pickle
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tilecore.errors import BoundsError, ParameterError, ParameterTypeError, TilecoreError
from tilecore.geometry import Box, Tile, TileGrid


@st.composite
def grids(draw: st.DrawFn, max_ndim: int = 4) -> TileGrid:
    """Strategy for grids of 1 to 4 axes: also empty ones, and tiles or halos that are too large."""
    ndim = draw(st.integers(1, max_ndim))
    longest = {1: 40, 2: 14, 3: 8, 4: 5}[ndim]
    lengths = st.integers(0, longest)
    halos = st.integers(0, longest + 3)
    return TileGrid(
        draw(st.tuples(*[lengths] * ndim)),
        draw(st.tuples(*[st.integers(1, longest + 3)] * ndim)),
        draw(st.one_of(halos, st.tuples(*[halos] * ndim), st.tuples(*[st.tuples(halos, halos)] * ndim))),
        ragged=draw(st.sampled_from(["keep", "balance"])),
    )


@given(grids())
@example(TileGrid((3,), (10,), 8))  # a volume no larger than the overlap
@example(TileGrid((0, 5), (2, 2), 1))
@example(TileGrid((7,), (3,), 1, ragged="balance"))
def test_write_boxes_partition_the_volume(grid: TileGrid) -> None:
    owners = np.zeros(grid.shape, dtype=int)
    for tile in grid:
        owners[tile.write.slices] += 1
        assert tile.write.size > 0
    assert (owners == 1).all()
    assert sum(tile.write.size for tile in grid) == grid.volume.size


@given(grids())
def test_read_box_is_the_write_box_with_its_halo_clipped(grid: TileGrid) -> None:
    for tile in grid:
        assert tile.read == tile.write.grown(grid.halo).clipped(grid.shape)
        assert tile.read.grown(tile.pad) == tile.write.grown(grid.halo)
        assert grid.volume.contains(tile.read)


@given(grids(max_ndim=3))
def test_inner_cuts_the_write_box_out_of_the_read_box(grid: TileGrid) -> None:
    volume = np.arange(grid.volume.size).reshape(grid.shape)
    for tile in grid:
        np.testing.assert_array_equal(volume[tile.read.slices][tile.inner.slices], volume[tile.write.slices])


@given(grids())
def test_a_grid_is_a_sequence(grid: TileGrid) -> None:
    tiles = list(grid)
    assert len(grid) == len(tiles) == grid.size == np.prod(grid.counts, dtype=int)
    assert [tile.number for tile in tiles] == list(range(len(tiles)))
    assert [grid[number] for number in range(len(tiles))] == tiles
    assert [grid[number - len(tiles)] for number in range(len(tiles))] == tiles
    assert [grid.at(tile.index) for tile in tiles] == tiles
    assert grid[1:3] == tiles[1:3]
    assert grid[::-1] == tiles[::-1]
    assert all(tile in grid for tile in tiles)
    for number in (len(tiles), -len(tiles) - 1):
        with pytest.raises(BoundsError, match=f"{len(tiles)} tiles"):
            grid[number]


@given(grids())
def test_balanced_tiles_differ_by_one_voxel(grid: TileGrid) -> None:
    balanced = TileGrid(grid.shape, grid.tile_shape, grid.halo, ragged="balance")
    assert balanced.counts == grid.counts
    for axis, limit in enumerate(balanced.tile_shape):
        lengths = {tile.write.shape[axis] for tile in balanced}
        assert not lengths or (max(lengths) - min(lengths) <= 1 and max(lengths) <= limit)


@given(grids(), st.data())
def test_a_part_of_a_tile_is_a_tile(grid: TileGrid, data: st.DataObject) -> None:
    if grid.size == 0:
        return
    tile = grid[data.draw(st.integers(0, grid.size - 1))]
    cut = [data.draw(st.integers(first, last)) for first, last in zip(tile.write.start, tile.write.stop, strict=True)]
    part = grid.part(tile, Box(tile.write.start, cut))
    assert part.read == part.write.grown(grid.halo).clipped(grid.shape)
    assert (part.number, part.index) == (tile.number, tile.index)
    with pytest.raises(BoundsError, match="inside"):
        grid.part(tile, tile.write.grown(1))


def test_a_billion_tiles_cost_nothing() -> None:
    tracemalloc.start()
    grid = TileGrid((1000, 1000, 1000), 1, halo=2)
    assert len(grid) == 10**9
    assert grid[-1].index == (999, 999, 999)
    assert grid[123_456_789].write.start == (123, 456, 789)
    assert next(iter(grid)).number == 0
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_more_tiles_than_a_machine_word_counts() -> None:
    grid = TileGrid((2**40, 2**40), 1)
    assert grid.size == 2**80
    assert grid.at((2**40 - 1, 2**40 - 1)).number == 2**80 - 1
    assert grid[2**79].index == (2**39, 0)
    with pytest.raises(OverflowError):
        len(grid)


def test_grids_are_values() -> None:
    grid = TileGrid([10, np.int64(20)], 4, halo=(1, 2))
    assert grid == TileGrid((10, 20), (4, 4), [(1, 1), (2, 2)])
    assert hash(grid) == hash(TileGrid((10, 20), (4, 4), [(1, 1), (2, 2)]))
    assert pickle.loads(pickle.dumps(grid)) == grid
    assert len(pickle.dumps(grid)) < 500
    assert grid != TileGrid((10, 20), 4, halo=(1, 3))


def test_memory_does_not_grow_with_the_tiles() -> None:
    small, large = TileGrid((10,), 1), TileGrid((10**9,), 1)
    for grid in (small, large):
        _ = grid.counts, grid.size, len(grid), grid[3]
    assert sum(map(sys.getsizeof, vars(large).values())) <= sum(map(sys.getsizeof, vars(small).values())) + 64


def test_a_tile_says_where_it_is() -> None:
    tile = TileGrid((10, 10), 5, halo=1)[1]
    assert str(tile) == "tile (0, 1) (write [0:5, 5:10], read [0:6, 4:10])"


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (((10, 10), (5,)), ParameterError, "tile_shape=(5,): 2 numbers"),
        (((10,), (0,)), ParameterError, "tile_shape"),
        (((10,), (-3,)), ParameterError, "at least 1"),
        (((-1,), (3,)), ParameterError, "shape"),
        (((10.5,), (3,)), ParameterTypeError, "whole"),
        (((10,), (2.5,)), ParameterTypeError, "tile_shape"),
        (((10,), (2,), -1), ParameterError, "halo"),
        (((10,), (2,), (1, 2)), ParameterError, "one entry per axis"),
        (((10,), (2,), [(1, 2, 3)]), ParameterError, "halo"),
        (((10,), (2,), 0.5), ParameterTypeError, "halo"),
        (("abc", (2,)), ParameterTypeError, "shape"),
    ],
)
def test_wrong_grids_are_refused(arguments: tuple[Any, ...], error: type[TilecoreError], text: str) -> None:
    with pytest.raises(error) as raised:
        TileGrid(*arguments)
    assert text in str(raised.value)


def test_unknown_ragged_edges_are_refused() -> None:
    with pytest.raises(ParameterError, match="'keep' or 'balance'"):
        TileGrid((5,), 2, ragged="drop")  # type: ignore[arg-type]


def test_positions_outside_are_refused() -> None:
    grid = TileGrid((10, 10), 5)
    assert grid.at((-1, -1)).index == (1, 1)
    with pytest.raises(BoundsError, match="2, 2"):
        grid.at((2, 0))


@settings(max_examples=20)
@given(grids())
def test_every_tile_pickles_small(grid: TileGrid) -> None:
    for tile in grid[:3]:
        assert isinstance(tile, Tile)
        assert pickle.loads(pickle.dumps(tile)) == tile
