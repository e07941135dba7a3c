"""Stragglers: batches that take much longer than others, so that another worker should try them, too."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from tilecore.executors.dask.sent import Sent

if TYPE_CHECKING:
    from distributed import Client
    from distributed.scheduler import Scheduler, WorkerState

__all__ = ["Stragglers"]

# Times that a batch must have taken to be one, against the median of others of its length, and at least [s].
_LONGER, _LEAST_SECONDS = 4.0, 5.0
# Number of batches that the median is taken of.
_REMEMBERED = 50


class _AtWork(NamedTuple):
    """What the scheduler knows of a run's attempts.

    Attributes
    ----------
    places : dict
        Worker that each attempt was given to.
    seconds : dict
        Time since each attempt was begun, of those that were, also while its worker is not heard of [s].
    idle : list of str
        Workers with free threads, once for each of these.
    """

    places: dict[str, str]
    seconds: dict[str, float]
    idle: list[str]


class Stragglers:
    """Knows how long a task takes on its worker, and finds batches that take much longer.

    Parameters
    ----------
    client : Client
        Client of the cluster.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._last: dict[str, float] = {}

    def learn(self, worker: str, n_tasks: int, seconds: float) -> None:
        """Take note that a worker has given back a batch of so many tasks, which were at work for so long [s]."""
        self._seconds.append(seconds / n_tasks)
        self._last[worker] = time.monotonic()

    def among(self, batches: Iterable[Sent]) -> list[tuple[Sent, str]]:
        """Batches of which one attempt is open, that takes much longer than others did; each with an idle worker.

        An attempt's time counts from when its worker began it; while it waits for its turn there, from when its
        worker has last given a batch back, so that one behind a tile that hangs is found, too.
        """
        now, found = time.monotonic(), []
        open_ones = [batch for batch in batches if len(batch.copies) == 1 and now - batch.at > self._limit(batch)]
        if open_ones:
            keys = [next(iter(batch.copies)) for batch in open_ones]
            seen = _AtWork(*self._client.run_on_scheduler(_look_at, keys, open_ones[0].resources))
            for batch, key in zip(open_ones, keys, strict=True):
                place = seen.places.get(key)  # None: it is done, or no worker can do it
                waits = now - max(batch.at, self._last.get(place or "", 0.0))
                others = [worker for worker in seen.idle if worker != place]
                if place is not None and others and seen.seconds.get(key, waits) > self._limit(batch):
                    seen.idle.remove(others[0])
                    found.append((batch, others[0]))
        return found

    def _limit(self, batch: Sent) -> float:
        """Time after which a batch is a straggler [s]."""
        if not self._seconds:
            return float("inf")
        return max(_LONGER * median(self._seconds) * len(batch.tasks), _LEAST_SECONDS)


def _look_at(
    keys: list[str], resources: dict[str, float], dask_scheduler: Scheduler
) -> tuple[dict[str, str], dict[str, float], list[str]]:
    """Fields of `_AtWork`; in the scheduler."""
    places: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for key in keys:
        task = dask_scheduler.tasks.get(key)
        worker = None if task is None else task.processing_on
        if task is not None and worker is not None:
            places[key] = worker.address
            if task in worker.executing:
                seconds[key] = worker.executing[task] + time.time() - worker.last_seen
    idle = [worker.address for worker in dask_scheduler.running for _ in range(_free_threads(worker, resources))]
    return places, seconds, idle


def _free_threads(worker: WorkerState, resources: dict[str, float]) -> int:
    """Number of a worker's threads that have nothing to do; none if it has not what a batch takes."""
    has_enough = all(worker.resources.get(name, 0) >= amount for name, amount in resources.items())
    return max(worker.nthreads - len(worker.processing), 0) if has_enough else 0
