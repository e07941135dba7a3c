"""What every executor promises: the protocol, the tasks' outcomes, and the table of executors."""

from __future__ import annotations

import importlib
from collections.abc import Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from tilecore.errors import ParameterError

__all__ = ["EXECUTORS", "Executor", "Failure", "Job", "Outcome", "Reach", "Task", "create_executor"]

#: Workers share this process's memory, have inherited a copy of it, or start empty.
Reach = Literal["same", "forked", "shipped"]

#: A task is anything small that can be pickled: executors do not look into it.
Task = Hashable


class Job(Protocol):
    """What workers do with tasks, in a form that travels: opened once in each worker.

    Opened, it is a function of a task; one that is sent notes has a method ``receive``.
    """

    def open(self) -> Any:
        """Return the function of a task, or the content of a note."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt at a task failed.

    Attributes
    ----------
    reason : str
        One line.
    traceback : str
        The worker's traceback as text; empty if there is none.
    exception : BaseException or None
        What the function raised, where it can travel between processes.
    exitcode : int or None
        The exit code of a worker that died in the task.
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
    """How one attempt at a task ended.

    Attributes
    ----------
    task : Task
    value : object
        What the job returned, if it did.
    failure : Failure or None
    seconds : float
        How long the attempt took in the worker.
    worker : int
        Which of the executor's places ran it, from 0.
    """

    task: Any
    value: Any = None
    failure: Failure | None = None
    seconds: float = 0.0
    worker: int = 0


class Executor(Protocol):
    """Runs one job on many tasks.

    ``start`` once, then ``submit`` while there is ``room`` and ``wait`` for outcomes, in
    any order; leaving the ``with`` block stops the workers, whatever they are doing.
    Every submitted task has exactly one outcome. An executor does not retry: a task that
    failed can be submitted again. A worker's death is an outcome of the task it ran;
    other tasks it held are run elsewhere without being counted as tried.
    """

    @property
    def workers(self) -> int:
        """How many tasks run at once."""
        ...

    @property
    def reach(self) -> Reach:
        """How the job, and the arrays in it, get to the workers."""
        ...

    def start(self, job: Job) -> None:
        """Start the workers; does not wait until they are ready."""
        ...

    def tell(self, note: Job) -> None:
        """Open a note in every worker, also in later ones, and pass it to the function's ``receive``.

        Tasks submitted afterwards find it received.
        """
        ...

    def room(self) -> int:
        """How many tasks it is worth submitting now."""
        ...

    def submit(self, task: Any) -> None:
        """Hand over a task; does not wait."""
        ...

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Wait for outcomes: at least one, or none after `timeout` seconds."""
        ...

    def restrict(self, workers: int) -> None:
        """Run at most so many tasks at once from now on."""
        ...

    def stop(self) -> None:
        """End all workers now; safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


#: Where to find each executor; its module is imported when it is asked for.
EXECUTORS = {
    "serial": "tilecore.executors.serial:SerialExecutor",
    "threads": "tilecore.executors.threads:ThreadExecutor",
    "processes": "tilecore.executors.processes:ProcessExecutor",
}


def create_executor(name: str, **options: Any) -> Executor:
    """Make an executor by its name.

    Parameters
    ----------
    name : str
        A key of `EXECUTORS`.
    **options
        As of the executor.

    Raises
    ------
    ParameterError
        If there is none of that name.
    """
    if name not in EXECUTORS:
        raise ParameterError.of("executor", name, f"one of {', '.join(EXECUTORS)}")
    module, _, attribute = EXECUTORS[name].partition(":")
    executor: Executor = getattr(importlib.import_module(module), attribute)(**options)
    return executor
