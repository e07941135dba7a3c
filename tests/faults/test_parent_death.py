"""The calling process dies, or is interrupted (rows 11 to 14, 25)."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import (
    METHODS,
    N_TILES,
    TILES,
    VOLUME,
    PidLog,
    Session,
    alive,
    gone_within,
    shared_memory_in_use,
)
from tilecore import SharedArray, Tile, map_tiles
from tilecore.executors import worker as worker_module


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


SCRIPT = """
import sys, os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
import numpy as np
from pathlib import Path
import tilecore
from tests.faults.harness import VOLUME, TILES
from {module} import {name}

log = {name}(Path(sys.argv[1]), float(sys.argv[3]))
keep = tilecore.SharedArray((64, 1024, 1024), "u1")
tilecore.map_tiles(log, tilecore.SharedArray.from_array(VOLUME), start_method=sys.argv[2], dtype="f8",
                   out=Path(sys.argv[1]) / "out.npy", **TILES)
"""


def start_script(
    folder: Path, method: str, seconds: float = 0.2, name: str = "PidLog", module: str = "tests.faults.harness"
) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(name=name, module=module), str(folder), method, str(seconds)],
        cwd=root,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize("group", [False, True])
def test_workers_end_with_a_killed_parent_and_nothing_is_left(method: str, group: bool, tmp_path: Path) -> None:
    before, names = shared_memory_in_use(), set(os.listdir("/dev/shm"))
    log = PidLog(tmp_path)
    process = start_script(tmp_path, method)
    log.wait_for(4)
    assert shared_memory_in_use() > before + 2**25
    (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
    _, errors = process.communicate()
    assert "Traceback" not in errors
    assert gone_within(1, lambda: alive(log.pids())), "workers outlive their parent"
    assert gone_within(2, lambda: shared_memory_in_use() > before + 2**24), "shared memory is left behind"
    assert set(os.listdir("/dev/shm")) == names
    assert (tmp_path / "out.npy.journal").exists()


@pytest.mark.parametrize("end", ["sigterm", "_exit"])
def test_workers_end_with_a_parent_that_leaves(end: str, method: str, tmp_path: Path) -> None:
    log = PidLog(tmp_path)

    def leave(event: Any) -> None:
        if type(event).__name__ == "TileDone":
            os._exit(3) if end == "_exit" else os.kill(os.getpid(), signal.SIGTERM)

    def run() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        map_tiles(log, VOLUME, start_method="fork" if method == "forkserver" else method, callbacks=[leave], **TILES)

    code, _ = Session(run).wait()
    assert code == (3 if end == "_exit" else -signal.SIGTERM)
    assert log.pids()
    assert gone_within(1, lambda: alive(log.pids()))


class HoldingTheLock(PidLog):
    """A tile that never lets other Python code run, as compiled code may."""

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        super().__call__(block, tile)
        ctypes.PyDLL(None).sleep(30)
        return block


def test_workers_end_with_their_parent_also_in_compiled_code(method: str, tmp_path: Path) -> None:
    log = HoldingTheLock(tmp_path, 0)
    start = "fork" if method == "forkserver" else method
    session = Session(lambda: map_tiles(log, VOLUME, start_method=start, **TILES))
    log.wait_for(2)
    session.kill(signal.SIGKILL)
    session.wait()
    assert gone_within(1, lambda: alive(log.pids()))


def test_a_parent_that_dies_before_its_worker_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 13: the worker is still getting ready when its parent dies."""
    protect = worker_module._protect

    def late(tools: Any) -> None:
        (tmp_path / str(os.getpid())).touch()
        while os.getppid() == session_pid[0]:
            time.sleep(0.001)
        protect(tools)

    monkeypatch.setattr(worker_module, "_protect", late)
    session_pid: list[int] = []

    def run() -> None:
        session_pid.append(os.getpid())
        map_tiles(np.sqrt, VOLUME, tile_shape=4, start_method="fork", workers=2)

    session = Session(run)
    assert gone_within(10, lambda: len(list(tmp_path.iterdir())) < 2)
    session.kill(signal.SIGKILL)
    session.wait()
    assert gone_within(1, lambda: alive(int(path.name) for path in tmp_path.iterdir()))


@pytest.mark.parametrize("group", [False, True])
def test_ctrl_c_ends_a_run_within_two_seconds(method: str, group: bool, tmp_path: Path) -> None:
    log = PidLog(tmp_path)
    process = start_script(tmp_path, method, seconds=100)
    log.wait_for(2)
    start = time.monotonic()
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - start < 2
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert not alive(log.pids())


class Locking(PidLog):
    """A tile function whose library locks, as those for compression do."""

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        self.lock = multiprocessing.Lock()
        return super().__call__(block, tile)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_semaphores_of_libraries_go_with_their_worker(method: str, number: int, tmp_path: Path) -> None:
    names, log = set(os.listdir("/dev/shm")), Locking(tmp_path, 100)
    process = start_script(tmp_path, method, 100, "Locking", "tests.faults.test_parent_death")
    log.wait_for(2)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=20)
    assert "leaked" not in errors
    assert gone_within(1, lambda: set(os.listdir("/dev/shm")) != names)


def test_ctrl_c_keeps_the_journal_and_what_is_done(method: str, tmp_path: Path) -> None:
    log = PidLog(tmp_path, 0.2)
    process = start_script(tmp_path, method)
    log.wait_for(8)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=20)
    assert not (tmp_path / "out.npy").exists()
    done = (tmp_path / "out.npy.journal").read_text().count('"t":')
    assert 4 <= done <= 8
    (tmp_path / "pids").unlink()
    result = map_tiles(log, VOLUME, dtype="f8", out=tmp_path / "out.npy", resume=True, **TILES)
    np.testing.assert_array_equal(result, VOLUME + 1)
    assert len(log.lines()) == N_TILES - done


def test_an_impatient_ctrl_c_leaves_nothing_either(method: str, tmp_path: Path) -> None:
    log = PidLog(tmp_path)
    process = start_script(tmp_path, method, seconds=100)
    log.wait_for(2)
    for _ in range(20):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.002)
    process.communicate(timeout=20)
    assert gone_within(1, lambda: alive(log.pids()))


def test_ctrl_c_while_the_workers_start(method: str, tmp_path: Path) -> None:
    """Whenever it comes, there is one traceback and no worker."""
    for delay in (0.0, 0.01, 0.03):
        process = start_script(tmp_path, method, seconds=0.01)
        time.sleep(0.35 + delay)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert errors.count("Traceback") <= 1, errors
        assert gone_within(1, lambda: alive(PidLog(tmp_path).pids()))
        for path in tmp_path.iterdir():
            path.unlink()


def test_threads_of_a_run_do_not_outlive_ctrl_c(tmp_path: Path) -> None:
    log = PidLog(tmp_path, 0.05)

    def run() -> None:
        map_tiles(log, VOLUME, **{**TILES, "executor": "threads"})

    session = Session(run)
    log.wait_for(3)
    start = time.monotonic()
    session.kill(signal.SIGINT)
    code, output = session.wait()
    assert (code, "KeyboardInterrupt" in output) == (1, True)
    assert time.monotonic() - start < 2


def test_shared_arrays_of_a_killed_group_are_gone() -> None:
    """Row 25: parent, workers and multiprocessing's helpers, all killed at one blow."""
    before, names = shared_memory_in_use(), set(os.listdir("/dev/shm"))

    def run() -> None:
        arrays = [SharedArray((32, 2**20), "u1", backend=backend) for backend in ("memfd", "shm")]
        map_tiles(lambda block: time.sleep(60), arrays[0], tile_shape=(1, 2**20), workers=2, start_method="fork")

    session = Session(run)
    assert gone_within(10, lambda: shared_memory_in_use() < before + 2**25)
    session.kill(signal.SIGKILL, group=True)
    session.wait()
    assert gone_within(2, lambda: shared_memory_in_use() > before + 2**24)
    assert set(os.listdir("/dev/shm")) == names
