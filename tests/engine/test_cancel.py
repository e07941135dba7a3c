"""Tests of cancelling from another thread: a run ends soon, leaves nothing, and can be continued."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import FOR_EVER, HANGS
from tilecore import (
    ParameterTypeError,
    RunCancelledError,
    SharedArray,
    collect_tiles,
    detect_blobs,
    iter_tiles,
    map_tiles,
    reduce_tiles,
)
from tilecore.engine.events import RunEnded, TileDone

VOLUME = np.arange(64.0).reshape(8, 8)
METHODS = ["fork", "forkserver", "spawn"]
THREADS = {"executor": "threads", "workers": 2}
SERIAL = {"executor": "serial"}
PROCESSES: list[dict[str, Any]] = [{"executor": "processes", "workers": 2, "start_method": each} for each in METHODS]

every_executor = pytest.mark.parametrize("run", [SERIAL, THREADS, *PROCESSES], ids=["serial", "threads", *METHODS])
every_method = pytest.mark.parametrize("run", PROCESSES, ids=METHODS)


def cancelled_when(condition: Callable[[], Any]) -> tuple[threading.Event, threading.Thread]:
    """Event that another thread sets once a condition is true."""
    cancel = threading.Event()

    def wait() -> None:
        until = time.monotonic() + HANGS
        while not condition() and time.monotonic() < until:
            time.sleep(0.001)
        cancel.set()

    thread = threading.Thread(target=wait)
    thread.start()
    return cancel, thread


@every_method
def test_tiles_that_never_end_are_ended(run: dict[str, Any]) -> None:
    begun = SharedArray((4,), "i8")

    def hold(block: np.ndarray, tile: Any) -> None:
        begun[tile.number] = os.getpid()
        time.sleep(FOR_EVER)

    cancel, thread = cancelled_when(lambda: np.count_nonzero(begun.view()) == 2)
    with pytest.raises(RunCancelledError, match="0 of 4"):
        collect_tiles(hold, np.zeros(4), tile_shape=1, pass_tile=True, cancel=cancel, progress=False, **run)
    thread.join()


@pytest.mark.parametrize("run", [SERIAL, THREADS], ids=["serial", "threads"])
def test_tiles_in_work_that_cannot_be_stopped_are_finished(run: dict[str, Any]) -> None:
    cancel, events, ended = threading.Event(), list[Any](), list[int]()

    def slow(block: np.ndarray) -> int:
        cancel.set()
        time.sleep(0.2)
        ended.append(1)
        return 1

    with pytest.raises(RunCancelledError):
        collect_tiles(slow, np.zeros(9), tile_shape=1, cancel=cancel, callbacks=[events.append], progress=False, **run)
    assert 1 <= len(ended) <= 2
    assert len([event for event in events if isinstance(event, TileDone)]) == len(ended)
    assert isinstance(events[-1], RunEnded)
    assert events[-1].cancelled
    assert not events[-1].complete
    n_threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("tilecore-")]
    assert n_threads == []


@every_executor
@pytest.mark.parametrize("tile_shape", [4, None])
def test_a_run_that_is_cancelled_before_it_begins_does_nothing(
    run: dict[str, Any], tile_shape: int | None, tmp_path: Path
) -> None:
    cancel, marks = threading.Event(), tmp_path / "marks"
    marks.mkdir()
    cancel.set()

    def note(block: np.ndarray) -> np.ndarray:
        (marks / str(time.monotonic_ns())).touch()
        return block

    with pytest.raises(RunCancelledError):
        map_tiles(note, VOLUME, out=tmp_path / "out.npy", tile_shape=tile_shape, cancel=cancel, progress=False, **run)
    assert list(marks.iterdir()) == []
    assert list(tmp_path.iterdir()) == [marks]


@every_method
def test_a_pilot_is_cancelled_too(run: dict[str, Any]) -> None:
    begun = SharedArray((1,), "i8")

    def hold(block: np.ndarray) -> np.ndarray:
        begun[0] = 1
        time.sleep(FOR_EVER)
        return block

    cancel, thread = cancelled_when(lambda: begun[0])
    with pytest.raises(RunCancelledError):
        map_tiles(hold, np.zeros((64, 64)), cancel=cancel, progress=False, **run)
    thread.join()


@pytest.mark.parametrize("run", [SERIAL, THREADS], ids=["serial", "threads"])
def test_a_pilot_that_cannot_be_stopped_is_awaited_and_no_tile_begins(run: dict[str, Any]) -> None:
    cancel, running = threading.Event(), list[int]()

    def slow(block: np.ndarray) -> np.ndarray:
        running.append(1)
        cancel.set()
        time.sleep(0.1)
        running.pop()
        return block

    events: list[Any] = []
    with pytest.raises(RunCancelledError):
        map_tiles(slow, np.zeros((64, 64)), cancel=cancel, callbacks=[events.append], progress=False, **run)
    assert running == []
    assert events == []


@every_executor
def test_a_run_that_was_cancelled_is_continued(run: dict[str, Any], tmp_path: Path) -> None:
    out, cancel = tmp_path / "out.npy", threading.Event()

    def listen(event: Any) -> None:
        if isinstance(event, TileDone):
            cancel.set()

    arguments: dict[str, Any] = {"out": out, "tile_shape": 2, "progress": False, **run}
    with pytest.raises(RunCancelledError):
        map_tiles(np.sqrt, VOLUME, cancel=cancel, callbacks=[listen], **arguments)
    assert not out.exists()
    events: list[Any] = []
    result = map_tiles(np.sqrt, VOLUME, resume=True, callbacks=[events.append], **arguments)
    assert 1 <= events[0].n_done < 16
    assert events[-1].n_done == 16 - events[0].n_done
    np.testing.assert_array_equal(result, np.sqrt(VOLUME))
    del result
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]


@every_executor
def test_an_iterator_that_is_cancelled_raises_at_the_next_result(run: dict[str, Any]) -> None:
    cancel = threading.Event()
    results = iter_tiles(np.sum, np.zeros(1000), tile_shape=1, cancel=cancel, progress=False, **run)
    next(results)
    cancel.set()
    with pytest.raises(RunCancelledError, match="of 1000 tiles"):
        for _ in results:
            assert run["executor"] == "threads", "only tiles in work may still come"


def test_a_slow_caller_is_not_kept_by_results_that_wait() -> None:
    cancel, folded = threading.Event(), list[int]()

    def fold(total: int, result: int) -> int:
        folded.append(1)
        if len(folded) == 20:
            cancel.set()
        return total + result

    with pytest.raises(RunCancelledError):
        reduce_tiles(np.size, fold, np.zeros(50_000), initial=0, tile_shape=1, workers=2, cancel=cancel, progress=False)
    assert len(folded) < 100


@every_executor
def test_a_cancel_that_comes_after_the_last_tile_is_too_late(run: dict[str, Any]) -> None:
    cancel = threading.Event()
    n_done: list[int] = []

    def listen(event: Any) -> None:
        if isinstance(event, TileDone):
            n_done.append(1)
            if len(n_done) == 4:
                cancel.set()

    options: dict[str, Any] = {"tile_shape": 4, "cancel": cancel, "callbacks": [listen], "progress": False, **run}
    np.testing.assert_array_equal(map_tiles(np.sqrt, VOLUME, **options), np.sqrt(VOLUME))


def test_any_handle_will_do() -> None:
    class Handle:
        n_asked = 0

        def is_set(self) -> bool:
            self.n_asked += 1
            return self.n_asked > 5

    with pytest.raises(RunCancelledError):
        collect_tiles(np.sum, np.zeros(100), tile_shape=1, executor="serial", cancel=Handle(), progress=False)


@pytest.mark.parametrize("cancel", [True, 1.0, "now"])
def test_what_cannot_be_asked_is_refused(cancel: Any) -> None:
    with pytest.raises(ParameterTypeError, match="cancel"):
        map_tiles(np.sqrt, VOLUME, tile_shape=4, cancel=cancel)


def test_blobs_take_it_as_well() -> None:
    volume, cancel = np.zeros((8, 16, 16)), threading.Event()
    volume[4, 8, 8] = 1
    arguments: dict[str, Any] = {
        "min_sigma": 1,
        "max_sigma": 2,
        "num_sigma": 2,
        "threshold": 0.01,
        "workers": 2,
        "cancel": cancel,
        "progress": False,
    }
    assert len(detect_blobs(volume, **arguments)) == 1
    cancel.set()
    with pytest.raises(RunCancelledError):
        detect_blobs(volume, **arguments)
