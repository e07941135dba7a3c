"""Tests of the command ``tilecore batch``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.commands import one_line_of, run
from tests.recordings.files import made, write
from tilecore.compat.yass import RecordingsReader
from tilecore.recordings import open_recording

DATA = made(500, 6)
MODULE = """
import numpy as np

def smooth(block, width=3):
    kernel = np.ones(width)
    return np.stack([np.convolve(line, kernel, "same") for line in block.T], axis=1)

def double(block):
    return 2 * block

def fails(block):
    raise ValueError("this is no signal")
"""
RAW = ["raw.bin", "--dtype", "int16", "--channels", 6, "--order", "samples", "-q"]


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "raw.bin", DATA)
    (tmp_path / "of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "of_mine", raising=False)


def smoothed(width: int) -> Any:
    return np.stack([np.convolve(line, np.ones(width), "same") for line in DATA.T], axis=1)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_filter_with_a_buffer(capsys: pytest.CaptureFixture[str], processes: int) -> None:
    arguments = ["--function", "of_mine:smooth", "--kwargs", '{"width": 5}', "--buffer", 2, "--batch-length", 77]
    assert run("batch", *RAW, *arguments, "--processes", processes, "-o", "out.bin") == 0
    assert capsys.readouterr().out.splitlines() == ["out.bin", "out.yaml"]
    np.testing.assert_array_equal(RecordingsReader("out.bin")[:, :], smoothed(5))


def test_some_time_of_some_channels_and_whole_channels() -> None:
    part = ["--select", "4,0", "--from-time", 100, "--to-time", 300, "--cast-dtype", "int32"]
    assert run("batch", *RAW, *part, "--function", "of_mine:double", "--single-channel", "-o", "out.bin") == 0
    found = RecordingsReader("out.bin")
    assert (found.dtype, found.data_order) == (np.dtype("int32"), "channels")
    np.testing.assert_array_equal(found[:, :], 2 * DATA[100:300, [4, 0]])
    assert run("batch", "out.bin", "--function", "of_mine:double", "--processes", "max", "-q", "-o", "again.bin") == 0
    np.testing.assert_array_equal(RecordingsReader("again.bin")[:, :], 4 * DATA[100:300, [4, 0]])


def test_what_is_there_is_refused_or_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["batch", *RAW, "--function", "of_mine:double", "-o", "out.bin"]
    Path("out.yaml").write_text("mine")
    one_line_of(capsys, run(*command), "out.yaml", "exists already")
    one_line_of(capsys, run(*command, "--overwrite"), "out.yaml", "is not of out.bin")
    Path("out.yaml").unlink()
    assert run(*command) == 0
    assert run(*command, "--overwrite") == 0
    np.testing.assert_array_equal(RecordingsReader("out.bin")[:, :], 2 * DATA)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.bin", "--function", "of_mine:double"], ["nowhere.bin", "no such file"]),
        (["raw.bin", "--function", "of_mine:double"], ["dtype"]),
        ([*RAW, "--function", "of_mine:triple"], ["of_mine:triple"]),
        ([*RAW, "--function", "of_mine:double", "--select", "0,6"], ["--select", "6"]),
        ([*RAW, "--function", "of_mine:double", "--from-time", 9, "--to-time", 9], ["--from-time"]),
        ([*RAW, "--function", "of_mine:double", "--max-memory", "11"], ["--max-memory"]),
        ([*RAW, "--function", "of_mine:double", "--buffer", "5ms"], ["buffer", "rate"]),
        ([*RAW, "--function", "of_mine:double", "--uv"], ["--gain-uv"]),
        ([*RAW, "--function", "of_mine:double", "--single-channel", "--buffer", 2], ["buffer", "single-channel"]),
        ([*RAW, "--function", "of_mine:double", "--buffer", -1], ["buffer"]),
        ([*RAW[:3], "--channels", 7, "--order", "samples", "--function", "of_mine:double"], ["6000 bytes"]),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], arguments: list[Any], words: list[str]) -> None:
    one_line_of(capsys, run("batch", *arguments, "-q", "-o", "out.bin"), *words)
    assert sorted(path.name for path in Path().iterdir() if path.suffix) == ["of_mine.py", "raw.bin"]


def test_a_function_that_fails_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code = run("batch", *RAW, "--function", "of_mine:fails", "--processes", 2, "-o", "out.bin")
    assert code == 1
    error = capsys.readouterr().err
    assert "this is no signal" in error
    assert "tile" in error
    assert sorted(path.name for path in Path().iterdir() if path.suffix) == ["of_mine.py", "raw.bin"]


def test_info_of_a_recording(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("batch", *RAW, "--function", "of_mine:double", "-o", "out.bin") == 0
    capsys.readouterr()
    assert run("info", "out.bin") == 0
    facts = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (facts["kind"], facts["observations"], facts["channels"]) == ("recording", "500", "6")
    assert (facts["dtype"], facts["order"]) == ("int16", "samples")


def test_other_kinds_of_files_and_several_of_them() -> None:
    assert run("batch", *RAW, "--function", "of_mine:double", "-o", "a.npy") == 0
    np.testing.assert_array_equal(np.load("a.npy"), 2 * DATA)
    part = ["--from-time", "0.1s", "--to-time", "110 ms", "--rate", 1000]
    assert run("batch", "a.npy", "a.npy", *part, "--function", "of_mine:double", "-q", "-o", "b.zarr") == 0
    np.testing.assert_array_equal(open_recording("b.zarr")[:], 4 * DATA[100:110])
    assert run("batch", "a.npy", "a.npy", "--function", "of_mine:double", "-q", "-o", "c.bin") == 0
    np.testing.assert_array_equal(RecordingsReader("c.bin")[:, :], 4 * np.concatenate([DATA, DATA]))


def test_numbers_in_microvolts() -> None:
    command = ["batch", *RAW, "--gain-uv", "0.25", "--uv", "--function", "of_mine:double", "-o", "out.bin"]
    assert run(*command) == 0
    np.testing.assert_array_equal(RecordingsReader("out.bin")[:, :], DATA * np.float32(0.5))


def test_what_is_finished_is_not_done_again(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["batch", *RAW, "--function", "of_mine:double", "--batch-length", 50, "-o", "out.bin", "--resume"]
    assert run(*command) == 0
    made = Path("out.bin").stat().st_mtime_ns
    assert run(*command) == 0
    assert Path("out.bin").stat().st_mtime_ns == made
    capsys.readouterr()
    one_line_of(capsys, run(*command[:-1]), "out.bin", "exists already")


def test_streams_of_open_ephys(capsys: pytest.CaptureFixture[str]) -> None:
    streams = []
    for name, rate in (("AP", 30_000), ("LFP", 2_500)):
        Path("rec", "continuous", name).mkdir(parents=True)
        write(Path("rec", "continuous", name, "continuous.dat"), DATA)
        channels = [{"channel_name": f"CH{number}", "bit_volts": 0.5} for number in range(6)]
        stream = {"folder_name": f"{name}/", "sample_rate": rate, "num_channels": 6, "channels": channels}
        streams.append(stream)
    Path("rec", "structure.oebin").write_text(json.dumps({"GUI version": "0.6.7", "continuous": streams}))
    one_line_of(capsys, run("info", "rec"), "stream", "AP", "LFP")
    assert run("info", "rec", "--stream", "LFP") == 0
    facts = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert (facts["rate hz"].strip(), facts["gains uv"].strip(), facts["names"].strip()) == (
        "2500.0",
        "0.5",
        "CH0, CH1, CH2, CH3, CH4, CH5",
    )
    command = ["batch", "rec", "--stream", "AP", "--uv", "--to-time", "10 ms", "--function", "of_mine:double", "-q"]
    assert run(*command, "-o", "out.npy") == 0
    np.testing.assert_array_equal(np.load("out.npy"), DATA[:300])
    assert run("view", "rec", "--stream", "AP", "--uv", "-o", "out.png") == 0
