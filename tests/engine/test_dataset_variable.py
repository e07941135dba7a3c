"""Tests of `DatasetVariable`: results that become variables of a dataset on disk, with their labels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import xarray as xr
import zarr

from tests.engine.test_labels import labelled, smooth
from tilecore import DatasetVariable, map_tiles
from tilecore.datasets import open_dataset, save_variable
from tilecore.errors import (
    OutputExistsError,
    ParameterError,
    ParameterTypeError,
    SourceChangedError,
    TileError,
    UnwritableFileError,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ndim", range(1, 6))
def test_a_variable_comes_back_with_all_labels(tmp_path: Path, ndim: int) -> None:
    source = labelled(ndim)
    expected = map_tiles(smooth, source, halo=1, tile_shape=2, executor="serial")
    found = map_tiles(smooth, source, halo=1, tile_shape=2, out=DatasetVariable(tmp_path, "smooth"), executor="serial")
    xr.testing.assert_identical(found.compute(), expected.rename("smooth"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = xr.open_zarr(tmp_path / "smooth.zarr")
    assert set(opened.coords) == set(source.coords) and set(opened.data_vars) == {"smooth"}
    assert names(tmp_path) == ["smooth.zarr"]


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_the_array_lies_where_programs_look_for_it(tmp_path: Path, executor: str) -> None:
    source = labelled()
    out = DatasetVariable(str(tmp_path / "new" / "minian"), "C", chunks={"frame": 2, "width": 0})
    found = map_tiles(smooth, source, halo=2, tile_shape={"frame": 4}, out=out, workers=2, executor=executor)
    stored: Any = zarr.open_array(tmp_path / "new" / "minian" / "C.zarr" / "C")
    assert stored.chunks == (2, 5, 4) and stored.metadata.dimension_names == ("frame", "height", "width")
    assert found.chunks == ((2, 2, 2), (5,), (4,))
    np.testing.assert_array_equal(stored[...], map_tiles(smooth, source.values, executor="serial"))


KINDS = ["?", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "c8"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_number_comes_back(tmp_path: Path, kind: str) -> None:
    source = labelled().astype(kind)
    found = map_tiles(np.copy, source, out=DatasetVariable(tmp_path, "x"), executor="serial")
    assert found.dtype == source.dtype
    xr.testing.assert_identical(found.compute(), source.rename("x"))


def test_dates_and_spans_of_coordinates_come_back(tmp_path: Path) -> None:
    times = np.datetime64("2026-01-01T00:00:00.123456789") + np.arange(6).astype("m8[ns]")
    source = labelled().assign_coords(time=("frame", times), span=("frame", np.arange(6).astype("m8[ns]")))
    found = map_tiles(np.copy, source, out=DatasetVariable(tmp_path, "x"), executor="serial")
    xr.testing.assert_equal(found.compute()["time"].drop_vars("span"), source["time"].drop_vars("span"))
    assert found["span"].values.astype("i8").tolist() == list(range(6))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:.*does not have a Zarr V3")
def test_the_variable_that_is_read_may_be_overwritten(tmp_path: Path, version: Any, chunks: Any) -> None:
    """The chunks and codecs of an older file are not those of the new one."""
    source = labelled().astype(np.int32)
    source.to_dataset().to_zarr(tmp_path / "movie.zarr", zarr_format=version)
    opened = xr.open_zarr(tmp_path / "movie.zarr", chunks=chunks)["movie"]
    out = DatasetVariable(tmp_path, "movie")
    with pytest.raises(OutputExistsError):
        map_tiles(np.negative, opened, out=out, executor="serial")
    found = map_tiles(np.negative, opened, tile_shape=2, out=out, overwrite=True, workers=2)
    xr.testing.assert_identical(found.compute(), (-source).assign_attrs(source.attrs))


def test_a_failure_leaves_the_old_variable_and_nothing_else(tmp_path: Path) -> None:
    source, out = labelled(), DatasetVariable(tmp_path, "x")
    map_tiles(np.copy, source, out=out, executor="serial")
    with pytest.raises(TileError):
        map_tiles(_fails, source, tile_shape=2, out=out, overwrite=True, workers=2, retries=0)
    assert names(tmp_path) == ["x.zarr"]
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "x.zarr", consolidated=False)["x"], source)


def _fails(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    raise ValueError("no")


def test_a_run_is_continued(tmp_path: Path) -> None:
    source, out, stop = labelled(), DatasetVariable(tmp_path, "x"), tmp_path / "stop"
    stop.touch()
    options: Any = {"tile_shape": {"frame": 1}, "out": out, "executor": "serial", "retries": 0, "identity": "v1"}
    options["kwargs"] = {"stop": str(stop)}
    with pytest.raises(TileError):
        map_tiles(_stops, source, journal=True, **options)
    stop.unlink()
    counted: list[object] = []
    found = map_tiles(_stops, source, resume=True, callbacks=[counted.append], **options)
    xr.testing.assert_identical(found.compute(), source.rename("x"))
    assert sum(type(event).__name__ == "TileDone" for event in counted) < 6
    again = map_tiles(_fails, source, resume=True, **options)
    xr.testing.assert_identical(again.compute(), source.rename("x"))
    for other in (source.assign_coords(mouse="m2"), source.assign_attrs(unit="photons")):  # not the finished one
        with pytest.raises(OutputExistsError):
            map_tiles(_stops, other, resume=True, **options)


def test_a_run_that_reads_a_variable_of_a_dataset_is_continued(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is known whether the variable is the same, and it is not when it was replaced."""
    save_variable(labelled(), tmp_path)
    stop = tmp_path / "stop"
    stop.touch()
    options: Any = {"tile_shape": {"frame": 1}, "out": DatasetVariable(tmp_path, "x"), "executor": "serial"}
    options |= {"retries": 0, "identity": "v1", "kwargs": {"stop": str(stop)}}
    with pytest.raises(TileError):
        map_tiles(_stops, open_dataset(tmp_path)["movie"], **options)
    assert "cannot be continued" not in caplog.text
    stop.unlink()
    events: list[object] = []
    found = map_tiles(_stops, open_dataset(tmp_path)["movie"], resume=True, callbacks=[events.append], **options)
    xr.testing.assert_identical(found.compute(), labelled().rename("x"))
    assert 0 < sum(type(event).__name__ == "TileDone" for event in events) < 6
    save_variable(labelled() + 1, tmp_path, overwrite=True)
    with pytest.raises(OutputExistsError):
        map_tiles(_stops, open_dataset(tmp_path)["movie"], resume=True, **options)


def _stops(block: npt.NDArray[Any], stop: str) -> npt.NDArray[Any]:
    if Path(stop).exists() and (block == labelled().values[4:5]).all():
        raise ValueError("stopped")
    return block


def test_several_variables_at_once(tmp_path: Path) -> None:
    source = labelled()
    out = [DatasetVariable(tmp_path, "one"), None, DatasetVariable(tmp_path, "two")]
    one, new, two = map_tiles(
        lambda block: (block, block, block * 2), source, out=out, tile_shape={"frame": 1}, executor="serial"
    )
    assert (one.name, new.name, two.name) == ("one", "movie", "two")
    xr.testing.assert_identical(two.compute(), source.copy(data=source.values * 2).rename("two"))


def test_axes_that_change(tmp_path: Path) -> None:
    source = labelled()
    found = map_tiles(
        lambda block: block.max(axis=0),
        source,
        drop_axis="frame",
        out=DatasetVariable(tmp_path, "x"),
        executor="serial",
    )
    assert found.dims == ("height", "width") and set(found.coords) == {"height", "depth", "mouse"}


def test_plain_arrays_have_the_names_that_are_given(tmp_path: Path) -> None:
    volume = np.ones((2, 3))
    found = map_tiles(np.copy, volume, out=DatasetVariable(tmp_path, "a"), executor="serial")
    assert found.dims == ("dim_0", "dim_1")
    out = DatasetVariable(tmp_path, "b", dims=("unit_id", "frame"), chunks={"frame": 2})
    found = map_tiles(np.copy, volume, out=out, tile_shape=2, executor="serial")
    assert found.dims == ("unit_id", "frame") and found.chunks == ((2,), (2, 1))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\\b", "a\0", "zarr.json", ".zattrs"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="name="):
        DatasetVariable(tmp_path, name)


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    source = labelled()
    index = pd.MultiIndex.from_product([["a", "b"], [1, 2, 3]], names=["session", "trial"])
    bare = source.drop_vars(["frame", "seconds", "good", "mask"])
    multi = bare.assign_coords(xr.Coordinates.from_pandas_multiindex(index, "frame"))
    wrong: list[tuple[xr.DataArray, dict[str, Any], str]] = [
        (multi, {"name": "x"}, "several levels.*reset_index"),
        (source, {"name": "frame"}, "dimension or a coordinate has this name"),
        (source, {"name": "x", "chunks": {"fram": 1}}, "no such dimension.*did you mean frame"),
        (source, {"name": "x", "chunks": {"frame": -5}}, "at least 1"),
        (source, {"name": "x", "dims": ("a", "b", "c")}, "its result has the dimensions"),
        (source.assign_attrs(scale_factor=2), {"name": "x"}, "would decode"),
        (source.assign_attrs(units="days since 2000-01-01"), {"name": "x"}, "would decode"),
        (source.assign_attrs(thing=object()), {"name": "x"}, "text, a number"),
        (source.assign_coords({"zarr.json": 3}), {"name": "x"}, "name of a folder"),
        (source.assign_coords(x=("frame", [1, "a", None, 2, 3, 4])), {"name": "y"}, "objects that are not text"),
    ]
    for array, told, message in wrong:
        with pytest.raises(ParameterError, match=message):
            map_tiles(_fails, array, out=DatasetVariable(tmp_path, **told), executor="serial")
    with pytest.raises(ParameterError, match="as many different names"):
        map_tiles(_fails, source.values, out=DatasetVariable(tmp_path, "x", dims=("a", "a", "b")), executor="serial")
    with pytest.raises(ParameterTypeError, match="name="):
        DatasetVariable(tmp_path, 3)  # type: ignore[arg-type]
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableFileError, match="cannot be made"):
        map_tiles(_fails, source, out=DatasetVariable(tmp_path / "file", "x"), executor="serial")
    assert names(tmp_path) == ["file"]


def test_names_of_dimensions_are_text(tmp_path: Path) -> None:
    source = xr.DataArray(np.ones((3, 2)), dims=(0, 1))
    with pytest.raises(ParameterTypeError, match="dimension of out=0: its name must be text"):
        map_tiles(np.copy, source, out=DatasetVariable(tmp_path, "x"), executor="serial")


def test_text_of_python_comes_back_as_text(tmp_path: Path) -> None:
    source = labelled().assign_coords(lab=("frame", np.array(list("abcdef"), object)))
    found = map_tiles(np.copy, source, out=DatasetVariable(tmp_path, "x"), executor="serial")
    assert found["lab"].dtype == "<U1" and found["lab"].values.tolist() == list("abcdef")


def test_packed_coordinates_come_back_packed(tmp_path: Path) -> None:
    source = labelled()
    source["seconds"].encoding = {"dtype": "i2", "scale_factor": 0.2, "_FillValue": -1, "chunks": (99,)}
    found = map_tiles(np.copy, source, out=DatasetVariable(tmp_path, "x"), executor="serial")
    np.testing.assert_allclose(found["seconds"], source["seconds"])
    stored: Any = zarr.open_array(tmp_path / "x.zarr" / "seconds")
    assert stored.dtype == np.int16


def test_a_variable_that_was_replaced_is_not_read(tmp_path: Path) -> None:
    """Its chunks would be taken for those of the older one."""
    out = DatasetVariable(tmp_path, "x", chunks={"frame": 2})
    older = map_tiles(np.copy, labelled(), out=out, executor="serial")
    map_tiles(np.negative, labelled(), out=DatasetVariable(tmp_path, "x"), executor="serial", overwrite=True)
    with pytest.raises(SourceChangedError, match="open it again"):
        older.compute()


@pytest.mark.parametrize("unit", ["seconds", "ms", "um"])
def test_units_are_attributes(tmp_path: Path, unit: str) -> None:
    source = labelled().assign_attrs(units=unit, gain=np.float32(2), offsets=np.arange(2))
    found = map_tiles(np.copy, source, out=DatasetVariable(tmp_path, "x"), executor="serial")
    assert found.dtype == source.dtype and found.attrs["units"] == unit
    assert found.attrs["gain"] == 2 and found.attrs["offsets"] == [0, 1]
