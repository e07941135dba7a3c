"""Tests of CPU seconds: those of this process, of workers of any kind, and of their workers count."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.cpu_seconds import CpuSeconds
from benchmarks.measuring import Benchmark, measure

EACH_S = 0.3

pytestmark = pytest.mark.slow


def burn(seconds: float) -> float:
    """Use CPU seconds, and return how many this process has used so far."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return time.process_time()


def _work(ends: Any, last_words: Any) -> None:
    ends.send(burn(EACH_S))
    if last_words is not None:
        last_words.recv()


def _work_through_another(ends: Any) -> None:
    inner = multiprocessing.get_context("fork").Process(target=_work, args=(ends, None))
    inner.start()
    inner.join()


def _nothing() -> None:
    pass


@pytest.fixture(autouse=True)
def _fork_server_has_begun() -> None:
    """Wait until the fork server has imported its modules, as that would count, too."""
    process = multiprocessing.get_context("forkserver").Process(target=_nothing)
    process.start()
    process.join()


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request: pytest.FixtureRequest) -> Any:
    """Context of ``multiprocessing`` for a start method."""
    return multiprocessing.get_context(request.param)


def test_own_seconds_are_counted() -> None:
    with CpuSeconds() as cpu:
        began = time.process_time()
        spent = burn(EACH_S) - began
    assert 0.9 * spent <= cpu.seconds <= 1.5 * spent


def test_workers_that_have_ended_are_counted_once(context: Any) -> None:
    with CpuSeconds() as cpu:
        spent = _burnt_by(context, _work, None)
    assert 0.9 * spent <= cpu.seconds <= 1.5 * spent


def test_workers_that_live_on_are_counted(context: Any) -> None:
    theirs, own = context.Pipe(duplex=False)
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(writer, theirs))
    with CpuSeconds() as cpu:
        process.start()
        spent = reader.recv()
    assert process.is_alive()
    own.send(None)
    process.join()
    assert 0.9 * spent <= cpu.seconds


def test_workers_that_lived_before_count_from_the_start(context: Any) -> None:
    theirs, own = context.Pipe(duplex=False)
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(writer, theirs))
    process.start()
    spent = reader.recv()
    with CpuSeconds() as cpu:
        own.send(None)
        process.join()
    assert cpu.seconds < 0.7 * spent


def test_workers_of_workers_are_counted(context: Any) -> None:
    with CpuSeconds() as cpu:
        spent = _burnt_by(context, _work_through_another)
    assert 0.9 * spent <= cpu.seconds


def test_programs_are_counted_also_with_odd_names() -> None:
    name = "a) R 1 (b"
    program = "import sys; from pathlib import Path; Path('/proc/self/comm').write_text(sys.argv[1]);"
    program += "import tests.benchmarks.test_cpu_seconds as t; print(t.burn(0.3), flush=True); sys.stdin.read()"
    with CpuSeconds() as cpu:
        child = subprocess.Popen(
            [sys.executable, "-c", program, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        spent = float(child.stdout.readline())
    child.communicate("")
    assert 0.9 * spent <= cpu.seconds


class _Burning(Benchmark):
    name = "burning"
    repeats = 1
    warm_up = False

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"one": lambda: self._forked(1), "three": lambda: self._forked(3)}

    def _forked(self, times: int) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                burn(times * 0.2)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)


def test_rows_have_the_cpu_seconds_of_workers() -> None:
    one, three = measure(_Burning())["rows"]
    assert one["cpu_median_s"] >= 0.18
    assert 2 < three["cpu_ratio"] < 4


def _burnt_by(context: Any, work: Callable[..., None], *args: Any) -> float:
    """Run two workers to their end, and add up the seconds that they report."""
    reader, writer = context.Pipe(duplex=False)
    processes = [context.Process(target=work, args=(writer, *args)) for _ in range(2)]
    for process in processes:
        process.start()
    spent = sum(reader.recv() for _ in processes)
    for process in processes:
        process.join()
    return float(spent)
