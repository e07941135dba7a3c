"""Tests of what ``tilecore`` does with what is mistyped, with no arguments, and when nobody reads what it prints."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import one_line_of, run

COMMAND = str(Path(sys.executable).with_name("tilecore"))


def test_without_arguments_it_tells_what_to_do_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command that it tells is run, in their order."""
    pytest.importorskip("matplotlib")
    assert run() == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    monkeypatch.chdir(tmp_path)
    commands = [line[2:].split("   ")[0] for line in lines if line.startswith("  ")]
    assert len(commands) == 6
    for command in commands:
        name, *arguments = shlex.split(command)
        assert name == "tilecore"
        assert run(*arguments) == 0, command
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"stack.tif", "stack.png", "cells.csv", "wide.tif"}


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["blob", "v.tif"], "blobs"),
        (["converted"], "convert"),
        (["sample", "synthtic"], "synthetic"),
        (["sample", "synthetic", "--sed", "3"], "--seed"),
        (["blobs", "v.tif", "--max-memry", "4GB"], "--max-memory"),
        (["blobs", "v.tif", "--ouput=o.csv"], "--output"),
        (["map", "v.tif", "--fucntion", "m:f", "-o", "o.tif"], "--function"),
        (["blobs", "v.tif", "-o", "o.csv", "--start-method", "forkservr"], "forkserver"),
        (["--log-levl", "debug", "info", "v.tif"], "--log-level"),
        (["--log-level", "inf", "info", "v.tif"], "info"),
    ],
)
def test_what_is_mistyped_is_guessed(capsys: pytest.CaptureFixture[str], arguments: list[str], meant: str) -> None:
    one_line_of(capsys, run(*arguments), f"did you mean {meant}?", "--help")


@pytest.mark.parametrize("arguments", [["nonsense"], ["blobs", "v.tif", "--zzzz"], ["info", "v.tif", "w.tif"]])
def test_nothing_is_guessed_that_is_not_alike(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code = run(*arguments)
    assert code == 2
    assert "did you mean" not in capsys.readouterr().err


def test_options_may_be_shortened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "v.npy", np.zeros((4, 5, 6)))
    assert run("info", tmp_path / "v.npy", "--js") == 0
    assert run("--log", "ERROR", "info", tmp_path / "v.npy") == 0
    capsys.readouterr()


def test_a_wrong_level_of_the_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TILECORE_LOG_LEVEL", "loud")
    one_line_of(capsys, run("info", "v.tif"), "TILECORE_LOG_LEVEL='loud'", "debug, info, warning, error")
    assert run("--log-level", "error", "--help") == 0
    capsys.readouterr()
    for level in ("DEBUG", " info ", ""):
        monkeypatch.setenv("TILECORE_LOG_LEVEL", level)
        one_line_of(capsys, run("info", "v.tif"), "v.tif", "no such file")


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(COMMAND).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", ["info v.npy", "doctor", "plan v.npy"])
def test_nobody_reads_to_the_end(tmp_path: Path, arguments: str) -> None:
    np.save(tmp_path / "v.npy", np.zeros((4, 5, 6)))
    # The reader has gone before anything is printed.
    result = shell(f"(sleep 0.1; tilecore {arguments}; echo $? >&2) | true", tmp_path)
    assert result.stderr == "141\n"


def test_the_first_line_alone_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((4, 5, 6)))
    result = shell("tilecore info v.npy | head -1", tmp_path)
    assert (result.stdout.split()[0], result.stderr, result.returncode) == ("path", "", 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_stdout_on_a_full_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((4, 5, 6)))
    result = shell("tilecore info v.npy > /dev/full", tmp_path)
    assert result.returncode == 2
    assert "No space left on device" in result.stderr
    assert len(result.stderr.splitlines()) == 1
