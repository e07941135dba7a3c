"""The tasks of one run on a cluster of dask: sent in batches, a few ahead of the workers, and taken back at its end."""

from __future__ import annotations

import itertools
import logging
import math
import queue
import secrets
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from tilecore.arrays.pickling import packed
from tilecore.errors import WorkerError
from tilecore.executors.base import LONGEST_BLOCK_SECONDS, Function, Outcome, Task
from tilecore.executors.dask.batch_length import BatchLength
from tilecore.executors.dask.batches import Batch, Done, Packed, Unopened, run_batch
from tilecore.executors.dask.cluster import Cluster
from tilecore.executors.dask.deaths import Deaths, OneDeath
from tilecore.executors.dask.sent import Sent
from tilecore.executors.dask.stragglers import Stragglers

if TYPE_CHECKING:
    from distributed import Future
    from distributed.scheduler import KilledWorker

__all__ = ["DaskCrew"]

_log = logging.getLogger(__name__)

# Batches that are sent for each thread of a worker: one in work, and one so that it need not wait for the next.
_BATCHES_AHEAD = 2
# Time in which all batches of a dead worker come back [s]: one after the other.
_DEATH_SECONDS = 0.1
# How often to look who is there, and whether a batch takes too long [s].
_LOOK_SECONDS = 1.0
# Time for which a run waits for the first worker, or for another one when all have gone [s].
_WORKER_PATIENCE_SECONDS = 300.0


class DaskCrew:
    """Tasks of one run on the workers of a cluster.

    Parameters
    ----------
    cluster : Cluster
        The cluster.
    function : callable
        ``function(task, known)``.
    known : object
        The run's shared value at its start.
    threads : int
        Threads that numerical libraries may use for each task.

    Notes
    -----
    Process-safety: it is used by one thread; dask's own threads put what has ended into a queue.
    """

    def __init__(self, cluster: Cluster, function: Function, known: object, threads: int) -> None:
        self._cluster, self._client, self._threads = cluster, cluster.client, threads
        self._limit: int | None = None
        self._resources: dict[str, float] | None = None
        self._run = f"tilecore-{secrets.token_hex(8)}"
        self._numbers = itertools.count()
        self._waiting: deque[Task] = deque()
        self._alone: deque[Task] = deque()
        self._sent: dict[int, Sent] = {}
        self._ended: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._length = BatchLength()
        self._deaths = Deaths(self._client)
        self._stragglers = Stragglers()
        self._looked = self._last_seen = time.monotonic()
        self._places: dict[str, int] = {}
        self._is_open = True
        content = packed(function), packed(known)
        try:
            with cluster.errors_told():
                self._client.register_plugin(OneDeath(f"{self._run}-tiles"), name=f"{self._run}-deaths")
                self._function, self._known = map(self._put, content)
                self._deaths.watch(cluster.check(self._function, self._known))
        except BaseException:
            self.stop()
            raise

    @property
    def workers(self) -> int:
        """Number of tasks that run at once: threads of the cluster's workers, unless there is a limit."""
        n_threads = max(self._cluster.n_threads, 1)
        return n_threads if self._limit is None else min(self._limit, n_threads)

    def tell(self, known: object) -> None:
        """Replace the run's shared value, for later tasks."""
        self._known = self._put(packed(known))

    def reserve(self, n_bytes: int) -> None:
        """Have each task take this much of the resource ``MEM``, where workers declare it [byte]."""
        self._resources = self._cluster.needs(n_bytes)

    def room(self) -> int:
        """Number of tasks that may be submitted: batches for all threads, and as many again."""
        n_batches = self._most_batches - len(self._sent)
        return max(n_batches, 0) * self._length.n_tasks - len(self._waiting) - len(self._alone)

    def submit(self, task: Task) -> None:
        """Take a task; `wait` sends it, with others."""
        self._waiting.append(task)

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Send what was submitted, wait for an outcome, and return all that have arrived."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        outcomes: list[Outcome] = []
        while True:
            self._look()
            self._send_all()
            if not self._sent:
                return outcomes
            left = until - time.monotonic()
            outcomes += self._outcomes(self._next_ended(min(max(left, 0), LONGEST_BLOCK_SECONDS)))
            if outcomes or left <= 0:
                return outcomes

    def restrict(self, workers: int) -> None:
        """Have fewer tasks run at once; as many as there are now is no limit, so that more workers may come."""
        if workers < self.workers:
            self._limit = max(workers, 1)

    def withdraw(self) -> int:
        """Take all tasks back: a worker ends the one that it runs, and nobody waits for it."""
        self._waiting.clear()
        self._alone.clear()
        self._cancel(list(self._sent.values()))
        self._sent.clear()
        return 0

    def stop(self) -> None:
        """Take all tasks back, and remove what the run has sent."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            if self._client.status == "running":
                self.withdraw()
                self._client.unregister_scheduler_plugin(f"{self._run}-deaths")
        except (OSError, TimeoutError, ValueError) as error:
            _log.warning("the scheduler does not answer at the end of the run: %s", error)
        finally:
            vars(self).pop("_function", None)  # the cluster forgets them
            vars(self).pop("_known", None)
            self._sent.clear()
            self._cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _put(self, content: bytes) -> Future[Packed[Any]]:
        """Have a worker keep an object; another one makes it again from the scheduler's copy if that worker dies."""
        with _large_tasks_allowed():
            return self._client.submit(
                Packed, content, key=f"{self._run}-known-{next(self._numbers)}", pure=False, priority=10
            )

    @property
    def _most_batches(self) -> int:
        return self.workers * (_BATCHES_AHEAD if self._limit is None else 1)

    def _send_all(self) -> None:
        """Send what was submitted, as far as there is room.

        As long as it is not known which task has ended a worker, each worker gets no more than it works on at once.
        """
        is_careful = bool(self._alone) or any(sent.is_alone for sent in self._sent.values())
        most = self.workers if is_careful else self._most_batches
        while self._alone and len(self._sent) < most:
            self._send([self._alone.popleft()], is_alone=True)
        while self._waiting and len(self._sent) < most:
            n_tasks = min(self._length.n_tasks, -(-len(self._waiting) // (most - len(self._sent))))
            self._send([self._waiting.popleft() for _ in range(n_tasks)])

    def _send(self, tasks: list[Task], *, is_alone: bool = False) -> None:
        sent = Sent(next(self._numbers), tasks, self._known, is_alone)
        self._sent[sent.number] = sent
        self._attempt(sent)

    def _attempt(self, sent: Sent, workers: list[str] | None = None) -> None:
        """Send a batch, also a second time to other workers."""
        key = f"{self._run}-tiles-{sent.number}-{next(self._numbers)}"
        batch = Batch.of(sent.tasks, self._threads)
        future = self._client.submit(
            run_batch,
            batch,
            self._function,
            sent.known,
            key=key,
            pure=False,
            workers=workers,
            resources=self._resources,
            fifo_timeout="0 ms",  # or dask takes what was sent within 100 ms in any order
        )
        sent.copies[key] = future
        self._await(sent, key)

    def _await(self, sent: Sent, key: str) -> None:
        """Have dask put the batch into the queue when this attempt has ended."""
        number, ended = sent.number, self._ended
        sent.copies[key].add_done_callback(lambda _: ended.put((number, key)))

    def _next_ended(self, seconds: float) -> list[tuple[Sent, str]]:
        """Batches that have ended, and the attempts by which they did, in the order in which they were sent."""
        found = []
        with suppress(queue.Empty):
            found.append(self._ended.get(timeout=seconds))
            found += self._drained()
            if any(self._is_awaited(*each) and self._sent[each[0]].copies[each[1]].status == "error" for each in found):
                time.sleep(_DEATH_SECONDS)
                found += self._drained()
        return [(self._sent[number], key) for number, key in sorted(set(found)) if self._is_awaited(number, key)]

    def _drained(self) -> list[tuple[int, str]]:
        """What is in the queue now."""
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._ended.get_nowait())
        return found

    def _is_awaited(self, number: int, key: str) -> bool:
        return number in self._sent and key in self._sent[number].copies

    def _outcomes(self, ended: list[tuple[Sent, str]]) -> Iterator[Outcome]:
        if any(sent.copies[key].status == "cancelled" for sent, key in ended):
            self._cluster.check_connection()
            raise WorkerError("the cluster was restarted, or somebody has cancelled the run's tasks")
        done = {key: sent for sent, key in ended if sent.copies[key].status == "finished"}
        with self._cluster.errors_told():
            results = self._client.gather({key: sent.copies[key] for key, sent in done.items()}) if done else {}
        for key, result in results.items():
            if done[key].number in self._sent:  # not one of which another attempt has just ended
                yield from self._reported(done[key], result)
        lost = []
        for sent, key in ended:
            if key not in done and sent.number in self._sent and (error := self._failed(sent, key)) is not None:
                lost.append((sent, error))
        if lost:
            self._cluster.refresh()  # no worker is sent more than it can begin, until it is known who ends them
        outcomes, suspects = self._deaths.judged(lost)
        self._alone.extend(suspects)
        yield from outcomes

    def _reported(self, sent: Sent, result: Done | Unopened) -> Iterator[Outcome]:
        if isinstance(result, Unopened):
            raise WorkerError(result.advice)
        del self._sent[sent.number]
        reports = result.reports
        if len(sent.copies) > 1:
            self._cancel([sent])
        self._waiting.extend(sent.tasks[len(reports) :])  # dask took it back from the worker for a moment
        if reports:
            self._length.learn(len(reports), sum(report.seconds for report in reports))
            self._stragglers.learn(len(reports), time.monotonic() - sent.at)
        place = self._places.setdefault(result.worker, len(self._places))
        for task, report in zip(sent.tasks, reports, strict=False):
            yield report.outcome(task, place)

    def _failed(self, sent: Sent, key: str) -> KilledWorker | None:
        """Why a batch whose attempt has failed as a whole is lost; None if it is not."""
        from distributed.scheduler import KilledWorker

        if sent.copies[key].status != "error":  # its result was lost with a worker, and is made again
            self._await(sent, key)
            return None
        error = sent.copies.pop(key).exception()
        if not isinstance(error, KilledWorker):
            raise WorkerError(f"a worker cannot run tiles: {error}") from error
        if sent.copies:  # another attempt at it goes on
            return None
        del self._sent[sent.number]
        return error

    def _look(self) -> None:
        """Now and then, see who is there, and whether a batch takes so long that another worker should try it."""
        now = time.monotonic()
        if now < self._looked + _LOOK_SECONDS:
            return
        self._looked = now
        self._cluster.check_connection()
        self._cluster.refresh()
        if self._cluster.n_threads:
            self._last_seen = now
        elif now > self._last_seen + _WORKER_PATIENCE_SECONDS:
            raise WorkerError(f"{self._cluster} has had no worker for {_WORKER_PATIENCE_SECONDS:.0f} s")
        n_running = sum(len(sent.copies) for sent in self._sent.values())
        if n_running < self.workers and not (self._waiting or self._alone):
            for sent in self._stragglers.among(self._sent.values()):
                if others := self._cluster.others_than(sent.copies):
                    _log.info("batch %d takes long: another worker tries it, too", sent.number)
                    self._attempt(sent, others)

    def _cancel(self, batches: list[Sent]) -> None:
        futures = [future for sent in batches for future in sent.copies.values()]
        if futures:
            self._client.cancel(futures, reason="tilecore", msg="the run has ended, or another attempt was faster")


@contextmanager
def _large_tasks_allowed() -> Iterator[None]:
    """Let dask send megabytes with a task without a warning: they are sent once."""
    import dask

    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GiB"}):
        yield
