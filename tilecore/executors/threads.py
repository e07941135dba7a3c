"""The executor that runs tasks in threads of this process."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import Any, Self

from tilecore.configuration import settings
from tilecore.executors.attempts import attempt
from tilecore.executors.base import Function, Outcome, Reach, Task
from tilecore.executors.serial import refuse_timeout

__all__ = ["ThreadExecutor"]


class ThreadExecutor:
    """Runs tasks in threads: no start-up, nothing copied, but one interpreter lock for all.

    Good for functions that leave Python for most of their time (numpy, scipy).

    Parameters
    ----------
    workers : int, optional
        Number of threads.
    timeout : float, optional
        Not possible here, and refused: a thread cannot be stopped from outside.
    **options
        Of the other executors; accepted and not used.
    """

    reach: Reach = "same"

    def __init__(self, *, workers: int | None = None, timeout: float | None = None, **options: object) -> None:
        refuse_timeout(timeout, "threads")
        self.workers = settings.resolve_workers(workers)

    def start(self, function: Function, known: object = None) -> ThreadCrew:
        """Start the threads of a run."""
        return ThreadCrew(function, known, self.workers)


class ThreadCrew:
    """The threads of one run, with queues of their own.

    Notes
    -----
    A thread that is busy when the crew is stopped ends with the task it runs; its result
    is dropped.
    """

    def __init__(self, function: Function, known: object, workers: int) -> None:
        self.workers = workers
        self._known = known
        self._tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._n_open = 0
        self._threads: list[threading.Thread] = []
        try:
            for place in range(workers):
                arguments = (function, place, self._tasks, self._outcomes)
                thread = threading.Thread(target=_work, args=arguments, name=f"tilecore-{place}", daemon=True)
                thread.start()
                self._threads.append(thread)
        except BaseException:
            self.stop()
            raise

    def tell(self, known: object) -> None:
        """Replace what is known, for later tasks."""
        self._known = known

    def room(self) -> int:
        """One running and one waiting task for each thread."""
        return 2 * self.workers - self._n_open

    def submit(self, task: Task) -> None:
        """Put a task into the queue."""
        self._n_open += 1
        self._tasks.put((task, self._known))

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Wait for an outcome and take all that are there."""
        if not self._n_open:
            return []
        try:
            outcomes = [self._outcomes.get(timeout=timeout)]
        except queue.Empty:
            return []
        while not self._outcomes.empty():
            outcomes.append(self._outcomes.get())
        self._n_open -= len(outcomes)
        return outcomes

    def restrict(self, workers: int) -> None:
        """End threads beyond `workers`, each after its task."""
        while self.workers > max(workers, 1):
            self.workers -= 1
            self._tasks.put(None)

    def withdraw(self) -> int:
        """Take back the tasks that wait; those that a thread runs will have their outcomes."""
        with suppress(queue.Empty):
            while True:
                self._n_open -= self._tasks.get_nowait() is not None
        return self._n_open

    def stop(self) -> None:
        """Drop the tasks that wait; wait a moment for the threads that run one."""
        self.withdraw()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(timeout=1.0 / len(self._threads))
        self._threads.clear()
        self._n_open = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __del__(self) -> None:
        for _ in self._threads:  # dropped without a stop: nobody will take their outcomes
            self._tasks.put(None)


def _work(
    function: Function,
    place: int,
    tasks: queue.SimpleQueue[tuple[Any, Any] | None],
    outcomes: queue.SimpleQueue[Outcome],
) -> None:
    while (item := tasks.get()) is not None:
        outcomes.put(attempt(function, *item, place))
