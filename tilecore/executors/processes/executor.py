"""Executor that runs tasks in worker processes, and survives their crashes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tilecore.arrays.pickling import Parcel
from tilecore.configuration import settings
from tilecore.executors.base import Function, Reach
from tilecore.executors.processes.crew import CrewOptions, ProcessCrew
from tilecore.executors.processes.messages import Job, Work
from tilecore.executors.processes.start_method import default_start_method, usable_start_method
from tilecore.geometry.per_axis import as_integer

__all__ = ["ProcessExecutor"]


class ProcessExecutor:
    """Executor that runs tasks in processes, which it starts, watches, kills and replaces.

    Parameters
    ----------
    workers : int, optional
        Number of processes; default: from the settings, the environment, or the number of cores.
    start_method : {"forkserver", "spawn", "fork"}, optional
        How processes start; default: from the settings, the environment, then forkserver on Linux and spawn elsewhere.
    threads_per_worker : int
        Threads that numerical libraries (BLAS, OpenMP) may use in each process.
    timeout : float, optional
        Seconds a task may take before its worker is killed.
    max_tasks : int, optional
        Tasks a worker may run before it is replaced.
    start_timeout : float
        Seconds a worker may take to start and to open the job.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        start_method: str | None = None,
        threads_per_worker: int = 1,
        timeout: float | None = None,
        max_tasks: int | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        self.workers = settings.resolve_workers(workers)
        self._options = CrewOptions(
            usable_start_method(settings.resolve_start_method(start_method), default_start_method()),
            as_integer(threads_per_worker, "threads_per_worker", minimum=1),
            timeout,
            settings.resolve_max_tasks(max_tasks) or math.inf,
            start_timeout,
        )

    @property
    def reach(self) -> Reach:
        """``"forked"`` if workers inherit the function and its arrays; otherwise ``"shipped"``."""
        return "forked" if self._options.start_method == "fork" else "shipped"

    def start(self, function: Function, known: object = None) -> ProcessCrew:
        """Start the processes of a run; does not wait until they are ready."""
        work = Work(function, known)
        job: Job = _Inherited(work) if self.reach == "forked" else Parcel(work)
        return ProcessCrew(job, self.workers, self._options)


@dataclass(frozen=True)
class _Inherited:
    """A job for forked children of this process, which inherit everything that it refers to."""

    work: Work

    def open(self) -> Work:
        """Return the work itself."""
        return self.work
