"""Tests of saving and opening variables: what comes back, and what lies on disk."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from tests.datasets.variables import chunks_on_disk, movie, names_in, traces
from tilecore import DatasetVariable, map_tiles
from tilecore.compat.minian import open_minian, save_minian
from tilecore.errors import (
    MemoryBudgetError,
    OutputExistsError,
    ParameterError,
    ParameterTypeError,
    UnwritableFileError,
)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunks", [None, {"frame": -1, "height": 2, "width": 3}])
def test_what_is_saved_comes_back(tmp_path: Path, zarr_format: Any, chunks: Any) -> None:
    """Name, dtype, attributes, coordinates and values; the blocks are the chunks on disk."""
    var = movie().assign_coords(lab=("frame", list("abcdefg")), place="attic")
    saved = save_minian(var, tmp_path, chunks=chunks, zarr_format=zarr_format)
    xr.testing.assert_identical(saved.compute(), var.compute())
    expected = (2, 6, 5) if chunks is None else (7, 2, 3)
    assert tuple(each[0] for each in saved.chunks) == chunks_on_disk(tmp_path, "movie") == expected
    xr.testing.assert_identical(open_minian(tmp_path)["movie"].compute(), var.compute())
    assert names_in(tmp_path) == ["movie.zarr"]
    assert zarr.open_array(tmp_path / "movie.zarr" / "movie", mode="r").metadata.zarr_format == zarr_format


@pytest.mark.parametrize(
    "values",
    [
        np.array([True, False, True]),
        np.array(["2020-02-01", "2021-01-01", "NaT"], "M8[ns]"),
        np.array([1, -5, 7], "m8[ns]"),
        np.array([1, -5, 7], "m8[s]"),
        np.array(["a", "bcd", ""]),
        np.array([1 + 2j, 3, 4]),
        np.array([1, 2, 255], "u1"),
        np.array([np.nan, 0, np.inf], "f2"),
    ],
    ids=lambda values: str(values.dtype),
)
@pytest.mark.parametrize("chunks", [None, {"t": -1}])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_any_kind_of_value(tmp_path: Path, values: np.ndarray, chunks: Any, zarr_format: Any) -> None:
    """Truth values, dates, spans and text come back with the dtype that they had."""
    var = xr.DataArray(da.from_array(values, chunks=2), dims="t", name="v", coords={"other": ("t", values)})
    saved = save_minian(var, tmp_path, chunks=chunks, zarr_format=zarr_format)
    assert saved.dtype == values.dtype
    assert saved.other.dtype == values.dtype
    np.testing.assert_array_equal(saved.values, values)
    np.testing.assert_array_equal(open_minian(tmp_path, return_dict=True)["v"].other.values, values)


@pytest.mark.parametrize("chunks", [None, {"frame": -1, "unit_id": 1}])
def test_packed_variables_are_unpacked(tmp_path: Path, chunks: Any) -> None:
    var = traces().chunk({"frame": 2})
    var.encoding = {"dtype": "i2", "scale_factor": 0.5, "add_offset": 100.0, "_FillValue": -1}
    expected = var.compute()
    saved = save_minian(var, tmp_path, chunks=chunks)
    np.testing.assert_array_equal(saved.values, expected.values)
    assert zarr.open_array(tmp_path / "C.zarr" / "C", mode="r").dtype == "i2"
    again = save_minian(open_minian(tmp_path)["C"].rename("D"), tmp_path, chunks=chunks)
    np.testing.assert_array_equal(again.values, expected.values)


def test_metadata_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of folders become coordinates, however the path is written."""
    folder = tmp_path / "alpha" / "day1"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    levels = {"session": -1, "animal": -2}
    for dpath in (folder / "ds", f"{folder}/ds/", "ds", "../day1/./ds", Path("../../alpha/day1/ds")):
        saved = save_minian(traces(), dpath, levels, overwrite=True)
        assert (saved.session.item(), saved.animal.item()) == ("day1", "alpha")
        assert saved.session.shape == ()
    assert names_in(folder) == ["ds"]
    assert open_minian("ds").coords["animal"].item() == "alpha"


@pytest.mark.parametrize(
    ("levels", "error", "text"),
    [
        ({"frame": -1}, ParameterError, "name of a dimension"),
        ({"C": -1}, ParameterError, "the variable itself"),
        ({"session": 0}, ParameterError, "levels are negative"),
        ({"session": -99}, ParameterError, "there are only"),
        ({"session": "-1"}, ParameterTypeError, "whole numbers"),
        ({"my session": -1}, ParameterError, "without blanks"),
    ],
)
def test_metadata_that_cannot_be(tmp_path: Path, levels: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        save_minian(traces(), tmp_path, levels)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "", None, "..", "zarr.json", "frame", "unit_id", "no\0name"])
def test_names_that_lead_elsewhere(tmp_path: Path, name: Any) -> None:
    var = traces()
    var.name = name
    with pytest.raises(ParameterError, match="rename"):
        save_minian(var, tmp_path / "ds")
    assert names_in(tmp_path) == []


def with_levels() -> xr.DataArray:
    index = pd.MultiIndex.from_product([["a"], [1, 2, 3]], names=["session", "trial"])
    bare = traces().drop_vars("unit_id")
    return bare.assign_coords(xr.Coordinates.from_pandas_multiindex(index, "unit_id"))


MIXED = np.array([1, "a", None], object)


@pytest.mark.parametrize(
    ("var", "error", "text"),
    [
        (with_levels(), ParameterError, r"coordinate of var='unit_id': .*reset_index\('unit_id'\)"),
        (traces().assign_coords({"a/b": 3}), ParameterError, "coordinate of var='a/b': .*name of a folder"),
        (traces().assign_coords({"zarr.json": 3}), ParameterError, "coordinate of var='zarr.json': .*name of a folder"),
        (traces().assign_coords({3: 3}), ParameterTypeError, "coordinate of var=3: .*text"),
        (xr.DataArray(np.ones(2), dims=(3,), name="v"), ParameterTypeError, "dimension of var=3: .*text"),
        (traces().assign_coords(lab=("unit_id", MIXED)), ParameterError, "'lab': it has objects that are not text"),
        (traces().assign_attrs(scale_factor=2), ParameterError, "would decode the values.*remove"),
        (traces().assign_attrs(_FillValue=107.0), ParameterError, "would decode the values"),
        (traces().assign_attrs(units="days since 2000-01-01"), ParameterError, "would decode the values"),
        (traces().astype("M8[ns]").assign_attrs(units="s"), ParameterError, "would decode the values"),
        (traces().assign_attrs(thing=object()), ParameterError, "text, a number"),
        (
            traces().assign_coords(frame=("frame", np.arange(7), {"units": "days since 2000-01-01"})),
            ParameterError,
            "attribute of coordinate of var=.*would decode",
        ),
    ],
)
def test_what_would_not_come_back_is_refused(tmp_path: Path, var: Any, error: type[Exception], text: str) -> None:
    """Before anything is written, and by the same rules as a `DatasetVariable`."""
    with pytest.raises(error, match=text) as refused:
        save_minian(var, tmp_path / "dataset")
    if var.dtype.kind in "biufc":
        with pytest.raises(error) as too:
            map_tiles(np.copy, var, out=DatasetVariable(tmp_path / "dataset", var.name), executor="serial")
        assert str(too.value) == str(refused.value).replace("of var", "of out")
    assert names_in(tmp_path) == []


def test_levels_of_an_index_are_saved_apart(tmp_path: Path) -> None:
    var = with_levels().reset_index("unit_id")
    xr.testing.assert_identical(save_minian(var, tmp_path).compute(), var)


def test_text_of_python_comes_back_as_text(tmp_path: Path) -> None:
    """Also where values in memory are cut into blocks, which text is not."""
    var = traces().assign_coords(lab=("unit_id", np.array(["a", "bc", ""], object)))
    found = save_minian(var, tmp_path)
    assert found.lab.dtype == "<U2" and found.lab.values.tolist() == ["a", "bc", ""]


def test_dates_of_other_calendars_come_back(tmp_path: Path) -> None:
    """They are objects of Python, which xarray writes as numbers."""
    cftime = pytest.importorskip("cftime")
    days = np.array([cftime.DatetimeNoLeap(2001, 1, day) for day in (1, 2, 5)])
    var = traces().assign_coords(day=("unit_id", days))
    xr.testing.assert_identical(save_minian(var, tmp_path).compute(), var)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_xarray_opens_it_without_a_warning(tmp_path: Path, zarr_format: Any) -> None:
    save_minian(movie(), tmp_path, chunks={"frame": -1, "height": 2}, zarr_format=zarr_format)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.testing.assert_identical(xr.open_zarr(tmp_path / "movie.zarr")["movie"].compute(), movie().compute())


def test_units_are_attributes(tmp_path: Path) -> None:
    var = traces().assign_attrs(units="seconds", gain=np.float32(2), offsets=np.arange(2))
    found = save_minian(var, tmp_path)
    assert found.dtype == var.dtype
    assert found.attrs == {"units": "seconds", "gain": 2, "offsets": [0, 1]}


def test_wrong_types(tmp_path: Path) -> None:
    with pytest.raises(ParameterTypeError, match="DataArray"):
        save_minian(np.zeros(3), tmp_path)  # type: ignore[call-overload]
    with pytest.raises(ParameterTypeError, match="name of var=3: .*must be text"):
        save_minian(traces().rename(3), tmp_path)
    with pytest.raises(ParameterTypeError, match="dpath"):
        save_minian(traces(), 3)  # type: ignore[call-overload]
    with pytest.raises(ParameterError, match="zarr_format"):
        save_minian(traces(), tmp_path, zarr_format=1)  # type: ignore[call-overload]
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableFileError, match="is a file"):
        save_minian(traces(), tmp_path / "file")


def test_an_old_variable_stays_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    save_minian(traces(), tmp_path)
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        save_minian(traces() + 1, tmp_path)
    np.testing.assert_array_equal(open_minian(tmp_path)["C"], traces())
    save_minian(traces() + 1, tmp_path, overwrite=True)
    np.testing.assert_array_equal(open_minian(tmp_path)["C"], traces() + 1)


@pytest.mark.parametrize("chunks", [None, {"frame": -1, "height": 2}])
@pytest.mark.parametrize("compute", [True, False])
@pytest.mark.parametrize("dtype", ["f4", "i4"])
def test_a_variable_is_computed_from_the_one_that_it_replaces(
    tmp_path: Path, chunks: Any, compute: bool, dtype: str
) -> None:
    save_minian(movie(dtype=dtype), tmp_path)
    loaded = open_minian(tmp_path)["movie"]
    result: Any = save_minian((loaded + 1).rename("movie"), tmp_path, overwrite=True, chunks=chunks, compute=compute)
    (saved,) = dask.compute(result) if not compute else (result,)
    np.testing.assert_array_equal(saved.values, movie(dtype=dtype).values + 1)
    assert names_in(tmp_path) == ["movie.zarr"]


def test_the_grid_is_that_of_the_blocks(tmp_path: Path) -> None:
    """Not that of the file that the variable was loaded from, nor its codecs."""
    save_minian(movie(), tmp_path, zarr_format=2)
    loaded = open_minian(tmp_path)["movie"].chunk({"frame": 3, "height": 2})
    saved = save_minian(loaded.rename("again"), tmp_path)
    assert chunks_on_disk(tmp_path, "again") == (3, 2, 5)
    np.testing.assert_array_equal(saved, movie())


def test_blocks_of_different_lengths(tmp_path: Path) -> None:
    """Chunks on disk all have one length: that of the longest block."""
    saved = save_minian(movie(chunks=((1, 4, 2), (6,), (2, 3))), tmp_path)
    assert chunks_on_disk(tmp_path, "movie") == (4, 6, 3)
    np.testing.assert_array_equal(saved, movie())


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ({}, (2, 6, 5)),
        ({"frame": 0, "height": -1, "width": 2}, (7, 6, 2)),
        ({"frame": 100}, (7, 6, 5)),
        ({"height": 4}, (2, 4, 5)),
        ({"frame": (3, 3, 1), "width": 1}, (3, 6, 1)),
    ],
)
def test_lengths_of_chunks(tmp_path: Path, chunks: Any, expected: tuple[int, ...]) -> None:
    """0 and -1 are the whole dimension, larger ones are cut, and those not named stay."""
    saved = save_minian(movie(), tmp_path, chunks=chunks)
    assert chunks_on_disk(tmp_path, "movie") == expected
    np.testing.assert_array_equal(saved, movie())


@pytest.mark.parametrize(
    ("chunks", "error", "text"),
    [
        ({"depth": 3}, ParameterError, "no such dimension; there are frame, height, width"),
        ({"fram": 3}, ParameterError, "chunks='fram': .*there are frame, height, width; did you mean frame"),
        ({"frame": "auto"}, ParameterError, "a number is needed"),
        ({"frame": -2}, ParameterError, "at least 1"),
        ({"frame": 1.5}, ParameterTypeError, "whole number"),
        ({"frame": (2, 3, 2)}, ParameterError, "all have one length"),
        ((1, 2, 3), ParameterTypeError, "mapping"),
    ],
)
def test_chunks_that_cannot_be(tmp_path: Path, chunks: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        save_minian(movie(), tmp_path, chunks=chunks)
    assert names_in(tmp_path) == []


def test_shards(tmp_path: Path) -> None:
    saved = save_minian(movie(), tmp_path, chunks={"frame": 1, "height": 3}, shards={"frame": -1, "height": -1})
    array = zarr.open_array(tmp_path / "movie.zarr" / "movie", mode="r")
    assert (array.chunks, array.shards) == ((1, 3, 5), (7, 6, 5))
    np.testing.assert_array_equal(saved, movie())
    with pytest.raises(ParameterError, match="multiple of the chunks"):
        save_minian(movie("other"), tmp_path, chunks={"frame": 2}, shards={"frame": 3})
    with pytest.raises(ParameterError, match="no shards in its format 2"):
        save_minian(movie("other"), tmp_path, shards={"frame": 4}, zarr_format=2)


def test_the_memory_limit_is_kept(tmp_path: Path) -> None:
    with pytest.raises(MemoryBudgetError, match="mem_limit=10 B: "):
        save_minian(movie(), tmp_path, chunks={"frame": -1, "height": 1}, mem_limit=10)
    assert names_in(tmp_path) == []
    with pytest.raises(ParameterError, match="mem_limit"):
        save_minian(movie(), tmp_path, mem_limit="much")


@pytest.mark.parametrize("chunks", [None, {"frame": -1, "height": 2}])
def test_lazy_saves(tmp_path: Path, chunks: Any) -> None:
    """Nothing is there before dask computes it; several are computed at once; chunks are as asked for."""
    names = ["one", "two", "three"]
    lazy = [save_minian(movie(name) + 1, tmp_path, chunks=chunks, compute=False) for name in names]
    assert open_minian(tmp_path, return_dict=True) == {}
    (saved,) = dask.compute(lazy)
    found = open_minian(tmp_path, return_dict=True)
    assert list(found) == sorted(names)
    for name, one in zip(names, saved, strict=True):
        np.testing.assert_array_equal(found[name].values, movie().values + 1)
        assert one.chunks == found[name].chunks
        assert chunks_on_disk(tmp_path, name) == ((2, 6, 5) if chunks is None else (7, 2, 5))
    assert names_in(tmp_path) == sorted(f"{name}.zarr" for name in names)


def test_a_lazy_save_that_is_dropped_leaves_nothing(tmp_path: Path) -> None:
    lazy = save_minian(movie(), tmp_path, compute=False)
    assert len(os.listdir(tmp_path)) == 1
    del lazy
    assert names_in(tmp_path) == []


def test_a_lazy_save_works_once(tmp_path: Path) -> None:
    lazy = save_minian(movie(), tmp_path, compute=False)
    lazy.compute()
    with pytest.raises(UnwritableFileError, match="save again"):
        lazy.compute()
    np.testing.assert_array_equal(open_minian(tmp_path)["movie"], movie())
    assert names_in(tmp_path) == ["movie.zarr"]


def test_the_later_of_two_lazy_saves_counts(tmp_path: Path) -> None:
    """A cell of a notebook is run again before anything was computed."""
    first = save_minian(movie(), tmp_path, compute=False)
    second = save_minian(movie() + 1, tmp_path, compute=False)
    second.compute()
    with pytest.raises(UnwritableFileError, match="replaced; save again"):
        first.compute()
    np.testing.assert_array_equal(open_minian(tmp_path)["movie"], movie() + 1)
    assert names_in(tmp_path) == ["movie.zarr"]


@pytest.mark.parametrize("shape", [(0, 6, 5), (7, 0, 0), ()])
def test_nothing_and_one_number(tmp_path: Path, shape: tuple[int, ...]) -> None:
    var = xr.DataArray(np.ones(shape), dims=("frame", "height", "width")[: len(shape)], name="v")
    chunks = {"frame": -1} if shape else None
    saved = save_minian(var.chunk(), tmp_path, chunks=chunks)
    xr.testing.assert_identical(saved.compute(), var)
