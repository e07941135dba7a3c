"""How worker processes start, and plain pools for those who want one."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading
from collections.abc import Callable
from multiprocessing.pool import Pool
from typing import Any

from tilecore.configuration import settings

__all__ = [
    "default_start_method",
    "familiar_start_method",
    "get_mp_pool",
    "is_fork",
    "n_threads",
    "set_mp_start_method",
    "usable_start_method",
]

_log = logging.getLogger(__name__)

# Threads that hold no lock while they wait, and that are made anew after a fork: zarr's, tqdm's, tilecore's own.
_HARMLESS_THREADS = ("zarr_io", "asyncio_", "tqdm_monitor", "tilecore-populate")


def default_start_method() -> str:
    """Start method of tilecore's own workers: forkserver on Linux, spawn elsewhere."""
    return "forkserver" if sys.platform.startswith("linux") else "spawn"


def familiar_start_method() -> str:
    """Start method of functions that once used a plain pool: as ``multiprocessing`` is set.

    A fork copies a lock that another thread holds at that moment, and nobody in the child
    ever opens it: where other threads run, the fork server takes the place of fork.
    """
    method = _method_in_use()
    if method != "fork" or n_threads() == 1:
        return method
    _log.warning(
        "%d threads run, of which a fork could copy locks: workers come from a fork server, and see modules as "
        "they are imported, not as this process has changed them",
        n_threads(),
    )
    return "forkserver"


def n_threads() -> int:
    """Count the threads of which a fork could copy locks; 1: this one is alone."""
    return sum(not thread.name.startswith(_HARMLESS_THREADS) for thread in threading.enumerate())


def usable_start_method(wanted: str | None, default: str) -> str:
    """Return `wanted` if this platform has it; otherwise say so in the log and return `default`."""
    if wanted is None:
        return default
    if wanted in multiprocessing.get_all_start_methods():
        return wanted
    _log.warning("start method %r is not available here; using %r", wanted, default)
    return default


def set_mp_start_method(val: str | None = None) -> str:
    """Set the start method of Python's own ``multiprocessing`` for this process.

    Parameters
    ----------
    val : {"fork", "forkserver", "spawn"}, optional
        Default: what `settings` or ``TILECORE_START_METHOD`` say, else the platform's
        default. A method that the platform lacks is replaced by its default.

    Returns
    -------
    str
        The method in use, which is another one than `val` if one was set before.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.
    """
    method = usable_start_method(settings.resolve_start_method() if val is None else val, _platform_default())
    try:
        multiprocessing.set_start_method(method)
        _log.info("start method set to %r", method)
    except RuntimeError:
        applied = multiprocessing.get_start_method()
        _log.info("start method is %r already; %r not applied", applied, method)
        return applied
    return method


def is_fork() -> bool:
    """Check whether `get_mp_pool` starts processes with "fork".

    Returns
    -------
    bool

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.
    """
    return _method_in_use() == "fork"


def get_mp_pool(
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] | None = None,
    *,
    processes: int | None = None,
    start_method: str | None = None,
    max_tasks: int | None = None,
) -> Pool:
    """Get a plain ``multiprocessing.Pool``, set up by tilecore's settings.

    Parameters
    ----------
    initializer : callable, optional
        Called in each process as it starts.
    initargs : tuple, optional
        Arguments of `initializer`; shared arrays among them are not copied.
    processes : int, optional
        Number of processes.
    start_method : {"fork", "forkserver", "spawn"}, optional
        How they start; default: as ``multiprocessing`` is set (see `set_mp_start_method`).
    max_tasks : int, optional
        Tasks after which a process is replaced.

    Returns
    -------
    multiprocessing.pool.Pool

    Notes
    -----
    Options not given come from `settings`, then from the environment. A plain pool hangs
    when one of its processes is killed; `map_tiles` and `pmap_chunks` do not use it.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.
    """
    method = _method_in_use(start_method)
    n_processes, n_tasks = settings.resolve_workers(processes), settings.resolve_max_tasks(max_tasks)
    _log.info("pool of %d processes (%s), replaced after %s tasks", n_processes, method, n_tasks or "no number of")
    context = multiprocessing.get_context(method)
    return context.Pool(n_processes, initializer, initargs or (), maxtasksperchild=n_tasks)


def _method_in_use(start_method: str | None = None) -> str:
    # Asking for the method would fix it if nobody has yet; allow_none leaves it open.
    current = multiprocessing.get_start_method(allow_none=True) or _platform_default()
    return usable_start_method(settings.resolve_start_method(start_method), current)


def _platform_default() -> str:
    return multiprocessing.get_all_start_methods()[0]
