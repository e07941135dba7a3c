"""An executor for tilecore: worker processes that let all other programs go first."""

from __future__ import annotations

import os
from typing import Any

from tilecore import ParameterError
from tilecore.executors.base import Crew, Function, Reach
from tilecore.executors.processes.executor import ProcessExecutor

__all__ = ["NiceExecutor"]


class NiceExecutor:
    """Runs tasks in processes of low priority: a desk machine stays usable while a long run uses every core.

    Parameters
    ----------
    niceness : int
        How far the priority is lowered, from 1 to 19.
    **options
        Of tilecore's executor for processes: workers, start_method, threads_per_worker, timeout.

    Raises
    ------
    ParameterError
        If the niceness is none, or this system has no priorities of this kind.
    """

    def __init__(self, *, niceness: int = 10, **options: Any) -> None:
        if not hasattr(os, "nice"):
            raise ParameterError.of("executor", "nice", "this system has no niceness; use executor='processes'")
        if niceness not in range(1, 20):
            raise ParameterError.of("niceness", niceness, "a whole number from 1 to 19")
        self._niceness = niceness
        self._processes = ProcessExecutor(**options)

    @property
    def workers(self) -> int:
        """How many tasks run at once."""
        return self._processes.workers

    @property
    def reach(self) -> Reach:
        """How the function, and the arrays in it, get to the workers."""
        return self._processes.reach

    def start(self, function: Function, known: Any = None) -> Crew:
        """Start the processes of a run."""
        return self._processes.start(_Nice(function, self._niceness), known)


class _Nice:
    """A function that lowers the priority of each process in which it is called, once."""

    def __init__(self, function: Function, niceness: int) -> None:
        self._function, self._niceness = function, niceness
        self._pid = os.getpid()

    def __call__(self, task: Any, known: Any) -> Any:
        if self._pid != os.getpid():
            os.nice(self._niceness)
            self._pid = os.getpid()
        return self._function(task, known)
