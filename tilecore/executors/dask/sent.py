"""A batch of tasks that was sent to a cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tilecore.executors.base import Task

if TYPE_CHECKING:
    from distributed import Future

    from tilecore.executors.dask.batches import Done, Unopened
    from tilecore.executors.dask.shipping import Shipped

__all__ = ["Sent"]


class Sent:
    """A batch that was sent.

    Attributes
    ----------
    number : int
        Batches are counted.
    tasks : list
        Its tasks.
    known : tuple of Future
        The run's shared value for them, and its fields that were sent apart.
    is_alone : bool
        Whether its task is run alone, as it may have ended a worker.
    copies : dict
        Futures of the attempts at it that are open, by key; none any more when its results have come.
    resources : dict
        What it takes of its worker's resources.
    n_lost : int
        How often its results were lost with the worker that had them.
    at : float
        Time at which it was sent, by the monotonic clock.
    """

    def __init__(self, number: int, tasks: list[Task], known: Shipped, is_alone: bool) -> None:
        self.number, self.tasks, self.known, self.is_alone = number, tasks, known, is_alone
        self.copies: dict[str, Future[Done | Unopened]] = {}
        self.resources: dict[str, float] = {}
        self.n_lost = 0
        self.at = time.monotonic()
