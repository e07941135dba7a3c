"""What every executor promises: the protocol, the tasks' outcomes, and the table of executors."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from tilecore import plugins
from tilecore.arrays.access import Reach
from tilecore.errors import ParameterError, ParameterTypeError

__all__ = [
    "ENTRY_POINTS",
    "EXECUTORS",
    "Crew",
    "Executor",
    "Failure",
    "Function",
    "Outcome",
    "Reach",
    "Task",
    "create_executor",
    "executor_names",
    "lacks",
]

#: A task is anything small that can be pickled: executors do not look into it.
Task = Hashable


#: What workers do: ``function(task, known)``, where `known` is the latest value that was told before the task came.
Function: TypeAlias = Callable[[Any, Any], Any]


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
    peak_bytes : int or None
        The most memory that the worker's process has had by then (see `peak_memory`), if known.
    """

    task: Any
    value: Any = None
    failure: Failure | None = None
    seconds: float = 0.0
    worker: int = 0
    peak_bytes: int | None = None


class Executor(Protocol):
    """Says who runs tasks and how many at once; has nothing of any run.

    The same executor may run one job after the other, or several at once. Executors of other packages are
    registered among the entry points ``tilecore.executors``, and can be tested by
    `tilecore.testing.ExecutorContract`.
    """

    @property
    def workers(self) -> int:
        """How many tasks run at once."""
        ...

    @property
    def reach(self) -> Reach:
        """How the function, and the arrays in it, get to the workers."""
        ...

    def start(self, function: Function, known: Any = None) -> Crew:
        """Start the workers of one run; does not wait until they are ready.

        Parameters
        ----------
        function : callable
            ``function(task, known)``; packed here if workers do not share this process's memory.
        known : object
            What is known of the run by now: a value that is replaced as a whole, never changed.

        Raises
        ------
        ShippingError
            If the function cannot be packed.
        WorkerError
            If there are no means to start workers.
        """
        ...


class Crew(Protocol):
    """The workers of one run.

    ``submit`` while there is ``room`` and ``wait`` for outcomes, in any order; leaving the
    ``with`` block stops the workers, whatever they are doing. Every submitted task has
    exactly one outcome. A crew does not retry: a task that failed can be submitted again.
    A worker's death is an outcome of the task it ran; other tasks it held are run
    elsewhere without being counted as tried.
    """

    @property
    def workers(self) -> int:
        """How many tasks run at once."""
        ...

    def tell(self, known: Any) -> None:
        """Replace what is known, for all tasks that are submitted afterwards."""
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

    def withdraw(self) -> int:
        """Take back all tasks but those in work that cannot be stopped; return how many outcomes are still to come."""
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
    "processes": "tilecore.executors.processes.executor:ProcessExecutor",
}

#: Where packages register executors, each by the name that callers give. Names of `EXECUTORS` stay tilecore's.
ENTRY_POINTS = "tilecore.executors"

# What these options are if nobody gives them.
_DEFAULTS = {"threads_per_worker": 1}


def executor_names() -> list[str]:
    """List the names of all executors: tilecore's, then those of other packages."""
    return [*EXECUTORS, *(name for name in plugins.names(ENTRY_POINTS) if name not in EXECUTORS)]


def lacks(executor: object) -> list[str]:
    """List what an object would need to be an executor."""
    if isinstance(executor, type):
        return ["an object: this is a class"]
    return [name for name in ("workers", "reach", "start") if not hasattr(executor, name)]


def create_executor(name: str, **options: Any) -> Executor:
    """Make an executor by its name.

    Parameters
    ----------
    name : str
        A key of `EXECUTORS`, or the name of an entry point of the group ``tilecore.executors``.
    **options
        As of the executor.

    Raises
    ------
    ParameterError
        If there is none of that name, or it does not take an option that was given.
    ParameterTypeError
        If what another package makes is no executor.
    MissingDependencyError
        If the other package cannot be imported.
    """
    make = plugins.load(EXECUTORS[name]) if name in EXECUTORS else plugins.find(ENTRY_POINTS, name)
    if make is None:
        raise ParameterError.of("executor", name, f"one of {', '.join(executor_names())}")
    strange = plugins.not_taken(make, options)
    for option in strange:
        if options[option] != _DEFAULTS.get(option):
            raise ParameterError.of(option, options[option], f"executor={name!r} has no such option")
    executor: Executor = make(**{option: value for option, value in options.items() if option not in strange})
    if missing := lacks(executor):
        raise ParameterTypeError.of("executor", name, f"its package makes no executor; it lacks {', '.join(missing)}")
    return executor
