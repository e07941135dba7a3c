"""How worker processes start."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading

from tilecore.configuration import settings

__all__ = [
    "default_start_method",
    "familiar_start_method",
    "method_in_use",
    "n_threads",
    "platform_default",
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
    method = method_in_use()
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


def method_in_use(start_method: str | None = None) -> str:
    """Start method of plain pools: as asked for, as `settings` say, or as ``multiprocessing`` is set."""
    # Asking for the method would fix it if nobody has yet; allow_none leaves it open.
    current = multiprocessing.get_start_method(allow_none=True) or platform_default()
    return usable_start_method(settings.resolve_start_method(start_method), current)


def platform_default() -> str:
    """Start method of ``multiprocessing`` itself."""
    return multiprocessing.get_all_start_methods()[0]
