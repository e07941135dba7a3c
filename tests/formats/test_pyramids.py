"""Tests of the levels of a pyramid: their number is right and finite."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore import map_tiles, open_source
from tilecore.formats.pyramids import level_factors


@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ((1, 1000), [(1, 1), (1, 2), (1, 2)]),
        ((1000, 1), [(1, 1), (2, 1), (2, 1)]),
        ((3, 600), [(1, 1), (2, 2), (2, 2)]),
    ],
)
def test_an_axis_of_one_voxel_keeps_no_other_waiting(shape: tuple[int, ...], factors: list[tuple[int, ...]]) -> None:
    assert level_factors(shape, "YX", None) == factors


@given(st.tuples(*[st.integers(1, 10**6)] * 3), st.tuples(*[st.floats(1e-3, 1e3)] * 3))
def test_levels_come_to_an_end(shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]) -> None:
    levels = level_factors(shape, "ZYX", voxel_size_um)
    assert len(levels) <= 1 + sum(math.ceil(math.log2(length)) for length in shape)
    assert all(max(factors) == 2 for factors in levels[1:])


@pytest.mark.parametrize("shape", [(1, 1000), (1, 1, 1000)])
def test_a_single_line_is_written_with_its_levels(shape: tuple[int, ...], tmp_path: Path) -> None:
    line = np.arange(1000, dtype="u2").reshape(shape)
    path = tmp_path / "line.ome.zarr"
    map_tiles(np.copy, line, out=path, executor="serial", tile_shape=shape)
    levels = [open_source(path, level=level) for level in range(3)]
    assert [level.shape[-1] for level in levels] == [1000, 500, 250]
    np.testing.assert_array_equal(levels[0][(slice(None),) * len(shape)], line)
