"""Tests of the chunks of labelled arrays: those that they have, and those that dask chooses."""

from __future__ import annotations

import math

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tilecore.compat.minian import get_chk, get_chunksize, get_optimal_chk, rechunk_like
from tilecore.errors import ParameterError, ParameterTypeError


def movie(shape: tuple[int, ...] = (100, 60, 80), chunks: object = None, dtype: str = "u1") -> xr.DataArray:
    data = np.zeros(shape, dtype) if chunks is None else da.zeros(shape, dtype, chunks=chunks)
    return xr.DataArray(data, dims=["frame", "height", "width"][: len(shape)])


def of_dask(array: xr.DataArray, cut: list[str], csize: float, dtype: str | None) -> dict[str, int]:
    """Longest chunk along each dimension of what dask itself makes."""
    with dask.config.set({"array.chunk-size": f"{int(csize * 2**20)}B"}):
        work = array if dtype is None else array.astype(dtype)
        made = work.chunk({dim: "auto" if dim in cut else -1 for dim in array.dims})
    return {str(dim): max(lengths) for dim, lengths in made.chunksizes.items()}


def test_chunks_have_names() -> None:
    array = movie((10, 6, 8), chunks=((3, 3, 3, 1), (6,), (5, 3)))
    assert get_chk(array) == {"frame": (3, 3, 3, 1), "height": (6,), "width": (5, 3)}
    assert get_chunksize(array) == {"frame": 3, "height": 6, "width": 5}
    assert get_chunksize(movie((10, 6, 8), chunks=((1, 9), 6, 8)))["frame"] == 9  # the longest, not the first
    assert all(type(each) is int for each in get_chunksize(array).values())


def test_an_array_in_memory_is_one_chunk() -> None:
    assert get_chk(movie((10, 6, 8))) == {"frame": (10,), "height": (6,), "width": (8,)}
    assert get_chunksize(movie((10, 6, 8))) == {"frame": 10, "height": 6, "width": 8}
    assert get_chk(xr.DataArray(3.0)) == {}


@settings(max_examples=20)
@given(
    shape=st.tuples(st.integers(1, 3000), st.integers(1, 900), st.integers(1, 900)),
    parts=st.none() | st.tuples(st.integers(1, 400), st.integers(1, 300), st.integers(1, 300)),
    csize=st.sampled_from([0.25, 1, 3.7, 16]),
    dtype=st.sampled_from([None, "u1", "f4", "f8"]),
)
def test_lengths_are_those_of_dask(
    shape: tuple[int, int, int], parts: tuple[int, int, int] | None, csize: float, dtype: str | None
) -> None:
    array = movie(shape, chunks=-1 if parts is None else parts)
    chunks, stored = get_optimal_chk(array, csize=csize, dtype=dtype)
    by_frame, by_place = of_dask(array, ["frame"], csize, dtype), of_dask(array, ["height", "width"], csize, dtype)
    assert chunks == {"frame": by_frame["frame"], "height": by_place["height"], "width": by_place["width"]}
    assert all(stored[dim] % length == 0 for dim, length in chunks.items())
    assert all(stored[dim] <= array.sizes[dim] for dim in chunks)
    most = csize * 2**20 / np.dtype(dtype or array.dtype).itemsize
    assert math.prod(stored.values()) <= most or stored == chunks


@pytest.mark.parametrize("chunks", [None, (10, 60, 80)])
def test_memory_and_blocks_give_plain_numbers(chunks: object) -> None:
    array = movie(chunks=chunks)
    found = get_optimal_chk(array, csize=0.05)  # type: ignore[arg-type]
    assert found[0]["frame"] == of_dask(array, ["frame"], 0.05, None)["frame"]
    assert {type(each) for lengths in found for each in lengths.values()} == {int}
    assert [[*lengths] for lengths in found] == [["frame", "height", "width"]] * 2


def test_groups_of_ones_own() -> None:
    array = movie()
    chunks, _ = get_optimal_chk(array, dim_grp=[], csize=0.05)
    assert chunks == {dim: of_dask(array, [dim], 0.05, None)[dim] for dim in ("frame", "height", "width")}
    units = xr.DataArray(np.zeros((30, 1000)), dims=["unit_id", "frame"])
    chunks, _ = get_optimal_chk(units, [("unit_id",), ("frame",), ("height", "width")], csize=0.01)
    assert chunks == {dim: of_dask(units, [dim], 0.01, None)[dim] for dim in ("unit_id", "frame")}


def test_wrong_groups_are_refused() -> None:
    with pytest.raises(ParameterError, match="'unit_id' is in no group"):
        get_optimal_chk(xr.DataArray(np.zeros((3, 4)), dims=["unit_id", "frame"]))
    with pytest.raises(ParameterError, match="'frame' is in a group more than once"):
        get_optimal_chk(movie(), [("frame",), ("frame", "height", "width")])
    with pytest.raises(ParameterError, match="tuple of names"):
        get_optimal_chk(movie(), ["frame", "height", "width"])
    with pytest.raises(ParameterError, match="csize=0"):
        get_optimal_chk(movie(), csize=0)
    with pytest.raises(ParameterError, match="dtype"):
        get_optimal_chk(movie(), dtype=object)


def test_an_array_of_another_is_refused() -> None:
    for call in (get_chk, get_chunksize, get_optimal_chk):
        with pytest.raises(ParameterTypeError, match="xarray"):
            call(np.zeros(3))  # type: ignore[operator]


def test_chunks_of_another_array_are_taken() -> None:
    like = movie((10, 6, 8), chunks=((4, 6), 6, (5, 3)))
    other = xr.DataArray(np.arange(80).reshape(8, 10), dims=["width", "frame"], name="other", attrs={"a": 1})
    found = rechunk_like(other, like)
    assert get_chk(found) == {"width": (5, 3), "frame": (6, 4)}
    xr.testing.assert_identical(found.compute(), other)
    assert other.chunks is None


def test_memory_makes_memory() -> None:
    blocks = movie((10, 6, 8), chunks=(4, 6, 8))
    found = rechunk_like(blocks, movie((10, 6, 8)))
    assert isinstance(found.data, np.ndarray)
    assert get_chk(rechunk_like(blocks.isel(frame=0), blocks)) == {"height": (6,), "width": (8,)}
