"""Tests of opening datasets: old stores, foreign folders, labels that differ, files, and the recipes of users."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from tests.datasets.variables import chunks_on_disk, movie, names_in, old_store, traces
from tilecore.compat.minian import open_minian, save_minian
from tilecore.datasets import LabelsDifferWarning
from tilecore.errors import (
    MissingFileError,
    ParameterError,
    ParameterTypeError,
    SourceChangedError,
    UnreadableFileError,
)


@pytest.mark.parametrize("chunks", [None, (7, 2, 5), (4, 3, 5), (1, 4, 3)])
def test_stores_of_older_programs(tmp_path: Path, chunks: Any) -> None:
    """Consolidated metadata that are older than the array are not believed, also if chunks are equally large."""
    old_store(tmp_path, movie(), chunks)
    opened = open_minian(tmp_path)["movie"]
    xr.testing.assert_identical(opened.compute(), movie().compute())
    assert tuple(each[0] for each in opened.chunks or ()) == (chunks or (2, 6, 5))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_older_variables_are_replaced(tmp_path: Path, zarr_format: Any) -> None:
    """Their codecs stay behind, and so do their metadata."""
    old_store(tmp_path, movie(), (7, 2, 5))
    loaded = open_minian(tmp_path)["movie"]
    copied = save_minian(loaded.rename("copy"), tmp_path, chunks={"frame": 1}, zarr_format=zarr_format)
    np.testing.assert_array_equal(copied, movie())
    saved = save_minian(loaded + 1, tmp_path, overwrite=True, zarr_format=zarr_format)
    np.testing.assert_array_equal(saved, movie() + 1)
    for name in ("copy", "movie"):
        assert zarr.open_array(tmp_path / f"{name}.zarr" / name, mode="r").metadata.zarr_format == zarr_format


@pytest.mark.parametrize("change", ["format", "chunks", "values"])
def test_a_variable_that_was_replaced_is_not_read(tmp_path: Path, change: str) -> None:
    """It would be NaN, or something else: chunks of the same names hold other values, or are not there."""
    save_minian(movie(), tmp_path, zarr_format=2)
    loaded = open_minian(tmp_path)["movie"] + 0
    new = {"format": movie(), "chunks": movie(chunks=(1, 6, 5)), "values": movie() + 1}[change]
    save_minian(new, tmp_path, overwrite=True, zarr_format=3 if change == "format" else 2)
    with pytest.raises(SourceChangedError, match="open it again"):
        loaded.compute()


def test_consolidated_metadata_are_right_where_they_are_written(tmp_path: Path) -> None:
    save_minian(movie(), tmp_path, chunks={"frame": -1, "height": 2}, zarr_format=2)
    opened = xr.open_zarr(tmp_path / "movie.zarr", consolidated=True)["movie"]
    np.testing.assert_array_equal(opened, movie())
    assert chunks_on_disk(tmp_path, "movie") == (7, 2, 5)


def test_any_folder_is_a_variable(tmp_path: Path) -> None:
    """The name is that of the store, not of the folder; files are ignored."""
    save_minian(traces(), tmp_path)
    (tmp_path / "C.zarr").rename(tmp_path / "folder of traces")
    (tmp_path / "notes.txt").write_text("none")
    assert list(open_minian(tmp_path)) == ["C"]
    assert list(open_minian(tmp_path, return_dict=True)) == ["C"]


def test_folders_without_variables_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_minian(traces(), tmp_path)
    (tmp_path / "empty").mkdir()
    zarr.create_array(tmp_path / "array.zarr", data=np.zeros(3))
    zarr.create_group(tmp_path / "group.zarr")
    old_store(tmp_path, movie("broken"))
    (tmp_path / "broken.zarr" / "broken" / ".zarray").write_text("{")
    zarr.create_array(tmp_path / "plain.zarr", data=np.zeros(3), name="plain")
    with caplog.at_level(logging.WARNING):
        assert list(open_minian(tmp_path)) == ["C"]
    left_out = [name for name in ("empty", "array", "group", "broken", "plain") if name in caplog.text]
    assert left_out == ["empty", "array", "group", "broken", "plain"]
    with pytest.raises(UnreadableFileError):
        open_minian(tmp_path, strict=True)


def test_two_folders_with_one_variable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The one with its name counts, whichever comes first."""
    for copy in ("A copy", "Z copy"):
        save_minian(traces() + 1, tmp_path)
        (tmp_path / "C.zarr").rename(tmp_path / copy)
    save_minian(traces(), tmp_path)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(open_minian(tmp_path)["C"], traces())
    assert "A copy" in caplog.text
    assert "Z copy" in caplog.text
    with pytest.raises(UnreadableFileError, match="holds the variable 'C'"):
        open_minian(tmp_path, strict=True)


def test_nothing_there(tmp_path: Path) -> None:
    assert len(open_minian(tmp_path)) == 0
    assert open_minian(tmp_path, return_dict=True) == {}
    with pytest.raises(MissingFileError, match="no such file"):
        open_minian(tmp_path / "none")
    with pytest.raises(ParameterTypeError, match="post_process"):
        open_minian(tmp_path, "none")  # type: ignore[call-overload]
    (tmp_path / "file.nc").write_text("no netCDF")
    with pytest.raises(UnreadableFileError, match="cannot be opened by xarray"):
        open_minian(tmp_path / "file.nc")
    save_minian(traces(), tmp_path)
    with pytest.raises(UnreadableFileError, match="itself a zarr group"):
        open_minian(tmp_path / "C.zarr")


def test_what_is_done_after_opening(tmp_path: Path) -> None:
    """For folders and for files, but never with return_dict."""
    save_minian(traces(), tmp_path)
    calls = []

    def more(dataset: xr.Dataset, dpath: str) -> xr.Dataset:
        calls.append(dpath)
        return dataset.assign(D=dataset["C"] + 1)

    assert set(open_minian(tmp_path, more)) == {"C", "D"}
    open_minian(tmp_path).to_netcdf(tmp_path / "all.nc", engine="scipy")
    with open_minian(tmp_path / "all.nc", post_process=more) as opened:
        assert set(opened) == {"C", "D"}
    assert calls == [str(tmp_path), str(tmp_path / "all.nc")]
    assert set(open_minian(tmp_path, more, return_dict=True)) == {"C"}
    with open_minian(tmp_path / "all.nc", more, return_dict=True) as opened:
        assert isinstance(opened, xr.Dataset) and set(opened) == {"C"}
    assert len(calls) == 2


def test_labels_that_differ_are_joined(tmp_path: Path) -> None:
    """The warning names variable, dimension and bytes; integers become floats."""
    save_minian(traces("A", (1, 5), "i8"), tmp_path)
    save_minian(traces("C", (1, 4, 5)), tmp_path)
    with pytest.warns(LabelsDifferWarning, match=r"'A' lacks 1 of 3 labels of 'unit_id' \(\+56 B\)") as caught:
        dataset = open_minian(tmp_path)
    assert caught[0].filename == __file__
    assert dataset["A"].dtype == np.float64
    assert np.isnan(dataset["A"].sel(unit_id=4)).all()
    np.testing.assert_array_equal(dataset["A"].sel(unit_id=[1, 5]), traces("A", (1, 5)))
    assert open_minian(tmp_path, return_dict=True)["A"].dtype == np.int64
    with pytest.raises(ParameterError, match="'unit_id'.*return_dict=True"):
        open_minian(tmp_path, strict=True)


def test_labels_in_another_order(tmp_path: Path) -> None:
    save_minian(traces("A", (5, 1, 4)), tmp_path)
    save_minian(traces("C", (1, 4, 5)), tmp_path)
    dataset = open_minian(tmp_path)
    np.testing.assert_array_equal(dataset["A"].sel(unit_id=[1, 4, 5]), traces("A"))


def test_padding_has_a_bound(tmp_path: Path) -> None:
    """Three dimensions without a common label would make eight times as many bytes."""
    save_minian(movie("one"), tmp_path)
    far = {dim: movie().coords[dim] + 100 for dim in movie().dims}
    save_minian(movie("two").assign_coords(far), tmp_path)
    with pytest.raises(ParameterError, match="instead of"):
        open_minian(tmp_path)
    assert len(open_minian(tmp_path, return_dict=True)) == 2


@pytest.mark.parametrize("kind", ["scalars", "twice", "lengths"])
def test_what_cannot_be_joined(tmp_path: Path, kind: str) -> None:
    one, two = traces("A"), traces("C", (1, 4, 6))
    if kind == "scalars":
        one, two = one.assign_coords(session="x"), traces("C").assign_coords(session="y")
    elif kind == "twice":
        two = traces("C", (1, 1, 4))
    else:
        one, two = one.drop_vars("frame"), two.isel(frame=slice(3)).drop_vars("frame")
    for var in (one, two):
        save_minian(var, tmp_path)
    with warnings.catch_warnings(), pytest.raises(ParameterError, match="return_dict=True") as caught:
        warnings.simplefilter("ignore", LabelsDifferWarning)
        open_minian(tmp_path)
    assert {"scalars": "session", "twice": "unit_id", "lengths": "frame"}[kind] in str(caught.value)
    assert len(open_minian(tmp_path, return_dict=True)) == 2


class TestRecipes:
    """What the page on variables tells users to do."""

    def test_a_checkpoint_under_another_name(self, tmp_path: Path) -> None:
        save_minian(traces().rename("C_matrix_first_iteration"), tmp_path)
        save_minian((traces() + 1).rename("C"), tmp_path)
        dataset = open_minian(tmp_path)
        np.testing.assert_array_equal(dataset["C_matrix_first_iteration"], traces())
        np.testing.assert_array_equal(dataset["C"], traces() + 1)

    def test_cells_that_are_left(self, tmp_path: Path) -> None:
        save_minian(traces("A", (1, 5)), tmp_path)
        save_minian(traces("C", (1, 4, 5)), tmp_path)
        dataset = open_minian(tmp_path, return_dict=True)
        cells = dataset["C"].sel(unit_id=dataset["A"].coords["unit_id"].values)
        np.testing.assert_array_equal(cells, traces("C", (1, 5)))

    def test_netcdf(self, tmp_path: Path) -> None:
        dpath = tmp_path / "alpha" / "minian"
        save_minian(traces(), dpath, {"animal": -1})
        save_minian(movie(dtype="i2").rename("Y"), dpath, {"animal": -1})
        open_minian(dpath).to_netcdf(tmp_path / "minian_dataset.nc", engine="scipy")
        with open_minian(tmp_path / "minian_dataset.nc") as dataset:
            assert dataset["C"].chunks is not None
            np.testing.assert_array_equal(dataset["C"], traces())
            np.testing.assert_array_equal(dataset["Y"], movie())
            assert dataset.coords["animal"].item() in ("alpha", b"alpha")

    def test_csv(self, tmp_path: Path) -> None:
        save_minian(traces(), tmp_path)
        open_minian(tmp_path)["C"].rename("C").to_series().reset_index().to_csv(tmp_path / "C.csv")
        table = pd.read_csv(tmp_path / "C.csv", index_col=0)
        assert list(table.columns) == ["unit_id", "frame", "C"]
        np.testing.assert_array_equal(table["C"], traces().values.ravel())

    def test_npy(self, tmp_path: Path) -> None:
        save_minian(traces(), tmp_path)
        np.save(tmp_path / "C.npy", open_minian(tmp_path)["C"].values)
        np.testing.assert_array_equal(np.load(tmp_path / "C.npy"), traces())
        assert names_in(tmp_path) == ["C.npy", "C.zarr"]
