"""Loop over the tasks of a run: submits them to workers, tries failed ones again, and counts all of them."""

from __future__ import annotations

import secrets
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

from tilecore.engine.cancelling import POLL_SECONDS, Cancel, last_outcomes
from tilecore.engine.events import Event, Observer, RunEnded, RunStarted, RunWaits, TileDone, TileFailed, TileRetried
from tilecore.engine.tasks import Result, Tasks
from tilecore.errors import RunCancelledError, TilecoreError, TileError, TileFailure
from tilecore.executors.attempts import failure_of
from tilecore.executors.base import Crew, Failure, Outcome, Task
from tilecore.machine import out_of_memory_kills

__all__ = ["OnError", "TaskLoop"]

#: How to go on after a tile has failed in all attempts: end the run, or finish the other tiles first.
OnError: TypeAlias = Literal["raise", "finish"]

# Longest time without an event for observers [s].
_SILENCE_SECONDS = 10.0

# Largest number of times that a tile is halved if it does not fit into memory; then it counts as failed.
_MOST_CUTS = 8


class TaskLoop:
    """Submits tasks to the workers of a run until all are done.

    Parameters
    ----------
    tasks : Tasks
        The tasks.
    crew : Crew
        The workers.
    retries : int
        Number of further attempts at a tile after a failure.
    on_error : {"raise", "finish"}
        How to go on after a tile has failed in all attempts.
    announce : callable, optional
        Function that gets every event.
    cancel : Cancel, optional
        Event that ends the run once it is set.
    """

    def __init__(
        self,
        tasks: Tasks,
        crew: Crew,
        *,
        retries: int,
        on_error: OnError = "raise",
        announce: Observer | None,
        cancel: Cancel | None = None,
    ) -> None:
        self._tasks, self._crew, self._cancel = tasks, crew, cancel
        self._retries, self._on_error, self._announce = retries, on_error, announce
        self._source = iter(tasks.tasks)
        self._again: deque[Any] = deque()
        self._attempts: Counter[Any] = Counter()
        self._parts_left: dict[int, int] = {}
        self._n_cuts: Counter[int] = Counter()
        self._failures: list[TileFailure] = []
        self._n_done = 0
        self._n_sent, self._most_at_once = 0, tasks.most_at_once
        self._n_bytes = (0, 0)  # read and written
        self._kills_before = out_of_memory_kills()
        self._run = secrets.token_hex(8)
        self._told = 0.0  # time of the last event, by the monotonic clock

    def results(self) -> Iterator[Result]:
        """Yield each result when it is ready; raise an error for failed tiles.

        Raises
        ------
        TileError
            If tiles failed in all attempts: for the first one at once, or for all at the end.
        RunCancelledError
            If the run was cancelled before all tiles were done.
        WorkerError
            If workers cannot be started, or die too often.
        """
        start, tasks, grid, cancelled = time.monotonic(), self._tasks, self._tasks.grid, False
        counts = (tasks.total, tasks.n_done, grid.volume.size, self._most_at_once or self._crew.workers)
        self._tell(RunStarted, *counts, grid=grid, name=tasks.name)
        try:
            yield from self._work()
        except RunCancelledError:
            cancelled = True
            raise
        finally:
            seconds = time.monotonic() - start
            ended = (seconds, self._n_done, len(self._failures), self._n_finished == tasks.total)
            n_bytes = {"bytes_read": self._n_bytes[0], "bytes_written": self._n_bytes[1]}
            self._tell(RunEnded, *ended, cancelled=cancelled, **n_bytes, **tasks.summary(seconds))
        if self._failures:
            raise TileError(self._failures)

    def _work(self) -> Iterator[Result]:
        n_open = 0
        while not self._is_cancelled() and (n_open := n_open + self._submit()):
            for outcome in self._wait():
                n_open -= 1
                try:
                    yield from self._result(outcome)
                finally:
                    # A failure's exception refers to this frame: together they would keep all files open for a while.
                    del outcome
                if self._is_cancelled():  # later outcomes are dropped: a slow caller must not delay the end
                    break
        if self._again and not self._failures and not self._is_cancelled():
            raise RuntimeError(f"{len(self._again)} tiles wait for what nobody does")
        if self._is_cancelled():
            for outcome in last_outcomes(self._crew):
                yield from self._result(outcome)
            n_tiles = self._tasks.total
            raise RunCancelledError(f"the run was cancelled; {self._n_finished} of {n_tiles} tiles are done")

    def _wait(self) -> list[Outcome]:
        """Wait for outcomes, but not so long that observers or a cancelled run would have to wait."""
        silence = None if self._announce is None else _SILENCE_SECONDS
        outcomes = self._crew.wait(silence if self._cancel is None else POLL_SECONDS)
        try:
            if not outcomes and time.monotonic() >= self._told + _SILENCE_SECONDS:
                self._tell(RunWaits)
            return outcomes
        finally:
            del outcomes  # as in `_work`

    def _is_cancelled(self) -> bool:
        """Whether the run was cancelled before all tiles were done."""
        if self._cancel is None or not self._cancel.is_set():
            return False
        n_failed = len({failure.tile.number for failure in self._failures})  # several parts of one tile may fail
        return self._n_finished + n_failed < self._tasks.total

    @property
    def _n_finished(self) -> int:
        """Number of tiles that are done, those of an earlier run included."""
        return self._tasks.n_done + self._n_done

    def _result(self, outcome: Outcome) -> Iterator[Result]:
        """Yield the result of an attempt if it succeeded."""
        task = self._tasks.finish(outcome)
        if task is None:
            return
        self._n_sent -= 1
        if outcome.failure is not None:
            self._fail(task, outcome.failure, outcome)
            return
        finished = self._finishes_tile(task)
        yield Result(task, outcome.value, finished)
        if finished:
            self._succeed(task, outcome)

    def _submit(self) -> int:
        """Submit as many tasks as there is room for; return their number."""
        n_submitted, room = 0, self._crew.room()
        n_ahead = room + 2 * self._crew.workers if self._tasks.looks_ahead else 0
        waiting: list[Any] = []
        prepare = self._tasks.prepare
        while n_submitted < room and len(waiting) <= n_ahead and (task := self._next()) is not None:
            if prepare is None:
                self._crew.submit(task)
                self._n_sent += 1
                n_submitted += 1
                continue
            try:
                has_room = self._has_room
                preparation = prepare(task, is_due=has_room and not waiting, has_room=has_room)
            except Exception as error:  # what it needs cannot be read
                self._fail(task, failure_of(error), Outcome(task))
                continue
            for before in preparation.before:
                self._crew.submit(before)
                n_submitted += 1
            if preparation.ready is None:
                waiting.append(task)
            else:
                self._crew.submit(preparation.ready)
                self._n_sent += 1
                n_submitted += 1
        self._again.extendleft(reversed(waiting))
        return n_submitted

    @property
    def _has_room(self) -> bool:
        """Whether one more task may be sent, as far as the tasks' own limit goes."""
        return self._most_at_once is None or self._n_sent < self._most_at_once

    def _next(self) -> Task | None:
        return self._again.popleft() if self._again else next(self._source, None)

    def _succeed(self, task: Task, outcome: Outcome) -> None:
        self._n_done += 1
        if self._tasks.end is not None:
            self._tasks.end(self._number(task))
        if self._announce is not None:
            tile = self._tasks.tile_of(task)
            if tile.number in self._n_cuts:  # the task was the last part of the tile
                tile = self._tasks.grid[tile.number]
            n_read, n_written = self._tasks.bytes_of(tile)
            self._n_bytes = self._n_bytes[0] + n_read, self._n_bytes[1] + n_written
            self._tell(
                TileDone,
                tile,
                outcome.seconds,
                outcome.worker,
                peak_bytes=outcome.peak_bytes,
                bytes_read=n_read,
                bytes_written=n_written,
            )

    def _finishes_tile(self, task: Task) -> bool:
        """Whether a task is a whole tile, or the last part of one."""
        if not self._parts_left or (number := self._number(task)) not in self._parts_left:
            return True
        self._parts_left[number] -= 1
        if self._parts_left[number]:
            return False
        del self._parts_left[number]
        return True

    def _fail(self, task: Task, failure: Failure, outcome: Outcome) -> None:
        self._attempts[task] += 1
        tile = self._tasks.tile_of(task)
        record = TileFailure(tile, failure.reason, self._attempts[task], failure.exitcode, failure.traceback)
        attempt = {"seconds": outcome.seconds, "worker": outcome.worker, "peak_bytes": outcome.peak_bytes}
        if self._cut(task, failure):
            pass
        elif self._attempts[task] <= self._retries and not isinstance(failure.exception, TilecoreError):
            self._again.appendleft(task)  # before new tasks: others may wait for this one
        else:
            self._failures.append(record)
            if self._tasks.end is not None:
                self._tasks.end(tile.number)
            self._tell(TileFailed, tile, record, **attempt)
            if self._on_error == "raise":
                raise TileError(self._failures) from failure.exception
            return
        self._tell(TileRetried, tile, record, **attempt)

    def _cut(self, task: Task, failure: Failure) -> bool:
        """If an attempt failed because memory ran out, run fewer tasks at once and cut this one in two."""
        if not self._lacked_memory(task, failure):
            return False
        self._crew.restrict(self._crew.workers // 2)
        if self._most_at_once is not None:
            self._most_at_once = max(self._most_at_once // 2, 1)
        number = self._number(task)
        if not (parts := self._split(number, task)):
            return False
        # Other parts of the tile are as large as this one: they are cut before they fail, too.
        others = [other for other in self._again if self._number(other) == number]
        for other in others:
            self._again.remove(other)
            parts += self._split(number, other) or [other]
        self._parts_left[number] = self._parts_left.get(number, 1) - 1 - len(others) + len(parts)
        self._n_cuts[number] += 1
        self._again.extendleft(reversed(parts))
        return True

    def _number(self, task: Task) -> int:
        return int(self._tasks.tile_of(task).number)

    def _split(self, number: int, task: Task) -> list[Any]:
        return self._tasks.split(task) if self._n_cuts[number] < _MOST_CUTS else []

    def _lacked_memory(self, task: Task, failure: Failure) -> bool:
        if isinstance(failure.exception, MemoryError) and not isinstance(failure.exception, TilecoreError):
            return True
        if failure.exitcode != -signal.SIGKILL or failure.timed_out:
            return False
        # The process was killed. It counts as out of memory if the kernel says so, or if it happens twice.
        return out_of_memory_kills() > self._kills_before or self._attempts[task] > 1

    def _tell(self, kind: Callable[..., Event], *details: object, **more: object) -> None:
        if self._announce is not None:
            self._told = time.monotonic()
            self._announce(kind(*details, run=self._run, **more))
