"""Tests of the levels of a pyramid: their number is right and finite."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tilecore import create_sink, map_tiles, open_source
from tilecore.formats.pyramids import level_factors, mean_of_voxels


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


#: Lengths of few and of many voxels, and sizes up to the limits of float64.
LENGTHS, SIZES = st.one_of(st.integers(0, 3), st.integers(0, 10**12)), st.floats(5e-324, 1.7e308)


@given(st.data(), st.integers(2, 5), st.one_of(st.none(), st.tuples(SIZES, SIZES, SIZES)))
def test_levels_of_any_shape_come_to_an_end(
    data: Any, ndim: int, voxel_size_um: tuple[float, float, float] | None
) -> None:
    shape = data.draw(st.tuples(*[LENGTHS] * ndim))
    levels = level_factors(shape, "TCZYX"[-ndim:], voxel_size_um)
    assert len(levels) <= 1 + 3 * 40
    last = shape
    for factors in levels:
        last = tuple([-(-length // factor) for length, factor in zip(last, factors, strict=True)])
    assert max(last[-2:]) <= 256
    assert last[: max(0, ndim - 3)] == shape[: max(0, ndim - 3)]


@pytest.mark.parametrize("shape", [(1, 1000), (1, 1, 1000), (20000, 30), (1000, 1, 1), (3, 20000, 1)])
def test_every_level_of_a_long_image_is_written(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "v.ome.zarr"
    volume = np.arange(math.prod(shape), dtype="u4").reshape(shape)
    with create_sink(path, shape, "u4") as sink:
        sink[...] = volume
    levels = open_source(path).info.levels
    assert max(levels[-1][-2:]) <= 256
    for number, level in enumerate(levels):
        found = open_source(path, level=number)[...]
        assert found.shape == level
        assert found.min() >= volume.min() and found.max() <= volume.max()


DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


@given(st.data(), st.sampled_from(DTYPES), st.tuples(*[st.integers(1, 2)] * 3))
def test_a_mean_is_that_of_exact_numbers(data: Any, dtype: str, factors: tuple[int, ...]) -> None:
    finite = {} if dtype[0] in "?ui" else {"allow_nan": False, "allow_infinity": False}
    block = data.draw(arrays(dtype, st.tuples(*[st.integers(1, 4)] * 3), elements=finite))
    means = mean_of_voxels(block, factors)
    assert means.dtype == block.dtype
    for index in np.ndindex(means.shape):
        voxels = block[tuple([slice(at * step, (at + 1) * step) for at, step in zip(index, factors, strict=True)])]
        exact = sum(map(Fraction, voxels.ravel().tolist()), Fraction(0)) / voxels.size
        if dtype[0] in "?ui":
            assert abs(int(means[index]) - exact) <= Fraction(1, 2)
        else:
            limits = np.finfo(dtype)
            error = 4 * float(limits.eps) * float(abs(voxels).max()) + float(limits.smallest_subnormal)
            assert abs(Fraction(float(means[index])) - exact) <= Fraction(error)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("u8", 2**64 - 1), ("i8", 2**63 - 1), ("i8", -(2**63)), ("u8", 2**53 + 1), ("f8", 1.7e308), ("f4", 3.4e38)],
)
def test_equal_voxels_have_their_own_value_at_each_level(dtype: str, value: float, tmp_path: Path) -> None:
    with create_sink(tmp_path / "v.ome.zarr", (2, 301, 300), dtype) as sink:
        sink[...] = np.full((2, 301, 300), value, dtype)
    level = open_source(tmp_path / "v.ome.zarr", level=1)[...]
    if dtype[0] == "f":
        np.testing.assert_allclose(level, value, rtol=1e-15 if dtype == "f8" else 1e-7)
    else:
        assert np.unique(level).tolist() == [value]


@pytest.mark.parametrize("shape", [(1, 1000), (1, 1, 1000)])
def test_a_single_line_is_written_with_its_levels(shape: tuple[int, ...], tmp_path: Path) -> None:
    line = np.arange(1000, dtype="u2").reshape(shape)
    path = tmp_path / "line.ome.zarr"
    map_tiles(np.copy, line, out=path, executor="serial", tile_shape=shape)
    levels = [open_source(path, level=level) for level in range(3)]
    assert [level.shape[-1] for level in levels] == [1000, 500, 250]
    np.testing.assert_array_equal(levels[0][(slice(None),) * len(shape)], line)
