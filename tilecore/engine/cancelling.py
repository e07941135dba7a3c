"""Cancelling of runs from outside, through an event that the caller passes as ``cancel=``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tilecore.errors import RunCancelledError
from tilecore.executors.base import Crew, Outcome

__all__ = ["POLL_SECONDS", "Cancel", "check_cancel", "first_outcomes", "last_outcomes"]

#: Longest time between two checks whether a run is cancelled [s].
POLL_SECONDS = 0.05


class Cancel(Protocol):
    """Protocol of ``cancel=``: a `threading.Event`, or any object with the same method ``is_set``."""

    def is_set(self) -> bool:
        """Whether the run must end; once true, it stays true."""
        ...


def check_cancel(cancel: Cancel | None) -> None:
    """Raise an error if the run is cancelled.

    Raises
    ------
    RunCancelledError
        If the run is cancelled.
    """
    if cancel is not None and cancel.is_set():
        raise RunCancelledError("the run was cancelled before its first tile")


def first_outcomes(crew: Crew, cancel: Cancel | None) -> list[Outcome]:
    """Wait for outcomes until there are some or the run is cancelled.

    Raises
    ------
    RunCancelledError
        If the run is cancelled, once all running tasks that cannot be stopped have ended.
    """
    if cancel is None:
        return crew.wait()
    try:
        while not (outcomes := crew.wait(POLL_SECONDS)):
            if cancel.is_set():
                outcomes = list(last_outcomes(crew))
                break
        check_cancel(cancel)
        return outcomes
    finally:
        del outcomes  # a failure's exception refers to this frame: both, and open files, would stay


def last_outcomes(crew: Crew) -> Iterator[Outcome]:
    """Withdraw the waiting tasks, and wait for the outcomes of the running ones."""
    n_open = crew.withdraw()
    while n_open > 0:
        for outcome in crew.wait():
            n_open -= 1
            yield outcome
