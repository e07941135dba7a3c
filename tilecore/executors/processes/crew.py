"""Crew of worker processes of one run: started, given tasks, watched, killed and replaced."""

from __future__ import annotations

import logging
import math
import os
import time
import weakref
from collections import deque
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, Self

from tilecore.arrays.pickling import Parcel
from tilecore.errors import WorkerError
from tilecore.executors.base import LONGEST_BLOCK_SECONDS, Outcome, Task
from tilecore.executors.processes.interrupts import interrupts_deferred
from tilecore.executors.processes.launcher import Launcher
from tilecore.executors.processes.messages import Job
from tilecore.executors.processes.worker_handle import SupervisedWorker
from tilecore.machine import free_descriptors

__all__ = ["CrewOptions", "ProcessCrew"]

_log = logging.getLogger(__name__)

# Length of a batch of short tasks [s]: a message costs 0.1 ms on both sides.
_BATCH_SECONDS = 0.01
_LARGEST_BATCH = 256

# Number of workers in a row that may die before they are ready; then workers are thought unable to start.
_FALSE_STARTS = 3
# Number of deaths that a run allows: for each task that succeeded, and in addition.
_DEATHS_PER_SUCCESS = 2
_DEATHS_ALLOWED = 100

# Number of files that a run, and each of its workers, keeps open or opens while starting.
_FILES, _FILES_PER_WORKER = 16, 8

# Longest time for an idle worker to end by itself [s].
_GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class CrewOptions:
    """Options of worker processes: how they start, and their limits.

    Attributes
    ----------
    start_method : {"forkserver", "spawn", "fork"}
        How processes start.
    threads : int
        Threads that numerical libraries may use in each process.
    timeout : float or None
        Seconds a task may take before its worker is killed.
    max_tasks : float
        Tasks a worker may run before it is replaced.
    start_timeout : float
        Seconds a worker may take to start and to open the job.
    """

    start_method: str
    threads: int
    timeout: float | None
    max_tasks: float
    start_timeout: float


class ProcessCrew:
    """Worker processes of one run.

    Parameters
    ----------
    job : Job
        The function, and the run's shared value at its start.
    workers : int
        Number of processes.
    options : CrewOptions
        How processes start, and their limits.

    Notes
    -----
    Each worker has its own channel, and workers share no lock and no queue, so that none
    can be left locked or half written. A worker's death is seen at once. Workers end with
    this process, however it ends.
    """

    def __init__(self, job: Job, workers: int, options: CrewOptions) -> None:
        self.workers, self._options = workers, options
        self._live: list[SupervisedWorker] = []
        self._waiting: deque[Any] = deque()
        self._known: tuple[int, Parcel[Any] | None] = (0, None)  # number of the version, and the value
        self._seconds: float | None = None
        self._n_successes = self._n_deaths = self._n_false_starts = 0
        self._finalizer = weakref.finalize(self, _kill_all, self._live, os.getpid())
        self._launcher: Launcher | None = None
        _require_files(workers)
        try:
            with interrupts_deferred():  # nobody could close files that are half open
                self._launcher = Launcher(job, workers, start_method=options.start_method, threads=options.threads)
            for place in range(workers):
                self._launch(place)
        except BaseException:
            self.stop()
            raise

    def tell(self, known: object) -> None:
        """Replace the run's shared value; workers get the new value with their next tasks."""
        self._known = (self._known[0] + 1, Parcel(known))

    def room(self) -> int:
        """Number of tasks that would keep every worker busy until its next report."""
        n_held = len(self._waiting) + sum(len(worker.tasks) for worker in self._live)
        return self.workers * self._depth() - n_held

    def submit(self, task: Task) -> None:
        """Accept a task; it is sent in the next `wait`."""
        self._waiting.append(task)

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Wait for outcomes, and watch the workers meanwhile."""
        if not self._is_busy():
            return []
        until = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            self._send()
            outcomes = self._listen(until)
            if outcomes or time.monotonic() >= until or not self._is_busy():
                return outcomes

    def restrict(self, workers: int) -> None:
        """Keep at most `workers` processes; the others finish the tasks that they run."""
        self.workers = max(1, min(workers, self.workers))

    def withdraw(self) -> int:
        """Drop the waiting tasks; no outcome is still to come, as `stop` kills busy workers."""
        self._waiting.clear()
        return 0

    def stop(self) -> None:
        """End all workers now, busy or not, and all processes that they started."""
        with interrupts_deferred():
            self._end_workers()
            self._waiting.clear()
            if self._launcher is not None:
                self._launcher.close()
                self._launcher = None
            self._finalizer.detach()  # Python swallows a Ctrl-C that comes while it deletes a crew

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _is_busy(self) -> bool:
        return bool(self._waiting) or any(worker.tasks for worker in self._live)

    def _depth(self) -> int:
        """Number of tasks that a worker should hold: one, unless tasks are much shorter than a message."""
        if self._seconds is None or self._seconds > _BATCH_SECONDS / 2:
            return 1
        return 2 * min(_LARGEST_BATCH, math.ceil(_BATCH_SECONDS / max(self._seconds, 1e-6)))

    def _launch(self, place: int) -> None:
        if self._launcher is None:
            raise RuntimeError("the crew is stopped")
        _require_files(1)
        with interrupts_deferred():  # nobody could end a worker that is half started
            self._live.append(self._launcher.launch(place, self._live))

    def _send(self) -> None:
        depth = self._depth()
        for worker in sorted(self._live, key=lambda each: len(each.tasks)):
            n_held = len(worker.tasks)
            if not worker.ready or n_held > depth // 2 or worker.place >= self.workers:
                continue
            n_tasks = min(depth - n_held, len(self._waiting), self._lifetime(worker))
            if n_tasks > 0:
                worker.assign([self._waiting.popleft() for _ in range(int(n_tasks))], *self._known)

    def _lifetime(self, worker: SupervisedWorker) -> float:
        """Number of tasks that a worker may still get before it is replaced."""
        return 0 if worker.is_bloated else self._options.max_tasks - worker.n_done - len(worker.tasks)

    def _listen(self, until: float) -> list[Outcome]:
        """Wait until a worker reports, dies or is late; return the outcomes."""
        seconds = min(min(until, self._next_deadline()) - time.monotonic(), LONGEST_BLOCK_SECONDS)
        signals = [signal for worker in self._live for signal in worker.signals()]
        ready = {id(signal) for signal in connection.wait(signals, max(seconds, 0))}
        return [outcome for worker in list(self._live) for outcome in self._look_after(worker, ready)]

    def _look_after(self, worker: SupervisedWorker, ready: set[int]) -> list[Outcome]:
        """Read a worker's messages; remove the worker if it is dead, late or no longer needed."""
        message, death = worker.signals()
        outcomes: list[Outcome] = []
        # A worker that seems late may have finished in time while this process could not listen.
        if id(message) in ready or self._overdue(worker) is not None:
            outcomes += self._hear(worker)
        if id(death) in ready and worker.is_dead():
            return outcomes + self._bury(worker, None)
        if (why := worker.loss or self._overdue(worker)) is not None:
            worker.kill()
            return outcomes + self._bury(worker, why)
        if worker.ready and not worker.tasks and (worker.place >= self.workers or self._lifetime(worker) <= 0):
            self._retire(worker)
        return outcomes

    def _hear(self, worker: SupervisedWorker) -> list[Outcome]:
        hello, outcomes = worker.messages()
        if hello is not None and hello.failure is not None:
            raise WorkerError(f"workers cannot load the function: {hello.failure.reason}\n{hello.failure.traceback}")
        if outcomes:
            mean = sum(outcome.seconds for outcome in outcomes) / len(outcomes)
            self._seconds = mean if self._seconds is None else 0.7 * self._seconds + 0.3 * mean
            self._n_successes += len(outcomes)
        if worker.ready:
            self._n_false_starts = 0
        return outcomes

    def _retire(self, worker: SupervisedWorker) -> None:
        """End an idle worker, and start a fresh one in its place."""
        worker.dismiss()
        worker.join(_GRACE_SECONDS)
        self._forget(worker)
        if worker.place < self.workers:
            self._launch(worker.place)

    def _forget(self, worker: SupervisedWorker) -> None:
        with interrupts_deferred():  # it stays in the list until it is fully closed
            worker.reap()
            self._live.remove(worker)

    def _bury(self, worker: SupervisedWorker, why: str | None) -> list[Outcome]:
        """Remove a dead worker: its running task failed, its other tasks wait again, and a new worker starts."""
        failure = worker.death(why)
        outcomes = self._hear(worker)
        held, n_begun, since = list(worker.tasks), worker.begun(), worker.begun_since()
        self._forget(worker)
        # Tasks that began before the last one are done, but their results were lost with the worker.
        culprit = held.pop(n_begun - 1) if n_begun > 0 else None
        self._waiting.extendleft(reversed(held))
        _log.warning("worker %d: %s", worker.place, failure.reason)
        self._count_death(worker, failure.reason + "\n" + failure.traceback)
        if worker.place < self.workers:
            self._launch(worker.place)
        if n_begun > 0:
            seconds = 0.0 if since is None else time.monotonic() - since
            outcomes.append(Outcome(culprit, None, failure, seconds, worker.place))
        return outcomes

    def _count_death(self, worker: SupervisedWorker, reason: str) -> None:
        self._n_deaths += 1
        self._n_false_starts += not worker.ready
        if self._n_false_starts >= _FALSE_STARTS:
            raise WorkerError(f"worker processes do not start: {reason}")
        if self._n_deaths > _DEATHS_ALLOWED + _DEATHS_PER_SUCCESS * self._n_successes:
            raise WorkerError(f"workers die too often, {self._n_deaths} times so far; the last: {reason}")

    def _overdue(self, worker: SupervisedWorker) -> str | None:
        """Reason why a late worker must be killed; None if it is not late."""
        if not worker.ready:
            if time.monotonic() - worker.started > self._options.start_timeout:
                return f"the worker was not ready after {self._options.start_timeout:g} s"
        elif self._options.timeout is not None:
            since = worker.begun_since()
            if since is not None and time.monotonic() - since > self._options.timeout:
                return f"it took longer than timeout={self._options.timeout:g} s"
        return None

    def _next_deadline(self) -> float:
        deadlines = [worker.started + self._options.start_timeout for worker in self._live if not worker.ready]
        if self._options.timeout is not None:
            now = time.monotonic()
            busy = (worker for worker in self._live if worker.ready and worker.tasks)
            deadlines += [(worker.begun_since() or now) + self._options.timeout for worker in busy]
        return min(deadlines, default=math.inf) + 0.001

    def _end_workers(self) -> None:
        for worker in self._live:
            if worker.tasks or not worker.ready:
                worker.kill()
            else:
                worker.dismiss()
        deadline = time.monotonic() + _GRACE_SECONDS
        for worker in self._live:
            worker.join(deadline - time.monotonic())
            worker.kill()
            worker.reap()
        self._live.clear()


def _require_files(n_workers: int) -> None:
    """Refuse to start workers if this process may not open enough files.

    A start that fails half way would leave some of multiprocessing's files open.
    """
    needed, free = _FILES + _FILES_PER_WORKER * n_workers, free_descriptors()
    if free < needed:
        raise WorkerError(
            f"{n_workers} workers need {needed} more open files and {max(free, 0)} are allowed: "
            "raise the limit (ulimit -n) or use fewer workers"
        )


def _kill_all(workers: list[SupervisedWorker], owner: int) -> None:
    """Kill the workers that still run when a crew is deleted or the interpreter ends."""
    if os.getpid() == owner:  # a forked child inherits this finalizer, but not the workers
        for worker in workers:
            worker.kill()
            worker.reap()
        workers.clear()
