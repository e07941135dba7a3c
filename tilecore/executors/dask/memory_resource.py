"""The resource ``MEM``, by which workers declare how much memory their tiles may use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tilecore.errors import WorkerError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["MemoryResource"]

_log = logging.getLogger(__name__)

# Name of the resource, and its unit [byte].
_MEMORY, _MEMORY_UNIT = "MEM", 2**20


class MemoryResource:
    """What each batch of a run takes of the memory that workers declare.

    Either all workers declare ``MEM`` or none: dask gives a batch that takes some of it only to workers that declare
    enough. A batch takes what one of its tiles needs. If no worker declares as much, it takes all that the largest
    one has, which then works on one at a time.

    Parameters
    ----------
    client : Client
        Client of the cluster.

    Attributes
    ----------
    taken : dict
        What a batch takes now, as dask has it; empty if workers declare nothing.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._n_bytes: int | None = None
        self._declared: dict[str, float] = {}
        self.taken: dict[str, float] = {}

    def reserve(self, n_bytes: int) -> None:
        """Have each batch take this much [byte].

        Raises
        ------
        WorkerError
            If some workers declare ``MEM`` and others do not.
        """
        self._n_bytes = n_bytes
        self.look()
        if self.taken and (lacking := [address for address, amount in self._declared.items() if not amount]):
            raise WorkerError(
                f"{len(lacking)} of {len(self._declared)} workers declare no {_MEMORY}, such as {lacking[0]}, so they "
                f'would get no tile, as others declare some: start all with --resources "{_MEMORY}=...", or none'
            )

    def look(self) -> None:
        """See what the workers declare that are there now; nothing changes while there is none."""
        if self._n_bytes is None:
            return
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            return
        self._declared = {address: float(each["resources"].get(_MEMORY, 0)) for address, each in workers.items()}
        most = max(self._declared.values())
        self.taken = {_MEMORY: min(self._n_bytes / _MEMORY_UNIT, most)} if most else {}
        if unused := [address for address in self._declared if not self._has(address, self.taken)]:
            _log.warning(
                "%d workers, such as %s, declare less %s than the %.0f MiB that a tile takes, and get none",
                *(len(unused), unused[0], _MEMORY, self.taken[_MEMORY]),
            )

    def is_out_of_reach(self, resources: Mapping[str, float]) -> bool:
        """Whether no worker has any more what a batch takes, so that it would never begin."""
        return bool(self._declared) and not any(self._has(address, resources) for address in self._declared)

    def _has(self, address: str, resources: Mapping[str, float]) -> bool:
        return self._declared[address] >= resources.get(_MEMORY, 0)
