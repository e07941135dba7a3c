"""Tests of placement: positions of results with another resolution or other axes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore.errors import ParameterError, TilecoreError
from tilecore.geometry import TileGrid
from tilecore.geometry.placement import Placement

scales = st.sampled_from([1, 2, 3, 0.5, Fraction(1, 3), 0.25])


@given(st.tuples(*[st.integers(1, 20)] * 2), st.tuples(*[scales] * 2), st.integers(1, 4), st.data())
def test_output_boxes_partition_the_output(
    shape: tuple[int, ...], scale: tuple[Any, ...], factor: int, data: st.DataObject
) -> None:
    placement = Placement.of(2, scale)
    grid = TileGrid(shape, [step * factor for step in placement.units(None)])
    placement.check(grid)
    owners = np.zeros(placement.shape(shape), dtype=int)
    for tile in grid:
        owners[placement.box(tile.write).slices] += 1
    assert (owners == 1).all()


def test_axes_are_dropped_and_added() -> None:
    placement = Placement.of(3, 2, drop_axis=0, new_axis={0: 5, -1: 3})
    assert placement.shape((4, 6, 8)) == (5, 12, 16, 3)
    tile = TileGrid((4, 6, 8), (4, 3, 8))[1]
    assert placement.box(tile.write).start == (0, 6, 0, 0)
    assert placement.box(tile.write).stop == (5, 12, 16, 3)


def test_results_of_the_block_or_of_the_write_box_are_cut() -> None:
    grid = TileGrid((10,), 4, halo=2)
    placement = Placement.of(1)
    tile = grid[1]
    assert placement.inner(tile, tile.read, (8,)) == (slice(2, 6),)
    assert placement.inner(tile, tile.read, (4,)) == (slice(0, 4),)
    with pytest.raises(ParameterError, match=r"shape \(7,\).*\(8,\).*\(4,\)"):
        placement.inner(tile, tile.read, (7,))


def test_half_resolution_cuts_half_the_halo() -> None:
    grid = TileGrid((16,), 4, halo=2)
    placement = Placement.of(1, 0.5)
    placement.check(grid)
    tile = grid[1]
    assert placement.inner(tile, tile.read, (4,)) == (slice(1, 3),)


@given(st.integers(1, 30), st.integers(1, 12), scales)
def test_units_make_whole_storage_units(length: int, unit: int, scale: Any) -> None:
    placement = Placement.of(1, scale)
    (step,) = placement.units((unit,))
    scaled = step * placement.scale[0]
    assert scaled.denominator == 1
    assert scaled.numerator % unit == 0


@pytest.mark.parametrize(
    ("arguments", "grid", "text"),
    [
        ({"scale": 0.5}, TileGrid((9,), 3), "multiple of 2"),
        ({"scale": 0.5}, TileGrid((8,), 4, halo=1), "halo"),
        ({"drop_axis": 0}, TileGrid((8,), 4), "span axis 0"),
    ],
)
def test_grids_that_do_not_fit_are_refused(arguments: dict[str, Any], grid: TileGrid, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        Placement.of(1, **arguments).check(grid)


@pytest.mark.parametrize(
    "arguments",
    [
        {"scale": 1.5},
        {"scale": 0},
        {"scale": -1},
        {"scale": (1, 2, 3)},
        {"scale": "big"},
        {"drop_axis": 5},
        {"new_axis": {9: 2}},
        {"new_axis": {0: -2}},
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(TilecoreError, match=next(iter(arguments))):
        Placement.of(2, **arguments)
