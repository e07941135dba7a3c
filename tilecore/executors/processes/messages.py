"""What a run and its worker processes say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from tilecore.executors.base import Failure, Function
from tilecore.executors.processes.results import Letter
from tilecore.memory.segments import Segment

__all__ = ["Assignment", "Hello", "Job", "Known", "Report", "Result", "Work"]


class Work(NamedTuple):
    """What workers do: the function of a task, and what is known of the run at first."""

    function: Function
    known: Any


class Job(Protocol):
    """Work in a form that travels."""

    def open(self) -> Work:
        """The work."""
        ...


class Known(Protocol):
    """What is known of the run by now, in a form that travels."""

    def open(self) -> object:
        """The value."""
        ...


@dataclass(frozen=True, slots=True)
class Hello:
    """The worker is ready, or (with a failure) could not open the job."""

    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """Tasks for a worker, what is known by now if that is new to it, and trays whose letters have been read."""

    tasks: list[Any]
    known: Known | None = None
    released: list[int] = field(default_factory=list)


class Result(NamedTuple):
    """What became of one task.

    Attributes
    ----------
    seconds : float
    letter : Letter or None
        The packed value; of a failure, the packed exception if it can travel.
    failure : Failure or None
    """

    seconds: float
    letter: Letter | None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a worker's next tasks, in the order in which it got them.

    Attributes
    ----------
    results : list of Result
    trays : dict of Segment
        New trays that letters lie in.
    peak_bytes : int or None
        As of `Outcome`, after the last of the tasks.
    """

    results: list[Result]
    trays: dict[int, Segment] = field(default_factory=dict)
    peak_bytes: int | None = None
