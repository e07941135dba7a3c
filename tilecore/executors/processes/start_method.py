"""Start methods of worker processes."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading

from tilecore.configuration import settings
from tilecore.spreading import HELPER_NAME

__all__ = [
    "default_start_method",
    "familiar_start_method",
    "method_in_use",
    "n_threads",
    "platform_default",
    "usable_start_method",
]

_log = logging.getLogger(__name__)

# Threads that hold no lock while they wait and start again after a fork: those of zarr, tqdm and tilecore.
_HARMLESS_THREADS = ("zarr_io", "asyncio_", "tqdm_monitor", "tilecore-populate", "tilecore-turn", HELPER_NAME)


def default_start_method() -> str:
    """Default start method of tilecore's own workers: forkserver on Linux, spawn elsewhere."""
    return "forkserver" if sys.platform.startswith("linux") else "spawn"


def familiar_start_method() -> str:
    """Start method for functions that earlier used a plain pool: the one that ``multiprocessing`` is set to.

    A fork copies a lock that another thread holds at that moment, and nothing in the child
    ever releases it. So if other threads run, the fork server is used instead of fork.
    """
    method = method_in_use()
    if method != "fork" or n_threads() == 1:
        return method
    _log.warning(
        "%d threads run, whose locks a fork could copy: workers come from a fork server, and see modules as "
        "they are imported, not as this process has changed them",
        n_threads(),
    )
    return "forkserver"


def n_threads() -> int:
    """Count the threads whose locks a fork could copy; 1 means that only this thread runs."""
    return sum(not thread.name.startswith(_HARMLESS_THREADS) for thread in threading.enumerate())


def usable_start_method(wanted: str | None, default: str) -> str:
    """Return `wanted` if this platform has it; otherwise log a warning and return `default`."""
    if wanted is None:
        return default
    if wanted in multiprocessing.get_all_start_methods():
        return wanted
    _log.warning("start method %r is not available here; using %r", wanted, default)
    return default


def method_in_use(start_method: str | None = None) -> str:
    """Start method of plain pools: from the argument, the `settings`, or ``multiprocessing``."""
    # Asking for the method would set it if nobody has done so yet; allow_none leaves it open.
    current = multiprocessing.get_start_method(allow_none=True) or platform_default()
    return usable_start_method(settings.resolve_start_method(start_method), current)


def platform_default() -> str:
    """Default start method of ``multiprocessing``."""
    return multiprocessing.get_all_start_methods()[0]
