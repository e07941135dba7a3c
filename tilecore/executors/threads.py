"""The executor that runs tasks in threads of this process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Self

from tilecore.configuration import settings
from tilecore.executors.attempts import attempt
from tilecore.executors.base import Job, Outcome, Reach
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

    Notes
    -----
    A thread that is busy when the executor is stopped ends with the task it runs; its
    result is dropped.
    """

    reach: Reach = "same"

    def __init__(self, *, workers: int | None = None, timeout: float | None = None, **options: Any) -> None:
        refuse_timeout(timeout, "threads")
        self.workers = settings.resolve_workers(workers)
        self._tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._function: Any = None
        self._n_open = 0
        self._threads: list[threading.Thread] = []

    def start(self, job: Job) -> None:
        """Open the job and start the threads."""
        self._function = job.open()
        for place in range(self.workers):
            thread = threading.Thread(
                target=self._work, args=(self._function, place), name=f"tilecore-{place}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def tell(self, note: Job) -> None:
        """Pass a note to the function, which all threads share."""
        self._function.receive(note.open())

    def room(self) -> int:
        """One running and one waiting task for each thread."""
        return 2 * self.workers - self._n_open

    def submit(self, task: Any) -> None:
        """Put a task into the queue."""
        self._n_open += 1
        self._tasks.put(task)

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
            self._tasks.put(_END)

    def stop(self) -> None:
        """Drop the tasks that wait; wait a moment for the threads that run one."""
        while not self._tasks.empty():
            self._tasks.get()
        for _ in self._threads:
            self._tasks.put(_END)
        for thread in self._threads:
            thread.join(timeout=1.0 / len(self._threads))
        self._threads.clear()
        self._n_open = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _work(self, function: Callable[[Any], Any], place: int) -> None:
        while (task := self._tasks.get()) is not _END:
            self._outcomes.put(attempt(function, task, place))


_END = object()
