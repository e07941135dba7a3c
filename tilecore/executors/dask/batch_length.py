"""Lengths of batches: long enough that the cluster's work for each is small beside it, and no longer."""

from __future__ import annotations

from tilecore.executors.dask.batches import MOST_BYTES

__all__ = ["BatchLength"]

# Time that a batch should take [s]: the scheduler's and the client's work for one is about 5 ms.
_BATCH_SECONDS = 0.2
# Time that a task takes at least, with its way there and back [s]; and the longest batch.
_TASK_SECONDS, _MOST_TASKS = 20e-6, 2048
# Factor by which batches grow at most from one to the next.
_GROWTH = 4


class BatchLength:
    """Chooses how many tasks a batch has, from the time and the bytes that those before have taken.

    Attributes
    ----------
    n_tasks : int
        Number of tasks of the next batch.
    """

    def __init__(self) -> None:
        self.n_tasks = 1

    def learn(self, n_tasks: int, seconds: float, n_bytes: int) -> None:
        """Take note that so many tasks have taken so long [s], and have given so many bytes."""
        wanted = min(_BATCH_SECONDS / max(seconds / n_tasks, _TASK_SECONDS), MOST_BYTES / max(n_bytes / n_tasks, 1))
        # A short batch tells little of longer ones, so it lets them grow step by step; a slow one counts at once.
        self.n_tasks = int(max(1, min(wanted, _GROWTH * n_tasks if n_tasks >= self.n_tasks else self.n_tasks)))
        self.n_tasks = min(self.n_tasks, _MOST_TASKS)
