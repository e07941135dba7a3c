"""How the contract drives an executor: without an engine, as little as hands out tasks and takes outcomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tilecore.executors.base import Crew, Executor, Failure, Outcome
from tilecore.testing.patience import HANGS

__all__ = ["Driver", "echo", "fill", "plain", "run_all"]


def plain(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A function of a task alone, as executors call it."""
    return lambda task, known: function(task)  # noqa: ARG005 - executors pass both


def echo(task: Any, known: Any) -> Any:
    """Give back what was known, and the task."""
    return known, task


def fill(crew: Crew, waiting: list[Any]) -> None:
    """Hand out tasks as long as there is room for them."""
    while waiting and crew.room() > 0:
        crew.submit(waiting.pop(0))


def run_all(executor: Executor, function: Callable[[Any], Any], tasks: list[Any]) -> list[Outcome]:
    """Hand out tasks as there is room for them; collect all outcomes."""
    waiting = list(tasks)
    outcomes: list[Outcome] = []
    with executor.start(plain(function)) as crew:
        while len(outcomes) < len(tasks):
            fill(crew, waiting)
            fresh = crew.wait(timeout=HANGS)
            assert fresh, f"a task that was submitted must have an outcome: {len(tasks) - len(outcomes)} have none"
            outcomes += fresh
    return outcomes


class Driver:
    """What the parts of the contract share.

    Attributes
    ----------
    tells_peak_memory : bool
        Whether outcomes tell the most memory that their worker has had.
    """

    tells_peak_memory: ClassVar[bool] = True

    def make(self, **options: Any) -> Executor:
        """Make the executor.

        Parameters
        ----------
        **options
            ``workers``, and in one test ``timeout``, which may be refused by a `ParameterError`.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method make(**options) that gives the executor")

    def values(self, function: Callable[[Any], Any], tasks: list[Any]) -> dict[Any, Any]:
        """Run tasks that all succeed; give the value of each."""
        outcomes = run_all(self.make(workers=2), function, tasks)
        failures = [outcome.failure for outcome in outcomes if outcome.failure is not None]
        assert not failures, "a task whose function returns must have no failure"
        assert len(outcomes) == len(tasks), "each task must have exactly one outcome"
        return {outcome.task: outcome.value for outcome in outcomes}

    def failure(self, function: Callable[[Any], Any]) -> Failure:
        """Run one task that fails; give its failure."""
        (outcome,) = run_all(self.make(workers=2), function, [0])
        assert outcome.failure is not None, "a task whose function raises must have a failure"
        return outcome.failure
