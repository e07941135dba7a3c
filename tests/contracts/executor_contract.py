"""What every executor must do: subclass, and say how to make one."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import HANGS
from tilecore.arrays.shipping import Parcel
from tilecore.engine.execution import packed
from tilecore.errors import ParameterError
from tilecore.executors.base import Executor, Outcome


class UnpicklableError(Exception):
    """Can be packed, and fails when it is unpacked."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


class LockedError(Exception):
    """Cannot be packed."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class Echo:
    """A function that can be told things."""

    said: Any = None

    def receive(self, note: Any) -> None:
        self.said = note

    def __call__(self, task: Any) -> Any:
        return self.said, task


def run_all(executor: Executor, function: Callable[[Any], Any], tasks: list[Any]) -> list[Outcome]:
    """Hand out tasks as there is room for them; collect all outcomes."""
    waiting, outcomes = list(tasks), []
    with executor:
        executor.start(packed(function, executor.reach))
        while len(outcomes) < len(tasks):
            for _ in range(min(executor.room(), len(waiting))):
                executor.submit(waiting.pop(0))
            outcomes += executor.wait(timeout=HANGS)
    return outcomes


class ExecutorContract:
    """The contract."""

    def make(self, **options: Any) -> Executor:
        """Make the executor, with two workers unless it has one."""
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
        """Memory of results is used again only once they are dropped."""
        kept: dict[int, np.ndarray] = {}
        executor = self.make()
        with executor:
            executor.start(packed(lambda task: np.full(200_000, task), executor.reach))
            waiting, n_seen = list(range(60)), 0
            while n_seen < 60:
                for _ in range(min(executor.room(), len(waiting))):
                    executor.submit(waiting.pop(0))
                for outcome in executor.wait():
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

        assert self.failure(fail).reason == "WordlessError: it cannot say what it is"

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

    def test_notes_arrive_before_later_tasks(self) -> None:
        executor = self.make()
        with executor:
            executor.start(packed(Echo(), executor.reach))
            executor.submit(1)
            (first,) = executor.wait()
            executor.tell(Parcel({"hello": np.arange(3)}))
            executor.submit(2)
            (second,) = executor.wait()
        assert first.value == (None, 1)
        assert second.value[0]["hello"].tolist() == [0, 1, 2]

    def test_there_is_room_for_work_and_not_without_end(self) -> None:
        executor = self.make()
        with executor:
            executor.start(packed(lambda task: task, executor.reach))
            assert executor.room() >= executor.workers >= 1
            while executor.room() > 0:
                executor.submit(0)
            assert executor.room() <= 0
            while executor.room() <= 0:
                assert executor.wait(timeout=HANGS)

    def test_waiting_for_nothing_returns(self) -> None:
        executor = self.make()
        with executor:
            executor.start(packed(lambda task: task, executor.reach))
            assert executor.wait(timeout=0.01) == []

    def test_fewer_workers_finish_the_work(self) -> None:
        executor = self.make()
        with executor:
            executor.start(packed(lambda task: (task, os.getpid(), threading.get_ident()), executor.reach))
            executor.restrict(1)
            assert executor.workers == 1
            outcomes: list[Outcome] = []
            n_submitted = 0
            while len(outcomes) < 30:
                while executor.room() > 0 and n_submitted < 30:
                    executor.submit(n_submitted)
                    n_submitted += 1
                outcomes += executor.wait(timeout=HANGS)
        assert sorted(outcome.value[0] for outcome in outcomes) == list(range(30))
        executor.restrict(0)
        assert executor.workers == 1

    def test_stopping_twice_and_without_a_start_is_no_harm(self) -> None:
        executor = self.make()
        executor.stop()
        executor = self.make()
        executor.start(packed(lambda task: task, executor.reach))
        executor.submit(1)
        executor.stop()
        executor.stop()

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
