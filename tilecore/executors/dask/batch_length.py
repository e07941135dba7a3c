"""How much is sent: batches so long that the cluster's work for each is small beside it, and few of them ahead."""

from __future__ import annotations

from collections import deque

from tilecore.executors.dask.batches import MOST_BYTES

__all__ = ["BATCHES_AHEAD", "BatchLength"]

#: Batches that are sent for each thread of a worker: one in work, and one so that it need not wait for the next.
BATCHES_AHEAD = 2

# Time that a batch should take at least, and for each worker that there is [s]: the scheduler and the client need
# about 3 ms for one, so that however many workers there are, they are busy for a third of the time.
_BATCH_SECONDS, _BATCH_SECONDS_A_WORKER = 0.2, 0.01
# Time that a task takes at least, with its way there and back [s]; and the longest batch.
_TASK_SECONDS, _MOST_TASKS = 20e-6, 2048
# Batches that are remembered, and the longest one against the number of tasks in them: few tell little of many.
_REMEMBERED, _GROWTH = 50, 4


class BatchLength:
    """Chooses how many tasks a batch has, from the time and the bytes that those before have taken.

    Attributes
    ----------
    n_tasks : int
        Number of tasks of the next batch.
    """

    def __init__(self) -> None:
        self.n_tasks = 1
        self._last: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)

    def learn(self, n_tasks: int, seconds: float, n_bytes: int, n_workers: int) -> None:
        """Take note that so many tasks have taken so long [s], and have given so many bytes, on one of some workers."""
        self._last.append((n_tasks, max(seconds, n_tasks * _TASK_SECONDS)))
        n_seen, seconds_seen = map(sum, zip(*self._last, strict=True))
        task_seconds = max(seconds_seen / n_seen, seconds / n_tasks)  # slow ones count at once
        wanted = max(_BATCH_SECONDS, n_workers * _BATCH_SECONDS_A_WORKER) / task_seconds
        self.n_tasks = round(max(1, min(wanted, MOST_BYTES * n_tasks / max(n_bytes, 1), _GROWTH * n_seen, _MOST_TASKS)))
