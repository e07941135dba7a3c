"""The tasks of one run on a cluster of dask: sent in batches, a few ahead of the workers, and taken back at its end."""

from __future__ import annotations

import itertools
import logging
import math
import secrets
import time
from collections import deque
from collections.abc import Iterator
from typing import Self

from tilecore.errors import WorkerError
from tilecore.executors.base import LONGEST_BLOCK_SECONDS, Failure, Function, Outcome, Task
from tilecore.executors.dask.batch_length import BATCHES_AHEAD, BatchLength
from tilecore.executors.dask.batches import Batch, Done, Unopened, run_batch
from tilecore.executors.dask.checking import Question
from tilecore.executors.dask.cluster import Cluster
from tilecore.executors.dask.deaths import Deaths, OneDeath
from tilecore.executors.dask.memory_resource import MemoryResource
from tilecore.executors.dask.results import Attempt, Results
from tilecore.executors.dask.sent import Sent
from tilecore.executors.dask.shipping import Shipping
from tilecore.executors.dask.stragglers import Stragglers

__all__ = ["DaskCrew"]

_log = logging.getLogger(__name__)

# Number of times that the results of a batch may be lost before its tasks have failed.
_MOST_LOST = 5
# How often to look who is there, and whether a batch takes too long [s].
_LOOK_SECONDS = 1.0


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
    most : int or None
        Most tasks at once, however large the cluster becomes.

    Notes
    -----
    Process-safety: it is used by one thread.
    """

    def __init__(self, cluster: Cluster, function: Function, known: object, threads: int, most: int | None) -> None:
        self._cluster, self._client, self._threads = cluster, cluster.client, threads
        self._limit = most
        self._memory = MemoryResource(self._client)
        self._run = f"tilecore-{secrets.token_hex(8)}"
        self._numbers = itertools.count()
        self._waiting: deque[Task] = deque()
        self._alone: deque[Task] = deque()
        self._sent: dict[int, Sent] = {}
        self._results = Results(cluster)
        self._length = BatchLength()
        self._deaths = Deaths(self._client)
        self._stragglers = Stragglers(self._client)
        self._looked = time.monotonic()
        self._places: dict[str, int] = {}
        self._addresses: set[str] = set()
        self._is_open, self._is_known = True, False
        self._question: Question | None = None
        self._shipping = Shipping(self._client, self._run, function)
        self._shipping.pack(known)
        try:
            cluster.await_worker()
            cluster.check_versions()
            with cluster.errors_told():
                self._client.register_plugin(plugin := OneDeath(self._run, self._client.id), name=plugin.name)
                self._is_known = True
                self._function, self._known = self._shipping.function(), self._shipping.known(known)
                cluster.check(self._function, self._known)
                self._see_changes()
        except BaseException:
            self.stop()
            raise

    @property
    def workers(self) -> int:
        """Number of tasks that run at once: threads of the cluster's workers, unless there is a limit."""
        n_threads = max(self._cluster.n_threads, 1)
        return n_threads if self._limit is None else min(self._limit, n_threads)

    def tell(self, known: object) -> None:
        """Replace the run's shared value, for later tasks; while workers are busy, the run does not wait for them."""
        self._known = self._shipping.known(known)
        self._ask_no_more()
        if self._sent:
            self._question = self._cluster.ask(self._function, self._known)
        else:
            self._cluster.check(self._function, self._known)

    def reserve(self, n_bytes: int) -> None:
        """Have each task take this much of the resource ``MEM``, where workers declare it [byte]."""
        with self._cluster.errors_told():
            self._memory.reserve(n_bytes)

    def room(self) -> int:
        """Number of tasks that may be submitted: batches for all threads, and as many again unless there is a limit."""
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
            self._cluster.check_connection()
            self._look()
            self._send_all()
            if not self._sent:
                return outcomes
            left = until - time.monotonic()
            outcomes += self._outcomes(self._results.next(min(max(left, 0), LONGEST_BLOCK_SECONDS)))
            if outcomes or left <= 0:
                return outcomes

    def restrict(self, workers: int) -> None:
        """Have no more tasks run at once, also if more workers come."""
        self._limit = max(min(workers, self._limit or workers), 1)

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
                self._ask_no_more()
                if self._is_known:
                    self._client.unregister_scheduler_plugin(f"{self._run}-deaths")
        except (OSError, TimeoutError, ValueError) as error:
            _log.warning("the scheduler does not answer at the end of the run: %s", error)
        finally:
            for name in ("_function", "_known", "_shipping"):  # the cluster forgets them
                vars(self).pop(name, None)
            self._sent.clear()
            self._cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ask_no_more(self) -> None:
        if self._question is not None:
            self._question.withdraw()

    @property
    def _most_batches(self) -> int:
        """Most batches that may be open: with a limit, so many tasks may be at work, wherever dask puts them."""
        most = BATCHES_AHEAD * max(self._cluster.n_threads, 1)
        return most if self._limit is None else min(self._limit, most)

    @property
    def _most_now(self) -> int:
        """Most batches that may be open as long as it is not known which task has ended a worker.

        Each worker gets no more than it works on at once. If a worker got two all the same, as the place of another one
        was empty, the next suspect is alone in work.
        """
        alone = [sent.tasks[0] for sent in self._sent.values() if sent.is_alone]
        alone += itertools.islice(self._alone, 1)
        if any(map(self._deaths.must_be_alone, alone)):
            return 1
        return min(self.workers, self._most_batches) if alone else self._most_batches

    def _send_all(self) -> None:
        """Send what was submitted, as far as there is room."""
        while self._alone and len(self._sent) < self._most_now:
            self._send([self._alone.popleft()], is_alone=True)
        most = self._most_now
        while self._waiting and len(self._sent) < most:
            n_tasks = min(self._length.n_tasks, -(-len(self._waiting) // (most - len(self._sent))))
            self._send([self._waiting.popleft() for _ in range(n_tasks)])

    def _send(self, tasks: list[Task], *, is_alone: bool = False) -> None:
        sent = Sent(next(self._numbers), tasks, self._known, is_alone)
        self._sent[sent.number] = sent
        self._attempt(sent)

    def _attempt(self, sent: Sent, worker: str | None = None) -> None:
        """Send a batch, also a second time to another worker."""
        if not sent.copies:
            sent.at, sent.resources = time.monotonic(), self._memory.taken
        key = f"{self._run}-tiles-{sent.number}-{next(self._numbers)}"
        sent.copies[key] = self._client.submit(
            run_batch,
            Batch.of(sent.tasks, self._threads),
            self._function,
            *sent.known,
            key=key,
            pure=False,
            workers=worker,
            allow_other_workers=worker is not None,  # or it would wait for one that has left
            resources=sent.resources or None,
            fifo_timeout="0 ms",  # or dask takes what was sent within 100 ms in any order
        )
        self._results.expect(Attempt(sent, key))

    def _outcomes(self, ended: list[Attempt]) -> Iterator[Outcome]:
        """Outcomes of tasks whose batches have ended; those whose results are lost are sent again."""
        lost = []
        for attempt, result in self._results.of(ended):
            if not attempt.is_awaited:  # another attempt at the batch has just ended
                continue
            if isinstance(result, Unopened):
                raise WorkerError(result.advice)
            if isinstance(result, Done):
                yield from self._reported(attempt.sent, result)
                continue
            del attempt.sent.copies[attempt.key]
            if attempt.sent.copies:  # another attempt at it goes on
                continue
            if result is None:
                yield from self._sent_again(attempt.sent)
            else:
                del self._sent[attempt.sent.number]
                lost.append((attempt.sent, result))
        if lost:
            self._cluster.refresh()  # no worker is sent more than it can begin, until it is known who ends them
            with self._cluster.errors_told():
                outcomes, suspects = self._deaths.judged(lost)
            self._alone.extend(suspects)
            yield from outcomes

    def _reported(self, sent: Sent, result: Done) -> Iterator[Outcome]:
        del self._sent[sent.number]
        reports = result.reports
        if len(sent.copies) > 1:
            self._cancel([sent])
        sent.copies.clear()
        # Dask took these back from the worker for a moment, or the results of the others were large.
        (self._alone if sent.is_alone else self._waiting).extendleft(reversed(sent.tasks[len(reports) :]))
        if reports:
            seconds = sum(report.seconds for report in reports)
            self._length.learn(len(reports), seconds, result.n_bytes, self.workers)
            self._stragglers.learn(result.worker, len(reports), seconds)
        place = self._places.setdefault(result.worker, len(self._places))
        for task, report in zip(sent.tasks, reports, strict=False):
            yield report.outcome(task, place)

    def _sent_again(self, sent: Sent) -> list[Outcome]:
        """Send a batch again whose results were lost with their worker, unless that happens each time."""
        sent.n_lost += 1
        if sent.n_lost < _MOST_LOST:
            self._attempt(sent)
            return []
        del self._sent[sent.number]
        if len(sent.tasks) > 1:
            self._alone.extend(sent.tasks)
            return []
        reason = f"{sent.n_lost} workers died when they had done the tile, before its result could be fetched"
        return [Outcome(sent.tasks[0], None, Failure(reason), time.monotonic() - sent.at)]

    def _look(self) -> None:
        """Now and then, see who is there, and which batches need another worker."""
        now = time.monotonic()
        if now < self._looked + _LOOK_SECONDS:
            return
        self._looked = now
        self._cluster.refresh()
        if self._question is not None:
            self._question.see()
        with self._cluster.errors_told():
            self._see_changes()
            n_running = sum(len(sent.copies) for sent in self._sent.values())
            is_all_sent = len(self._sent) >= self._most_now or not (self._waiting or self._alone)
            if n_running < self.workers and is_all_sent:
                for sent, worker in self._stragglers.among(self._sent.values())[: self.workers - n_running]:
                    _log.info("batch %d takes long: %s tries it, too", sent.number, worker)
                    self._attempt(sent, worker)

    def _see_changes(self) -> None:
        """When workers have come or gone, learn of new machines, and send again what no worker can do any more."""
        addresses = set(self._client.nthreads())
        if addresses == self._addresses:
            return
        self._addresses = addresses
        self._deaths.watch(addresses)
        self._memory.look()
        stuck = [sent for sent in self._sent.values() if self._memory.is_out_of_reach(sent.resources)]
        self._cancel(stuck)
        for sent in stuck:
            self._attempt(sent)

    def _cancel(self, batches: list[Sent]) -> None:
        """Forget all attempts at some batches."""
        futures = [future for sent in batches for future in sent.copies.values()]
        for sent in batches:
            sent.copies.clear()
        if futures:
            self._client.cancel(futures, reason="tilecore", msg="the run has ended, or another attempt was faster")
