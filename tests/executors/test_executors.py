"""Contract tests for all executors."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import connection
from typing import Any

import pytest

from tests.faults.harness import FOR_EVER, HANGS
from tests.runs import EVERY_METHOD
from tilecore import ParameterError, ShippingError, WorkerError, settings
from tilecore.executors.base import EXECUTORS, Executor, create_executor
from tilecore.executors.processes import channel
from tilecore.executors.processes.executor import ProcessExecutor
from tilecore.executors.processes.launcher import Launcher
from tilecore.executors.processes.start_method import familiar_start_method
from tilecore.executors.processes.worker_handle import SupervisedWorker
from tilecore.executors.serial import SerialExecutor
from tilecore.executors.threads import ThreadExecutor
from tilecore.stacks.pools import is_fork, set_mp_start_method
from tilecore.testing import ExecutorContract
from tilecore.testing.executors.crew_driver import plain, run_all


class TestSerial(ExecutorContract):
    def make(self, **options: Any) -> Executor:
        return SerialExecutor(**options)


class TestThreads(ExecutorContract):
    def make(self, **options: Any) -> Executor:
        return ThreadExecutor(**options)


class TestForkserver(ExecutorContract):
    def make(self, **options: Any) -> Executor:
        return ProcessExecutor(start_method="forkserver", **options)


class TestFork(ExecutorContract):
    def make(self, **options: Any) -> Executor:
        return ProcessExecutor(start_method="fork", **options)


class TestSpawn(ExecutorContract):
    def make(self, **options: Any) -> Executor:
        return ProcessExecutor(start_method="spawn", **options)


class TestPipes(ExecutorContract):
    """Tests with the channel of systems other than Linux."""

    @pytest.fixture(autouse=True)
    def _without_packets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(channel, "_HAS_PACKETS", False)

    def make(self, **options: Any) -> Executor:
        return ProcessExecutor(start_method="forkserver", **options)


class TestWithoutPidfd(ExecutorContract):
    """Tests that detect death by the sentinel, as on systems other than Linux."""

    @pytest.fixture(autouse=True)
    def _without_pidfd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "pidfd_open")

    def make(self, **options: Any) -> Executor:
        return ProcessExecutor(start_method="forkserver", **options)


@pytest.mark.parametrize("make", [channel.open_channel, channel.open_pipe_channel])
def test_what_was_sent_arrives_though_its_sender_died_with_mail_unread(make: Any) -> None:
    near, far = make()
    near.send("unread")
    far.send("first")
    far.send("second")
    far.close()
    assert [near.receive_now(), near.receive()] == ["first", "second"]
    with pytest.raises(EOFError):
        near.receive()
    near.close()


@pytest.mark.parametrize("name", sorted(EXECUTORS))
def test_every_row_of_the_table_makes_an_executor(name: str) -> None:
    executor = create_executor(name, workers=1)
    assert sorted(o.value for o in run_all(executor, lambda task: task + 1, [1, 2])) == [2, 3]


def test_unknown_executors_are_refused() -> None:
    with pytest.raises(ParameterError, match="executor='magic': one of serial, threads, processes"):
        create_executor("magic")


@pytest.mark.parametrize("name", ["serial", "threads"])
def test_a_timeout_needs_processes(name: str) -> None:
    with pytest.raises(ParameterError, match="timeout=3.*executor='processes'"):
        create_executor(name, timeout=3)


def test_an_exception_that_cannot_say_what_it_is_is_told_by_its_type() -> None:
    class WordlessError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def fail(task: int) -> None:
        raise WordlessError

    for name in sorted(EXECUTORS):
        (outcome,) = run_all(create_executor(name, workers=1), fail, [0])
        assert outcome.failure is not None
        assert outcome.failure.reason == "WordlessError: (its text cannot be read)"


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_libraries_get_one_thread_in_each_worker(method: str) -> None:
    def threads(task: int) -> list[int]:
        import scipy.linalg  # noqa: F401
        import threadpoolctl

        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]

    for n_threads in (1, 2):
        executor = ProcessExecutor(workers=1, start_method=method, threads_per_worker=n_threads)
        (outcome,) = run_all(executor, threads, [0])
        assert set(outcome.value) == {n_threads}


def test_workers_are_replaced_after_their_tasks() -> None:
    executor = ProcessExecutor(workers=2, start_method="fork", max_tasks=3)
    pids = [outcome.value for outcome in run_all(executor, lambda task: os.getpid(), list(range(20)))]
    assert len(pids) == 20
    assert max(pids.count(pid) for pid in pids) <= 3


def test_a_function_that_cannot_be_packed_is_refused_before_anything_starts() -> None:
    lock = threading.Lock()

    def locked(task: int, known: None) -> None:
        with lock:
            pass

    with pytest.raises(ShippingError, match="locked cannot be sent to worker processes: .*lock"):
        ProcessExecutor(workers=1, start_method="forkserver").start(locked)


def test_a_function_that_cannot_be_opened_ends_the_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn:
        def __reduce__(self) -> Any:
            return int, ("not a number",)

    started: list[int] = []
    launch = Launcher.launch
    monkeypatch.setattr(Launcher, "launch", lambda *call: started.append(1) or launch(*call))
    with pytest.raises(WorkerError, match=r"cannot load the function: ValueError.*not a number"):
        run_all(ProcessExecutor(workers=2), Stubborn(), [1])  # type: ignore[arg-type]
    assert len(started) == 2  # those of the start: none was replaced


def test_workers_that_die_while_starting_end_the_run() -> None:
    class Deadly:
        def __reduce__(self) -> Any:
            return os._exit, (7,)

    with pytest.raises(WorkerError, match="do not start.*exit code 7"):
        run_all(ProcessExecutor(workers=2), Deadly(), [1])  # type: ignore[arg-type]


def test_a_worker_that_hangs_while_starting_ends_the_run() -> None:
    class Slow:
        def __reduce__(self) -> Any:
            return time.sleep, (FOR_EVER,)

    executor = ProcessExecutor(workers=1, start_method="forkserver", start_timeout=0.3)
    with pytest.raises(WorkerError, match="not ready after 0.3 s"):
        run_all(executor, Slow(), [1])  # type: ignore[arg-type]


def test_a_pool_in_a_pool() -> None:
    """Runs work in processes of a pool, which may not have children in Python; tilecore's end with them."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_nested_total) == 45
        pool.close()
        pool.join()


def _nested_total() -> int:
    executor = ProcessExecutor(workers=2, start_method="fork")
    return sum(outcome.value for outcome in run_all(executor, lambda task: task, list(range(10))))


def test_workers_may_have_children() -> None:
    def total(task: int) -> int:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            value: int = pool.apply(sum, ([1, 2, task],))
            pool.close()
            pool.join()
        return value

    (outcome,) = run_all(ProcessExecutor(workers=1, start_method="fork"), total, [3])
    assert outcome.value == 6


def test_dropping_a_crew_kills_its_workers() -> None:
    crew = ProcessExecutor(workers=2, start_method="fork").start(plain(lambda task: task))
    del crew  # the leak fixture looks for them


def test_a_crew_left_alone_does_not_keep_the_interpreter() -> None:
    code = (
        "import time; from tilecore.executors.processes.executor import ProcessExecutor; "
        "crew = ProcessExecutor(workers=2).start(lambda task, known: time.sleep(task)); crew.submit(1e6)\n"
        "while not any(worker.begun() for worker in crew._live): crew.wait(0.05)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=HANGS)


def test_start_methods_fall_back_with_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    code = (
        "import logging; logging.basicConfig(level='INFO'); import tilecore; "
        "print(tilecore.set_mp_start_method('telepathy'), tilecore.set_mp_start_method('spawn'), tilecore.is_fork())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    default = multiprocessing.get_all_start_methods()[0]
    assert result.stdout.split() == [default, default, str(default == "fork")]
    assert "'telepathy' is not available here" in result.stderr
    assert "already" in result.stderr


def test_asking_for_the_start_method_does_not_set_it() -> None:
    code = "import tilecore; tilecore.is_fork(); print(tilecore.set_mp_start_method('spawn'), tilecore.is_fork())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["spawn", "False"]


def test_familiar_start_method_does_not_fork_beside_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    with settings.override(start_method="fork"):
        with monkeypatch.context() as alone:  # libraries of other tests keep threads
            tqdms = threading.Thread(name="tqdm_monitor")
            alone.setattr(threading, "enumerate", lambda: [threading.main_thread(), tqdms])
            assert familiar_start_method() == "fork"
        with ThreadExecutor(workers=1).start(plain(len)):
            assert familiar_start_method() == "forkserver"


def test_forking_beside_threads_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with ThreadExecutor(workers=1).start(plain(len)), caplog.at_level(logging.WARNING):
        run_all(ProcessExecutor(workers=1, start_method="fork"), len, ["a"])
    assert "forking while" in caplog.text


def test_set_mp_start_method_and_is_fork_are_the_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set_mp_start_method() == multiprocessing.get_start_method()
    assert is_fork() == (multiprocessing.get_start_method() == "fork")


@pytest.mark.parametrize("options", [{}, {"max_tasks": 1}])
def test_a_worker_that_finished_while_nobody_listened_is_not_late(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = ProcessExecutor(workers=2, start_method="fork", timeout=100, **options)
    with executor.start(plain(lambda task: task)) as crew:
        while not all(worker.ready for worker in crew._live):
            crew._listen(time.monotonic() + HANGS)
        crew.submit(1)
        crew.submit(2)
        crew._send()
        crew.restrict(1)
        for worker in crew._live:
            assert connection.wait(worker.signals()[:1], HANGS)  # its result lies there
        monkeypatch.setattr(SupervisedWorker, "begun_since", lambda worker: -1e9 if worker.begun() > 0 else None)
        outcomes: list[Any] = []
        while len(outcomes) < 2:
            outcomes += crew.wait(HANGS)
    assert sorted(outcome.value for outcome in outcomes) == [1, 2]


def test_a_value_is_there_until_every_worker_that_was_sent_it_has_opened_it() -> None:
    """A worker that was sent a value and stands still finds it later, though there is a newer one by then."""
    with ProcessExecutor(workers=2, start_method="fork").start(lambda task, known: (task, known, os.getpid())) as crew:
        for task in range(2):
            crew.submit(task)
        pids = {outcome.value[2] for _ in range(2) for outcome in crew.wait(timeout=HANGS)}
        crew.submit(2)
        pids |= {outcome.value[2] for outcome in crew.wait(timeout=HANGS)}
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        crew.tell("first")
        crew.submit(3)
        assert not crew.wait(timeout=0.1)
        crew.tell("second")
        gc.collect()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        (outcome,) = crew.wait(timeout=HANGS)
        assert outcome.failure is None
        assert outcome.value[:2] == (3, "first")


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_workers_have_the_variables_of_their_caller(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a fork server that was started before: so credentials that are set in a notebook reach them."""
    monkeypatch.setenv("TILECORE_TEST_OF_VARIABLES", "now")
    monkeypatch.delenv("HOME", raising=False)
    names = ["TILECORE_TEST_OF_VARIABLES", "HOME"]

    def variable(name: str) -> str | None:
        return os.environ.get(name)

    outcomes = run_all(ProcessExecutor(workers=1, start_method=method), variable, names)
    assert {outcome.task: outcome.value for outcome in outcomes} == {names[0]: "now", names[1]: None}
