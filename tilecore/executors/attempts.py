"""Attempt at a task: call the job, measure its time, and turn any exception into a failure."""

from __future__ import annotations

import time
import traceback

from tilecore.errors import ShippingError
from tilecore.executors.base import Failure, Function, Outcome, Task
from tilecore.machine import peak_memory

__all__ = ["attempt", "describe", "failure_of", "not_sent"]


def attempt(
    function: Function, task: Task, known: object, worker: int, *, passing: tuple[type[BaseException], ...] = ()
) -> Outcome:
    """Call `function` with a task and with the run's shared value.

    Parameters
    ----------
    function : callable
        ``function(task, known)``.
    task : Task
        Task to run.
    known : object
        The run's shared value.
    worker : int
        Number of the worker's place, for the outcome.
    passing : tuple of type
        Exceptions that do not belong to the task and are raised.

    Notes
    -----
    ``SystemExit`` and similar exceptions of a task are failures of that task: they must not
    end a worker as if it had finished.
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
    """Describe an exception as a failure, without the stack frames of the attempt itself."""
    trace = error.__traceback__
    text = "".join(traceback.format_exception(type(error), error, trace.tb_next if trace else None))
    return Failure(describe(error), text, error)


def describe(error: BaseException) -> str:
    """Format an exception's type and text as one line."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # the exception's own code raises one
        lines = ["(its text cannot be read)"]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def not_sent(result: object, error: Exception) -> ShippingError:
    """Error for a result that cannot be handed from the worker to the caller, whatever the executor.

    A result that only carries another one has that as its `carried`.
    """
    carried = getattr(result, "carried", result)
    return ShippingError(f"the result, a {type(carried).__name__}, cannot be sent back: {describe(error)}")
