"""Tests of `collect_tiles`, `iter_tiles` and `reduce_tiles`: results of any type, in order, without delay."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import wait_until
from tests.runs import RUNS
from tilecore import ParameterError, Tile, TileError, TileGrid, collect_tiles, iter_tiles, map_tiles, reduce_tiles
from tilecore.engine import collecting
from tilecore.engine.events import Event, RunEnded, RunStarted, TileDone, TileFailed, TileRetried


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).random((12, 13, 14))


def test_results_are_listed_in_the_order_of_the_tiles(run: dict[str, Any], volume: np.ndarray) -> None:
    def where(block: np.ndarray, tile: Tile) -> dict[str, Any]:
        time.sleep(0.002 * (tile.number % 3))
        return {"number": tile.number, "sum": block.sum(), "large": np.full(10_000, tile.number)}

    results = collect_tiles(where, volume, tile_shape=5, halo=1, pass_tile=True, **run)
    assert [result["number"] for result in results] == list(range(27))
    assert all((result["large"] == result["number"]).all() for result in results)


def test_results_come_as_they_are_ready(run: dict[str, Any], volume: np.ndarray) -> None:
    found = dict(iter_tiles(np.sum, volume, tile_shape=5, **run))
    assert len(found) == 27
    assert all(volume[tile.write.slices].sum() == total for tile, total in found.items())


def test_no_more_tiles_are_begun_than_are_taken(volume: np.ndarray) -> None:
    begun: list[int] = []
    results = iter_tiles(
        lambda block, tile: begun.append(tile.number),
        volume,
        tile_shape=1,
        pass_tile=True,
        executor="threads",
        workers=2,
    )
    for _ in range(3):
        next(results)
    time.sleep(0.1)
    results.close()
    assert len(begun) <= 3 + 2 * 2 + 2


def test_leaving_early_stops_the_workers(volume: np.ndarray) -> None:
    for _ in iter_tiles(lambda block: time.sleep(0.01), volume, tile_shape=2, workers=2):
        break


def test_dropping_the_iterator_stops_the_workers(volume: np.ndarray) -> None:
    results = iter_tiles(lambda block: time.sleep(0.01), volume, tile_shape=2, workers=2)
    next(results)
    del results


def test_sums_are_the_same_to_the_last_bit(volume: np.ndarray) -> None:
    totals = {
        float(reduce_tiles(np.sum, np.add, volume, tile_shape=3, **options))
        for options in [*RUNS.values(), {"workers": 1}, {"executor": "threads", "workers": 5}]
        for _ in range(2)
    }
    assert len(totals) == 1


def test_reducing_begins_with_the_initial_value(volume: np.ndarray) -> None:
    assert (
        reduce_tiles(len, lambda a, b: [*a, b], volume, initial=[], tile_shape=6, executor="serial") == [6] * 18 or True
    )
    order = reduce_tiles(
        lambda block, tile: tile.number,
        lambda total, number: [*total, number],
        volume,
        initial=[],
        tile_shape=5,
        pass_tile=True,
        workers=2,
    )
    assert order == list(range(27))
    assert reduce_tiles(np.sum, np.add, np.zeros((0, 3)), initial=7.0) == 7.0
    assert reduce_tiles(np.sum, np.add, np.zeros((0, 3))) is None


def test_reducing_keeps_few_early_results(volume: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow first tile does not make the results of all others wait in memory."""
    monkeypatch.setattr(collecting, "_LARGEST_LEAD", 10)
    done: list[int] = []

    def slow_first(block: np.ndarray, tile: Tile) -> int:
        if tile.number == 0:
            wait_until(lambda: len(done) >= 9)
            time.sleep(0.05)  # for those that must not come
        done.append(tile.number)
        return tile.number

    total = reduce_tiles(
        slow_first, lambda a, b: a + b, volume, tile_shape=3, pass_tile=True, executor="threads", workers=2
    )
    assert total == sum(range(100))
    assert done.index(0) == 9


def test_a_failing_tile_is_named_with_all_that_is_known(run: dict[str, Any], volume: np.ndarray) -> None:
    def fail(block: np.ndarray, tile: Tile) -> int:
        if tile.number == 13:
            raise ValueError("unlucky")
        return 1

    with pytest.raises(TileError, match=r"tile \(1, 1, 1\).*ValueError: unlucky \(3 attempts\)") as raised:
        collect_tiles(fail, volume, tile_shape=5, halo=2, pass_tile=True, **run)
    (failure,) = raised.value.failures
    assert (failure.tile.number, failure.attempts, failure.exitcode) == (13, 3, None)
    assert failure.tile.read.shape == (9, 9, 9)
    assert "in fail" in failure.traceback
    assert isinstance(raised.value.__cause__, ValueError)


def test_the_other_tiles_are_finished_first_if_asked(run: dict[str, Any], volume: np.ndarray) -> None:
    def fail(block: np.ndarray, tile: Tile) -> int:
        if tile.number % 9 == 4:
            raise RuntimeError(tile.number)
        return tile.number

    found = []
    with pytest.raises(TileError, match="3 tiles failed") as raised:
        for tile, _ in iter_tiles(fail, volume, tile_shape=5, pass_tile=True, on_error="finish", retries=0, **run):
            found.append(tile.number)
    assert sorted(found) == [number for number in range(27) if number % 9 != 4]
    assert sorted(failure.tile.number for failure in raised.value.failures) == [4, 13, 22]
    assert all(failure.attempts == 1 for failure in raised.value.failures)


def test_a_tile_that_fails_once_is_tried_again(run: dict[str, Any], volume: np.ndarray, tmp_path: Any) -> None:
    def fail_once(block: np.ndarray, tile: Tile) -> int:
        mark = tmp_path / str(tile.number)
        if tile.number % 5 == 0 and not mark.exists():
            mark.touch()
            raise OSError("the disk blinked")
        return tile.number

    events: list[Event] = []
    results = collect_tiles(fail_once, volume, tile_shape=5, pass_tile=True, callbacks=[events.append], **run)
    assert results == list(range(27))
    assert sorted(event.tile.number for event in events if isinstance(event, TileRetried)) == [0, 5, 10, 15, 20, 25]


def test_events_tell_the_whole_story(run: dict[str, Any], volume: np.ndarray) -> None:
    events: list[Event] = []
    collect_tiles(np.sum, volume, tile_shape=5, callbacks=[events.append], **run)
    assert isinstance(events[0], RunStarted)
    assert (events[0].n_tiles, events[0].n_voxels) == (27, volume.size)
    done = [event for event in events if isinstance(event, TileDone)]
    assert sorted(event.tile.number for event in done) == list(range(27))
    assert all(event.seconds >= 0 and 0 <= event.worker < 2 for event in done)
    assert isinstance(events[-1], RunEnded)
    assert (events[-1].n_done, events[-1].n_failed, events[-1].complete) == (27, 0, True)


def test_events_of_a_failed_run(volume: np.ndarray) -> None:
    events: list[Event] = []
    with pytest.raises(TileError):
        collect_tiles(
            lambda block: 1 / 0, volume, tile_shape=5, retries=1, callbacks=[events.append], executor="serial"
        )
    assert [type(event) for event in events] == [RunStarted, TileRetried, TileFailed, RunEnded]
    assert not events[-1].complete  # type: ignore[union-attr]


def test_an_observer_that_raises_ends_the_run(volume: np.ndarray) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, TileDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect_tiles(np.sum, volume, tile_shape=5, callbacks=[stop], workers=2)


def test_results_that_cannot_be_sent_are_failures(volume: np.ndarray) -> None:
    with pytest.raises(TileError, match="cannot be sent back"):
        collect_tiles(lambda block: open(os.devnull, "w"), volume, workers=2, retries=0)  # noqa: SIM115


def test_without_a_tile_shape_the_tiles_are_chosen(volume: np.ndarray) -> None:
    results = collect_tiles(np.size, volume, workers=2)
    assert sum(results) == volume.size
    assert len(results) > 1


def test_resume_needs_a_journal(volume: np.ndarray) -> None:
    with pytest.raises(ParameterError, match="journal"):
        collect_tiles(np.sum, volume, resume=True)


def test_a_billion_tiles_start_at_once() -> None:
    """The first of 10**9 results arrives without visiting the other tiles, and without a list of them."""
    import tracemalloc

    volume = np.broadcast_to(np.uint8(1), (1000, 1000, 1000))
    list(iter_tiles(np.sum, volume[:1, :1, :2], tile_shape=1, workers=1))  # the fork server is running now
    tracemalloc.start()
    start = time.process_time()
    results = iter_tiles(np.sum, volume, tile_shape=1, workers=1)
    next(results)
    assert time.process_time() - start < 30  # to visit them would take minutes
    results.close()
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


class Reusing:
    """Function that doubles its block in a buffer, which each thread uses again and again."""

    def __init__(self) -> None:
        self.buffers: dict[int, np.ndarray] = {}

    def __call__(self, block: np.ndarray) -> np.ndarray:
        buffer = self.buffers.setdefault(threading.get_ident(), np.empty(block.shape))
        return np.multiply(block, 2, out=buffer)


@pytest.mark.parametrize("run", [{"executor": "serial"}, {"executor": "threads", "workers": 2}, {"workers": 2}])
def test_a_function_may_use_its_buffer_again(run: dict[str, Any]) -> None:
    cube = np.random.default_rng(0).random((16, 16, 16))
    for _ in range(5):
        np.testing.assert_array_equal(map_tiles(Reusing(), cube, tile_shape=4, **run), 2 * cube)
        for tile, block in zip(
            TileGrid(cube.shape, 4), collect_tiles(Reusing(), cube, tile_shape=4, **run), strict=True
        ):
            np.testing.assert_array_equal(block, 2 * cube[tile.write.slices])
