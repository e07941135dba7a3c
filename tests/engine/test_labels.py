"""Tests of the verbs with labelled arrays: parameters by name, and results that keep the labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from tilecore import collect_tiles, declare, iter_tiles, map_tiles, reduce_tiles
from tilecore.errors import ParameterError, ParameterTypeError

NAMES = ("frame", "height", "width", "animal", "session")
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:.*does not have a Zarr V3")


def labelled(ndim: int = 3) -> xr.DataArray:
    """An array with coordinates of every kind."""
    dims, shape = NAMES[:ndim], (6, 5, 4, 3, 2)[:ndim]
    values = np.random.default_rng(ndim).integers(0, 99, shape).astype(np.uint8)
    array = xr.DataArray(values, dims=dims, name="movie", attrs={"unit": "counts", "list": [1, 2]})
    array = array.assign_coords(frame=("frame", np.arange(6) * 10, {"axis": "T"}), depth=3.5, mouse="m1")
    array = array.assign_coords(seconds=("frame", np.linspace(0, 1, 6)), good=("frame", np.arange(6) > 2))
    if ndim > 1:
        array = array.assign_coords(mask=(("frame", "height"), np.ones((6, 5), bool)), height=list("abcde"))
    array["seconds"].encoding["units"] = "kept"
    return array


def smooth(block: npt.NDArray[Any], *, size: int = 3) -> npt.NDArray[np.float32]:
    return uniform_filter(block.astype(np.float32), size, mode="nearest")


@pytest.mark.parametrize("ndim", range(1, 6))
def test_results_are_those_of_numpy_with_all_labels(ndim: int) -> None:
    source = labelled(ndim)
    found = map_tiles(smooth, source, halo=1, boundary="edge", tile_shape=2, executor="serial")
    plain = map_tiles(smooth, source.values, halo=1, boundary="edge", tile_shape=2, executor="serial")
    assert isinstance(found, xr.DataArray) and isinstance(plain, np.ndarray)
    xr.testing.assert_identical(found, source.copy(data=plain))
    assert found.dtype == np.float32 and found.name == "movie" and found.attrs == source.attrs
    assert found.encoding == {} and found["seconds"].encoding == {"units": "kept"}
    assert found.attrs is not source.attrs


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_executors_agree(executor: str) -> None:
    source = labelled()
    found = map_tiles(smooth, source, halo={"height": 1, "frame": (1, 2)}, tile_shape=2, workers=2, executor=executor)
    by_number = map_tiles(smooth, source.values, halo=[(1, 2), (1, 1), (0, 0)], tile_shape=2, executor="serial")
    xr.testing.assert_identical(found, source.copy(data=by_number))


@given(
    lengths=st.dictionaries(st.sampled_from(NAMES[:3]), st.sampled_from([-1, 1, 2, 3, 9])),
    halo=st.dictionaries(
        st.sampled_from(NAMES[:3]), st.integers(0, 2) | st.tuples(st.integers(0, 2), st.integers(0, 2))
    ),
)
def test_names_mean_what_numbers_mean(lengths: Mapping[str, int], halo: Mapping[str, Any]) -> None:
    source = labelled()
    numbers = [{-1: 9}.get(length, length) for length in (lengths.get(name, 9) for name in source.dims)]
    whole = {str(name): -1 for name in source.dims}
    named = list(iter_tiles(np.copy, source, tile_shape=whole | dict(lengths), halo=halo, executor="serial"))
    numbered = list(
        iter_tiles(
            np.copy, source.values, tile_shape=numbers, halo=[_pair(halo.get(name, 0)) for name in NAMES[:3]],
            executor="serial",
        )
    )  # fmt: skip
    assert [tile for tile, _ in named] == [tile for tile, _ in numbered]
    for (_, mine), (_, other) in zip(named, numbered, strict=True):
        np.testing.assert_array_equal(mine, other)


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def test_lengths_that_are_not_named_are_chosen() -> None:
    source = labelled()
    found = [tile for tile, _ in iter_tiles(np.sum, source, tile_shape={"frame": 4}, executor="serial")]
    assert {tile.write.shape[0] for tile in found} == {4, 2}


def test_the_other_verbs_take_names() -> None:
    source = labelled()
    by_frame: dict[str, int | None] = {"frame": 1, "height": -1, "width": -1}
    totals = collect_tiles(np.sum, source, tile_shape=by_frame, executor="serial")
    np.testing.assert_array_equal(totals, source.sum(["height", "width"]))
    total = reduce_tiles(np.sum, np.add, source, tile_shape=by_frame, executor="serial")
    assert total == source.sum()


def test_functions_declare_names() -> None:
    found = map_tiles(
        declare(halo={"frame": 1})(lambda block: block * 0 + block.shape[0]),  # type: ignore[arg-type]
        labelled(),
        tile_shape={"frame": 1, "height": -1, "width": -1},
        executor="serial",
    )
    assert found[:, 0, 0].values.tolist() == [2, 3, 3, 3, 3, 2]


def largest(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return block.max(axis=1)


def test_axes_that_are_dropped_take_their_coordinates_along() -> None:
    source = labelled()
    for axis in (1, "height", ["height"]):
        found = map_tiles(largest, source, drop_axis=axis, tile_shape={"frame": 2}, executor="serial")  # type: ignore[arg-type]
        assert found.dims == ("frame", "width")
        assert set(found.coords) == {"frame", "depth", "mouse", "seconds", "good"}
        np.testing.assert_array_equal(found, source.max("height"))


def test_new_axes_get_names_and_scaled_axes_lose_coordinates() -> None:
    source = labelled()
    found = map_tiles(lambda block: np.stack([block, block]), source, new_axis={0: 2}, tile_shape=2, executor="serial")
    assert found.dims == ("dim_0", "frame", "height", "width")
    assert set(found.coords) == set(source.coords)
    named = map_tiles(
        lambda block: np.stack([[block], [-block]]), source, new_axis={"channel": 2, "run": 1}, tile_shape=2,
        executor="serial",
    )  # fmt: skip
    assert named.dims == ("channel", "run", "frame", "height", "width")
    assert set(named.coords) == set(source.coords)
    np.testing.assert_array_equal(named.isel(channel=1, run=0), -source)
    half = map_tiles(lambda block: block[::2], source, scale={"frame": 0.5}, tile_shape=2, executor="serial")
    assert half.dims == source.dims
    assert set(half.coords) == {"height", "depth", "mouse"}
    np.testing.assert_array_equal(half, source[::2])


def test_a_multiindex_stays_whole() -> None:
    index = pd.MultiIndex.from_product([["a", "b"], [1, 2, 3]], names=["session", "trial"])
    source = labelled().drop_vars(["frame", "seconds", "good", "mask"])
    source = source.assign_coords(xr.Coordinates.from_pandas_multiindex(index, "frame"))
    found = map_tiles(smooth, source, tile_shape=2, executor="serial")
    assert found.indexes["frame"].equals(index)
    xr.testing.assert_identical(found.sel(session="b").trial, source.sel(session="b").trial)
    dropped = map_tiles(lambda block: block.max(axis=0), source, drop_axis="frame", executor="serial")
    assert set(dropped.coords) == {"height", "depth", "mouse"}


def test_several_results_and_sources() -> None:
    source = labelled()
    both = map_tiles(lambda a, b: (a + b, a > b), [source, source * 2], tile_shape=2, executor="serial")
    assert isinstance(both, tuple) and [each.dtype for each in both] == [np.uint8, np.bool_]
    xr.testing.assert_identical(both[0], source.copy(data=(source + source * 2).values))
    mine = np.empty(source.shape, np.uint8)
    new, given_array = map_tiles(
        lambda block: (block, block), source, out=[None, mine], tile_shape=2, executor="serial"
    )
    assert isinstance(new, xr.DataArray) and given_array is mine
    plain = map_tiles(lambda a, b: a + b, [source.values, source], tile_shape=2, executor="serial")
    assert isinstance(plain, np.ndarray)  # the first source tells the labels


def test_sources_that_do_not_agree_are_refused() -> None:
    source = labelled()
    with pytest.raises(ParameterError, match="labels along 'frame' differ"):
        map_tiles(np.add, [source, source.assign_coords(frame=np.arange(6))], executor="serial")
    square = source.isel(height=slice(4))
    with pytest.raises(ParameterError, match="another order"):
        map_tiles(np.add, [square, square.transpose("frame", "width", "height").drop_vars("height")], executor="serial")


def test_outputs_of_ones_own_are_given_back(tmp_path: Path) -> None:
    source = labelled()
    mine = np.empty(source.shape, np.float32)
    assert map_tiles(smooth, source, out=mine, tile_shape=2, executor="serial") is mine
    theirs = xr.zeros_like(source, dtype=np.float32)
    assert map_tiles(smooth, source, out=theirs, tile_shape=2, executor="serial") is theirs
    np.testing.assert_array_equal(theirs, mine)
    written = map_tiles(smooth, source, out=tmp_path / "m.npy", tile_shape=2, executor="serial")
    assert isinstance(written, np.ndarray)


def test_an_output_with_other_dimensions_is_refused() -> None:
    source = labelled().isel(height=slice(4))
    with pytest.raises(ParameterError, match="result has the dimensions"):
        map_tiles(np.copy, source, out=xr.zeros_like(source.transpose("frame", "width", "height")), executor="serial")


def test_names_of_dimensions_need_not_be_text() -> None:
    source = xr.DataArray(np.ones((3, 2)), dims=(0, 1), coords={"depth": 3.5})
    xr.testing.assert_identical(map_tiles(np.copy, source, executor="serial"), source)


def test_lazy_coordinates_stay_lazy() -> None:
    source = labelled().assign_coords(position=(("height", "width"), da.ones((5, 4))))
    found = map_tiles(smooth, source, tile_shape=3, executor="serial")
    assert found["position"].chunks is not None


def test_coordinates_that_are_read_from_a_file_are_not_read(tmp_path: Path) -> None:
    source = labelled().assign_coords(position=(("height", "width"), np.ones((5, 4))))
    source.to_dataset().to_zarr(tmp_path / "movie.zarr")
    opened = xr.open_zarr(tmp_path / "movie.zarr", chunks=None)["movie"]
    found = map_tiles(smooth, opened, tile_shape=3, executor="serial")
    assert not found["position"].variable._in_memory
    xr.testing.assert_equal(found["position"].compute(), source["position"])


def test_a_variable_without_coordinates_gives_one() -> None:
    source = labelled().variable
    found = map_tiles(smooth, source, halo={"frame": 1}, tile_shape={"frame": 2}, executor="serial")
    assert isinstance(found, xr.Variable)
    xr.testing.assert_identical(found, labelled().pipe(lambda a: map_tiles(smooth, a, executor="serial")).variable)
    times = labelled().coords["frame"].variable  # it is an index, which a result need not be
    assert type(times) is xr.IndexVariable
    doubled = map_tiles(lambda block: block * 2.0, times, executor="serial")
    xr.testing.assert_identical(doubled, xr.Variable(("frame",), np.arange(6) * 20.0, times.attrs))
    assert map_tiles(largest, source, drop_axis="height", executor="serial").dims == ("frame", "width")
    with pytest.raises(ParameterError, match="result has the dimensions"):
        map_tiles(np.copy, source, out=xr.zeros_like(source.transpose("width", "height", "frame")), executor="serial")


def test_an_unnamed_array_and_an_empty_one() -> None:
    found = map_tiles(np.copy, xr.DataArray(np.ones((3, 2))), tile_shape=2, executor="serial")
    assert found.name is None and found.dims == ("dim_0", "dim_1")
    empty = labelled().isel(frame=slice(0))
    xr.testing.assert_identical(map_tiles(np.copy, empty, tile_shape=2, executor="serial"), empty)


def test_files_that_name_their_axes_take_names(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 99, (4, 6, 8), dtype=np.uint8)
    path = tmp_path / "volume.ome.zarr"
    map_tiles(np.copy, volume, out=path, tile_shape=4, executor="serial")
    found = map_tiles(smooth, path, halo={"z": 1}, tile_shape={"z": 2, "y": -1}, executor="serial")
    by_number = map_tiles(smooth, volume, halo=(1, 0, 0), tile_shape=(2, 6, 8), executor="serial")
    np.testing.assert_array_equal(found, by_number)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"halo": {"fram": 1}}, "halo='fram': .*there are frame, height, width; did you mean frame"),
    ({"tile_shape": {"z": 1}}, "tile_shape='z': there is no such dimension"),
    ({"scale": {"z": 2}}, "scale='z': there is no such dimension"),
    ({"drop_axis": "z"}, "drop_axis='z': there is no such dimension"),
    ({"tile_shape": {"frame": 0}}, "tile_shape"),
    ({"new_axis": {"frame": 2}}, "new_axis='frame': the source has this name already"),
    ({"new_axis": {"mouse": 2}}, "new_axis='mouse': the source has this name already"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_names_that_do_not_exist_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        map_tiles(np.copy, labelled(), executor="serial", **options)


def test_arrays_without_names_take_no_names() -> None:
    with pytest.raises(ParameterTypeError, match="does not name its axes"):
        map_tiles(np.copy, np.zeros((3, 3)), halo={"frame": 1}, executor="serial")
    with pytest.raises(ParameterTypeError, match="new_axis=.*positions are needed"):
        map_tiles(np.copy, np.zeros((3, 3)), new_axis={"channel": 1}, executor="serial")
    with pytest.raises(ParameterTypeError, match="new_axis=.*names for all new axes"):
        map_tiles(np.copy, labelled(), new_axis={"channel": 1, 0: 2}, executor="serial")  # type: ignore[dict-item]
