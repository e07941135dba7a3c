"""One attempt at a task: call the job, time it, turn whatever it raises into a failure."""

from __future__ import annotations

import time
import traceback

from tilecore.executors.base import Failure, Function, Outcome, Task
from tilecore.machine import peak_memory

__all__ = ["attempt", "failure_of"]


def attempt(
    function: Function, task: Task, known: object, worker: int, *, passing: tuple[type[BaseException], ...] = ()
) -> Outcome:
    """Call `function` with `task`, and with what is known of its run.

    Parameters
    ----------
    function : callable
    task : Task
    known : object
    worker : int
        Place of the worker, for the outcome.
    passing : tuple of type
        Exceptions that are not the task's: they are raised.

    Notes
    -----
    ``SystemExit`` and its like, raised by a task, are failures of the task: they must
    not end a worker as if it had finished.
    """
    start = time.perf_counter()
    try:
        value = function(task, known)
    except passing:
        raise
    except BaseException as error:
        end = time.perf_counter()
        return Outcome(task, None, failure_of(error), end - start, worker, peak_memory(end))
    end = time.perf_counter()
    return Outcome(task, value, None, end - start, worker, peak_memory(end))


def failure_of(error: BaseException) -> Failure:
    """Describe an exception, without the frames of the attempt itself."""
    trace = error.__traceback__
    text = "".join(traceback.format_exception(type(error), error, trace.tb_next if trace else None))
    return Failure(describe(error), text, error)


def describe(error: BaseException) -> str:
    """Write an exception's type and text in one line."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # the error's own code has one
        lines = ["it cannot say what it is"]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
