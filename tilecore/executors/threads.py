"""Executor that runs tasks in threads of this process."""

from __future__ import annotations

import math
import queue
import threading
import time
from contextlib import suppress
from typing import Any, Self

from tilecore.configuration import settings
from tilecore.executors.attempts import attempt
from tilecore.executors.base import LONGEST_BLOCK_SECONDS, Function, Outcome, Reach, Task
from tilecore.executors.library_threads import LibraryThreads
from tilecore.executors.serial import refuse_timeout
from tilecore.geometry.per_axis import as_integer

__all__ = ["ThreadExecutor"]


class ThreadExecutor:
    """Executor that runs tasks in threads: no start-up time, no copies, but one interpreter lock for all.

    It suits functions that spend most of their time outside Python (numpy, scipy).

    Parameters
    ----------
    workers : int, optional
        Number of threads; default: from the settings, the environment, or the number of cores.
    threads_per_worker : int
        Threads that numerical libraries (BLAS, OpenMP) may use for each of these threads during a run.
    timeout : float, optional
        Not supported: a thread cannot be stopped from outside.
    **options
        Options of the other executors; accepted and ignored.
    """

    reach: Reach = "same"

    def __init__(
        self,
        *,
        workers: int | None = None,
        threads_per_worker: int = 1,
        timeout: float | None = None,
        **options: object,
    ) -> None:
        refuse_timeout(timeout, "threads")
        self._threads = as_integer(threads_per_worker, "threads_per_worker", minimum=1)
        self.workers = settings.resolve_workers(workers)

    def start(self, function: Function, known: object = None) -> ThreadCrew:
        """Start the threads of a run."""
        return ThreadCrew(function, known, self.workers, self._threads)


class ThreadCrew:
    """Threads of one run, with their own queues.

    Notes
    -----
    A thread that is busy when the crew is stopped ends after its task; the result is
    dropped.
    """

    def __init__(self, function: Function, known: object, workers: int, threads: int) -> None:
        self.workers = workers
        self._known = known
        self._tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._n_open = 0
        self._threads: list[threading.Thread] = []
        self._libraries = LibraryThreads(threads)
        try:
            for place in range(workers):
                arguments = (function, place, self._tasks, self._outcomes, self._libraries)
                thread = threading.Thread(target=_work, args=arguments, name=f"tilecore-{place}", daemon=True)
                thread.start()
                self._threads.append(thread)
        except BaseException:
            self.stop()
            raise

    def tell(self, known: object) -> None:
        """Replace the run's shared value, for later tasks."""
        self._known = known

    def room(self) -> int:
        """Number of tasks that may be submitted: one running and one waiting task for each thread."""
        return 2 * self.workers - self._n_open

    def submit(self, task: Task) -> None:
        """Put a task into the queue."""
        self._n_open += 1
        self._tasks.put((task, self._known))

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Wait for one outcome, and return all that have arrived."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        outcomes: list[Outcome] = []
        while self._n_open and not outcomes:
            left = until - time.monotonic()
            with suppress(queue.Empty):
                outcomes.append(self._outcomes.get(timeout=min(max(left, 0), LONGEST_BLOCK_SECONDS)))
                while True:
                    outcomes.append(self._outcomes.get_nowait())
            if left <= 0:
                break
        self._n_open -= len(outcomes)
        return outcomes

    def restrict(self, workers: int) -> None:
        """End the threads beyond `workers`, each after its task."""
        while self.workers > max(workers, 1):
            self.workers -= 1
            self._tasks.put(None)

    def withdraw(self) -> int:
        """Take back the waiting tasks; return the number of outcomes of running tasks still to come."""
        with suppress(queue.Empty):
            while True:
                self._n_open -= self._tasks.get_nowait() is not None
        return self._n_open

    def stop(self) -> None:
        """Drop the waiting tasks; wait up to a second for the running ones."""
        self.withdraw()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(timeout=1.0 / len(self._threads))
        self._threads.clear()
        self._n_open = 0
        self._libraries.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __del__(self) -> None:
        for _ in self._threads:  # deleted without `stop`: nobody reads the outcomes
            self._tasks.put(None)
        self._libraries.let_go()


def _work(
    function: Function,
    place: int,
    tasks: queue.SimpleQueue[tuple[Any, Any] | None],
    outcomes: queue.SimpleQueue[Outcome],
    libraries: LibraryThreads,
) -> None:
    libraries.hold()
    while (item := tasks.get()) is not None:
        outcomes.put(attempt(function, *item, place))
