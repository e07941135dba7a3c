"""Executor that runs tasks on the workers of a dask cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tilecore.configuration import settings
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.executors.base import Function, Reach, is_client
from tilecore.executors.dask.connecting import Connection, connected, connected_inside, started
from tilecore.extras import need
from tilecore.geometry.per_axis import as_integer

if TYPE_CHECKING:
    from distributed import Client

    from tilecore.executors.dask.cluster import Cluster
    from tilecore.executors.dask.crew import DaskCrew

__all__ = ["DaskExecutor"]


class DaskExecutor:
    """Executor that runs tiles on a cluster of dask: on this machine, or on as many as there are.

    Sources and outputs are files that all workers see by the same path. Tiles are sent in batches, by their numbers.

    Parameters
    ----------
    client : distributed.Client, optional
        A client of the cluster, which stays open.
    address : str, optional
        Address of the scheduler, or path of its scheduler file, if there is no client. Default: `settings`,
        ``TILECORE_DASK``, or a cluster of worker processes on this machine, which ends with the run.
    workers : int, optional
        Most tiles at once. Default: as many as the cluster has threads; also more, if more workers come. Of a cluster
        that is started: the number of worker processes.
    threads_per_worker : int
        Threads that numerical libraries may use for each tile.
    timeout : float, optional
        Not supported: a thread of a worker cannot be stopped from outside.

    Raises
    ------
    ParameterError, ParameterTypeError
        If a parameter has a wrong type or value.
    MissingDependencyError
        If dask.distributed is missing.

    Notes
    -----
    Process-safety: it pickles as the scheduler's address. A task that runs tiles on its own cluster gives its thread
    to others while it waits.

    Examples
    --------
    >>> import numpy as np
    >>> from distributed import Client
    >>> from tilecore import map_tiles
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     map_tiles(np.sqrt, np.ones((2, 3, 4)), tile_shape=2, executor=client).shape
    (2, 3, 4)
    """

    reach: Reach = "elsewhere"

    def __init__(
        self,
        client: Client | None = None,
        *,
        address: str | None = None,
        workers: int | None = None,
        threads_per_worker: int = 1,
        timeout: float | None = None,
    ) -> None:
        need("a cluster", "dask", "distributed")
        if timeout is not None:
            raise ParameterError.of("timeout", timeout, "dask cannot stop a tile; use executor='processes'")
        if client is not None and not is_client(client):
            raise ParameterTypeError.of("executor", client, "must be a client of dask.distributed")
        self._client = client
        self._threads = as_integer(threads_per_worker, "threads_per_worker", minimum=1)
        self._address = None if client is not None else settings.resolve_dask(address)
        self._most = None if workers is None else settings.resolve_workers(workers)
        self._is_inside = False
        self._check_cancel: Callable[[], None] | None = None
        self._known: tuple[int, int | None] | None = None

    @property
    def workers(self) -> int:
        """Number of tiles that run at once, as far as it is known before they do."""
        return self._counted[0]

    @property
    def memory(self) -> int | None:
        """Memory that all workers together have for tiles [byte]; None if they have no limit."""
        return self._counted[1]

    def for_run(self, check_cancel: Callable[[], None]) -> DaskExecutor:
        """The same executor for one run: it waits for the first worker, and remembers what there was then."""
        bound = DaskExecutor.__new__(DaskExecutor)
        vars(bound).update(vars(self) | {"_check_cancel": check_cancel})
        return bound

    def start(self, function: Function, known: object = None) -> DaskCrew:
        """Connect to the cluster, and see that its workers can do the work.

        Raises
        ------
        WorkerError
            If there is no scheduler, or a worker has other versions, or cannot open what it needs.
        ShippingError
            If the function cannot be packed.
        """
        from tilecore.executors.dask.crew import DaskCrew

        cluster = self._cluster()
        try:
            is_own = self._client is None and self._address is None  # it was started with so many workers
            return DaskCrew(cluster, function, known, self._threads, None if is_own else self._most)
        except BaseException:
            cluster.close()
            raise

    @property
    def _counted(self) -> tuple[int, int | None]:
        """Tiles at once, and memory for them; asked once for a run, as the cluster may change until the next."""
        if self._known is not None:
            return self._known
        if self._client is None and self._address is None:
            return settings.resolve_workers(self._most), None
        cluster = self._cluster()
        try:
            if self._check_cancel is not None:
                cluster.await_worker()
            n_threads = max(cluster.n_threads, 1)
            found = min(n_threads, self._most or n_threads), cluster.memory
        finally:
            cluster.close()
        if self._check_cancel is not None:
            self._known = found
        return found

    def _cluster(self) -> Cluster:
        from tilecore.executors.dask.cluster import Cluster

        return Cluster(self._connection(), self._check_cancel)

    def _connection(self) -> Connection:
        if self._client is not None:
            return Connection(self._client)
        if self._is_inside and self._address is not None:
            return connected_inside(self._address)
        return started(self.workers) if self._address is None else connected(self._address)

    def __reduce__(self) -> tuple[Any, ...]:
        address = self._address if self._client is None else self._client.scheduler_info(n_workers=0)["address"]
        return _in_a_task, (address, self._most, self._threads)


def _in_a_task(address: str | None, workers: int | None, threads: int) -> DaskExecutor:
    executor = DaskExecutor(address=address, workers=workers, threads_per_worker=threads)
    executor._is_inside = address is not None
    return executor
