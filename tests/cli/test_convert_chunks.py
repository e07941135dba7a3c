"""Tests of ``tilecore convert --chunks``: other chunks, with the fewest bytes moved, and the plan that is printed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.cli.commands import run
from tests.faults.harness import places
from tilecore import open_source

VOLUME = np.random.default_rng(0).integers(0, 1000, (12, 20, 16), np.uint16)
LAYOUT = ("--chunks", "12,4,4", "--max-memory", "2000", "-j", 1, "-q")


@pytest.fixture
def planes(tmp_path: Path) -> Path:
    path = tmp_path / "planes.zarr"
    zarr.create_array(path, data=VOLUME, chunks=(1, 20, 16))
    return path


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    planes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("convert", planes, tmp_path / "o.zarr", *LAYOUT, "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["volume", "from", "to", "way", "pass", "pass", "moved", "memory"]
    assert "2 passes, through a temporary file of 7.5 KiB" in lines[3]
    assert list(tmp_path.iterdir()) == [planes]


def test_the_same_is_done(planes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "o.ome.zarr"
    assert run("convert", planes, out, *LAYOUT, "--crop", ":,4:20,:", "--codec", "zstd", "--no-pyramid") == 0
    assert capsys.readouterr().out.strip() == str(out)
    result = open_source(out)
    assert (result.chunks, result.info.codec) == ((12, 4, 4), "zstd")
    np.testing.assert_array_equal(result[...], VOLUME[:, 4:20])
    assert sorted(tmp_path.iterdir()) == [out, planes]


@pytest.mark.parametrize("options", [[], ["--chunks", "4,4,4", "--tile-shape", "4,4,4"]])
def test_a_dry_run_needs_chunks(
    planes: Path, tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("convert", planes, tmp_path / "o.zarr", *options, "--dry-run") == 2
    assert "--dry-run" in capsys.readouterr().err


def test_too_little_memory_is_told(planes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", planes, tmp_path / "o.zarr", "--chunks", "12,4,4", "--max-memory", "100") == 2
    assert "--max-memory 100 B" in capsys.readouterr().err


def test_the_input_is_never_replaced(planes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link.zarr").symlink_to(planes)
    for out in (planes, tmp_path / "link.zarr"):
        assert run("convert", planes, out, *LAYOUT, "--overwrite") == 2
        assert "would replace the input" in capsys.readouterr().err
    np.testing.assert_array_equal(open_source(planes)[...], VOLUME)


DYING = """
import os, signal, sys
from tilecore.cli.main import main
from tilecore.engine.journal import Journal

record, done = Journal.record, []

def record_and_die(journal, number, checksums):
    record(journal, number, checksums)
    done.append(number)
    if len(done) == int(os.environ["N_TILES"]):
        os.kill(os.getpid(), signal.SIGKILL)

Journal.record = record_and_die
main(sys.argv[1:])
"""


@pytest.mark.parametrize("n_tiles", [3, 15])
def test_a_killed_one_goes_on(planes: Path, tmp_path: Path, n_tiles: int) -> None:
    out = tmp_path / "o.zarr"
    command = ["convert", str(planes), str(out), *map(str, LAYOUT)]
    killed = subprocess.run([sys.executable, "-c", DYING, *command], env={**os.environ, "N_TILES": str(n_tiles)})
    assert killed.returncode == -signal.SIGKILL
    assert len(places(out)) == 1
    assert run(*command, "--resume") == 0
    np.testing.assert_array_equal(open_source(out)[...], VOLUME)
    assert sorted(tmp_path.iterdir()) == [out, planes]
