"""Tests of lazily loaded variables: read straight from the store, if nothing happens to their voxels on the way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

from tilecore import map_tiles
from tilecore.arrays.foreign import adopted

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:.*does not have a Zarr V3")

MOVIE = xr.DataArray(
    np.arange(24 * 10 * 8, dtype=np.uint16).reshape(24, 10, 8) % 251,
    dims=("frame", "height", "width"),
    coords={"frame": np.arange(24) * 2, "session": "a"},
    name="movie",
)


@pytest.fixture(params=[2, 3])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = str(tmp_path / "movie.zarr")
    chunks = {"movie": {"chunks": (5, 4, 8)}}
    MOVIE.to_dataset().to_zarr(path, encoding=chunks, zarr_format=request.param)
    return path


@pytest.mark.parametrize("chunks", [None, {}, {"frame": 10}, {"frame": 24, "height": 10, "width": 8}])
def test_variables_are_read_from_the_store(saved: str, chunks: Any) -> None:
    opened = xr.open_zarr(saved, chunks=chunks)["movie"]
    for each in (opened, opened.variable, opened.copy(), opened.rename("x").assign_attrs(a=1)):
        found: Any = adopted(each)
        assert isinstance(found, zarr.Array)
        np.testing.assert_array_equal(found[...], MOVIE.values)


def test_arrays_of_dask_are_read_from_the_store(saved: str) -> None:
    assert isinstance(adopted(da.from_zarr(f"{saved}/movie")), zarr.Array)
    assert isinstance(adopted(da.from_zarr(f"{saved}/movie", chunks=(7, 10, 3))), zarr.Array)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "part": lambda array: array.isel(frame=slice(2, 24)),
    "step": lambda array: array.isel(frame=slice(None, None, -1)),
    "turned": lambda array: array.transpose("width", "frame", "height"),
    "sum": lambda array: array + 1,
    "twice": lambda array: array.astype("f4").astype("u2"),
    "rolled": lambda array: array.roll(frame=3),
    "picked": lambda array: array.isel(height=[1, 0, 2, 3, 4, 5, 6, 7, 8, 9]),
    "masked": lambda array: array.where(array > 5, 0),
    "joined": lambda array: xr.concat([array.isel(frame=slice(12)), array.isel(frame=slice(12, 24))], "frame"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
def test_whatever_was_done_to_it_counts(saved: str, change: str, chunks: Any) -> None:
    source = CHANGES[change](xr.open_zarr(saved, chunks=chunks)["movie"])
    assert not isinstance(adopted(source), zarr.Array)
    found = map_tiles(np.copy, source, tile_shape=(6, 5, 8), executor="serial")
    np.testing.assert_array_equal(found, CHANGES[change](MOVIE).values)


def test_dask_that_computes_is_computed(saved: str) -> None:
    array = da.from_zarr(f"{saved}/movie")
    for each in (array[1:], array + 1, array.rechunk((3, 10, 8)), array.T, array.map_blocks(np.negative)):
        assert adopted(each) is each


def test_what_was_written_into_it_counts(saved: str) -> None:
    opened = xr.open_zarr(saved, chunks=None)["movie"]
    opened[0] = 9
    assert not isinstance(adopted(opened), zarr.Array)
    assert int(map_tiles(np.copy, opened, tile_shape=8, executor="serial")[0].min()) == 9


PACKED = {
    "scaled": (MOVIE.astype("f4"), {"scale_factor": 0.5, "dtype": "i2", "_FillValue": -1}),
    "filled": (MOVIE.where(MOVIE > 5), {"dtype": "i4", "_FillValue": -7}),
    "times": (MOVIE.astype("datetime64[ns]"), {}),
    "truth": (MOVIE > 100, {}),
}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
@pytest.mark.parametrize("version", [2, 3])
def test_values_are_decoded(tmp_path: Path, kind: str, chunks: Any, version: Any) -> None:
    array, encoding = PACKED[kind]
    array.to_dataset(name="movie").to_zarr(tmp_path / "m.zarr", encoding={"movie": encoding}, zarr_format=version)
    opened = xr.open_zarr(tmp_path / "m.zarr", chunks=chunks)["movie"]
    found: Any = adopted(opened)
    np.testing.assert_array_equal(np.asarray(found[0:24, 0:10, 0:8]), array.values)


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
def test_workers_read_for_themselves(saved: str, chunks: Any) -> None:
    opened = xr.open_zarr(saved, chunks=chunks)["movie"]
    found = map_tiles(np.copy, opened, tile_shape=(5, 4, 8), halo=1, workers=2)
    np.testing.assert_array_equal(found, MOVIE.values)


def test_memory_stores_are_read(tmp_path: Path) -> None:
    store = zarr.storage.MemoryStore()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MOVIE.to_dataset().to_zarr(store)
        opened = xr.open_zarr(store, chunks={})["movie"]
    found = map_tiles(np.copy, opened, tile_shape=(5, 4, 8), workers=2)
    np.testing.assert_array_equal(found, MOVIE.values)
