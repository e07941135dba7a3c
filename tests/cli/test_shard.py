"""Tests of ``--shard`` and ``tilecore finish``: a run in parts, as array jobs start them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.commands import one_line_of, run
from tilecore import create_sink, open_source
from tilecore.cli.main import main

VOLUME = np.random.default_rng(0).integers(0, 1000, (8, 40, 40), dtype="u2")
RUN = ["--executor", "serial", "--quiet", "--tile-shape", "4,20,20"]


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    with create_sink(tmp_path / "stack.tif", VOLUME.shape, "u2", voxel_size_um=(2, 1, 1)) as sink:
        sink[...] = VOLUME
    return tmp_path / "stack.tif"


def mapping(stack: Path, out: Path) -> list[Any]:
    return ["map", stack, "--function", "numpy:sqrt", "--halo", 0, "-o", out, *RUN]


@pytest.mark.parametrize("subcommand", ["map", "convert"])
def test_parts_and_what_finishes_them(
    subcommand: str, stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.ome.zarr"
    words = mapping(stack, out) if subcommand == "map" else ["convert", stack, out, *RUN]
    for number in (2, 3, 1):
        assert run(*words, "--shard", f"{number}/3") == 0
        assert capsys.readouterr().out == f"part {number} of 3 of {out} is done\n"
    assert run("finish", out, "--executor", "serial", "--quiet") == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert run(*words, "--shard=2/3") == 0  # a part of a finished run does nothing
    result = open_source(out)
    np.testing.assert_array_equal(result[...], np.sqrt(VOLUME) if subcommand == "map" else VOLUME)
    assert result.voxel_size_um == (2, 1, 1)


def test_parts_of_a_recording(tmp_path: Path) -> None:
    recording = np.random.default_rng(0).random((1000, 4))
    np.save(tmp_path / "r.npy", recording)
    words = ["batch", tmp_path / "r.npy", "--function", "numpy:abs", "-o", tmp_path / "o.zarr", "--batch-length", 100]
    for number in (2, 1):
        assert run(*words, "--processes", 1, "--quiet", "--shard", f"{number}/2") == 0
    assert run("finish", tmp_path / "o.zarr") == 0
    np.testing.assert_array_equal(open_source(tmp_path / "o.zarr")[...], recording)


def test_the_command_that_is_named_does_what_is_missing(
    stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o o.zarr"
    assert run(*mapping(stack, out), "--shard", "1/4") == 0
    assert run("finish", out) == 2
    error = capsys.readouterr().err
    assert "6 of 8 tiles are not done" in error
    command, numbers = error.split("To do them, run ")[1].split(" for I = ")
    for number in numbers.split(","):
        words = shlex.split(command.replace("--shard I/4", f"--shard {number.strip()}/4"))
        with pytest.raises(SystemExit, match="0"):
            main(words[1:])
    assert run("finish", out) == 0
    np.testing.assert_array_equal(open_source(out)[...], np.sqrt(VOLUME))


def test_a_task_of_an_array_job(stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "o.zarr"
    names = ("SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP", "SLURM_ARRAY_TASK_COUNT")
    for name, value in zip(names, (10, 30, 10, 3), strict=True):
        monkeypatch.setenv(name, str(value))
    for task in (30, 10, 20):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(task))
        assert run(*mapping(stack, out), "--shard", "auto/3") == 0
    assert run("finish", out) == 0
    np.testing.assert_array_equal(open_source(out)[...], np.sqrt(VOLUME))


def test_bad_input_is_one_line(stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "o.zarr"
    one_line_of(capsys, run(*mapping(stack, out), "--shard", "4/3"), "--shard '4/3'", "from 1 to 3")
    one_line_of(capsys, run(*mapping(stack, out), "--shard", "all"), "--shard 'all'", "such as 3/16")
    one_line_of(capsys, run(*mapping(stack, tmp_path / "o.npy"), "--shard", "1/3"), "--output", "written by one host")
    one_line_of(capsys, run("finish", out), "there is no run in parts of this name")
    chunks = ["convert", stack, out, "--chunks", "4,8,8", "--quiet", "--shard", "1/2"]
    one_line_of(capsys, run(*chunks), "--shard", "give the tiles (--tile-shape)")
    assert sorted(tmp_path.iterdir()) == [stack]
