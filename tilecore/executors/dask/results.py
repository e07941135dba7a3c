"""Results of batches: fetched when an attempt has ended, a limited number of bytes at a time."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from tilecore.errors import WorkerError
from tilecore.executors.dask.batches import Done, Unopened
from tilecore.executors.dask.cluster import Cluster
from tilecore.executors.dask.sent import Sent

if TYPE_CHECKING:
    from distributed import Future
    from distributed.scheduler import KilledWorker

__all__ = ["Attempt", "Results"]

# Bytes of results that are fetched at once: they go through the scheduler, and the caller's memory holds them.
_MOST_BYTES = 32 * 2**20
# Time in which all batches of a dead worker come back [s]: one after the other.
_DEATH_SECONDS = 0.1
# Time in which a client hears of a restart, after that its tasks were cancelled by it [s].
_REASON_SECONDS = 0.2


class Attempt(NamedTuple):
    """An attempt at a batch.

    Attributes
    ----------
    sent : Sent
        The batch.
    key : str
        Key of the attempt.
    """

    sent: Sent
    key: str

    @property
    def future(self) -> Future[Done | Unopened]:
        """What dask knows of it."""
        return self.sent.copies[self.key]

    @property
    def is_awaited(self) -> bool:
        """Whether its result is still of use."""
        return self.key in self.sent.copies


class Results:
    """Attempts that have ended, and their results.

    Parameters
    ----------
    cluster : Cluster
        The cluster.

    Notes
    -----
    Process-safety: it is used by one thread; dask's own threads put what has ended into a queue.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._client = cluster, cluster.client
        self._ended: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        self._later: list[Attempt] = []
        self._n_restarts = self._client.generation

    def expect(self, attempt: Attempt) -> None:
        """Have dask put an attempt into the queue when it has ended."""
        ended = self._ended
        attempt.future.add_done_callback(lambda _: ended.put(attempt))

    def next(self, seconds: float) -> list[Attempt]:
        """Attempts that have ended, in the order in which their batches were sent.

        Of those that have results, as many as may be fetched at once; the others come with the next call.
        """
        found, self._later = self._later, []
        with suppress(queue.Empty):
            found.append(self._ended.get(timeout=0 if found else seconds))
        found += self._drained()
        if any(each.is_awaited and each.future.status == "error" for each in found):
            time.sleep(_DEATH_SECONDS)
            found += self._drained()
        awaited = {(each.sent.number, each.key): each for each in found if each.is_awaited}
        return self._first([awaited[order] for order in sorted(awaited)])

    def of(self, attempts: list[Attempt]) -> Iterator[tuple[Attempt, Done | Unopened | KilledWorker | None]]:
        """Fetch what attempts have given: each with its result, or the death of its worker, or None if it is lost.

        Raises
        ------
        WorkerError
            If the scheduler is gone, or the run's tasks were cancelled, or cannot be run.
        """
        from distributed.scheduler import KilledWorker

        errors: dict[str, KilledWorker] = {}
        for each in attempts:
            if each.future.status == "cancelled":
                raise self._cancelled(each.future)
            if each.future.status == "error":
                error = each.future.exception()
                if not isinstance(error, KilledWorker):
                    raise WorkerError(f"a worker cannot run tiles: {error}") from error
                errors[each.key] = error
        results = self._fetched([each.key for each in attempts if each.key not in errors])
        for each in attempts:
            yield each, errors.get(each.key) or results.pop(each.key, None)

    def _fetched(self, keys: list[str]) -> dict[str, Done | Unopened]:
        """Results by their keys, as far as the workers that have them are there.

        Dask's own ``gather`` would wait until what is lost was made again, and raise what went wrong meanwhile.
        """
        if (scheduler := self._client.scheduler) is None:
            raise self._cluster.gone()
        with self._cluster.errors_told():
            while keys:
                answer = self._client.sync(scheduler.gather, keys=keys)
                if answer["status"] == "OK":
                    found: dict[str, Done | Unopened] = answer["data"]
                    return found
                keys = [key for key in keys if key not in answer["keys"]]
        return {}

    def _first(self, attempts: list[Attempt]) -> list[Attempt]:
        """The first attempts, as far as their results may be fetched at once; all that have none."""
        sizes = self._sizes([each.key for each in attempts if each.future.status == "finished"])
        first: list[Attempt] = []
        n_bytes = 0
        for each in attempts:
            n_bytes += sizes.get(each.key, 0)
            (self._later if each.key in sizes and first and n_bytes > _MOST_BYTES else first).append(each)
        return first

    def _sizes(self, keys: list[str]) -> dict[str, int]:
        """Sizes of several results, by their keys [byte]; none if the scheduler does not know them all."""
        if len(keys) < 2:
            return {}
        try:
            with self._cluster.errors_told():
                sizes: dict[str, int] = self._client.nbytes(keys, summary=False)
        except KeyError:  # it has forgotten one: the run's tasks were cancelled
            return {}
        return sizes

    def _drained(self) -> Iterable[Attempt]:
        """What is in the queue now."""
        with suppress(queue.Empty):
            while True:
                yield self._ended.get_nowait()

    def _cancelled(self, future: Future[Done | Unopened]) -> WorkerError:
        """Why dask has cancelled a task which the run has not."""
        from distributed.client import FutureCancelledError

        reason, more = "unknown", None
        time.sleep(_REASON_SECONDS)
        try:
            future.result()
        except FutureCancelledError as error:
            reason, more = error.reason, error.msg
        if reason == "scheduler-connection-lost":
            return self._cluster.gone()
        if reason == "scheduler-restart" or self._client.generation != self._n_restarts:
            return WorkerError(f"{self._cluster} was restarted, which ends all that runs on it: begin the run again")
        told = f"{reason}: {more}" if more else reason
        return WorkerError(f"somebody has cancelled the run's tasks on {self._cluster} ({told})")
