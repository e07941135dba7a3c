"""Tests of several datasets: concatenated, opened together, and with new metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.datasets.variables import movie, names_in, old_store, traces
from tilecore import DatasetVariable, map_tiles
from tilecore.compat.minian import open_minian, open_minian_mf, save_minian, update_meta, xrconcat_recursive
from tilecore.errors import MissingFileError, ParameterError, UnreadableFileError

LEVELS = {"session": -1, "animal": -2}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for number, place in enumerate(["alpha/s10", "alpha/s9", "beta/s9"]):
        save_minian(traces() + number, tmp_path / place / "minian", LEVELS)
    return tmp_path


def test_along_one_dimension_in_the_order_given() -> None:
    """Arrays give an array, also those without a name."""
    given = {("b",): traces().rename(None), ("a",): traces().rename(None) + 1}
    result = xrconcat_recursive(given, ["session"])
    assert isinstance(result, xr.DataArray)
    assert result.dims == ("session", "unit_id", "frame")
    assert result.session.values.tolist() == ["b", "a"]
    np.testing.assert_array_equal(result.sel(session="a"), traces() + 1)
    listed = xrconcat_recursive([each.assign_coords(session=key[0]) for key, each in given.items()], ["session"])
    xr.testing.assert_identical(listed, result)


def test_along_two_dimensions() -> None:
    """What is missing is NaN, labels are sorted by value, and numbers stay numbers."""
    result = xrconcat_recursive(
        {("b", 10): traces(), ("b", 9): traces() + 1, ("a", 9): traces() + 2}, ["animal", "day"]
    )
    assert isinstance(result, xr.Dataset)
    assert result["C"].dims == ("animal", "day", "unit_id", "frame")
    assert result.animal.values.tolist() == ["a", "b"]
    assert result.day.values.tolist() == [9, 10]
    np.testing.assert_array_equal(result["C"].sel(animal="b", day=9), traces() + 1)
    assert np.isnan(result["C"].sel(animal="a", day=10)).all()


def test_what_cannot_be_concatenated() -> None:
    with pytest.raises(NotImplementedError, match="a dict or a list"):
        xrconcat_recursive("abc", ["session"])  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="empty"):
        xrconcat_recursive([], ["session"])
    with pytest.raises(ParameterError, match="no label for 'session'"):
        xrconcat_recursive([traces()], ["session"])
    with pytest.raises(ParameterError, match="two arrays have the labels"):
        xrconcat_recursive(2 * [traces().assign_coords(session="a")], ["session"])
    with pytest.raises(ParameterError, match="no name"):
        xrconcat_recursive({("a", "b"): traces().rename(None)}, ["animal", "session"])
    with pytest.raises(ParameterError, match="a tuple with a label for each"):
        xrconcat_recursive({("a",): traces()}, ["animal", "session"])


def test_many_as_one(tree: Path) -> None:
    dataset = open_minian_mf(tree, ["animal", "session"])
    assert dataset["C"].dims[:2] == ("animal", "session")
    assert dataset.session.values.tolist() == ["s9", "s10"]
    np.testing.assert_array_equal(dataset["C"].sel(animal="alpha", session="s9"), traces() + 1)
    assert np.isnan(dataset["C"].sel(animal="beta", session="s10")).all()


@pytest.mark.parametrize("dims", [["session", "animal"], ["session"]])
def test_many_as_a_table(tree: Path, dims: list[str]) -> None:
    sub_dirs: Any = [] if len(dims) == 2 else ["beta"]
    table = open_minian_mf(tree, dims, "pandas", sub_dirs=sub_dirs)
    assert list(table.columns) == ["minian"]
    assert isinstance(table.index, pd.MultiIndex) and table.index.names == dims
    assert {type(label) for key in table.index for label in key} == {str}
    assert table.index.nlevels == len(dims)
    assert [key[0] for key in table.index] == (["s9", "s9", "s10"] if len(dims) == 2 else ["s9", "s10"])
    assert all(isinstance(each, xr.Dataset) for each in table["minian"])


@pytest.mark.parametrize("sub", ["alpha", "alpha/", "{tree}/alpha", "alpha/s10/minian", "{tree}/alpha/s10/", "alp"])
@pytest.mark.parametrize("exclude", [True, False])
def test_some_folders_only(tree: Path, sub: str, exclude: bool) -> None:
    table = open_minian_mf(tree, LEVELS, "pandas", sub_dirs=[sub.format(tree=tree)], exclude=exclude)  # type: ignore[arg-type]
    inside = 0 if sub == "alp" else 1 if "s10" in sub else 2
    assert len(table) == (3 - inside if exclude else inside)


def test_files_are_datasets_too(tree: Path) -> None:
    for each in list(tree.glob("*/*/minian")):
        open_minian(each).to_netcdf(each.with_suffix(".nc"), engine="scipy")
    table = open_minian_mf(tree, ["animal", "session"], "pandas", pattern=r"minian\.nc$")
    assert table.index.tolist() == [("alpha", "s9"), ("alpha", "s10"), ("beta", "s9")]
    for each in table["minian"]:
        each.close()


def test_the_folder_itself_is_no_dataset(tree: Path) -> None:
    """Those below it are, also for new metadata."""
    dataset = tree / "alpha" / "s9" / "minian"
    assert len(open_minian_mf(dataset, ["session"], "pandas")) == 0
    update_meta(dataset, meta_dict={"project": -3})
    assert "project" not in open_minian(dataset).coords
    result: object = update_meta(dataset.parent, meta_dict={"project": -3})  # type: ignore[func-returns-value]
    assert result is None
    assert open_minian(dataset).coords["project"].item() == tree.name


def test_labels_may_be_numbers(tmp_path: Path) -> None:
    for day in (10, 9):
        save_minian(traces().assign_coords(day=day) + day, tmp_path / str(day) / "minian")
    dataset = open_minian_mf(tmp_path, ["day"])
    assert dataset.day.dtype.kind == "i" and dataset.day.values.tolist() == [9, 10]
    np.testing.assert_array_equal(dataset["C"].sel(day=10), traces() + 10)
    assert open_minian_mf(tmp_path, ["day"], "pandas").index.tolist() == [("9",), ("10",)]


def test_options_of_opening_are_handed_on(tree: Path) -> None:
    """A function that changes each dataset, and strictness."""
    dataset = open_minian_mf(tree, ["animal", "session"], post_process=lambda each, dpath: each[["C"]] * 0)
    assert float(dataset["C"].sum()) == 0
    (tree / "alpha" / "s9" / "minian" / "broken").mkdir()
    with pytest.raises(UnreadableFileError, match="broken"):
        open_minian_mf(tree, ["animal", "session"], strict=True)


def test_two_datasets_with_the_same_labels(tree: Path) -> None:
    with pytest.raises(ParameterError, match=r"alpha/s9/minian and .*beta/s9/minian both have session=s9"):
        open_minian_mf(tree, ["session"])
    with pytest.raises(ParameterError, match="no label for 'rig'"):
        open_minian_mf(tree, ["rig"])
    with pytest.raises(NotImplementedError, match="result_format"):
        open_minian_mf(tree, ["session"], "csv")
    with pytest.raises(MissingFileError):
        open_minian_mf(tree / "none", ["session"])
    with pytest.raises(ParameterError, match="regular expression"):
        open_minian_mf(tree, ["session"], pattern="(")
    assert len(open_minian_mf(tree, ["session"], pattern="^none$")) == 0
    assert len(open_minian_mf(tree, ["session"], "pandas", pattern="^none$")) == 0


@pytest.mark.parametrize("kind", ["format 3", "format 2", "map_tiles", "older", "older, other chunks"])
def test_new_metadata(tmp_path: Path, kind: str) -> None:
    """Chunks are not touched; longer, shorter, fewer and other names work; what was opened before can be read."""
    dataset = tmp_path / "alpha" / "day1" / "minian"
    dataset.mkdir(parents=True)
    if kind.startswith("format"):
        save_minian(movie(), dataset, zarr_format=int(kind[-1]))  # type: ignore[call-overload]
    elif kind == "map_tiles":
        map_tiles(np.copy, movie(), out=DatasetVariable(dataset, "movie"), executor="serial")
    else:
        old_store(dataset, movie(), (7, 2, 5) if "chunks" in kind else None)
    chunks = [each for each in (dataset / "movie.zarr" / "movie").rglob("*") if each.is_file() and "z" not in each.name]
    before = {each: (each.stat().st_mtime_ns, each.stat().st_ino) for each in chunks}
    assert before
    loaded = open_minian(dataset)["movie"]
    update_meta(tmp_path, meta_dict=LEVELS)
    (tmp_path / "alpha" / "day1").rename(tmp_path / "alpha" / "a much longer name")
    moved = tmp_path / "alpha" / "a much longer name" / "minian"
    update_meta(tmp_path, meta_dict={"session": -1})
    update_meta(tmp_path / "alpha", "nian", {"project": -3})
    opened = open_minian(moved)
    assert list(opened) == ["movie"]
    told = {name: opened.coords[name].item() for name in ("session", "animal", "project")}
    assert told == {"session": "a much longer name", "animal": "alpha", "project": tmp_path.name}
    assert {opened.coords[name].dtype.kind for name in told} == {"U"}  # as save_variable writes them
    np.testing.assert_array_equal(opened["movie"], movie())
    if "chunks" not in kind:  # those of older programs are wrong in what tells of all arrays, which xarray believes
        by_xarray = xr.open_zarr(moved / "movie.zarr")["movie"]
        assert by_xarray.coords["animal"].item() == "alpha"
        np.testing.assert_array_equal(by_xarray, movie())
    assert opened["movie"].attrs == movie().attrs
    after = {each: (moved / each.relative_to(dataset)).stat() for each in chunks}
    assert before == {each: (found.st_mtime_ns, found.st_ino) for each, found in after.items()}
    assert names_in(moved) == ["movie.zarr"]
    moved.parent.rename(dataset.parent)
    np.testing.assert_array_equal(loaded, movie())


def test_metadata_that_older_programs_have_lost(tmp_path: Path) -> None:
    """Their second call turned those of the first into plain variables."""
    var = traces().to_dataset().assign(session="day1")
    var.to_zarr(tmp_path / "minian" / "C.zarr", zarr_format=2, consolidated=True)
    assert open_minian(tmp_path / "minian")["C"].session.item() == "day1"
    update_meta(tmp_path, meta_dict={"project": -1})
    with xr.open_zarr(tmp_path / "minian" / "C.zarr") as whole:
        assert list(whole.data_vars) == ["C"]
        assert {"session", "project"} <= set(whole.coords)


@pytest.mark.parametrize("levels", [{"frame": -1}, {"C": -1}, {"session": -99}, {"session": 1}])
def test_wrong_metadata_change_nothing(tree: Path, levels: Any) -> None:
    with pytest.raises(ParameterError, match="meta_dict"):
        update_meta(tree, meta_dict={"project": -3} | levels)
    assert all("project" not in open_minian(each).coords for each in tree.glob("*/*/minian"))
    with pytest.raises(MissingFileError):
        update_meta(tree / "none", meta_dict=LEVELS)
