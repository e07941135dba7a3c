"""A cluster of dask as a run sees it: who is there, what they have, and whether they can do the work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tilecore.errors import ParameterTypeError, WorkerError
from tilecore.executors.dask.batches import Packed, Unopened, open_both
from tilecore.executors.dask.connecting import Connection

if TYPE_CHECKING:
    from distributed import Future

__all__ = ["Cluster"]

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
        The client, and what ends with the run.

    Attributes
    ----------
    client : Client
    n_threads : int
        Threads of all workers, when they were last counted.

    Raises
    ------
    ParameterTypeError
        If the client is asynchronous.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection, self.client = connection, connection.client
        if self.client.asynchronous:
            raise ParameterTypeError.of("executor", self.client, "must not be an asynchronous client")
        self.n_threads = 0
        self.refresh()

    def __str__(self) -> str:
        return f"the cluster at {self.client.scheduler.address if self.client.scheduler else '(no scheduler)'}"

    def refresh(self) -> None:
        """Count the threads of the workers again."""
        with self.errors_told():
            self.n_threads = int(self._info(n_workers=0)["total_threads"])

    @property
    def memory(self) -> int | None:
        """Memory for tiles of all workers together [byte]; None if they have no limit.

        All threads count as having as much as the one that has least.
        """
        with self.errors_told():
            workers = self._info()["workers"].values()
        shares = [each["memory_limit"] / each["nthreads"] for each in workers if each["memory_limit"]]
        return int(min(shares) * _PART_FOR_TILES * max(self.n_threads, 1)) if shares else None

    def check(self, function: Future[Packed[Any]], known: Future[Packed[Any]]) -> dict[str, str]:
        """See that the workers can do the work, before it starts; return a worker on each machine, by the machine.

        Raises
        ------
        WorkerError
            If versions differ, or a worker cannot open the function, its data, or the files that it reads and writes.
        """
        self._check_versions()
        hosts = self._hosts()
        futures = [
            self.client.submit(open_both, function, known, workers=[worker], pure=False, key=f"{known.key}-{number}")
            for number, worker in enumerate(hosts.values())
        ]
        with self.errors_told():
            results = self.client.gather(futures)
        for future, found in zip(futures, results, strict=True):
            future.release()
            if isinstance(found, Unopened):
                raise WorkerError(found.advice)
        return hosts

    def check_connection(self) -> None:
        """Raise `WorkerError` if the scheduler is gone: if there is one again, it knows nothing of the run."""
        if self.client.status != "running":
            raise self.gone()

    def gone(self) -> WorkerError:
        """Error for a scheduler that is gone."""
        return WorkerError(f"the scheduler of {self} is gone; tiles that are done stay in the journal, if there is one")

    @contextmanager
    def errors_told(self) -> Iterator[None]:
        """Turn errors of the network, and of the programs on the other side, into a `WorkerError`."""
        try:
            yield
        except ModuleNotFoundError as error:
            raise WorkerError(
                f"{self} lacks a module: {error}. Its scheduler and workers need tilecore as it is installed here"
            ) from error
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

    def _hosts(self) -> dict[str, str]:
        """A worker on each machine, by the machine's address."""
        found: dict[str, str] = {}
        for address, worker in self._info()["workers"].items():
            found.setdefault(worker["host"], address)
            if len(found) == _MOST_ASKED:
                break
        return found

    def _check_versions(self) -> None:
        """Refuse other versions than those here of what packs and unpacks objects."""
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
