"""A cluster of dask as a run sees it: who is there, what they have, and whether they can do the work."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distributed.client import ClosedClientError

from tilecore.configuration import settings
from tilecore.errors import ParameterError, ParameterTypeError, WorkerError
from tilecore.executors.dask.checking import POLL_SECONDS, Question
from tilecore.executors.dask.connecting import Connection

if TYPE_CHECKING:
    from distributed import Future

    from tilecore.executors.dask.batches import Packed
    from tilecore.executors.dask.shipping import Shipped

__all__ = ["Cluster"]

_log = logging.getLogger(__name__)

# Part of a worker's memory that tiles may use: dask pauses one at 80 %, and its libraries need some.
_PART_FOR_TILES = 0.5
# Number of machines that are asked before the work starts; others are when they get their first batch.
_MOST_ASKED = 64
# Time in which a client notices that its scheduler is gone, when a question to it has failed [s].
_NOTICED_SECONDS = 1.0
# Packages whose versions must agree, with the number of leading parts of the version.
_SAME = {"python": 2, "tilecore": 3, "numpy": 1, "cloudpickle": 1, "distributed": 3}


class Cluster:
    """Workers that a client reaches.

    Parameters
    ----------
    connection : Connection
        The client, and what ends with the run; it is closed if this fails.
    check_cancel : callable, optional
        Called now and then while the run waits for the cluster; what it raises ends that.

    Attributes
    ----------
    client : Client
    n_threads : int
        Threads of all workers, when they were last counted.

    Raises
    ------
    ParameterTypeError, ParameterError
        If the client is asynchronous, or is not connected.
    """

    def __init__(self, connection: Connection, check_cancel: Callable[[], None] | None = None) -> None:
        self._connection, self.client = connection, connection.client
        self._check_cancel = check_cancel or (lambda: None)
        self.n_threads = 0
        self._gone_since: float | None = None
        try:
            if self.client.asynchronous:
                raise ParameterTypeError.of("executor", self.client, "must not be an asynchronous client")
            if self.client.status not in ("running", "connecting"):
                raise ParameterError("executor: this client of dask is closed; give one that is connected")
            self.refresh()
        except BaseException:
            self.close()
            raise

    def __str__(self) -> str:
        return f"the cluster at {self.client.scheduler.address if self.client.scheduler else '(no scheduler)'}"

    def refresh(self) -> None:
        """Count the threads of the workers again.

        Raises
        ------
        WorkerError
            If there has been no worker for longer than `settings` allow.
        """
        with self.errors_told():
            info = self._info(n_workers=0)
        self.n_threads, now = int(info["total_threads"]), time.monotonic()
        patience = settings.resolve_dask_patience()
        if self.n_threads:
            self._gone_since = None
            return
        self._gone_since = now if self._gone_since is None else self._gone_since
        if now > self._gone_since + patience:
            raise WorkerError(
                f"{self} has had no worker for {patience:g} s: start workers, or let runs wait longer, by "
                "settings.dask_patience or TILECORE_DASK_PATIENCE"
            )

    def await_worker(self) -> None:
        """Wait until there is a worker: only workers tell how much memory there is, and what they declare.

        An adaptive cluster starts one as soon as there is something to do.

        Raises
        ------
        WorkerError
            If none comes.
        """
        if self.n_threads:
            return
        _log.warning("%s has no worker yet: the run waits, at most %g s", self, settings.resolve_dask_patience())
        something = self.client.submit(int, key=f"tilecore-begins-{secrets.token_hex(8)}", pure=False)
        try:
            while not self.n_threads:
                self._check_cancel()
                time.sleep(POLL_SECONDS)
                self.check_connection()
                self.refresh()
        finally:
            something.release()

    @property
    def memory(self) -> int | None:
        """Memory for tiles of all workers together [byte]; None if they have no limit.

        All threads count as having as much as the one that has least.
        """
        with self.errors_told():
            workers = self._info()["workers"].values()
        shares = [each["memory_limit"] / each["nthreads"] for each in workers if each["memory_limit"]]
        return int(min(shares) * _PART_FOR_TILES * max(self.n_threads, 1)) if shares else None

    def check(self, function: Future[Packed[Any]], known: Shipped) -> None:
        """See that the workers can do the work, before it starts.

        Raises
        ------
        WorkerError
            If a worker cannot open the function, its data, or the files that it reads and writes.
        """
        with self.errors_told():
            self.ask(function, known).wait(self._look)

    def ask(self, function: Future[Packed[Any]], known: Shipped) -> Question:
        """Ask a worker on each machine whether it can do the work, while others are busy."""
        return Question(self.client, self._hosts(), function, known)

    def check_versions(self) -> None:
        """Refuse other versions than those here of what packs and unpacks objects.

        Raises
        ------
        WorkerError
            If versions differ.
        """
        with self.errors_told():
            found: Any = self.client.get_versions(packages=["tilecore"])
        own = found["client"]["packages"]
        others = {
            "the scheduler": found["scheduler"],
            **{f"worker {at}": each for at, each in found["workers"].items()},
        }
        for who, told in others.items():
            for name, n_parts in _SAME.items():
                mine, other = own.get(name), told["packages"].get(name)
                if mine and other and mine.split(".")[:n_parts] != other.split(".")[:n_parts]:
                    raise WorkerError(f"{who} has {name} {other}, and this process {mine}: install the same version")

    def check_connection(self) -> None:
        """Raise `WorkerError` if the scheduler is gone: if there is one again, it knows nothing of the run."""
        if self.client.status != "running":
            raise self.gone()

    def gone(self) -> WorkerError:
        """Error for a scheduler that is gone, or a client that was closed."""
        stay = "tiles that are done stay in the journal, if there is one"
        if self.client.status in ("closing", "closed"):
            return WorkerError(f"the client of {self} was closed while a run used it; {stay}")
        return WorkerError(f"the scheduler of {self} is gone; {stay}")

    @contextmanager
    def errors_told(self) -> Iterator[None]:
        """Turn errors of the network, and of the programs on the other side, into a `WorkerError`."""
        try:
            yield
        except ModuleNotFoundError as error:
            raise WorkerError(
                f"{self} lacks a module: {error}. Its scheduler and workers need tilecore as it is installed here"
            ) from error
        except ClosedClientError as error:
            raise self.gone() from error
        except (OSError, TimeoutError) as error:
            if self._loses_connection():
                raise self.gone() from error
            raise WorkerError(f"{self} does not answer: {error}") from error

    def _loses_connection(self) -> bool:
        """Whether the client notices, a moment after an error, that the scheduler is gone."""
        deadline = time.monotonic() + _NOTICED_SECONDS
        while self.client.status == "running" and time.monotonic() < deadline:
            time.sleep(0.02)
        return bool(self.client.status != "running")

    def close(self) -> None:
        """End what was started for the run."""
        self._connection.close()

    def _info(self, n_workers: int = -1) -> Mapping[str, Any]:
        info: Mapping[str, Any] = self.client.scheduler_info(n_workers=n_workers)
        return info

    def _look(self) -> list[str]:
        """Addresses of the workers that are there; raises what ends the run."""
        self._check_cancel()
        self.check_connection()
        return list(self._info()["workers"])

    def _hosts(self) -> dict[str, list[str]]:
        """Workers on each machine, by the machine's address."""
        found: dict[str, list[str]] = {}
        for address, worker in self._info()["workers"].items():
            if worker["host"] in found or len(found) < _MOST_ASKED:
                found.setdefault(worker["host"], []).append(address)
        return found
