"""Executor that runs tasks one after the other in the calling thread."""

from __future__ import annotations

from collections import deque
from typing import Any, Self

from tilecore.errors import ParameterError
from tilecore.executors.attempts import attempt
from tilecore.executors.base import Function, Outcome, Reach, Task
from tilecore.executors.library_threads import LibraryThreads
from tilecore.geometry.per_axis import as_integer

__all__ = ["SerialExecutor", "refuse_timeout"]


class SerialExecutor:
    """Executor that runs tasks in the calling thread, in the order of submission.

    Parameters
    ----------
    threads_per_worker : int
        Threads that numerical libraries (BLAS, OpenMP) may use during a run.
    timeout : float, optional
        Not supported: a thread cannot be stopped from outside.
    **options
        Options of the other executors; accepted and ignored.
    """

    workers = 1
    reach: Reach = "same"

    def __init__(self, *, threads_per_worker: int = 1, timeout: float | None = None, **options: object) -> None:
        refuse_timeout(timeout, "serial")
        self._threads = as_integer(threads_per_worker, "threads_per_worker", minimum=1)

    def start(self, function: Function, known: object = None) -> SerialCrew:
        """Begin a run; no worker has to be started."""
        return SerialCrew(function, known, self._threads)


class SerialCrew:
    """Crew of the calling thread alone."""

    workers = 1

    def __init__(self, function: Function, known: object, threads: int = 1) -> None:
        self._function, self._known = function, known
        self._tasks: deque[tuple[Any, Any]] = deque()
        self._libraries = LibraryThreads(threads)
        self._libraries.hold()

    def tell(self, known: object) -> None:
        """Replace the run's shared value, for later tasks."""
        self._known = known

    def room(self) -> int:
        """Number of tasks that may be submitted: one at a time."""
        return 1 - len(self._tasks)

    def submit(self, task: Task) -> None:
        """Accept a task; it runs in the next `wait`."""
        self._tasks.append((task, self._known))

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Run the next task and return its outcome."""
        if not self._tasks:
            return []
        return [attempt(self._function, *self._tasks.popleft(), 0, passing=(KeyboardInterrupt,))]

    def restrict(self, workers: int) -> None:
        """Do nothing, as there is only one worker."""

    def withdraw(self) -> int:
        """Drop the waiting tasks; no task is running now."""
        self._tasks.clear()
        return 0

    def stop(self) -> None:
        """Drop the waiting tasks."""
        self._tasks.clear()
        self._libraries.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __del__(self) -> None:
        self.stop()  # deleted without it


def refuse_timeout(timeout: float | None, name: str) -> None:
    """Refuse a timeout for an executor that cannot stop a task."""
    if timeout is not None:
        raise ParameterError.of("timeout", timeout, f"executor={name!r} cannot stop a tile; use executor='processes'")
