"""Questions to the workers of a cluster, before and during a run, whether they can open what it has sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tilecore.errors import WorkerError
from tilecore.executors.dask.batches import Packed, open_both

if TYPE_CHECKING:
    from distributed import Client, Future

    from tilecore.executors.dask.shipping import Shipped

__all__ = ["POLL_SECONDS", "Question"]

#: Longest time between two looks at what came meanwhile [s]; Ctrl-C may have come just before, and wakes nobody.
POLL_SECONDS = 0.1


class Question:
    """A question to some workers, whether they can open the function and the shared value of a run.

    Parameters
    ----------
    client : Client
        Client of the cluster.
    hosts : mapping
        Addresses of the workers on each machine: one of them answers, as others may be busy.
    function : Future
        The function that the run has sent.
    known : tuple of Future
        The shared value, and its fields that were sent apart.
    """

    def __init__(
        self, client: Client, hosts: Mapping[str, list[str]], function: Future[Packed[Any]], known: Shipped
    ) -> None:
        self._came = came = threading.Event()
        self._hosts, self._open = hosts, dict[str, "Future[None]"]()
        for number, (host, workers) in enumerate(hosts.items()):
            key = f"{known[0].key}-{number}"
            future = client.submit(_see, function, *known, workers=workers, pure=False, priority=10, key=key)
            future.add_done_callback(lambda _: came.set())
            self._open[host] = future

    def see(self) -> bool:
        """Take note of the answers that have come; return whether others are awaited.

        Raises
        ------
        WorkerError
            If a worker cannot open it.
        """
        for host, future in list(self._open.items()):
            if future.status == "pending":
                continue
            del self._open[host]
            try:
                if future.status == "error":  # cancelled: the worker that has answered is gone
                    _refuse(host, future)
            finally:
                future.release()
        return bool(self._open)

    def wait(self, look: Callable[[], Iterable[str]]) -> None:
        """Wait for the answers of all machines that are there; `look` tells now and then which workers are."""
        try:
            while self.see():
                if self._came.wait(POLL_SECONDS):
                    self._came.clear()
                    continue
                there = set(look())
                for host in [each for each in self._open if there.isdisjoint(self._hosts[each])]:
                    self._open.pop(host).release()  # workers that come in their place are asked by their first batch
        finally:
            self.withdraw()

    def withdraw(self) -> None:
        """Await no answer any more."""
        for future in self._open.values():
            future.release()
        self._open.clear()


def _see(function: Packed[Any], *known: Packed[Any]) -> None:
    """Raise a `WorkerError` if this worker cannot open what the run has sent.

    An error comes with the news that the task has ended, while a result would be lost with the worker.
    """
    if (problem := open_both(function, *known)) is not None:
        raise WorkerError(problem.advice)


def _refuse(host: str, future: Future[Any]) -> None:
    """Raise the error for a machine that has said no."""
    from distributed.scheduler import KilledWorker

    error = future.exception()
    if isinstance(error, KilledWorker):  # the run's tasks tell who ends workers
        return
    if isinstance(error, (WorkerError, ModuleNotFoundError)):
        raise error
    raise WorkerError(f"a worker on {host} cannot run tiles: {error}") from error
