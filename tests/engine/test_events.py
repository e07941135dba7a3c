"""Tests of events: the run, its time, plan, workers, memory and bytes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import Once
from tilecore import TileError, TileGrid, collect_tiles, map_tiles
from tilecore.engine.events import RunEnded, RunStarted, RunWaits, TileDone, TileFailed, TileRetried
from tilecore.engine.task_loop import TaskLoop, Tasks
from tilecore.executors.serial import SerialExecutor
from tilecore.stacks.pmap import pmap_chunks

EXECUTORS = ["serial", "threads", "processes"]
VOLUME = np.zeros((8, 8), dtype="u2")

every_executor = pytest.mark.parametrize("executor", EXECUTORS)


def heard(verb: Any = map_tiles, function: Any = np.sqrt, source: Any = VOLUME, **options: Any) -> list[Any]:
    """Run, and return its events."""
    events: list[Any] = []
    options = {"tile_shape": 4, "workers": 2} | options
    verb(function, source, callbacks=[events.append], progress=False, **options)
    return events


def of_kind(events: list[Any], kind: type) -> list[Any]:
    return [event for event in events if type(event) is kind]


@every_executor
def test_all_events_have_a_time_and_their_run(executor: str) -> None:
    before = time.time()
    events = heard(executor=executor)
    others = heard(executor=executor)
    times = [event.time for event in events]
    assert before <= times[0]
    assert times[-1] <= time.time()
    assert times == sorted(times)
    (run,) = {event.run for event in events}
    (other,) = {event.run for event in others}
    assert run
    assert run != other


@every_executor
def test_the_start_tells_the_plan(executor: str) -> None:
    started = heard(halo=1, executor=executor)[0]
    assert isinstance(started, RunStarted)
    assert started.grid == TileGrid((8, 8), (4, 4), 1)
    assert (started.n_tiles, started.n_done, started.n_voxels) == (4, 0, 64)
    assert started.workers == (1 if executor == "serial" else 2)
    assert started.name == "sqrt"


def test_the_plan_of_a_run_whose_tiles_were_left_to_us_is_the_one_that_was_chosen() -> None:
    events = heard(tile_shape=None, executor="serial")
    assert events[0].n_tiles == len(events[0].grid) == len(of_kind(events, TileDone))


@every_executor
def test_tiles_tell_bytes_read_with_the_halo_and_bytes_written_without(executor: str) -> None:
    done = of_kind(heard(halo=1, dtype="f4", executor=executor), TileDone)
    assert [event.bytes_read for event in done] == [5 * 5 * 2] * 4
    assert [event.bytes_written for event in done] == [4 * 4 * 4] * 4


def test_bytes_of_several_sources_and_outputs_with_axes_of_their_own() -> None:
    sources = [VOLUME, np.zeros((8, 8, 3), "f8"), np.zeros(8, "u1")]
    events = heard(
        function=lambda a, b, c: (a, a.astype("f8")),
        source=sources,
        out=(None, None),
        tile_shape=(4, 8),
        executor="serial",
    )
    for event in of_kind(events, TileDone):
        assert event.bytes_read == 32 * 2 + 32 * 3 * 8 + 4
        assert event.bytes_written == 32 * 2 + 32 * 8


def test_results_that_go_to_the_caller_are_not_written() -> None:
    events = heard(collect_tiles, np.sum, executor="serial")
    assert [(event.bytes_read, event.bytes_written) for event in of_kind(events, TileDone)] == [(32, 0)] * 4


@every_executor
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell")
def test_tiles_tell_their_worker_and_its_peak_memory(executor: str) -> None:
    def large(block: np.ndarray) -> np.ndarray:
        np.ones(2**24)
        time.sleep(0.12)  # longer than a look at the peak is good for
        return block

    done = of_kind(heard(function=large, executor=executor), TileDone)
    assert all(event.peak_bytes > 2**27 for event in done)
    assert {event.worker for event in done} <= {0, 1}
    assert all(event.seconds > 0 for event in done)


@every_executor
def test_failures_tell_who_failed(executor: str, tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("once")

    once = Once(tmp_path, fail, tiles=(2,))
    (retried,) = of_kind(heard(function=once, pass_tile=True, executor=executor), TileRetried)
    assert retried.tile.number == 2
    assert retried.worker in (0, 1)
    assert retried.seconds > 0


@every_executor
def test_the_end_tells_what_was_done(executor: str) -> None:
    ended = heard(executor=executor)[-1]
    assert isinstance(ended, RunEnded)
    assert (ended.n_done, ended.n_failed, ended.complete, ended.cancelled) == (4, 0, True, False)
    events: list[Any] = []
    with pytest.raises(TileError):
        map_tiles(
            lambda block: 1 / 0, VOLUME, tile_shape=4, workers=2, retries=0, on_error="finish", executor=executor,
            callbacks=[events.append], progress=False,
        )  # fmt: skip
    assert len(of_kind(events, TileFailed)) == events[-1].n_failed == 4
    assert not events[-1].complete


def test_a_tile_that_was_cut_is_told_as_a_whole() -> None:
    def small_only(block: np.ndarray) -> np.ndarray:
        if block.size > 8:
            raise MemoryError
        return block

    events = heard(function=small_only, executor="serial")
    assert sorted(event.tile.write.size for event in of_kind(events, TileDone)) == [16] * 4
    assert {event.bytes_written for event in of_kind(events, TileDone)} == {32}


class _SlowCrew:
    """Crew whose outcomes arrive after a few calls of `wait`, each of which takes its whole timeout."""

    def __init__(self, crew: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._crew, self._n_asked, self._now = crew, 0, 0.0
        monkeypatch.setattr("tilecore.engine.task_loop.time.monotonic", lambda: self._now)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._crew, name)

    def wait(self, timeout: float | None = None) -> list[Any]:
        self._n_asked += 1
        if self._n_asked <= 3:
            assert timeout is not None
            self._now += timeout
            return []
        return self._crew.wait()


def test_observers_hear_that_a_run_goes_on_while_no_tile_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []
    grid = TileGrid((1,), (1,))
    tasks = Tasks(tasks=range(1), tile_of=grid.__getitem__, grid=grid)
    with SerialExecutor().start(lambda task, known: task) as crew:
        slow: Any = _SlowCrew(crew, monkeypatch)
        assert [result.value for result in TaskLoop(tasks, slow, retries=0, announce=events.append).results()] == [0]
    assert [type(event) for event in events] == [RunStarted, RunWaits, RunWaits, RunWaits, TileDone, RunEnded]


def test_chunks_are_tiles_too(capsys: pytest.CaptureFixture[str]) -> None:
    pmap_chunks(lambda arguments: 1, VOLUME, (4, 8), nb_workers=1, use_imap=True)
    assert "2/2" in capsys.readouterr().err
