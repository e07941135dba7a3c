"""Tests of ``tilecore dataset``: what it prints, copies and writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import one_line_of, run
from tests.datasets.variables import chunks_on_disk, movie, names_in, old_store, traces
from tilecore.datasets import open_dataset, rechunk_dataset, save_variable
from tilecore.errors import OutputExistsError, ParameterError


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "alpha" / "day1" / "minian"
    save_variable(movie(), folder, {"session": -1})
    save_variable(traces(), folder, {"session": -1})
    return folder


def test_ls(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("dataset", "ls", dataset) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["name", "dtype", "dims", "shape", "chunks", "size", "coordinates"]
    assert lines[1][:5] == ["C", "float64", "unit_id,frame", "3,7", "3,7"]
    assert lines[2][:-1] == ["movie", "float32", "frame,height,width", "7,6,5", "2,6,5", "840", "B"]
    assert set(lines[2][-1].split(",")) == {"frame", "height", "width", "session=day1"}


@pytest.mark.parametrize("kind", ["format 3", "format 2", "older"])
def test_rechunk(tmp_path: Path, dataset: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    if kind != "format 3":
        save_variable(movie(), dataset, overwrite=True, zarr_format=2)
    if kind == "older":
        old_store(dataset, movie(), (4, 3, 5))
    assert run("dataset", "rechunk", dataset, tmp_path / "new", "--chunks", "frame=-1,height=2", "--workers", 1) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "new" / name) for name in ("C.zarr", "movie.zarr")]
    np.testing.assert_array_equal(open_dataset(tmp_path / "new")["movie"], movie())
    np.testing.assert_array_equal(open_dataset(tmp_path / "new")["C"], traces())
    assert chunks_on_disk(tmp_path / "new", "movie") == (7, 2, 5)
    assert names_in(tmp_path / "new") == ["C.zarr", "movie.zarr"]
    with pytest.raises(OutputExistsError):
        rechunk_dataset(dataset, tmp_path / "new", chunks={"frame": 1})
    rechunk_dataset(dataset, dataset, chunks={"frame": 1}, overwrite=True)
    assert chunks_on_disk(dataset, "movie")[0] == 1
    np.testing.assert_array_equal(open_dataset(dataset)["movie"], movie())


def test_set_meta(tmp_path: Path, dataset: Path) -> None:
    assert run("dataset", "set-meta", tmp_path, "--from-path", "session=-1", "animal=-2") == 0
    assert open_dataset(dataset).coords["animal"].item() == "alpha"


def test_wrong_input(tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_line_of(capsys, run("dataset", "ls", tmp_path / "none"), "no such folder")
    one_line_of(capsys, run("dataset", "rechunk", dataset, tmp_path / "n", "--chunks", "depth=1"), "depth", "frame")
    one_line_of(capsys, run("dataset", "set-meta", tmp_path, "--from-path", "frame=-1"), "frame", "dimension")
    assert run("dataset", "set-meta", tmp_path, "--from-path", "frame") == 2
    assert "session=-1" in capsys.readouterr().err
    with pytest.raises(ParameterError, match="no variable has this dimension"):
        rechunk_dataset(dataset, tmp_path / "n", chunks={"depth": 1})
