"""Connections to a cluster of dask: one that the caller has, one at an address, or one that is started here."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilecore.errors import MissingFileError, ParameterError, UnreadableFileError, WorkerError
from tilecore.executors.dask.script_guard import is_run_by_children
from tilecore.extras import need

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Connection", "address_in", "connected", "connected_inside", "started"]

# Time in which a scheduler must answer [s].
_PATIENCE_SECONDS = 10
# What is an address and no file: with a protocol, or a host and a port.
_IS_ADDRESS = re.compile(r"[a-z]+://.+|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")


@dataclass(frozen=True)
class Connection:
    """A client, and what ends with its use.

    Attributes
    ----------
    client : Client
    _open : ExitStack
        What was opened for it.
    """

    client: Client
    _open: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """End what was started for this connection; a client of the caller stays."""
        self._open.close()


def connected(where: str) -> Connection:
    """Connect to a scheduler.

    Parameters
    ----------
    where : str
        Its address, such as ``tcp://10.0.0.1:8786``, or the path of its scheduler file.

    Raises
    ------
    WorkerError
        If no scheduler answers there.
    MissingFileError, UnreadableFileError
        If there is no such scheduler file, or it is none.
    ParameterError
        If the scheduler asks for certificates, and dask's configuration names none.
    MissingDependencyError
        If dask.distributed is missing.
    """
    need("a cluster", "dask", "distributed")
    from distributed import Client

    address = _address(where)
    try:
        # A client that does not get through would leave its loop running; and there may be a loop in this thread.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _asked(address)).result()
        client = Client(address, timeout=_PATIENCE_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise WorkerError(f"no scheduler of dask answers at {where} within {_PATIENCE_SECONDS} s: {error}") from error
    return Connection(client, _closing(client.close))


def _address(where: str) -> str:
    """Address of a scheduler, given as such or by its file; one that needs certificates is refused without them."""
    is_address = not os.path.exists(where) and (_IS_ADDRESS.fullmatch(where) is not None)
    address = where if is_address else address_in(where)
    if address.startswith("tls://") and not _connection_arguments().get("ssl_context"):
        raise ParameterError(
            f"dask={address!r}: this scheduler asks for certificates; give executor=distributed.Client(address, "
            "security=...), or name them in dask's configuration (distributed.comm.tls)"
        )
    return address


def address_in(path: str) -> str:
    """Address in a scheduler file.

    Raises
    ------
    MissingFileError
        If there is no such file.
    UnreadableFileError
        If it is none that a scheduler has written.
    """
    try:
        return str(json.loads(Path(path).read_text())["address"])
    except FileNotFoundError as error:
        raise MissingFileError.of(
            "scheduler_file",
            path,
            "there is no such file; a scheduler writes it (an address is as tcp://10.0.0.1:8786)",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableFileError.of(
            "scheduler_file", path, f"no scheduler has written this file ({type(error).__name__}: {error})"
        ) from error


def _connection_arguments() -> dict[str, Any]:
    """What dask's configuration says of how to connect."""
    from distributed.security import Security

    arguments: dict[str, Any] = Security().get_connection_args("client")
    return arguments


async def _asked(address: str) -> None:
    """Ask a scheduler who it is."""
    from distributed import rpc

    async with rpc(address, timeout=_PATIENCE_SECONDS, connection_args=_connection_arguments()) as scheduler:
        await asyncio.wait_for(scheduler.identity(n_workers=0), _PATIENCE_SECONDS)


def started(workers: int) -> Connection:
    """Start a cluster of so many worker processes on this machine.

    Raises
    ------
    WorkerError
        If it cannot be started, or the script would be run again by each of its processes.
    MissingDependencyError
        If dask.distributed is missing.
    """
    need("a cluster", "dask", "distributed")
    from distributed import Client, LocalCluster

    if is_run_by_children():
        raise WorkerError(
            "executor='dask' starts processes that import this script, and so would run it again: put what calls "
            'tilecore below the line  if __name__ == "__main__":'
        )
    with ExitStack() as opened:
        try:
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.ERROR
            )
            opened.callback(cluster.close)
            client = Client(cluster, set_as_default=False)
            opened.callback(client.close)
        except (OSError, TimeoutError, RuntimeError) as error:
            raise WorkerError(f"a cluster of dask cannot be started here: {error}") from error
        return Connection(client, opened.pop_all())


def connected_inside(where: str) -> Connection:
    """Connect from a task of a cluster to the cluster itself; the task gives its thread to others meanwhile."""
    from distributed import get_client, get_worker, rejoin, secede

    try:
        get_worker()
    except ValueError:  # a process that a task has started
        return connected(where)
    client = get_client(where)
    secede()
    return Connection(client, _closing(rejoin))


def _closing(*calls: Callable[[], object]) -> ExitStack:
    opened = ExitStack()
    for call in calls:
        opened.callback(call)
    return opened
