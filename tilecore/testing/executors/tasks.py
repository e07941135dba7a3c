"""The contract of executors, first part: what becomes of a task."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import numpy.typing as npt
import pytest

from tilecore.errors import ParameterError
from tilecore.testing.executors.crew_driver import Driver, fill, plain, run_all
from tilecore.testing.patience import FOR_EVER, HANGS

__all__ = ["TaskContract"]


class UnpicklableError(Exception):
    """Can be packed, and fails when it is unpacked."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first}, not {second}")


class LockedError(Exception):
    """Cannot be packed."""

    def __init__(self, *_: str) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class WordlessError(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class TaskContract(Driver):
    """Each task has one outcome: the value that the function returned, or how it failed."""

    def test_each_task_has_one_outcome(self) -> None:
        """Of many tasks each is run, and has one outcome, in any order."""
        found = self.values(lambda task: task**2, list(range(300)))
        assert found == {task: task**2 for task in range(300)}, "an outcome must have the value of its own task"

    def test_tasks_and_values_of_any_kind(self) -> None:
        """Executors do not look into tasks and values."""
        tasks = [(1, "a"), None, "text", frozenset({1})]
        found = self.values(lambda task: {"task": [task]}, tasks)
        assert found == {task: {"task": [task]} for task in tasks}, "tasks and values must come back as they were"

    def test_large_arrays_come_back_whole_and_writable(self) -> None:
        """Arrays of megabytes are values like any other, and the caller may write into them."""
        values = self.values(lambda task: (np.full((300, 1000), task), "beside", np.arange(3)), list(range(20)))
        for task, (large, text, small) in values.items():
            assert (large == task).all(), "a large array must come back with its own numbers"
            assert (text, small.tolist()) == ("beside", [0, 1, 2]), "what is beside a large array must come back too"
            large[0, 0] = -1
        assert values[7][0][0, 1] == 7, "who writes into one value must not change another"

    def test_large_texts_come_back_whole(self) -> None:
        """Values that are no arrays may be large, too."""
        values = self.values(lambda task: chr(97 + task) * 10**6, list(range(5)))
        found = {task: set(value) for task, value in values.items()}
        assert found == {task: {chr(97 + task)} for task in range(5)}, "a text of a megabyte must come back whole"

    def test_kept_results_are_never_overwritten(self) -> None:
        """Memory of results may be used again only once they are dropped."""
        kept: dict[int, npt.NDArray[np.float64]] = {}
        with self.make(workers=2).start(plain(lambda task: np.full(200_000, float(task)))) as crew:
            waiting, n_seen = list(range(60)), 0
            while n_seen < 60:
                fill(crew, waiting)
                for outcome in crew.wait():
                    n_seen += 1
                    if outcome.task % 3 == 0:
                        kept[outcome.task] = outcome.value
        assert len(kept) == 20, "each task must have exactly one outcome"
        intact = all((value == task).all() for task, value in kept.items())
        assert intact, "a value that the caller has kept must not change when later ones come"

    def test_an_exception_is_a_failure_with_its_traceback(self) -> None:
        """What the function raises is told with its type, its text and where it was raised."""

        def fail(_: int) -> None:
            raise KeyError("no such thing")

        failure = self.failure(fail)
        assert failure.reason == "KeyError: 'no such thing'", "the reason must be the exception's type and text"
        assert "in fail" in failure.traceback, "the traceback must show the function that raised"
        assert isinstance(failure.exception, KeyError), "an exception that can travel must come along"
        assert failure.exitcode is None, "a task that raised has no exit code: its worker lives"

    @pytest.mark.parametrize("kind", [SystemExit, GeneratorExit])
    def test_an_exit_is_a_failure(self, kind: type[BaseException]) -> None:
        """A function that wants to end its process fails, and ends no worker as if it had finished."""

        def leave(_: int) -> None:
            raise kind(0)

        assert kind.__name__ in self.failure(leave).reason, "the reason must name what was raised"

    @pytest.mark.parametrize("kind", [UnpicklableError, LockedError, WordlessError])
    def test_an_exception_that_cannot_travel_is_a_failure_all_the_same(self, kind: type[Exception]) -> None:
        """Some exceptions cannot be packed, or unpacked, or have no text."""

        def fail(_: int) -> None:
            raise kind("one", "two")

        failure = self.failure(fail)
        assert kind.__name__ in failure.reason, "the reason must name what was raised"
        travelled = failure.exception is None or type(failure.exception).__name__ == kind.__name__
        assert travelled, "the exception must be the one that was raised, or like it, or None"

    def test_other_tasks_do_not_mind_a_failure(self) -> None:
        """One task that fails is one failure."""

        def fail_at_three(task: int) -> int:
            if task == 3:
                raise ValueError(task)
            return task

        outcomes = run_all(self.make(workers=2), fail_at_three, list(range(40)))
        failed = [outcome.task for outcome in outcomes if outcome.failure]
        assert failed == [3], "only the task whose function raised must have a failure"
        assert sorted(outcome.task for outcome in outcomes) == list(range(40)), "each task must have one outcome"

    def test_a_long_text_of_an_error_does_no_harm(self) -> None:
        """An exception may have a text of a megabyte."""

        def fail(_: int) -> None:
            raise ValueError("x" * 10**6)

        assert self.failure(fail).reason.startswith("ValueError: xxx"), "the reason must begin with type and text"

    def test_outcomes_tell_the_peak_memory_of_their_worker(self) -> None:
        """Plans of tiles rest on it, where it is told."""

        def take(_: int) -> None:
            np.ones(2**24)
            time.sleep(0.12)  # longer than a look at the peak is good for

        if not (self.tells_peak_memory and os.path.exists("/proc/self/status")):
            pytest.skip("the executor, or the system, does not tell")
        peaks = [outcome.peak_bytes for outcome in run_all(self.make(workers=2), take, [0, 1, 2])]
        told = all(peak is not None and peak > 2**27 for peak in peaks)
        assert told, f"a worker that has filled 128 MiB must tell a peak above that, not {peaks}"

    def test_seconds_are_those_of_the_task(self) -> None:
        """The time that an outcome tells is that of the function, measured in the worker."""

        def timed(_: int) -> float:
            start = time.perf_counter()
            time.sleep(0.05)
            return time.perf_counter() - start

        start = time.perf_counter()
        (outcome,) = run_all(self.make(workers=2), timed, [0])
        longest = time.perf_counter() - start
        assert outcome.value <= outcome.seconds <= longest, "seconds must include the whole function, and no more"

    def test_a_timeout_is_kept_or_refused(self) -> None:
        """Who cannot stop a task says so at once, by a ParameterError that names the timeout."""
        try:
            executor = self.make(workers=1, timeout=2.0)
        except ParameterError as error:
            assert "timeout" in str(error), "a timeout that is refused must be named"
            return
        with executor.start(plain(lambda task: time.sleep(FOR_EVER if task == 1 else 0))) as crew:
            crew.submit(1)
            outcomes = crew.wait(timeout=HANGS)
        assert [outcome.task for outcome in outcomes] == [1], "a task that takes too long must be stopped"
        failure = outcomes[0].failure
        assert failure is not None, "a task that was stopped must have a failure"
        assert failure.timed_out, "the failure must say that the task took too long"
