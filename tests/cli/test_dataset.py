"""Tests of ``tilecore dataset``: what it prints, copies and writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.cli.commands import one_line_of, run
from tests.datasets.variables import chunks_on_disk, movie, names_in, old_store, traces
from tilecore import DatasetVariable, map_tiles
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


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_variables_of_text_get_other_chunks_too(tmp_path: Path, zarr_format: Any) -> None:
    words = xr.DataArray(np.array(["a", "bcd", "", "e"]), dims="frame", name="words")
    save_variable(words, tmp_path / "old", zarr_format=zarr_format)
    rechunk_dataset(tmp_path / "old", tmp_path / "new", chunks={"frame": 3})
    assert chunks_on_disk(tmp_path / "new", "words") == (3,)
    xr.testing.assert_identical(open_dataset(tmp_path / "new")["words"].compute(), words)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("kind", ["format 3", "format 2", "older", "map_tiles", "xarray"])
def test_rechunk(tmp_path: Path, dataset: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    if kind in ("format 2", "older"):
        save_variable(movie(), dataset, overwrite=True, zarr_format=2)
    elif kind == "map_tiles":
        map_tiles(np.copy, movie(), out=DatasetVariable(dataset, "movie"), overwrite=True, executor="serial")
    elif kind == "xarray":
        movie().to_dataset().to_zarr(dataset / "movie.zarr", mode="w", consolidated=True)
    if kind == "older":
        old_store(dataset, movie(), (4, 3, 5))
    assert run("dataset", "rechunk", dataset, tmp_path / "new", "--chunks", "frame=-1,height=2", "--workers", 1) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "new" / name) for name in ("C.zarr", "movie.zarr")]
    np.testing.assert_array_equal(open_dataset(tmp_path / "new")["movie"], movie())
    np.testing.assert_array_equal(open_dataset(tmp_path / "new")["C"], traces())
    assert chunks_on_disk(tmp_path / "new", "movie") == (7, 2, 5)
    for name, expected in (("movie", movie()), ("C", traces())):  # also by metadata that tell of all arrays
        np.testing.assert_array_equal(xr.open_zarr(tmp_path / "new" / f"{name}.zarr")[name], expected)
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
    one_line_of(capsys, run("dataset", "ls", tmp_path / "none"), "DIR ", "no such folder")
    one_line_of(capsys, run("dataset", "set-meta", tmp_path / "none", "--from-path", "a=-1"), "DIR ", "no such folder")
    one_line_of(capsys, run("dataset", "set-meta", tmp_path, "--from-path", "frame=-1"), "--from-path 'frame'")
    assert run("dataset", "set-meta", tmp_path, "--from-path", "frame") == 2
    assert "session=-1" in capsys.readouterr().err


REFUSED: list[tuple[list[str], list[str]]] = [
    (["--chunks", "fram=2"], ["--chunks 'fram'", "unit_id, frame, height, width", "did you mean frame?"]),
    (["--chunks", "frame"], ["--chunks", "such as frame=100"]),
    (["--chunks", "frame=-3"], ["--chunks", "-1 is the whole dimension"]),
    (["--chunks", "frame=2", "--max-memory", "much"], ["--max-memory 'much'"]),
    (["--chunks", "frame=2", "--max-memory", "10"], ["--max-memory 10 B"]),
    (["--chunks", "frame=2", "--workers", "0"], ["--workers 0"]),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_a_refused_copy_leaves_nothing(
    tmp_path: Path, dataset: Path, options: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = names_in(tmp_path)
    one_line_of(capsys, run("dataset", "rechunk", dataset, tmp_path / "deep" / "new", *options), *words)
    assert names_in(tmp_path) == before


def test_no_dataset_and_no_place(tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command has SRC and DST, and names them."""
    file, chunks = tmp_path / "file", ("--chunks", "frame=2")
    file.touch()
    one_line_of(capsys, run("dataset", "rechunk", tmp_path / "none", tmp_path / "new", *chunks), "SRC ", "no such")
    one_line_of(capsys, run("dataset", "rechunk", tmp_path, tmp_path / "new", *chunks), "SRC ", "no variable")
    for target in (file, file / "new"):
        one_line_of(capsys, run("dataset", "rechunk", dataset, target, *chunks), str(target), "is a file, or lies in")
    rechunk_dataset(dataset / "movie.zarr", tmp_path / "new", chunks={"frame": 2})
    one_line_of(capsys, run("dataset", "rechunk", dataset, tmp_path / "new", *chunks), "movie.zarr", "--overwrite")
    assert names_in(tmp_path / "new") == ["movie.zarr"]  # nor is the other variable copied
    with pytest.raises(ParameterError, match="mem_limit='much'"):
        rechunk_dataset(dataset, tmp_path / "other", chunks={"frame": 2}, mem_limit="much")
