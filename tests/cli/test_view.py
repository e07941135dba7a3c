"""Tests of the command ``tilecore view``, and of what it draws."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.commands import one_line_of, run
from tests.recordings.files import made, write
from tilecore.pictures import traces
from tilecore.pictures.traces import envelope

DATA = made(30_000, 12)
RAW = ["raw.bin", "--dtype", "int16", "--channels", 12, "--order", "samples"]


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "raw.bin", DATA)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--select", "11,0"], ["--from-time", 5, "--to-time", 6], ["--to-time", 30_000, "--rate", 30_000]],
)
def test_a_picture_is_made(capsys: pytest.CaptureFixture[str], arguments: list[Any]) -> None:
    assert run("view", *RAW, *arguments, "-o", "traces.png") == 0
    assert capsys.readouterr().out == "traces.png\n"
    assert Path("traces.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in Path().iterdir()) == ["raw.bin", "traces.png"]


@pytest.mark.parametrize("piece_bytes", [1, 24 * 700, 2**25])
@pytest.mark.parametrize(("first", "stop"), [(0, 30_000), (7, 2004), (7, 2007), (29_990, 30_000), (3, 20_500)])
def test_each_column_has_the_lowest_and_the_highest_value(
    monkeypatch: pytest.MonkeyPatch, piece_bytes: int, first: int, stop: int
) -> None:
    monkeypatch.setattr(traces, "_PIECE_BYTES", piece_bytes)
    times, low, high = envelope(DATA, [3, 1], first, stop)
    edges = [*times.astype(int), stop]
    assert len(times) == min(stop - first, 2000)
    assert edges[0] == first
    parts = [DATA[begin:end, [3, 1]] for begin, end in itertools.pairwise(edges)]
    np.testing.assert_array_equal(low, [part.min(axis=0) for part in parts])
    np.testing.assert_array_equal(high, [part.max(axis=0) for part in parts])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*RAW, "-o", "raw.bin"], ["raw.bin"]),
        ([*RAW, "-o", "traces.xyz"], ["suffix"]),
        ([*RAW, "-o", "traces.png", "--select", "12"], ["--select", "12"]),
        ([*RAW, "-o", "traces.png", "--from-time", 30_000], ["--from-time"]),
        (["nowhere.bin", "-o", "traces.png"], ["nowhere.bin"]),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], arguments: list[Any], words: list[str]) -> None:
    one_line_of(capsys, run("view", *arguments), *words)
    assert [path.name for path in Path().iterdir()] == ["raw.bin"]


@pytest.mark.parametrize("name", ["o.npy", "o.h5", "o.zarr"])
def test_what_a_batch_wrote_is_drawn_and_described(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Its file says that its axes are time and channels; that of .npy cannot, but the command can be told."""
    recording = ["--rate", 1000, "--gain-uv", 0.5]
    assert run("batch", *RAW, *recording, "--function", "numpy:copy", "-o", name, "-q", "--processes", 1) == 0
    of_recordings = ["--select", 0] if name == "o.npy" else []
    assert run("view", name, *of_recordings, "-o", "traces.png") == 0
    assert Path("traces.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    if name == "o.npy":
        return
    assert run("info", name, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["axes"], facts["rate_hz"], facts["gains_uv"]) == ("TC", 1000, [0.5] * 12)
    assert run("info", name) == 0
    shown = capsys.readouterr().out
    assert "rate hz" in shown and "0.5" in shown


def test_complex_traces_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("complex.bin"), DATA.astype("complex64"))
    arguments = ["complex.bin", "--dtype", "complex64", "--channels", 12, "--order", "samples"]
    one_line_of(capsys, run("view", *arguments, "-o", "traces.png"), "complex64", "numpy.abs")
    assert not Path("traces.png").exists()
