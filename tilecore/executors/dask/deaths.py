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

    Parameters
    ----------
    prefix : str
        How the keys of the run's tasks begin.
    """

    def __init__(self, prefix: str) -> None:
        self.name = self.prefix = prefix

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
        self._kills: dict[str, int | None] = {}

    def watch(self, hosts: dict[str, str]) -> None:
        """Note how often memory has run out so far on some machines, each given with one worker on it."""
        workers = [worker for host, worker in hosts.items() if host not in self._kills]
        if workers:
            counts = self._client.run(out_of_memory_kills, workers=workers, on_error="ignore")
            self._kills |= {_host(worker): count for worker, count in counts.items()}

    def judged(self, lost: list[tuple[Sent, KilledWorker]]) -> tuple[list[Outcome], list[Task]]:
        """What becomes of batches whose workers died, given in the order in which they were sent.

        A task that was certainly in work has failed. Where several may have ended the worker, each is run alone, and
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
        on_worker, before = Counter(error.last_worker.address for _, error in lost), Counter[str]()
        for sent, error in lost:
            worker, failure = error.last_worker, self.failure(error)
            is_first = before[worker.address] < worker.nthreads
            before[worker.address] += 1
            is_certain = on_worker[worker.address] <= worker.nthreads or self._unclear[sent.tasks[0]] >= _MOST_UNCLEAR
            if len(sent.tasks) == 1 and (is_certain or (is_first and isinstance(failure.exception, MemoryError))):
                outcomes.append(Outcome(sent.tasks[0], None, failure, time.monotonic() - sent.at))
            else:
                suspects += sent.tasks
                self._unclear.update(sent.tasks)
        return outcomes, suspects

    def failure(self, error: KilledWorker) -> Failure:
        """Failure of a task that was in work when its worker died."""
        address = error.last_worker.address
        if address not in self._reasons:
            self._reasons[address] = self._found(address, error.last_worker.nanny is not None)
        return self._reasons[address]

    def _found(self, address: str, has_nanny: bool) -> Failure:
        where = f"worker {address}"
        if has_nanny and self._was_ended_for_memory(address):
            reason = f"{where} was ended by its nanny, as it used more memory than it may"
            return Failure(reason, exception=MemoryError(reason))
        if self._memory_ran_out(_host(address)):
            reason = f"{where} was killed, as its machine had no memory left"
            return Failure(reason, exception=MemoryError(reason))
        return Failure(f"{where} died in the middle of the tile, or its machine can no longer be reached")

    def _was_ended_for_memory(self, address: str) -> bool:
        """Whether a nanny has ended its worker, which it may tell after the scheduler has noticed the death."""
        deadline = time.monotonic() + _NANNY_SECONDS
        while True:
            events = [event for _, event in self._client.get_events(_MEMORY_TOPIC)]
            if any(event.get("worker") == address for event in events):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)

    def _memory_ran_out(self, host: str) -> bool:
        """Whether the kernel of a machine has killed a process for memory since the run began."""
        before = self._kills.get(host)
        workers = [worker for worker in self._client.scheduler_info()["workers"] if _host(worker) == host]
        if before is None or not workers:
            return False
        counts = self._client.run(out_of_memory_kills, workers=workers[:1], on_error="ignore")
        now = next(iter(counts.values()), None)
        if now is None or now <= before:
            return False
        self._kills[host] = now
        return True


def _host(address: str) -> str:
    """Name or number of the machine in a worker's address."""
    from distributed.comm.addressing import get_address_host

    return get_address_host(address)
