"""Protocol of executors, the outcomes of tasks, and the table of executors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypedDict, Unpack, runtime_checkable

from tilecore import plugins
from tilecore.arrays.access import Reach
from tilecore.errors import ParameterError, ParameterTypeError

if TYPE_CHECKING:
    from distributed import Client
    from typing_extensions import TypeIs

__all__ = [
    "ENTRY_POINTS",
    "EXECUTORS",
    "LONGEST_BLOCK_SECONDS",
    "Crew",
    "Executor",
    "ExecutorOptions",
    "Failure",
    "Function",
    "Outcome",
    "Reach",
    "Task",
    "Verifiable",
    "create_executor",
    "executor_names",
    "is_client",
    "lacks",
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
    phases : tuple of float
        Time that this task, and others of the worker that have not told it, spent in each of its phases: up to the
        first `lap`, up to the second one, and so on [s].
    """

    task: Any
    value: Any = None
    failure: Failure | None = None
    seconds: float = 0.0
    worker: int = 0
    peak_bytes: int | None = None
    phases: tuple[float, ...] = ()


class Executor(Protocol):
    """Settings of how tasks run and how many at once; it keeps nothing of any run.

    The same executor may be used for several runs, one after the other or at once. Executors of other packages are
    registered among the entry points ``tilecore.executors``, and can be tested by
    `tilecore.testing.ExecutorContract`.
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


@runtime_checkable
class Verifiable(Protocol):
    """A run's shared value that can tell whether a worker on another machine finds what it refers to."""

    def verify(self) -> None:
        """Raise an error if a file is not there."""
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
        """Wait for outcomes; returns at least one, or none after `timeout` seconds.

        Ctrl-C ends it, also where nothing wakes this thread: never block for longer than half a second at once.
        """
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


#: Longest time that a crew may block at once [s]: Ctrl-C may come just before, or in another thread, and wake nobody.
LONGEST_BLOCK_SECONDS = 0.5

#: Reference of each executor by name; its module is imported when it is used.
EXECUTORS = {
    "serial": "tilecore.executors.serial:SerialExecutor",
    "threads": "tilecore.executors.threads:ThreadExecutor",
    "processes": "tilecore.executors.processes.executor:ProcessExecutor",
    "dask": "tilecore.executors.dask.executor:DaskExecutor",
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


class ExecutorOptions(TypedDict, total=False):
    """What an executor is made with; each takes what it has a use for."""

    workers: int | None
    start_method: str | None
    threads_per_worker: int
    timeout: float | None


def is_client(given: object) -> TypeIs[Client]:
    """Whether an object is a client of dask.distributed; nothing is imported to find out."""
    return any(
        each.__module__.partition(".")[0] == "distributed" and each.__name__ == "Client" for each in type(given).__mro__
    )


def create_executor(name: str | Client, **options: Unpack[ExecutorOptions]) -> Executor:
    """Create an executor by its name, or for a client.

    Parameters
    ----------
    name : str or distributed.Client
        A key of `EXECUTORS`, or the name of an entry point of the group ``tilecore.executors``; or a client of dask,
        on whose cluster tiles run.
    **options
        Options of that executor.

    Raises
    ------
    ParameterError
        If no executor has this name, or it does not take an option that was given.
    ParameterTypeError
        If what another package makes is no executor.
    MissingDependencyError
        If the other package cannot be imported.
    """
    make = _maker(name)
    given: dict[str, object] = {**options}
    strange = plugins.not_taken(make, given)
    for option in strange:
        if given[option] != _DEFAULTS.get(option):
            raise ParameterError.of(option, given[option], f"executor={name!r} has no such option")
    executor: Executor = make(**{option: value for option, value in given.items() if option not in strange})
    if missing := lacks(executor):
        raise ParameterTypeError.of("executor", name, f"its package makes no executor; it lacks {', '.join(missing)}")
    return executor


def _maker(name: str | Client) -> Callable[..., Any]:
    """What makes an executor, by keyword arguments."""
    if not isinstance(name, str):
        return functools.partial(plugins.load(EXECUTORS["dask"]), name)
    make = plugins.load(EXECUTORS[name]) if name in EXECUTORS else plugins.find(ENTRY_POINTS, name)
    if make is None:
        raise ParameterError.of("executor", name, f"one of {', '.join(executor_names())}")
    made: Callable[..., Any] = make
    return made
