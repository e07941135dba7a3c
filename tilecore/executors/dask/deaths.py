"""Deaths of a cluster's workers: told at once, with the reason where it was memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from distributed.diagnostics.plugin import SchedulerPlugin

from tilecore.executors.base import Failure, Outcome, Task
from tilecore.executors.dask.sent import Sent
from tilecore.machine import out_of_memory_kills

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed import Client
    from distributed.scheduler import KilledWorker, Scheduler

__all__ = ["Deaths", "OneDeath"]

# Topic under which dask's nannies tell of workers that they end because they use too much memory.
_MEMORY_TOPIC = "worker-restart-memory"
# Number of deaths that are not counted as attempts at a task, as others may have been in work.
_MOST_UNCLEAR = 5
# Time in which a nanny's message arrives [s].
_NANNY_SECONDS = 1.0


class OneDeath(SchedulerPlugin):
    """Let the scheduler give a run's task back at the first death of a worker, instead of trying it again itself.

    Only the run knows which tiles were in work, how often they may be tried, and how to cut one that lacks memory.
    It leaves the scheduler with the run's client, which may be killed.

    Parameters
    ----------
    run : str
        How the keys of the run begin.
    client : str
        The run's client, as the scheduler knows it.
    """

    def __init__(self, run: str, client: str) -> None:
        self.name, self.prefix, self.client = f"{run}-deaths", f"{run}-tiles", client

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Leave the scheduler if the run's client has left it."""
        if client == self.client:
            scheduler.remove_plugin(self.name)

    def update_graph(self, scheduler: Scheduler, *, tasks: Iterable[Key], **_: object) -> None:
        """Mark the run's new tasks as if their workers had died as often as the scheduler allows."""
        for key in tasks:
            if isinstance(key, str) and key.startswith(self.prefix) and (task := scheduler.tasks.get(key)) is not None:
                task.suspicious = scheduler.allowed_failures


class Deaths:
    """Says what the death of a worker means for the tasks that it had.

    Parameters
    ----------
    client : Client
        Client of the cluster.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reasons: dict[str, Failure] = {}
        self._unclear: Counter[Task] = Counter()
        self._kills: dict[str, int] = {}

    def watch(self, workers: Iterable[str]) -> None:
        """Note how often memory has run out so far on the machines of some workers, as far as it is not known."""
        new = {host: worker for worker in workers if (host := _host(worker)) not in self._kills}
        if new:
            counts = self._client.run(out_of_memory_kills, workers=[*new.values()], on_error="ignore")
            self._kills |= {_host(worker): count for worker, count in counts.items()}

    def judged(self, lost: list[tuple[Sent, KilledWorker]]) -> tuple[list[Outcome], list[Task]]:
        """What becomes of batches whose workers died, given in the order in which they were sent.

        A task that its worker had alone has failed. Where several may have ended the worker, each is run alone, and
        that is no attempt, unless it comes again and again. Of those that lacked memory, the one that was sent first
        is taken to be it, and is cut.

        Returns
        -------
        outcomes : list of Outcome
            Of tasks that have failed.
        suspects : list of Task
            Tasks to be run alone.
        """
        outcomes, suspects = [], []
        self._find({error.last_worker.address: error.last_worker.nanny is not None for _, error in lost})
        on_worker, before = Counter(error.last_worker.address for _, error in lost), Counter[str]()
        for sent, error in lost:
            worker, failure = error.last_worker, self._reasons[error.last_worker.address]
            is_first = before[worker.address] < worker.nthreads
            before[worker.address] += 1
            is_certain = on_worker[worker.address] == 1 or self._unclear[sent.tasks[0]] >= _MOST_UNCLEAR
            if len(sent.tasks) == 1 and (is_certain or (is_first and isinstance(failure.exception, MemoryError))):
                outcomes.append(Outcome(sent.tasks[0], None, failure, time.monotonic() - sent.at))
            else:
                suspects += sent.tasks
                self._unclear.update(sent.tasks)
        return outcomes, suspects

    def must_be_alone(self, task: Task) -> bool:
        """Whether nothing else should be in work with a task, as it was unclear more than once who ends workers."""
        return self._unclear[task] > 1

    def _find(self, dead: dict[str, bool]) -> None:
        """Find out why some workers have died, each given with whether it had a nanny."""
        new = {address: has_nanny for address, has_nanny in dead.items() if address not in self._reasons}
        ended = self._ended_for_memory({address for address, has_nanny in new.items() if has_nanny})
        full = self._without_memory({_host(address) for address in new.keys() - ended})
        for address in new:
            where = f"worker {address}"
            if address in ended:
                reason = f"{where} was ended by its nanny, as it used more memory than it may"
            elif _host(address) in full:
                reason = f"{where} was killed, as its machine had no memory left"
            else:
                reason = f"{where} died in the middle of the tile, or its machine can no longer be reached"
            lacks_memory = address in ended or _host(address) in full
            self._reasons[address] = Failure(reason, exception=MemoryError(reason) if lacks_memory else None)

    def _ended_for_memory(self, dead: set[str]) -> set[str]:
        """Workers that their nannies have ended, which these may tell after the scheduler has noticed the deaths."""
        deadline = time.monotonic() + _NANNY_SECONDS
        while dead:
            found = dead.intersection(event.get("worker") for _, event in self._client.get_events(_MEMORY_TOPIC))
            if found == dead or time.monotonic() > deadline:
                return found
            time.sleep(0.05)
        return set()

    def _without_memory(self, hosts: set[str]) -> set[str]:
        """Machines whose kernel has killed a process for memory since the run began, or since it was last asked."""
        known = {_host(worker): worker for worker in self._client.nthreads()}
        asked = [known[host] for host in hosts if host in known and host in self._kills]
        counts = self._client.run(out_of_memory_kills, workers=asked, on_error="ignore") if asked else {}
        now = {_host(worker): count for worker, count in counts.items()}
        found = {host for host, count in now.items() if count > self._kills[host]}
        self._kills |= now
        return found


def _host(address: str) -> str:
    """Name or number of the machine in a worker's address."""
    from distributed.comm.addressing import get_address_host

    return get_address_host(address)
