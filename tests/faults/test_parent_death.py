"""Tests of the death or interruption of the calling process (rows 11 to 14, 25)."""

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
    FOR_EVER,
    HANGS,
    N_TILES,
    TILES,
    VOLUME,
    Held,
    PidLog,
    Session,
    alive,
    tiles_in_journal,
    wait_until,
)
from tests.runs import EVERY_METHOD
from tilecore import SharedArray, Tile, map_tiles
from tilecore.executors.processes import worker as worker_module
from tilecore.testing.leaks import names_in_shm


@pytest.fixture(params=EVERY_METHOD)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


SCRIPT = """
import sys, os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
import numpy as np
from pathlib import Path
import tilecore
from tests.faults.harness import VOLUME, TILES, Held
from {module} import {name}

folder = Path(sys.argv[1])
keep = tilecore.SharedArray((1024, 1024), "u1")
(folder / "kept").write_text("{{}} {{}}".format(*Held.at(keep.segment.fileno())))
{before}
tilecore.map_tiles({name}(folder), tilecore.SharedArray.from_array(VOLUME), start_method=sys.argv[2], dtype="f8",
                   out=folder / "out.npy", **TILES)
"""


def start_script(
    folder: Path, method: str, name: str = "PidLog", module: str = "tests.faults.harness", before: str = ""
) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(name=name, module=module, before=before), str(folder), method],
        cwd=root,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize("group", [False, True])
def test_workers_end_with_a_killed_parent_and_nothing_is_left(method: str, group: bool, tmp_path: Path) -> None:
    log = PidLog(tmp_path).hold_after(2)
    process = start_script(tmp_path, method)
    log.wait_for(4)
    kept = Held(*map(int, (tmp_path / "kept").read_text().split()))
    assert kept
    (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=HANGS)
    assert "Traceback" not in errors
    wait_until(lambda: not alive(log.pids()))
    wait_until(lambda: not kept)
    assert not names_in_shm([process.pid, *log.pids()])
    assert (tmp_path / "out.npy.journal").exists()


@pytest.mark.parametrize("end", ["sigterm", "_exit"])
def test_workers_end_with_a_parent_that_leaves(end: str, method: str, tmp_path: Path) -> None:
    log = PidLog(tmp_path).hold_after(1)

    def leave(event: Any) -> None:
        if type(event).__name__ == "TileDone":
            os._exit(3) if end == "_exit" else os.kill(os.getpid(), signal.SIGTERM)

    def run() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        map_tiles(log, VOLUME, start_method="fork" if method == "forkserver" else method, callbacks=[leave], **TILES)

    code, _ = Session(run).wait()
    assert code == (3 if end == "_exit" else -signal.SIGTERM)
    assert log.pids()
    wait_until(lambda: not alive(log.pids()))


class HoldingTheLock(PidLog):
    """Function that never releases the interpreter lock, as compiled code may."""

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        super().__call__(block, tile)
        ctypes.PyDLL(None).sleep(int(FOR_EVER))
        return block


def test_workers_end_with_their_parent_also_in_compiled_code(method: str, tmp_path: Path) -> None:
    log = HoldingTheLock(tmp_path, 0)
    start = "fork" if method == "forkserver" else method
    session = Session(lambda: map_tiles(log, VOLUME, start_method=start, **TILES))
    log.wait_for(2)
    session.kill(signal.SIGKILL)
    session.wait()
    wait_until(lambda: not alive(log.pids()))


def test_a_parent_that_dies_before_its_worker_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 13: the parent dies while its worker is still starting."""
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
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    session.kill(signal.SIGKILL)
    session.wait()
    wait_until(lambda: not alive(int(path.name) for path in tmp_path.iterdir()))


@pytest.mark.parametrize("group", [False, True])
def test_ctrl_c_ends_a_run_whatever_its_tiles_do(method: str, group: bool, tmp_path: Path) -> None:
    log = PidLog(tmp_path).hold_after(0)
    process = start_script(tmp_path, method)
    log.wait_for(2)
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert not alive(log.pids())


class Locking(PidLog):
    """Tile function whose library uses locks, as compression libraries do."""

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        self.lock = multiprocessing.Lock()
        with self.path.with_name("locks").open("a") as file:
            file.write(f"{self.lock._semlock.name}\n")  # type: ignore[attr-defined]
        return super().__call__(block, tile)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_semaphores_of_libraries_go_with_their_worker(method: str, number: int, tmp_path: Path) -> None:
    log = Locking(tmp_path).hold_after(0)
    process = start_script(tmp_path, method, "Locking", "tests.faults.test_parent_death")
    log.wait_for(2)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=HANGS)
    assert "leaked" not in errors
    names = (tmp_path / "locks").read_text().split()
    assert len(names) == 2
    wait_until(lambda: not [name for name in os.listdir("/dev/shm") if f"/{name.removeprefix('sem.')}" in names])


def test_ctrl_c_keeps_the_journal_and_what_is_done(method: str, tmp_path: Path) -> None:
    log, journal = PidLog(tmp_path).hold_after(6), tmp_path / "out.npy.journal"
    process = start_script(tmp_path, method)
    wait_until(lambda: tiles_in_journal(journal) == 6)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=HANGS)
    assert not (tmp_path / "out.npy").exists()
    assert tiles_in_journal(journal) == 6
    (tmp_path / "hold").unlink()
    (tmp_path / "pids").unlink()
    result = map_tiles(log, VOLUME, dtype="f8", out=tmp_path / "out.npy", resume=True, **TILES)
    np.testing.assert_array_equal(result, VOLUME + 1)
    assert len(log.lines()) == N_TILES - 6


def test_an_impatient_ctrl_c_leaves_nothing_either(method: str, tmp_path: Path) -> None:
    log = PidLog(tmp_path).hold_after(0)
    process = start_script(tmp_path, method)
    log.wait_for(2)
    for _ in range(20):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.002)
    process.communicate(timeout=HANGS)
    wait_until(lambda: not alive(log.pids()))


@pytest.mark.parametrize("step", [1, 4, 10, 20, 40, 100])
def test_ctrl_c_while_the_workers_start(step: int, method: str, tmp_path: Path) -> None:
    """Ctrl-C gives one traceback, and leaves no worker."""
    before = f"from tests.faults.test_steps import AtStep; AtStep({step}, signal.SIGINT, 'launch').install()"
    process = start_script(tmp_path, method, before=before)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == -signal.SIGINT, errors
    assert errors.count("Traceback") == 1, errors
    assert not alive(PidLog(tmp_path).pids())


def test_threads_of_a_run_do_not_outlive_ctrl_c(tmp_path: Path) -> None:
    log = PidLog(tmp_path).hold_after(0)
    session = Session(lambda: map_tiles(log, VOLUME, **{**TILES, "executor": "threads"}))
    log.wait_for(2)
    session.kill(signal.SIGINT)
    code, output = session.wait()
    assert (code, "KeyboardInterrupt" in output) == (1, True)
    assert len(log.lines()) == 2


def test_shared_arrays_of_a_killed_group_are_gone(tmp_path: Path) -> None:
    """Row 25: parent, workers and multiprocessing's helper processes are all killed at once."""
    log = PidLog(tmp_path).hold_after(0)

    def run() -> None:
        arrays = [SharedArray(VOLUME.shape, "f8", backend=backend) for backend in ("memfd", "shm")]
        kept = [Held.at(array.segment.fileno()) for array in arrays]
        (tmp_path / "kept").write_text("\n".join(f"{device} {inode}" for device, inode in kept))
        map_tiles(log, arrays[0], start_method="fork", **TILES)

    session = Session(run)
    log.wait_for(2)
    kept = [Held(*map(int, line.split())) for line in (tmp_path / "kept").read_text().splitlines()]
    assert all(kept)
    session.kill(signal.SIGKILL, group=True)
    session.wait()
    wait_until(lambda: not any(kept))
    assert not names_in_shm([session.pid, *log.pids()])
