"""Contract tests of executors: a subclass tells how to create one."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import HANGS
from tilecore.errors import ParameterError
from tilecore.executors.base import Executor, Outcome


class UnpicklableError(Exception):
    """Exception that can be packed, but not unpacked."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


class LockedError(Exception):
    """Exception that cannot be packed."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


def plain(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Function of a task alone, in the form that executors call."""
    return lambda task, known: function(task)


def echo(task: Any, known: Any) -> Any:
    return known, task


def run_all(executor: Executor, function: Callable[[Any], Any], tasks: list[Any]) -> list[Outcome]:
    """Submit tasks while there is room, and collect all outcomes."""
    waiting, outcomes = list(tasks), []
    with executor.start(plain(function)) as crew:
        while len(outcomes) < len(tasks):
            for _ in range(min(crew.room(), len(waiting))):
                crew.submit(waiting.pop(0))
            outcomes += crew.wait(timeout=HANGS)
    return outcomes


class ExecutorContract:
    """Tests that every executor must pass."""

    def make(self, **options: Any) -> Executor:
        """Create the executor, with two workers unless it always has one."""
        raise NotImplementedError

    def values(self, function: Callable[[Any], Any], tasks: list[Any]) -> dict[Any, Any]:
        outcomes = run_all(self.make(), function, tasks)
        assert all(outcome.failure is None for outcome in outcomes)
        assert len(outcomes) == len(tasks)
        return {outcome.task: outcome.value for outcome in outcomes}

    def failure(self, function: Callable[[Any], Any]) -> Any:
        (outcome,) = run_all(self.make(), function, [0])
        assert outcome.failure is not None
        return outcome.failure

    def test_each_task_has_one_outcome(self) -> None:
        assert self.values(lambda task: task**2, list(range(300))) == {task: task**2 for task in range(300)}

    def test_tasks_and_values_of_any_kind(self) -> None:
        tasks = [(1, "a"), None, "text", frozenset({1})]
        assert self.values(lambda task: {"task": [task]}, tasks) == {task: {"task": [task]} for task in tasks}

    def test_large_arrays_come_back_whole_and_writable(self) -> None:
        values = self.values(lambda task: (np.full((300, 1000), task), "beside", np.arange(3)), list(range(20)))
        for task, (large, text, small) in values.items():
            assert (large == task).all()
            assert (text, small.tolist()) == ("beside", [0, 1, 2])
            large[0, 0] = -1
        assert values[7][0][0, 1] == 7

    def test_large_texts_come_back_whole(self) -> None:
        values = self.values(lambda task: chr(97 + task) * 10**6, list(range(5)))
        assert {task: set(value) for task, value in values.items()} == {task: {chr(97 + task)} for task in range(5)}

    def test_kept_results_are_never_overwritten(self) -> None:
        """Memory of results is reused only after they are deleted."""
        kept: dict[int, np.ndarray] = {}
        with self.make().start(plain(lambda task: np.full(200_000, task))) as crew:
            waiting, n_seen = list(range(60)), 0
            while n_seen < 60:
                for _ in range(min(crew.room(), len(waiting))):
                    crew.submit(waiting.pop(0))
                for outcome in crew.wait():
                    n_seen += 1
                    if outcome.task % 3 == 0:
                        kept[outcome.task] = outcome.value
        assert len(kept) == 20
        assert all((value == task).all() for task, value in kept.items())

    def test_an_exception_is_a_failure_with_its_traceback(self) -> None:
        def fail(task: int) -> None:
            raise KeyError("no such thing")

        failure = self.failure(fail)
        assert failure.reason == "KeyError: 'no such thing'"
        assert "in fail" in failure.traceback
        assert isinstance(failure.exception, KeyError)
        assert failure.exitcode is None

    @pytest.mark.parametrize("kind", [SystemExit, GeneratorExit])
    def test_an_exit_is_a_failure(self, kind: type[BaseException]) -> None:
        def leave(task: int) -> None:
            raise kind(0)

        assert kind.__name__ in self.failure(leave).reason

    @pytest.mark.parametrize("error", [UnpicklableError("one", "two"), LockedError()])
    def test_an_exception_that_cannot_travel_is_a_failure_all_the_same(self, error: Exception) -> None:
        kind = type(error)

        def fail(task: int) -> None:
            raise kind("one", "two") if kind is UnpicklableError else kind()

        failure = self.failure(fail)
        assert kind.__name__ in failure.reason
        assert failure.exception is None or isinstance(failure.exception, kind)

    def test_an_exception_that_cannot_say_what_it_is_is_a_failure_all_the_same(self) -> None:
        class WordlessError(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no text")

        def fail(task: int) -> None:
            raise WordlessError

        assert self.failure(fail).reason == "WordlessError: (its text cannot be read)"

    def test_other_tasks_do_not_mind_a_failure(self) -> None:
        def fail_at_three(task: int) -> int:
            if task == 3:
                raise ValueError(task)
            return task

        outcomes = run_all(self.make(), fail_at_three, list(range(40)))
        assert [outcome.task for outcome in outcomes if outcome.failure] == [3]
        assert sorted(outcome.task for outcome in outcomes) == list(range(40))

    def test_a_long_traceback_is_cut(self) -> None:
        def deep(task: int) -> None:
            raise ValueError("x" * 10**6)

        failure = self.failure(deep)
        assert failure.reason.startswith("ValueError: xxx")

    def test_later_tasks_know_what_was_told_last(self) -> None:
        with self.make().start(echo, {"said": "at first"}) as crew:
            crew.submit(1)
            (first,) = crew.wait()
            crew.tell("never asked for")
            crew.tell({"said": np.arange(3)})
            crew.submit(2)
            (second,) = crew.wait()
        assert first.value == ({"said": "at first"}, 1)
        assert second.value[0]["said"].tolist() == [0, 1, 2]

    def test_workers_that_come_later_know_it_too(self) -> None:
        with self.make().start(echo) as crew:
            crew.tell("the news")
            for task in range(crew.room()):
                crew.submit(task)
            outcomes: list[Outcome] = []
            while fresh := crew.wait(timeout=HANGS):
                outcomes += fresh
        assert {outcome.value[0] for outcome in outcomes} == {"the news"}

    @pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell")
    def test_outcomes_tell_the_peak_memory_of_their_worker(self) -> None:
        def take(task: int) -> None:
            np.ones(2**24)
            time.sleep(0.12)  # longer than a look at the peak is good for

        outcomes = run_all(self.make(), take, [0, 1, 2])
        assert all(outcome.peak_bytes is not None and outcome.peak_bytes > 2**27 for outcome in outcomes)

    def test_withdrawn_tasks_have_no_outcome_and_those_in_work_that_cannot_be_stopped_have_one(self) -> None:
        done: list[int] = []
        with self.make().start(plain(lambda task: done.append(task) or task)) as crew:  # type: ignore[func-returns-value]
            for task in range(crew.room()):
                crew.submit(task)
            n_open = crew.withdraw()
            outcomes: list[Outcome] = []
            while len(outcomes) < n_open:
                outcomes += crew.wait(timeout=HANGS)
            assert crew.wait(timeout=0) == []
        assert len(outcomes) == n_open
        assert sorted(done) == sorted(outcome.task for outcome in outcomes)

    def test_there_is_room_for_work_and_not_without_end(self) -> None:
        with self.make().start(plain(lambda task: task)) as crew:
            assert crew.room() >= crew.workers >= 1
            while crew.room() > 0:
                crew.submit(0)
            assert crew.room() <= 0
            while crew.room() <= 0:
                assert crew.wait(timeout=HANGS)

    def test_waiting_for_nothing_returns(self) -> None:
        with self.make().start(plain(lambda task: task)) as crew:
            assert crew.wait(timeout=0.01) == []

    def test_fewer_workers_finish_the_work(self) -> None:
        executor = self.make()
        workers = executor.workers
        with executor.start(plain(lambda task: (task, os.getpid(), threading.get_ident()))) as crew:
            crew.restrict(1)
            assert crew.workers == 1
            outcomes: list[Outcome] = []
            n_submitted = 0
            while len(outcomes) < 30:
                while crew.room() > 0 and n_submitted < 30:
                    crew.submit(n_submitted)
                    n_submitted += 1
                outcomes += crew.wait(timeout=HANGS)
            crew.restrict(0)
            assert crew.workers == 1
        assert sorted(outcome.value[0] for outcome in outcomes) == list(range(30))
        assert executor.workers == workers  # the next run has all of them

    def test_stopping_twice_is_no_harm(self) -> None:
        crew = self.make().start(plain(lambda task: task))
        crew.submit(1)
        crew.stop()
        crew.stop()

    def test_a_second_run_knows_nothing_of_the_first(self) -> None:
        executor = self.make()
        with executor.start(echo, "first") as crew:
            crew.tell("told in the first")
            for task in range(crew.room()):
                crew.submit(task)
            crew.wait(timeout=HANGS)  # the others are left undone
        assert [outcome.value for outcome in run_all(executor, lambda task: -task, [7])] == [-7]
        with executor.start(echo, "third") as crew:
            crew.submit(3)
            assert [outcome.value for outcome in crew.wait(timeout=HANGS)] == [("third", 3)]

    def test_a_run_after_a_failed_one(self) -> None:
        def fail(task: int) -> None:
            raise ValueError(task)

        executor = self.make()
        assert all(outcome.failure for outcome in run_all(executor, fail, [1, 2, 3]))
        assert sorted(outcome.value for outcome in run_all(executor, lambda task: task, [1, 2, 3])) == [1, 2, 3]

    def test_two_runs_at_once_from_two_threads(self) -> None:
        executor = self.make()

        def total(factor: int) -> int:
            return sum(outcome.value for outcome in run_all(executor, lambda task: factor * task, list(range(50))))

        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(total, [1, 1000])) == [1225, 1_225_000]

    def test_a_run_inside_a_run(self) -> None:
        executor = self.make()

        def inner(task: int) -> int:
            return sum(outcome.value for outcome in run_all(executor, lambda each: each + task, [1, 2]))

        assert self.values(inner, [10, 20]) == {10: 23, 20: 43}

    def test_seconds_are_those_of_the_task(self) -> None:
        def timed(task: int) -> float:
            start = time.perf_counter()
            time.sleep(0.05)
            return time.perf_counter() - start

        start = time.perf_counter()
        (outcome,) = run_all(self.make(), timed, [0])
        assert outcome.value <= outcome.seconds <= time.perf_counter() - start


@pytest.fixture
def stdout_of_workers(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    yield lambda: capfd.readouterr().out
    sys.stdout.flush()


def test_unknown_executors_are_refused() -> None:
    from tilecore.executors.base import create_executor

    with pytest.raises(ParameterError, match="executor='magic'.*processes, serial, threads|serial, threads, processes"):
        create_executor("magic")
