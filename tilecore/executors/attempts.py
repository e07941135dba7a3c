"""Attempt at a task: call the job, measure its time, and turn any exception into a failure."""

from __future__ import annotations

import threading
import time
import traceback

from tilecore.errors import ShippingError
from tilecore.executors.base import Failure, Function, Outcome, Task
from tilecore.machine import peak_memory

__all__ = ["attempt", "describe", "failure_of", "lap", "not_sent", "take_phases"]


class _Watch(threading.local):
    """Times of a thread: when its task has ended phases, and what its tasks have spent in each."""

    def __init__(self) -> None:
        self.laps: list[float] = []
        self.sums: list[float] = []


_watch = _Watch()


def attempt(
    function: Function,
    task: Task,
    known: object,
    worker: int,
    *,
    passing: tuple[type[BaseException], ...] = (),
    tells_phases: bool = True,
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
    tells_phases : bool
        Whether the outcome tells the time of each phase; otherwise it is kept until `take_phases` asks for it.

    Notes
    -----
    ``SystemExit`` and similar exceptions of a task are failures of that task: they must not
    end a worker as if it had finished.
    """
    laps = _watch.laps
    laps.clear()
    start = time.perf_counter()
    try:
        value = function(task, known)
    except passing:
        raise
    except BaseException as error:
        end = time.perf_counter()
        return Outcome(task, None, failure_of(error), end - start, worker, peak_memory(end))
    end = time.perf_counter()
    if laps:
        _count(laps, start, end)
    phases = take_phases() if tells_phases else ()
    return Outcome(task, value, None, end - start, worker, peak_memory(end), phases)


def lap() -> None:
    """Note that the task of this thread has ended one of its phases; the last one ends with the task."""
    _watch.laps.append(time.perf_counter())


def _count(laps: list[float], begun: float, end: float) -> None:
    """Add the time of each phase to those of earlier tasks."""
    laps.append(end)
    sums = _watch.sums
    if len(sums) < len(laps):
        sums += [0.0] * (len(laps) - len(sums))
    for phase, lap_time in enumerate(laps):
        sums[phase] += lap_time - begun
        begun = lap_time


def take_phases() -> tuple[float, ...]:
    """Time that the tasks of this thread have spent in each phase since the last call [s]."""
    phases, _watch.sums = tuple(_watch.sums), []
    return phases


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
    """Error for a result that cannot be handed from the worker to the caller, whatever the executor."""
    return ShippingError(f"the result, a {type(result).__name__}, cannot be sent back: {describe(error)}")
