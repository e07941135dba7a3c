"""Stragglers: batches that take much longer than others, so that another worker should try them, too."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from statistics import median

from tilecore.executors.dask.sent import Sent

__all__ = ["Stragglers"]

# Times that a batch must have taken to be one, against the median of others of its length, and at least [s].
_LONGER, _LEAST_SECONDS = 4.0, 5.0
# Number of batches that the median is taken of.
_REMEMBERED = 50


class Stragglers:
    """Knows how long a task takes, its way to the worker and back included."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

    def learn(self, n_tasks: int, seconds: float) -> None:
        """Take note that a batch of so many tasks was back after so long [s]."""
        self._seconds.append(seconds / n_tasks)

    def among(self, batches: Iterable[Sent]) -> Iterator[Sent]:
        """Batches of which one attempt is open, that takes much longer than others did."""
        if not self._seconds:
            return
        usual, now = median(self._seconds), time.monotonic()
        for batch in batches:
            if len(batch.copies) == 1 and now - batch.at > max(_LONGER * usual * len(batch.tasks), _LEAST_SECONDS):
                yield batch
