"""Messages between a run and its worker processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from tilecore.executors.base import Failure, Function
from tilecore.executors.processes.results import Letter
from tilecore.memory.segments import Segment

__all__ = ["Assignment", "Hello", "Job", "Known", "Report", "Result", "Work"]


class Work(NamedTuple):
    """Work of a worker: the function to call, and the run's shared value at its start."""

    function: Function
    known: Any


class Job(Protocol):
    """Work in a form that can be sent to a process."""

    def open(self) -> Work:
        """Return the work."""
        ...


class Known(Protocol):
    """A run's shared value in a form that can be sent to a process."""

    def open(self) -> object:
        """Return the value."""
        ...


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of a worker: it is ready, or, with a failure, could not open the job."""

    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """Message to a worker: new tasks, the run's shared value if it has changed, and trays that are free again."""

    tasks: list[Any]
    known: Known | None = None
    released: list[int] = field(default_factory=list)


class Result(NamedTuple):
    """Result of one task, as the worker sends it.

    Attributes
    ----------
    seconds : float
        Time of the task in the worker.
    letter : Letter or None
        The packed value; for a failure, the packed exception if it can be sent.
    failure : Failure or None
        Reason of the failure, or None.
    """

    seconds: float
    letter: Letter | None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Results of a worker's next tasks, in the order of the tasks.

    Attributes
    ----------
    results : list of Result
        The results.
    trays : dict of Segment
        New trays that hold letters, by their numbers.
    peak_bytes : int or None
        Memory peak after the last of the tasks, as in `Outcome` [byte].
    phases : tuple of float
        Time that all of the tasks spent in each phase, as in `Outcome` [s].
    """

    results: list[Result]
    trays: dict[int, Segment] = field(default_factory=dict)
    peak_bytes: int | None = None
    phases: tuple[float, ...] = ()
