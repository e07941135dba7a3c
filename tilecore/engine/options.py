"""The options that every verb takes: who runs the tiles, and what happens when one fails."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, TypedDict

from tilecore.bytesize import parse_bytes
from tilecore.configuration import settings
from tilecore.engine.cancelling import Cancel
from tilecore.engine.events import Observer
from tilecore.engine.task_loop import DEFAULT_RETRIES, OnError
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.executors.base import Executor, create_executor, executor_names, lacks
from tilecore.geometry.per_axis import as_integer

__all__ = ["Options", "RunOptions"]


class RunOptions(TypedDict, total=False):
    """Options of `map_tiles`, `collect_tiles`, `iter_tiles`, `reduce_tiles` and what is built on them.

    Attributes
    ----------
    executor : {"processes", "threads", "serial"}, str or Executor
        Who runs the tiles; also by the name under which another package registered one. Default: processes.
    workers : int
        Tiles worked on at once. Default: `settings`, ``TILECORE_WORKERS``, the usable cores.
    start_method : {"forkserver", "spawn", "fork"}
        How processes start. Default: `settings`, ``TILECORE_START_METHOD``, forkserver on
        Linux and spawn elsewhere.
    threads_per_worker : int
        Threads that numerical libraries may use in each process. Default: 1.
    retries : int
        How often a tile is tried again. Default: 2.
    timeout : float
        Seconds a tile may take before its worker is killed and the tile tried again. Default: none.
    on_error : {"raise", "finish"}
        End the run with the first tile that failed for good, or finish all others first.
        Either way the `TileError` raised lists what failed. Default: raise.
    max_memory : int or str
        Bound on the memory of all workers together, e.g. ``"4GB"`` [byte]; used where the
        tile shape is left to tilecore. Default: half of what is free.
    copy : bool
        Whether each block is a copy that the function may write into. Default: False, blocks
        are read-only.
    journal : path_like or bool
        Where to record finished tiles, so that a run that was killed can be continued; False:
        nowhere. Default: beside the output, as ``<out>.journal``, if that is a file.
    resume : bool
        Continue the run that the journal records; only what is missing is computed. Files that the same run has
        completed are given at once, if they are as they were. Default: False.
    identity : str
        A name of your own for the function and its data, such as ``"model-v3"``: it stands for
        the function, and for all else that cannot be told from another, when a journal is
        continued. Default: they are described by their content.
    durable : bool
        Whether the journal is to be true also after a loss of power, not only after the death
        of processes: outputs are written to the disk before a tile counts as finished, which
        slows a run that the disk bounds. Default: False.
    cancel : threading.Event or Cancel
        Ends the run with a `RunCancelledError` once another thread has set it, or its ``is_set()`` is
        true: processes at once, threads and the serial executor after the tiles in work. A run with a
        journal can be continued. Default: none.
    progress : bool
        Show a bar, or nothing. Default: a bar on a terminal and in notebooks, otherwise a
        line a minute in the log, or on stderr where nobody listens to the log.
    callbacks : sequence of callable
        Each is called with every event of the run (see `tilecore.engine.events`).
    """

    executor: str | Executor
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
    cancel: Cancel | None
    progress: bool | None
    callbacks: Sequence[Observer]


@dataclass(frozen=True)
class Options:
    """The same, checked and with the defaults filled in."""

    executor: str | Executor = "processes"
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
    cancel: Cancel | None = None
    progress: bool | None = None
    callbacks: Sequence[Observer] = ()

    @classmethod
    def of(cls, run: RunOptions) -> Self:
        """Build from what a caller wrote.

        Raises
        ------
        ParameterError, ParameterTypeError
            If an option is unknown or has a value that is not allowed.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(run) - set(known))
        if unknown:
            raise ParameterTypeError(f"unknown option {unknown[0]!r}; the run's options are {', '.join(known)}")
        options = cls(**run)
        settings.resolve_workers(options.workers)
        as_integer(options.retries, "retries", minimum=0)
        as_integer(options.threads_per_worker, "threads_per_worker", minimum=1)
        if options.max_memory is not None:
            parse_bytes(options.max_memory, "max_memory")
        if not isinstance(options.identity, (str, type(None))):
            raise ParameterTypeError.of("identity", options.identity, "a name, as text")
        if options.cancel is not None and not callable(getattr(options.cancel, "is_set", None)):
            raise ParameterTypeError.of("cancel", options.cancel, "a threading.Event, or what can be asked is_set()")
        if options.durable and not hasattr(os, "sync"):
            raise ParameterError.of("durable", True, "this system has no way to write everything to the disk")
        if not isinstance(options.callbacks, Iterable):
            raise ParameterTypeError.of("callbacks", options.callbacks, "a sequence of functions")
        if options.on_error not in ("raise", "finish"):
            raise ParameterError.of("on_error", options.on_error, "'raise' or 'finish'")
        if options.timeout is not None and not options.timeout > 0:
            raise ParameterError.of("timeout", options.timeout, "seconds, more than zero")
        if not isinstance(options.executor, str):
            _check_executor(options.executor, run)
        return options

    @property
    def asks_for_journal(self) -> bool:
        """Whether the caller has said that there is to be one."""
        return self.resume or self.journal not in (None, False)

    def journal_path(self, default: Path | None = None) -> Path | None:
        """Where the journal is, if there is to be one."""
        if self.journal is None or self.journal is True:
            return default
        return None if self.journal is False else Path(self.journal)

    def create_executor(self) -> Executor:
        """Make the executor."""
        if not isinstance(self.executor, str):
            return self.executor
        chosen: dict[str, Any] = {
            "workers": self.workers,
            "start_method": self.start_method,
            "threads_per_worker": self.threads_per_worker,
            "timeout": self.timeout,
        }
        return create_executor(self.executor, **chosen)


# What an executor is made with: one that is made already has its own.
_OF_EXECUTORS = ("workers", "start_method", "threads_per_worker", "timeout")


def _check_executor(executor: object, run: RunOptions) -> None:
    """Refuse what is no executor, and what would be ignored beside one."""
    if lacks(executor):
        names = ", ".join(executor_names())
        raise ParameterTypeError.of("executor", executor, f"one of {names}, or an object as these make")
    ignored = [name for name in _OF_EXECUTORS if run.get(name) is not None]
    if ignored:
        raise ParameterError.of(
            ignored[0], run.get(ignored[0]), f"the executor is made already; give {ignored[0]} to it when it is made"
        )
