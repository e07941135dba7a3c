"""The executor that runs tasks one by one in the calling thread."""

from __future__ import annotations

from collections import deque
from typing import Any, Self

from tilecore.errors import ParameterError
from tilecore.executors.attempts import attempt
from tilecore.executors.base import Function, Outcome, Reach, Task

__all__ = ["SerialExecutor", "refuse_timeout"]


class SerialExecutor:
    """Runs tasks in the calling thread, in the order in which they come.

    Parameters
    ----------
    timeout : float, optional
        Not possible here, and refused: a thread cannot be stopped from outside.
    **options
        Of the other executors; accepted and not used.
    """

    workers = 1
    reach: Reach = "same"

    def __init__(self, *, timeout: float | None = None, **options: object) -> None:
        refuse_timeout(timeout, "serial")

    def start(self, function: Function, known: object = None) -> SerialCrew:
        """Begin a run; there is nobody to start."""
        return SerialCrew(function, known)


class SerialCrew:
    """The calling thread."""

    workers = 1

    def __init__(self, function: Function, known: object) -> None:
        self._function, self._known = function, known
        self._tasks: deque[tuple[Any, Any]] = deque()

    def tell(self, known: object) -> None:
        """Replace what is known, for later tasks."""
        self._known = known

    def room(self) -> int:
        """One task at a time."""
        return 1 - len(self._tasks)

    def submit(self, task: Task) -> None:
        """Take a task; it runs in the next `wait`."""
        self._tasks.append((task, self._known))

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Run the next task."""
        if not self._tasks:
            return []
        return [attempt(self._function, *self._tasks.popleft(), 0, passing=(KeyboardInterrupt,))]

    def restrict(self, workers: int) -> None:
        """There is one worker already."""

    def withdraw(self) -> int:
        """Forget the tasks that are left; none is in work now."""
        self._tasks.clear()
        return 0

    def stop(self) -> None:
        """Forget the tasks that are left."""
        self._tasks.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def refuse_timeout(timeout: float | None, name: str) -> None:
    """Refuse a timeout where no task can be stopped."""
    if timeout is not None:
        raise ParameterError.of("timeout", timeout, f"executor={name!r} cannot stop a tile; use executor='processes'")
