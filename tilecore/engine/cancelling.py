"""Cancelling: a run is ended from outside, by whoever holds the handle that it was given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tilecore.errors import RunCancelledError
from tilecore.executors.base import Crew, Outcome

__all__ = ["POLL_SECONDS", "Cancel", "check_cancel", "first_outcomes", "last_outcomes"]

#: How often a run looks whether it is cancelled, at least.
POLL_SECONDS = 0.05


class Cancel(Protocol):
    """Says whether a run is to end: a `threading.Event`, or anything else that can be asked in the same way."""

    def is_set(self) -> bool:
        """Whether the run is to end; once it is, it stays so."""
        ...


def check_cancel(cancel: Cancel | None) -> None:
    """End a run that is cancelled.

    Raises
    ------
    RunCancelledError
    """
    if cancel is not None and cancel.is_set():
        raise RunCancelledError("the run was cancelled before its first tile")


def first_outcomes(crew: Crew, cancel: Cancel | None) -> list[Outcome]:
    """Wait for outcomes, unless the run is cancelled.

    Raises
    ------
    RunCancelledError
        Once there is nothing in work any more that cannot be stopped.
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
        del outcomes  # a failure's exception leads to this frame: they would keep each other, and open files, alive


def last_outcomes(crew: Crew) -> Iterator[Outcome]:
    """Take back what can be taken back, and wait for the outcomes of all else."""
    n_open = crew.withdraw()
    while n_open > 0:
        for outcome in crew.wait():
            n_open -= 1
            yield outcome
