"""Protocol of executors, the outcomes of tasks, and the table of executors."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias, TypedDict, Unpack

from tilecore.arrays.access import Reach
from tilecore.errors import ParameterError

__all__ = [
    "EXECUTORS",
    "Crew",
    "Executor",
    "ExecutorOptions",
    "Failure",
    "Function",
    "Outcome",
    "Reach",
    "Task",
    "create_executor",
]

#: Type of a task: any small object that can be pickled. Executors do not look into it.
Task = Hashable


#: Type of the function that workers call: ``function(task, known)``; `known` is the run's shared value at `submit`.
Function: TypeAlias = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """Reason why an attempt at a task failed.

    Attributes
    ----------
    reason : str
        Reason in one line.
    traceback : str
        The worker's traceback as text; empty if there is none.
    exception : BaseException or None
        Exception that the function raised, if it can be sent between processes.
    exitcode : int or None
        Exit code of the worker, if it died in the task.
    timed_out : bool
        Whether the worker was killed because the task took too long.
    """

    reason: str
    traceback: str = ""
    exception: BaseException | None = None
    exitcode: int | None = None
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one attempt at a task.

    Attributes
    ----------
    task : Task
        The task.
    value : object
        Return value of the job, if it succeeded.
    failure : Failure or None
        Reason of the failure, or None.
    seconds : float
        Time of the attempt in the worker [s].
    worker : int
        Number of the executor's place that ran the task, from 0.
    peak_bytes : int or None
        Largest memory that the worker's process has used so far (see `peak_memory`), if known [byte].
    """

    task: Any
    value: Any = None
    failure: Failure | None = None
    seconds: float = 0.0
    worker: int = 0
    peak_bytes: int | None = None


class Executor(Protocol):
    """Settings of how tasks run and how many at once; it keeps nothing of any run.

    The same executor may be used for several runs, one after the other or at once.
    """

    @property
    def workers(self) -> int:
        """Number of tasks that run at once."""
        ...

    @property
    def reach(self) -> Reach:
        """How the function and its arrays get to the workers: see `Reach`."""
        ...

    def start(self, function: Function, known: object = None) -> Crew:
        """Start the workers of one run; does not wait until they are ready.

        Parameters
        ----------
        function : callable
            ``function(task, known)``; it is packed here if workers do not share this process's memory.
        known : object
            The run's shared value at its start: tasks get it; it is replaced as a whole, never changed.

        Raises
        ------
        ShippingError
            If the function cannot be packed.
        WorkerError
            If workers cannot be started.
        """
        ...


class Crew(Protocol):
    """The workers of one run.

    Call ``submit`` while there is ``room``, and ``wait`` for outcomes, in any order. Leaving the
    ``with`` block stops the workers, even if they are busy. Every submitted task has
    exactly one outcome. A crew does not retry: a task that failed can be submitted again.
    A worker's death is the outcome of the task that it ran; its other tasks run elsewhere,
    and the death is not counted as an attempt at them.
    """

    @property
    def workers(self) -> int:
        """Number of tasks that run at once."""
        ...

    def tell(self, known: object) -> None:
        """Replace the run's shared value for all tasks that are submitted afterwards."""
        ...

    def room(self) -> int:
        """Number of tasks that should be submitted now."""
        ...

    def submit(self, task: Task) -> None:
        """Submit a task; does not wait."""
        ...

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Wait for outcomes; returns at least one, or none after `timeout` seconds."""
        ...

    def restrict(self, workers: int) -> None:
        """Reduce the number of tasks that run at once to `workers`."""
        ...

    def withdraw(self) -> int:
        """Take back all tasks, except running ones that cannot be stopped; return the number of outcomes to come."""
        ...

    def stop(self) -> None:
        """End all workers now; may be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


#: Reference of each executor by name; its module is imported when it is used.
EXECUTORS = {
    "serial": "tilecore.executors.serial:SerialExecutor",
    "threads": "tilecore.executors.threads:ThreadExecutor",
    "processes": "tilecore.executors.processes.executor:ProcessExecutor",
}


class ExecutorOptions(TypedDict, total=False):
    """What an executor is made with; each takes what it has a use for."""

    workers: int | None
    start_method: str | None
    threads_per_worker: int
    timeout: float | None


def create_executor(name: str, **options: Unpack[ExecutorOptions]) -> Executor:
    """Create an executor by its name.

    Parameters
    ----------
    name : str
        A key of `EXECUTORS`.
    **options
        Options of that executor.

    Raises
    ------
    ParameterError
        If no executor has this name.
    """
    if name not in EXECUTORS:
        raise ParameterError.of("executor", name, f"one of {', '.join(EXECUTORS)}")
    module, _, attribute = EXECUTORS[name].partition(":")
    executor: Executor = getattr(importlib.import_module(module), attribute)(**options)
    return executor
