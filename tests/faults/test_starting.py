"""Tests of starting workers under difficult conditions (rows 16 to 22)."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import HANGS, TILES, VOLUME, Session, wait_until_removed
from tests.runs import EVERY_METHOD
from tilecore import ShippingError, TilecoreError, map_tiles
from tilecore.executors.processes import launcher

SCRIPT = """
import numpy as np
import tilecore

print("begins")

class Brightness:
    def __init__(self, factor):
        self.factor = factor
    def __call__(self, block):
        return self.factor * block

offset = 3

def function(block):
    return Brightness(2)(block) + offset

volume = np.arange(24.0).reshape(2, 3, 4)
result = tilecore.map_tiles(function, volume, tile_shape=(1, 3, 4), workers=2, start_method="{method}")
assert (result == 2 * volume + 3).all()
kinds = tilecore.collect_tiles(lambda block: Brightness(block.size), volume, tile_shape=(1, 3, 4), workers=2,
                               start_method="{method}")
assert [kind.factor for kind in kinds] == [12, 12] and type(kinds[0]) is Brightness
print("ends")
"""


@pytest.mark.parametrize("method", EVERY_METHOD)
@pytest.mark.parametrize("way", ["file", "stdin", "-c", "-m"])
def test_scripts_need_no_guard_and_run_once(method: str, way: str, tmp_path: Path) -> None:
    """Row 19: a script does not start itself again, and its own functions and classes work."""
    script = SCRIPT.format(method=method)
    (tmp_path / "script.py").write_text(script)
    command = {"file": ["script.py"], "stdin": ["-"], "-c": ["-c", script], "-m": ["-m", "script"]}[way]
    result = subprocess.run(
        [sys.executable, *command],
        input=script if way == "stdin" else None,
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=HANGS,
    )
    assert (result.returncode, result.stdout.split()) == (0, ["begins", "ends"]), result.stderr


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_lock_held_in_another_thread_does_not_reach_the_workers(method: str) -> None:
    """Row 16: a lock held by another thread would be copied, locked, by a fork."""
    lock, stop = threading.Lock(), threading.Event()

    def hold() -> None:
        while not stop.is_set():
            with lock:
                time.sleep(0.02)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        module = sys.modules[__name__]
        module.LOCK = lock  # type: ignore[attr-defined]
        result = map_tiles(_with_module_lock, VOLUME, start_method=method, tile_shape=4, workers=2)
        np.testing.assert_array_equal(result, VOLUME + 1)
    finally:
        stop.set()
        thread.join()


LOCK: Any = threading.Lock()


def _with_module_lock(block: np.ndarray) -> np.ndarray:
    with LOCK:
        return block + 1


OPENMP = r"""
#include <omp.h>
int region(void) {
    int n = 0;
    #pragma omp parallel num_threads(2) reduction(+:n)
    n += 1;
    return n;
}
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_openmp_in_the_parent_and_in_the_tiles(method: str, tmp_path: Path) -> None:
    """Row 17: libgomp hangs in a fork of a process that has used it."""
    import ctypes

    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc here")
    (tmp_path / "omp.c").write_text(OPENMP)
    library = str(tmp_path / "omp.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-fopenmp", "-o", library, str(tmp_path / "omp.c")], check=True)

    def region(block: np.ndarray) -> np.ndarray:
        return block + ctypes.CDLL(library).region()

    def run() -> None:
        region(VOLUME)
        result = map_tiles(region, VOLUME, tile_shape=4, workers=2, start_method=method, timeout=HANGS / 4)
        assert (result > VOLUME).all()

    # A forked process cannot use the tests' own fork server, so it starts one.
    code, output = Session(lambda: _fresh_fork_server(run)).wait()
    assert code == 0, output


def _fresh_fork_server(run: Any) -> None:
    from multiprocessing import forkserver, resource_tracker

    forkserver._forkserver = server = forkserver.ForkServer()  # type: ignore[attr-defined]
    forkserver.ensure_running, forkserver.connect_to_new_process = server.ensure_running, server.connect_to_new_process
    forkserver.set_forkserver_preload = server.set_forkserver_preload
    resource_tracker._resource_tracker._fd = None  # type: ignore[attr-defined]
    run()


def test_a_function_that_cannot_be_sent_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 20: the error names a function that cannot be sent, before any worker starts."""
    monkeypatch.setattr(launcher.Launcher, "launch", lambda *_: pytest.fail("a worker was started"))
    lock = threading.Lock()

    def guarded(block: np.ndarray) -> np.ndarray:
        with lock:
            return block

    with pytest.raises(ShippingError, match=r"guarded|MapJob"):
        map_tiles(guarded, VOLUME, **{**TILES, "pass_tile": False})


@contextlib.contextmanager
def few_files(n_more: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + n_more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("n_more", [1, 3, 6, 12, 20, 25, 30, 32, 33, 36, 40])
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_too_few_files_end_in_a_clear_error_or_not_at_all(n_more: int, method: str) -> None:
    """Row 22: wherever the limit of open files is reached, all started processes and files are closed."""
    with few_files(n_more):
        try:
            result = map_tiles(np.sqrt, VOLUME, tile_shape=4, workers=2, start_method=method)
        except (OSError, TilecoreError) as error:
            assert "open" in str(error).lower() or "files" in str(error), error
        else:
            np.testing.assert_array_equal(result, np.sqrt(VOLUME))


@pytest.mark.parametrize("n_more", range(32, 50, 3))
def test_too_few_files_for_many_results(n_more: int) -> None:
    with few_files(n_more):
        try:
            from tilecore import collect_tiles

            results = collect_tiles(lambda b: np.ones(2**20), np.zeros(200), tile_shape=1, workers=2, progress=False)
        except (OSError, TilecoreError) as error:
            assert "open" in str(error), error
        else:
            assert len(results) == 200


def test_too_few_processes_end_in_a_clear_error() -> None:
    folder = Path(f"/sys/fs/cgroup/pids/tilecore-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "pids.max").write_text("2")
    except OSError as error:
        pytest.skip(f"pids cgroups cannot be made here: {error}")

    def run() -> None:
        (folder / "cgroup.procs").write_text(str(os.getpid()))
        try:
            map_tiles(np.sqrt, VOLUME, tile_shape=4, workers=4, start_method="fork")
        except (OSError, TilecoreError) as error:
            print("clear:", error)

    try:
        code, output = Session(run).wait()
        assert (code, "clear:" in output) == (0, True), output
    finally:
        wait_until_removed(folder)


@pytest.mark.parametrize("by", ["multiprocessing", "os.fork"])
def test_a_run_in_a_fork_of_a_process_that_has_a_fork_server(by: str) -> None:
    def run() -> None:
        np.testing.assert_array_equal(map_tiles(np.sqrt, VOLUME, tile_shape=6, workers=2, progress=False), result)

    result = map_tiles(np.sqrt, VOLUME, tile_shape=6, workers=2, progress=False)
    if by == "os.fork":
        assert Session(run).wait() == (0, "")
        return
    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(HANGS)
    code = process.exitcode
    process.close()
    assert code == 0
