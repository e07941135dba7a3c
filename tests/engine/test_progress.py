"""Tests of progress: a bar on a terminal, lines in the log elsewhere, nothing on request, callbacks always."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
import termios
from typing import Any

import numpy as np
import pytest

from tilecore import TileGrid, collect_tiles, map_tiles
from tilecore.engine.events import RunEnded, RunStarted, RunWaits, TileDone, TileFailed, TileRetried
from tilecore.engine.progress import LogProgress, ProgressBar, choose_progress

VOLUME = np.zeros((8, 8))
TILES: dict[str, Any] = {"tile_shape": 4, "executor": "serial"}


def test_bar_tells_tiles_voxels_and_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    calls = []

    def fail_once(block: np.ndarray) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError

    collect_tiles(fail_once, VOLUME, progress=True, **TILES)
    last = stream.getvalue().split("\r")[-1]
    assert "4/4" in last
    assert "voxel" in last
    assert "retried" in last


def test_no_terminal_no_bar(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tilecore.progress"):
        map_tiles(np.sqrt, VOLUME, **TILES)
    assert capsys.readouterr().err == ""
    assert "4 to do" in caplog.text
    assert "4 done, 0 failed" in caplog.text


def test_silence(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "tilecore.progress"):
        map_tiles(np.sqrt, VOLUME, progress=False, **TILES)
    assert capsys.readouterr().err == ""
    assert caplog.text == ""


def test_log_lines_come_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tilecore.progress"):
        map_tiles(np.sqrt, VOLUME, progress=False, callbacks=[LogProgress(seconds=0.0)], **TILES)
    assert [record.getMessage() for record in caplog.records if "of 4" in record.getMessage()] == [
        f"tiles: {n_done} of 4 done, 0 failed" for n_done in range(1, 5)
    ]


GRID = TileGrid((8, 8), (4, 4))


def long_run(progress: LogProgress, seconds: float = 150.0, n_done: int = 4) -> None:
    """Send the events of a run whose tiles take longer than a minute, with a wait event every ten seconds."""
    progress(RunStarted(4, 0, 64, 2, time=1000.0))
    for second in range(10, int(seconds), 10):
        progress(RunWaits(time=1000.0 + second))
    for number in range(n_done):
        progress(TileDone(GRID[number], 1.0, 0, time=1000.0 + seconds))
    progress(RunEnded(seconds, n_done, 0, n_done == 4, time=1000.0 + seconds))


def without_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the progress log off from pytest's handlers, as if nobody had set up a log."""
    monkeypatch.setattr(logging.getLogger("tilecore.progress"), "propagate", False)


def test_where_no_log_is_set_up_a_long_run_writes_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_a_log(monkeypatch)
    long_run(LogProgress("sqrt"))
    assert capsys.readouterr().err.splitlines() == [
        "sqrt: 0 of 4 done, 0 failed",
        "sqrt: 0 of 4 done, 0 failed",
        "sqrt: 4 done, 0 failed, 150.0 s",
    ]


def test_where_no_log_is_set_up_a_short_run_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_a_log(monkeypatch)
    long_run(LogProgress("sqrt"), seconds=59.0)
    assert capsys.readouterr().err == ""


def test_where_a_log_is_set_up_lines_go_there(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tilecore.progress"):
        long_run(LogProgress("sqrt"), n_done=3)
    assert [record.getMessage() for record in caplog.records] == [
        "sqrt: 4 to do, 2 workers",
        "sqrt: 0 of 4 done, 0 failed",
        "sqrt: 0 of 4 done, 0 failed",
        "sqrt: 3 done, 0 failed, 150.0 s",
    ]
    assert capsys.readouterr().err == ""


def test_the_end_says_if_the_run_was_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tilecore.progress"):
        LogProgress("sqrt")(RunEnded(1.0, 1, 0, False, cancelled=True))
    assert caplog.messages == ["sqrt: 1 done, 0 failed, 1.0 s, cancelled"]


def test_a_program_without_a_log_shows_nothing_of_a_short_run() -> None:
    code = "import numpy, tilecore; tilecore.map_tiles(numpy.sqrt, numpy.ones((8, 8)), tile_shape=4, executor='serial')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert (result.stdout, result.stderr) == ("", "")


def test_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_progress(False) is None
    assert isinstance(choose_progress(True), ProgressBar)
    assert isinstance(choose_progress(None), LogProgress)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(choose_progress(None), ProgressBar)


def test_a_bar_on_a_terminal() -> None:
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 100))
    code = "import numpy, tilecore; tilecore.map_tiles(numpy.sqrt, numpy.ones((8, 8)), tile_shape=4, executor='serial')"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=child)
    os.close(child)
    output = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:
            break
        if not part:
            break
        output += part
    os.close(parent)
    assert process.wait() == 0
    assert b"4/4" in output


def test_callbacks_hear_everything_in_order() -> None:
    events: list[Any] = []
    failed_once = []

    def fail_once(block: np.ndarray) -> np.ndarray:
        if not failed_once:
            failed_once.append(1)
            raise ValueError("once")
        return block

    map_tiles(fail_once, VOLUME, callbacks=[events.append], progress=False, **TILES)
    kinds = [type(event) for event in events]
    assert kinds[0] is RunStarted
    assert kinds[-1] is RunEnded
    assert kinds.count(TileDone) == 4
    assert kinds.count(TileRetried) == 1
    assert TileFailed not in kinds
    assert (events[0].n_tiles, events[0].n_voxels) == (4, 64)


def test_a_broken_observer_ends_the_run_with_its_own_error() -> None:
    def broken(event: Any) -> None:
        raise RuntimeError("observer")

    with pytest.raises(RuntimeError, match="observer"):
        map_tiles(np.sqrt, VOLUME, callbacks=[broken], progress=False, tile_shape=4, workers=2)
