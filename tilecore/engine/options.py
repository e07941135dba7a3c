"""Options of a run, common to all verbs: executor, workers, errors, memory, journal and progress."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict

from tilecore.bytesize import parse_bytes
from tilecore.configuration import settings
from tilecore.engine.cancelling import Cancel, check_cancel
from tilecore.engine.events import Observer
from tilecore.engine.parts.run_part import PartLike, RunPart
from tilecore.engine.task_loop import OnError
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.executors.abilities import WaitsForWorkers
from tilecore.executors.base import Executor, create_executor, executor_names, is_client, lacks
from tilecore.geometry.per_axis import as_integer
from tilecore.objects.paths import path_of

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DEFAULT_RETRIES", "Options", "RunOptions"]

#: Default number of further attempts at a tile.
DEFAULT_RETRIES = 2


class RunOptions(TypedDict, total=False):
    """Options of `map_tiles`, `collect_tiles`, `iter_tiles`, `reduce_tiles` and functions built on them.

    Attributes
    ----------
    executor : {"processes", "threads", "serial", "dask"}, str, Executor or distributed.Client
        Executor that runs the tiles; also by the name under which another package registered one. A client of dask
        runs them on its cluster. Default: processes.
    workers : int
        Number of tiles worked on at once. Default: `settings`, ``TILECORE_WORKERS``, the usable cores.
    start_method : {"forkserver", "spawn", "fork"}
        How processes start. Default: `settings`, ``TILECORE_START_METHOD``, forkserver on
        Linux and spawn elsewhere.
    threads_per_worker : int
        Threads that numerical libraries (BLAS, OpenMP) may use for each tile. Serial runs and threads hold the
        whole process to it while they run. Default: 1.
    retries : int
        Number of further attempts at a tile that failed. Default: 2.
    timeout : float
        Time after which a tile's worker is killed and the tile tried again [s]. Default: no limit.
    on_error : {"raise", "finish"}
        ``"raise"``: end the run when the first tile has failed in all attempts; ``"finish"``: finish all
        others first. The `TileError` lists the failed tiles. Default: raise.
    max_memory : int or str
        Memory limit for all workers together, e.g. ``"4GB"`` [byte]; used if tilecore chooses
        the tile shape. Default: half of the free memory.
    copy : bool
        Whether each block is a copy that the function may write into. Default: False, blocks
        are read-only.
    journal : path_like or bool
        Path of the journal, which records finished tiles so that a killed run can be continued; False:
        no journal. Default: beside the output, as ``<out>.journal``, if that is a file; of
        a dataset ``v.h5:/a/b`` it is ``v.h5.a.b.journal``. At a URL it is a few objects.
    resume : bool
        Whether to continue the run in the journal; only missing tiles are computed. Files that the same run has
        completed are returned at once, if they have not changed since. Default: False.
    identity : str
        Name of your own for the function and its data, such as ``"model-v3"``: it stands for
        the function, and for everything that cannot be compared, when a journal is continued.
        Default: function and data are described by their content.
    durable : bool
        Whether the journal must be true even after a power failure, not only after processes
        were killed: outputs are written to the disk before a tile counts as finished. This
        slows down runs that are limited by the disk. Default: False.
    shard : (int, int) or str
        Part of the run that this call works on, ``(i, n)`` or ``"i/n"`` with i from 1 to n; ``"auto/n"`` in a task of
        an array job (Slurm, SGE). The parts are one run: each is started when and where one likes, and continues by
        itself if it was killed. `finish` completes the run, and returns what the verb would return. Default: all of it.
    cancel : threading.Event or Cancel
        Event that ends the run with a `RunCancelledError` once another thread has set it (``is_set()`` is
        true): processes at once, threads and the serial executor after their current tiles. A run with a
        journal can be continued. Default: none.
    progress : bool
        Whether to show a progress bar. Default: a bar on a terminal and in notebooks, otherwise a
        line a minute in the log, or on stderr if no log is set up.
    callbacks : sequence of callable
        Functions that are called with every event of the run (see `tilecore.engine.events`).
    """

    executor: str | Executor | Client
    workers: int | None
    start_method: str | None
    threads_per_worker: int
    retries: int
    timeout: float | None
    on_error: OnError
    max_memory: int | str | None
    copy: bool
    journal: str | os.PathLike[str] | bool | None
    resume: bool
    identity: str | None
    durable: bool
    shard: PartLike | None
    cancel: Cancel | None
    progress: bool | None
    callbacks: Sequence[Observer]


@dataclass(frozen=True)
class Options:
    """Options of a run, checked, with default values."""

    executor: str | Executor | Client = "processes"
    workers: int | None = None
    start_method: str | None = None
    threads_per_worker: int = 1
    retries: int = DEFAULT_RETRIES
    timeout: float | None = None
    on_error: OnError = "raise"
    max_memory: int | str | None = None
    copy: bool = False
    journal: str | os.PathLike[str] | bool | None = None
    resume: bool = False
    identity: str | None = None
    durable: bool = False
    shard: PartLike | None = None
    cancel: Cancel | None = None
    progress: bool | None = None
    callbacks: Sequence[Observer] = ()

    @classmethod
    def of(cls, run: RunOptions) -> Self:
        """Build the options from those of a caller; `takes_run_options` has refused unknown names.

        Raises
        ------
        ParameterError, ParameterTypeError
            If an option has a value that is not allowed.
        """
        options = cls(**run)
        if options.shard is not None:
            options = replace(options, shard=RunPart.of(options.shard))
        settings.resolve_workers(options.workers)
        as_integer(options.retries, "retries", minimum=0)
        as_integer(options.threads_per_worker, "threads_per_worker", minimum=1)
        if options.max_memory is not None:
            parse_bytes(options.max_memory, "max_memory")
        if not isinstance(options.identity, (str, type(None))):
            raise ParameterTypeError.of("identity", options.identity, "must be text, such as 'model-v3'")
        if options.cancel is not None and not callable(getattr(options.cancel, "is_set", None)):
            raise ParameterTypeError.of("cancel", options.cancel, "a threading.Event, or an object with is_set()")
        if options.durable and not hasattr(os, "sync"):
            raise ParameterError.of("durable", True, "this system has no way to write everything to the disk")
        if not isinstance(options.callbacks, Iterable):
            raise ParameterTypeError.of("callbacks", options.callbacks, "must be a sequence of functions")
        if options.on_error not in ("raise", "finish"):
            raise ParameterError.of("on_error", options.on_error, "'raise' or 'finish'")
        if options.timeout is not None and not options.timeout > 0:
            raise ParameterError.of("timeout", options.timeout, "must be more than zero seconds")
        if not (isinstance(options.executor, str) or is_client(options.executor)):
            _check_executor(options.executor, run)
        return options

    @property
    def part(self) -> RunPart | None:
        """The part of the run that the caller asked for; None for all of it."""
        return None if self.shard is None else RunPart.of(self.shard)

    @property
    def asks_for_journal(self) -> bool:
        """Whether the caller has asked for a journal."""
        return self.resume or self.journal not in (None, False)

    def journal_path(self, default: Path | None = None) -> Path | None:
        """Path of the journal; None if there is none."""
        if self.journal is None or self.journal is True:
            return default
        return None if self.journal is False else path_of(os.path.expanduser(self.journal))

    def create_executor(self) -> Executor:
        """Return the caller's executor, or create one by its name, or for a client; as this run uses it."""
        executor = self._created()
        if isinstance(executor, WaitsForWorkers):
            return executor.for_run(functools.partial(check_cancel, self.cancel))
        return executor

    def _created(self) -> Executor:
        if not (isinstance(self.executor, str) or is_client(self.executor)):
            return self.executor
        chosen: dict[str, Any] = {
            "workers": self.workers,
            "start_method": self.start_method,
            "threads_per_worker": self.threads_per_worker,
            "timeout": self.timeout,
        }
        return create_executor(self.executor, **chosen)


# Options for creating an executor; an executor object already has its own.
_OF_EXECUTORS = ("workers", "start_method", "threads_per_worker", "timeout")


def _check_executor(executor: object, run: RunOptions) -> None:
    """Refuse an object that is not an executor, and options that an executor object would ignore."""
    if lacks(executor):
        names = ", ".join(executor_names())
        raise ParameterTypeError.of("executor", executor, f"one of {names}, an executor object, or a client of dask")
    ignored = [name for name in _OF_EXECUTORS if run.get(name) is not None]
    if ignored:
        raise ParameterError.of(
            ignored[0], run.get(ignored[0]), f"the executor is made already; give {ignored[0]} to it when it is made"
        )
