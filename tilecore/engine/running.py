"""A run: tasks handed to an executor, tried again where they fail, accounted for to the last."""

from __future__ import annotations

import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from tilecore.engine.events import Observer, RunEnded, RunStarted, TileDone, TileFailed, TileRetried
from tilecore.errors import TilecoreError, TileError, TileFailure
from tilecore.executors.base import Executor, Failure, Outcome

__all__ = ["OnError", "Plan", "Result", "Run"]

#: What to do when a tile has failed for good: end the run, or finish the other tiles first.
OnError: TypeAlias = Literal["raise", "finish"]


# A tile that does not fit after so many halvings is not too large, but wrong.
_MOST_CUTS = 8


def _same(task: Any) -> Any:
    return task


def _indivisible(_: Any) -> list[Any]:
    return []


@dataclass(frozen=True)
class Plan:
    """What a run has to do, and how its tasks are handled.

    Attributes
    ----------
    tasks : iterable
        The tasks, hashable; taken one by one as there is room for them.
    tile_of : callable
        The tile of a task, for messages and events.
    n_tiles, n_done, n_voxels : int
        As of `RunStarted`.
    prepare : callable
        Gives the task in the form that is sent, or None if it has to wait for another to end.
    finish : callable
        Called after each attempt with the task in the form that was sent; gives the task again.
    split : callable
        Cuts a task that does not fit into memory into smaller ones; none if it cannot be cut.
    """

    tasks: Iterable[Any]
    tile_of: Callable[[Any], Any]
    n_tiles: int
    n_done: int = 0
    n_voxels: int = 0
    prepare: Callable[[Any], Any] = _same
    finish: Callable[[Any], Any] = _same
    split: Callable[[Any], list[Any]] = _indivisible


class Result(NamedTuple):
    """What a task gave.

    Attributes
    ----------
    task : object
    value : object
        What the job returned.
    finished : bool
        Whether the task's tile is done with it; not so for a part of a tile, but the last.
    """

    task: Any
    value: Any
    finished: bool


class Run:
    """One execution of a plan.

    Parameters
    ----------
    plan : Plan
    executor : Executor
        Started with the job.
    retries : int
        How often a tile is tried again after an attempt has failed.
    on_error : {"raise", "finish"}
    announce : callable, optional
        Is told every event.
    """

    def __init__(
        self,
        plan: Plan,
        executor: Executor,
        *,
        retries: int = 2,
        on_error: OnError = "raise",
        announce: Observer | None,
    ) -> None:
        self._plan, self._executor = plan, executor
        self._retries, self._on_error, self._announce = retries, on_error, announce
        self._source = iter(plan.tasks)
        self._again: deque[Any] = deque()
        self._attempts: Counter[Any] = Counter()
        self._parts_left: dict[int, int] = {}
        self._n_cuts: Counter[int] = Counter()
        self._failures: list[TileFailure] = []
        self._n_done = 0
        self._kills_before = _out_of_memory_kills()

    def results(self) -> Iterator[Result]:
        """Yield each result as it is there; raise what failed.

        Raises
        ------
        TileError
            If tiles failed for good: the first one at once, or all of them at the end.
        WorkerError
            If workers cannot be had.
        """
        start = time.monotonic()
        plan = self._plan
        self._tell(RunStarted, plan.n_tiles, plan.n_done, plan.n_voxels, self._executor.workers)
        try:
            yield from self._work(self._executor)
        finally:
            complete = plan.n_done + self._n_done == plan.n_tiles
            self._tell(RunEnded, time.monotonic() - start, self._n_done, len(self._failures), complete)
        if self._failures:
            raise TileError(self._failures)

    def _work(self, executor: Executor) -> Iterator[Result]:
        n_open = 0
        while n_open := n_open + self._submit(executor):
            for outcome in executor.wait():
                n_open -= 1
                task = self._plan.finish(outcome.task)
                if outcome.failure is None:
                    finished = self._finishes_tile(task)
                    yield Result(task, outcome.value, finished)
                    if finished:
                        self._succeed(task, outcome)
                else:
                    self._fail(executor, task, outcome.failure)

    def _submit(self, executor: Executor) -> int:
        """Submit as many tasks as there is room for; return how many."""
        n_submitted = 0
        for _ in range(executor.room()):
            task = self._again.popleft() if self._again else next(self._source, None)
            if task is None:
                break
            ready = self._plan.prepare(task)
            if ready is None:
                self._again.appendleft(task)
                break
            executor.submit(ready)
            n_submitted += 1
        return n_submitted

    def _succeed(self, task: Any, outcome: Outcome) -> None:
        self._n_done += 1
        if self._announce is not None:
            self._announce(TileDone(self._plan.tile_of(task), outcome.seconds, outcome.worker))

    def _finishes_tile(self, task: Any) -> bool:
        """Whether a task is the last part of its tile, or all of it."""
        if not self._parts_left or (number := self._number(task)) not in self._parts_left:
            return True
        self._parts_left[number] -= 1
        if self._parts_left[number]:
            return False
        del self._parts_left[number]
        return True

    def _fail(self, executor: Executor, task: Any, failure: Failure) -> None:
        self._attempts[task] += 1
        tile = self._plan.tile_of(task)
        record = TileFailure(tile, failure.reason, self._attempts[task], failure.exitcode, failure.traceback)
        if self._cut(executor, task, failure):
            pass
        elif self._attempts[task] <= self._retries and not isinstance(failure.exception, TilecoreError):
            self._again.appendleft(task)  # before new ones: others may wait for this one
        else:
            self._give_up(record, failure)
            return
        self._tell(TileRetried, tile, record)

    def _give_up(self, record: TileFailure, failure: Failure) -> None:
        self._failures.append(record)
        self._tell(TileFailed, record.tile, record)
        if self._on_error == "raise":
            raise TileError(self._failures) from failure.exception

    def _cut(self, executor: Executor, task: Any, failure: Failure) -> bool:
        """If an attempt failed for want of memory, run fewer tasks at once, and cut this one in two."""
        if not self._lacked_memory(task, failure):
            return False
        executor.restrict(executor.workers // 2)
        number = self._number(task)
        if not (parts := self._split(number, task)):
            return False
        # Other parts of the tile are as large as this one was: cut them before they fail too.
        others = [other for other in self._again if self._number(other) == number]
        for other in others:
            self._again.remove(other)
            parts += self._split(number, other) or [other]
        self._parts_left[number] = self._parts_left.get(number, 1) - 1 - len(others) + len(parts)
        self._n_cuts[number] += 1
        self._again.extendleft(reversed(parts))
        return True

    def _number(self, task: Any) -> int:
        return int(self._plan.tile_of(task).number)

    def _split(self, number: int, task: Any) -> list[Any]:
        return self._plan.split(task) if self._n_cuts[number] < _MOST_CUTS else []

    def _lacked_memory(self, task: Any, failure: Failure) -> bool:
        if isinstance(failure.exception, MemoryError) and not isinstance(failure.exception, TilecoreError):
            return True
        if failure.exitcode != -signal.SIGKILL or failure.timed_out:
            return False
        # Killed by somebody. By the kernel, if it says so; else believe it the second time.
        return _out_of_memory_kills() > self._kills_before or self._attempts[task] > 1

    def _tell(self, kind: Any, *details: Any) -> None:
        if self._announce is not None:
            self._announce(kind(*details))


def _out_of_memory_kills() -> int:
    """How often the kernel has killed for want of memory since it started."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
