"""Tests of workers that die, hang or are replaced (rows 1 to 10 and 15)."""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import (
    FOR_EVER,
    N_TILES,
    TILES,
    VOLUME,
    Once,
    Session,
    alive,
    wait_until,
    wait_until_removed,
)
from tests.runs import EVERY_METHOD
from tilecore import Tile, TileError, collect_tiles, iter_tiles, map_tiles
from tilecore.engine.events import Event, TileRetried
from tilecore.executors.processes import channel
from tilecore.executors.processes.results import Outbox
from tilecore.executors.processes.worker_handle import SupervisedWorker
from tilecore.memory.segments import Segment


@pytest.fixture(params=EVERY_METHOD)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def leave_quietly() -> None:
    os._exit(0)


def raise_exit() -> None:
    sys.exit(0)


def loop_for_ever() -> None:
    while True:
        pass


def hold_the_lock_for_ever() -> None:
    ctypes.PyDLL(None).sleep(int(FOR_EVER))  # a compiled function that never lets other Python code run


def stop_self() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


DEADLY = [kill_self, crash, abort, leave_quietly, raise_exit]


class Hang:
    """Function that reports its start and then hangs."""

    def __init__(self, folder: Path, deed: Callable[[], None]) -> None:
        self.folder, self.deed = folder, deed

    def __call__(self) -> None:
        (self.folder / f"hangs-{os.getpid()}").touch()
        self.deed()


@pytest.fixture
def hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], Hang]:
    """Return functions that hang; no other tile is late, however busy the machine is."""
    begun_since = SupervisedWorker.begun_since

    def since(worker: SupervisedWorker) -> float | None:
        return begun_since(worker) if (tmp_path / f"hangs-{worker._process.pid}").exists() else None

    monkeypatch.setattr(SupervisedWorker, "begun_since", since)
    return functools.partial(Hang, tmp_path)


HANGING = [lambda: time.sleep(FOR_EVER), loop_for_ever, hold_the_lock_for_ever, stop_self]


@pytest.mark.parametrize("deed", DEADLY)
def test_a_tile_whose_worker_dies_is_done_by_another(deed: Callable[[], None], method: str, tmp_path: Path) -> None:
    events: list[Event] = []
    result = map_tiles(
        Once(tmp_path, deed, (0, 5, 11)), VOLUME, start_method=method, callbacks=[events.append], **TILES
    )
    np.testing.assert_array_equal(result, VOLUME + 1)
    retried = [event.tile.number for event in events if isinstance(event, TileRetried)]
    assert sorted(retried) == [0, 5, 11]


@pytest.mark.parametrize(("deed", "code"), [(kill_self, -9), (crash, -11), (abort, -6), (leave_quietly, 0)])
def test_a_poisoned_tile_is_named_and_the_others_are_done(
    deed: Callable[[], None], code: int, method: str, tmp_path: Path
) -> None:
    found = []
    with pytest.raises(TileError) as raised:
        for tile, _ in iter_tiles(
            Once(tmp_path, deed, (9,), times=1000), VOLUME, on_error="finish", start_method=method, **TILES
        ):
            found.append(tile.number)
    (failure,) = raised.value.failures
    assert (failure.tile.number, failure.attempts, failure.exitcode) == (9, 3, code)
    assert sorted(found) == [number for number in range(N_TILES) if number != 9]
    if deed in (crash, abort):
        assert "Fatal Python error" in failure.traceback
        assert deed.__name__ in failure.traceback


def test_the_error_says_how_a_worker_died(tmp_path: Path) -> None:
    with pytest.raises(
        TileError, match=r"tile \(1, 0, 1\).*killed by SIGKILL, probably because memory ran out.*3 attempts"
    ):
        map_tiles(Once(tmp_path, kill_self, times=99), VOLUME, **TILES)
    with pytest.raises(TileError, match=r"exit code 0 in the middle of the tile"):
        map_tiles(Once(tmp_path, leave_quietly, (6,), times=99), VOLUME, retries=0, **TILES)


def test_death_is_seen_while_another_tile_is_at_work(method: str, tmp_path: Path) -> None:
    """A death is noticed at once, not only when the next worker reports."""

    def deed(block: np.ndarray, tile: Tile) -> int:
        if tile.number == 1 and not (tmp_path / "seen").exists():
            kill_self()
        wait_until((tmp_path / "seen").exists)
        return tile.number

    def see(event: Event) -> None:
        if isinstance(event, TileRetried):
            (tmp_path / "seen").touch()

    run = {**TILES, "tile_shape": (4, 12, 12), "start_method": method, "callbacks": [see]}
    assert collect_tiles(deed, VOLUME, **run) == [0, 1]


def test_many_deaths_and_hangs_at_once(method: str, hangs: Callable[..., Hang], tmp_path: Path) -> None:
    """Every seventh tile kills its worker, every eleventh hangs, and one kills in each attempt."""

    def deed(block: np.ndarray, tile: Tile) -> int:
        mark = tmp_path / str(tile.number)
        if tile.number == 40 or (tile.number % 7 == 0 and not mark.exists()):
            mark.touch()
            kill_self()
        if tile.number % 11 == 0 and not mark.exists():
            mark.touch()
            hangs(loop_for_ever)()
        return tile.number

    volume = np.zeros((60, 2, 2))
    found = []
    with pytest.raises(TileError) as raised:
        for tile, value in iter_tiles(
            deed,
            volume,
            tile_shape=(1, 2, 2),
            pass_tile=True,
            timeout=0.3,
            on_error="finish",
            workers=2,
            start_method=method,
            progress=False,
        ):
            assert tile.number == value
            found.append(value)
    assert [failure.tile.number for failure in raised.value.failures] == [40]
    assert sorted(found) == [number for number in range(60) if number != 40]


@pytest.mark.parametrize("deed", HANGING)
def test_a_hung_tile_is_killed_and_tried_again(
    deed: Callable[[], None], method: str, hangs: Callable[..., Hang], tmp_path: Path
) -> None:
    result = map_tiles(Once(tmp_path, hangs(deed)), VOLUME, timeout=0.2, start_method=method, **TILES)
    np.testing.assert_array_equal(result, VOLUME + 1)


def test_a_tile_that_always_hangs_is_named(hangs: Callable[..., Hang], tmp_path: Path) -> None:
    with pytest.raises(TileError, match=r"tile \(1, 0, 1\).*longer than timeout=0.2 s \(2 attempts\)"):
        map_tiles(Once(tmp_path, hangs(loop_for_ever), times=99), VOLUME, timeout=0.2, retries=1, **TILES)


def test_short_tiles_in_batches_have_a_timeout_each(hangs: Callable[..., Hang], tmp_path: Path) -> None:
    """The timeout applies to each tile, not to its batch."""

    def deed(block: np.ndarray, tile: Tile) -> int:
        if tile.number == 700 and not (tmp_path / "done").exists():
            (tmp_path / "done").touch()
            hangs(loop_for_ever)()
        return tile.number

    run = {**TILES, "tile_shape": 1, "halo": 0}
    results = collect_tiles(deed, np.zeros(2000), timeout=0.2, **run)
    assert results == list(range(2000))


def test_a_death_in_a_batch_blames_one_tile(method: str) -> None:
    """Short tiles are sent in batches; a death counts only for the tile that caused it."""

    def deed(block: np.ndarray, tile: Tile) -> int:
        if tile.number == 1234:
            kill_self()
        return tile.number

    events: list[Event] = []
    found = []
    with pytest.raises(TileError) as raised:
        for _, value in iter_tiles(
            deed,
            np.zeros(3000),
            tile_shape=1,
            pass_tile=True,
            workers=2,
            on_error="finish",
            start_method=method,
            progress=False,
            callbacks=[events.append],
        ):
            found.append(value)
    assert [failure.tile.number for failure in raised.value.failures] == [1234]
    assert {event.tile.number for event in events if isinstance(event, TileRetried)} == {1234}
    assert sorted(found) == [number for number in range(3000) if number != 1234]


def test_processes_that_a_tile_started_die_with_its_worker(method: str, tmp_path: Path) -> None:
    """Processes of a tile die with its worker, and do not hide its death although they hold its files open."""

    def deed() -> None:
        child = subprocess.Popen(["sleep", str(FOR_EVER)], close_fds=False)
        (tmp_path / "child").write_text(str(child.pid))
        kill_self()

    result = map_tiles(Once(tmp_path, deed), VOLUME, start_method=method, **TILES)
    np.testing.assert_array_equal(result, VOLUME + 1)
    wait_until(lambda: not alive([int((tmp_path / "child").read_text())]))


def test_forked_children_of_a_tile_die_with_its_worker(method: str, tmp_path: Path) -> None:
    def deed() -> None:
        pid = os.fork()
        if pid == 0:
            time.sleep(FOR_EVER)
        (tmp_path / "child").write_text(str(pid))
        kill_self()

    result = map_tiles(Once(tmp_path, deed), VOLUME, start_method=method, **TILES)
    np.testing.assert_array_equal(result, VOLUME + 1)
    wait_until(lambda: not alive([int((tmp_path / "child").read_text())]))


def test_a_worker_killed_while_it_sends_has_sent_all_or_nothing(method: str, tmp_path: Path) -> None:
    """Row 3: a worker dies half way through a message, on a channel that could deliver half of it."""

    def half_a_message(far: Any) -> None:
        os.write(far.fileno(), b"\x00\x00\x10\x00half")
        kill_self()

    class Killer(Once):
        def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
            if tile.number == 5 and not (tmp_path / "done").exists():
                (tmp_path / "done").touch()
                channel.PipeChannel.send = lambda self, _: half_a_message(self)  # type: ignore[method-assign]
            return block + 1

    packets = channel._HAS_PACKETS
    channel._HAS_PACKETS = False
    try:
        result = map_tiles(Killer(tmp_path, kill_self), VOLUME, start_method=method, **TILES)
    finally:
        channel._HAS_PACKETS = packets
    np.testing.assert_array_equal(result, VOLUME + 1)


def test_a_worker_killed_while_it_lays_down_a_large_result(method: str, tmp_path: Path) -> None:
    def large(block: np.ndarray, tile: Tile) -> np.ndarray:
        if tile.number == 5 and not (tmp_path / "done").exists():
            (tmp_path / "done").touch()
            Outbox._lay = lambda *_: kill_self()  # type: ignore[method-assign,assignment,return-value]
        return np.full(10**6, tile.number)

    results = collect_tiles(large, VOLUME, start_method=method, **TILES)
    assert [int(result[0]) for result in results] == list(range(N_TILES))


def limit_memory(cgroup: Path, n_bytes: int) -> None:
    (cgroup / "memory.limit_in_bytes").write_text(str(n_bytes))


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    """A cgroup of 300 MiB (version 1), or a skipped test."""
    folder = Path(f"/sys/fs/cgroup/memory/tilecore-{os.getpid()}")
    try:
        folder.mkdir()
        limit_memory(folder, 300 * 2**20)
    except OSError as error:
        pytest.skip(f"memory cgroups cannot be made here: {error}")
    yield folder
    wait_until_removed(folder)


def test_a_worker_killed_by_the_kernel_for_want_of_memory(memory_cgroup: Path, tmp_path: Path) -> None:
    """Row 6: the run continues with fewer tiles at once, and names the tile if that does not help."""

    def eat(block: np.ndarray, tile: Tile) -> np.ndarray:
        if tile.number == 5:
            np.ones(600 * 2**20, dtype=np.uint8)
        return block + 1

    def run() -> None:
        (memory_cgroup / "cgroup.procs").write_text(str(os.getpid()))
        try:
            map_tiles(eat, VOLUME, dtype="f8", start_method="fork", **TILES)
        except TileError as error:
            assert "tile (1, 0, 1)" in str(error), error
            assert "SIGKILL, probably because memory ran out" in str(error), error
            print("named")

    code, output = Session(run).wait()
    assert (code, output.strip().splitlines()[-1:]) == (0, ["named"]), output


def test_a_tile_too_large_for_memory_is_cut(memory_cgroup: Path) -> None:
    """Part of a tile needs less memory, and the parts together give the tile's result."""

    def hungry(block: np.ndarray) -> np.ndarray:
        np.ones(block.size * 2**12, dtype=np.uint8)  # 4 KiB a voxel
        return block + 1

    def run() -> None:
        (memory_cgroup / "cgroup.procs").write_text(str(os.getpid()))
        volume = np.arange(2.0**18).reshape(64, 64, 64)
        events: list[Event] = []
        result = map_tiles(
            hungry,
            volume,
            tile_shape=(64, 64, 32),
            dtype="f8",
            start_method="fork",
            workers=2,
            callbacks=[events.append],
        )
        np.testing.assert_array_equal(result, volume + 1)
        print("cut", sum(isinstance(event, TileRetried) for event in events) > 0)

    code, output = Session(run).wait()
    assert (code, output.strip().splitlines()[-1:]) == (0, ["cut True"]), output


def test_the_kernel_kills_a_worker_and_not_a_larger_caller(method: str, memory_cgroup: Path, tmp_path: Path) -> None:
    """A worker's tile is done again; what the calling process holds would be lost."""
    limit_memory(memory_cgroup, 2**30)  # workers that import much have room to start

    def eat(block: np.ndarray) -> np.ndarray:
        if not (tmp_path / "begun").exists():
            (tmp_path / "begun").touch()
            np.ones(2**31, dtype=np.uint8)
        return block + 1

    def run() -> None:
        held = np.frombuffer(Segment(1200 * 2**20).map(), np.uint8)  # of which fork gives a worker nothing
        held[:] = 1  # taken before the limit holds
        (memory_cgroup / "cgroup.procs").write_text(str(os.getpid()))
        events: list[Event] = []
        options: dict[str, Any] = {"start_method": method, "workers": 2, "tile_shape": VOLUME.shape}
        result = map_tiles(eat, VOLUME, dtype="f8", callbacks=[events.append], **options)
        np.testing.assert_array_equal(result, VOLUME + 1)
        print("retried", sum(isinstance(event, TileRetried) for event in events), held[-1])

    code, output = Session(run).wait()
    assert (code, output.strip().splitlines()[-1:]) == (0, ["retried 1 1"]), output


def test_a_memory_error_is_a_failure_and_its_worker_is_replaced(method: str, tmp_path: Path) -> None:
    """Row 7: a MemoryError is a failure, and its worker is replaced."""

    def tight(block: np.ndarray, tile: Tile) -> tuple[int, int]:
        if tile.number == 3 and not (tmp_path / "done").exists():
            (tmp_path / "done").write_text(str(os.getpid()))
            used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, resource.RLIM_INFINITY))
            np.ones(2**30, dtype=np.uint8)
        return tile.number, os.getpid()

    results = collect_tiles(tight, VOLUME, start_method=method, **TILES)
    assert [number for number, _ in results] == list(range(N_TILES))
    assert results[3][1] != int((tmp_path / "done").read_text())


def _nested() -> float:
    """Row 15: run in a process that may not have children in Python."""
    assert multiprocessing.current_process().daemon
    return float(map_tiles(np.sqrt, VOLUME, tile_shape=4, workers=2, start_method="fork").sum())


def test_runs_in_daemonic_processes(method: str) -> None:
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        assert pool.apply(_nested) == np.sqrt(VOLUME).sum()
        pool.close()
        pool.join()


def test_a_run_in_a_thread(tmp_path: Path) -> None:
    """A run in a thread works: workers outlive their starting thread, and the main thread is not needed."""
    results: list[np.ndarray] = []

    def run() -> None:
        results.append(map_tiles(Once(tmp_path, kill_self), VOLUME, **TILES))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, VOLUME + 1)
