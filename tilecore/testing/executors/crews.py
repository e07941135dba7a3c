"""The contract of executors, second part: the crew of a run, and runs one after the other, at once, and inside each."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tilecore.executors.base import Outcome
from tilecore.testing.executors.crew_driver import Driver, echo, fill, plain, run_all
from tilecore.testing.patience import HANGS

__all__ = ["CrewContract"]


class CrewContract(Driver):
    """A crew takes tasks while there is room, and knows nothing of other runs."""

    def test_later_tasks_know_what_was_told_last(self) -> None:
        """What is known is replaced as a whole, for tasks that are submitted afterwards."""
        with self.make(workers=2).start(echo, {"said": "at first"}) as crew:
            crew.submit(1)
            (first,) = crew.wait()
            crew.tell("never asked for")
            crew.tell({"said": np.arange(3)})
            crew.submit(2)
            (second,) = crew.wait()
        assert first.value == ({"said": "at first"}, 1), "a task must know what was told before it came"
        told = second.value[0]
        is_last = isinstance(told, dict) and np.array_equal(told["said"], np.arange(3))
        assert is_last, "a later task must know what was told last"

    def test_every_worker_knows_it(self) -> None:
        """Also workers that come later, or had no task yet."""
        with self.make(workers=2).start(echo) as crew:
            crew.tell("the news")
            for task in range(crew.room()):
                crew.submit(task)
            outcomes: list[Outcome] = []
            while fresh := crew.wait(timeout=HANGS):
                outcomes += fresh
        assert {outcome.value[0] for outcome in outcomes} == {"the news"}, "every worker must know what was told"

    def test_withdrawn_tasks_have_no_outcome_and_those_in_work_that_cannot_be_stopped_have_one(self) -> None:
        """``withdraw`` says how many outcomes are still to come: so many come, and no more."""
        done: list[int] = []
        executor = self.make(workers=2)
        with executor.start(plain(lambda task: (done.append(task), task)[1])) as crew:  # type: ignore[func-returns-value]
            for task in range(crew.room()):
                crew.submit(task)
            n_open = crew.withdraw()
            outcomes: list[Outcome] = []
            while len(outcomes) < n_open:
                fresh = crew.wait(timeout=HANGS)
                assert fresh, f"withdraw() promised {n_open} outcomes, and {len(outcomes)} came"
                outcomes += fresh
            assert crew.wait(timeout=0) == [], "a task that was withdrawn must have no outcome"
        assert len(outcomes) == n_open, "no more outcomes may come than withdraw() has said"
        if executor.reach == "same":
            ended = sorted(outcome.task for outcome in outcomes)
            assert sorted(done) == ended, "a task that was run must have an outcome, and no other"

    def test_there_is_room_for_work_and_not_without_end(self) -> None:
        """``room`` keeps every worker busy, and does not let tasks pile up."""
        with self.make(workers=2).start(plain(lambda task: task)) as crew:
            assert crew.room() >= crew.workers >= 1, "a crew that begins must have room for a task for each worker"
            n_submitted = 0
            while crew.room() > 0:
                crew.submit(0)
                n_submitted += 1
                assert n_submitted < 10_000, "room() must come to an end, or all tasks pile up"
            while crew.room() <= 0:
                assert crew.wait(timeout=HANGS), "there must be room again when tasks have ended"

    def test_waiting_for_nothing_returns(self) -> None:
        """Who waits without a task waits no longer than the timeout."""
        with self.make(workers=2).start(plain(lambda task: task)) as crew:
            assert crew.wait(timeout=0.01) == [], "there is no outcome without a task"

    @pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="a signal cannot be sent to one thread here")
    def test_ctrl_c_ends_a_wait_that_it_does_not_wake(self) -> None:
        """Ctrl-C may come to another thread, or just before a wait begins: nothing wakes the main thread then."""
        with tempfile.TemporaryDirectory() as folder, self.make(workers=2).start(plain(_hold)) as crew:
            crew.submit(folder)
            thread = threading.Thread(target=_interrupt, args=(folder,))
            thread.start()
            try:
                crew.wait()
                raise AssertionError("a wait for what never comes must be ended by Ctrl-C")
            except KeyboardInterrupt:
                assert not Path(folder, "end").exists(), "Ctrl-C must end a wait soon, not when the next task ends"
            finally:
                Path(folder, "end").touch()
                thread.join()

    def test_fewer_workers_finish_the_work(self) -> None:
        """``restrict`` is for memory that runs out; it holds for this run alone."""
        executor = self.make(workers=2)
        workers = executor.workers
        with executor.start(plain(lambda task: (task, os.getpid(), threading.get_ident()))) as crew:
            crew.restrict(1)
            assert crew.workers == 1, "restrict(1) must leave one worker"
            outcomes: list[Outcome] = []
            waiting = list(range(30))
            while len(outcomes) < 30:
                fill(crew, waiting)
                fresh = crew.wait(timeout=HANGS)
                assert fresh, "fewer workers must go on with the work"
                outcomes += fresh
            crew.restrict(0)
            assert crew.workers == 1, "one worker must stay, whatever restrict() is given"
        assert sorted(outcome.value[0] for outcome in outcomes) == list(range(30)), "each task must have one outcome"
        assert executor.workers == workers, "the next run must have all workers"

    def test_stopping_twice_is_no_harm(self) -> None:
        """Also with a task in work."""
        crew = self.make(workers=2).start(plain(lambda task: task))
        crew.submit(1)
        crew.stop()
        crew.stop()

    def test_a_second_run_knows_nothing_of_the_first(self) -> None:
        """What was told, and what was left undone, is gone with its run."""
        executor = self.make(workers=2)
        with executor.start(echo, "first") as crew:
            crew.tell("told in the first")
            for task in range(crew.room()):
                crew.submit(task)
            crew.wait(timeout=HANGS)  # the others are left undone
        values = [outcome.value for outcome in run_all(executor, lambda task: -task, [7])]
        assert values == [-7], "a second run must have its own function and its own tasks"
        with executor.start(echo, "third") as crew:
            crew.submit(3)
            values = [outcome.value for outcome in crew.wait(timeout=HANGS)]
        assert values == [("third", 3)], "a run must know what it was started with"

    def test_a_run_after_a_failed_one(self) -> None:
        """Failures are of their run."""

        def fail(task: int) -> None:
            raise ValueError(task)

        executor = self.make(workers=2)
        assert all(outcome.failure for outcome in run_all(executor, fail, [1, 2, 3])), "each task must fail here"
        values = sorted(outcome.value for outcome in run_all(executor, lambda task: task, [1, 2, 3]))
        assert values == [1, 2, 3], "a run after a failed one must succeed"

    def test_two_runs_at_once_from_two_threads(self) -> None:
        """Each gets its own outcomes."""
        executor = self.make(workers=2)

        def total(factor: int) -> int:
            return sum(outcome.value for outcome in run_all(executor, lambda task: factor * task, list(range(50))))

        with ThreadPoolExecutor(2) as threads:
            totals = list(threads.map(total, [1, 1000]))
        assert totals == [1225, 1_225_000], "two runs at once must not get each other's outcomes"

    def test_a_run_inside_a_run(self) -> None:
        """A function that is run may use the same executor itself."""
        executor = self.make(workers=2)

        def inner(task: int) -> int:
            return sum(outcome.value for outcome in run_all(executor, lambda each: each + task, [1, 2]))

        assert self.values(inner, [10, 20]) == {10: 23, 20: 43}, "a run inside of a run must end with its own values"


def _hold(folder: str) -> None:
    """Tell that the task has begun, and do not end before one is told to, or the folder is removed."""
    Path(folder, "begun").touch()
    while Path(folder, "begun").exists() and not Path(folder, "end").exists():
        time.sleep(0.01)


def _interrupt(folder: str) -> None:
    """Take a Ctrl-C in this thread, once the task has begun; end the task if that was in vain."""
    deadline = time.monotonic() + HANGS
    while not Path(folder, "begun").exists():
        time.sleep(0.01)
    time.sleep(0.1)  # the main thread waits now
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    while not Path(folder, "end").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    Path(folder, "end").touch()
