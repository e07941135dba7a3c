"""Pools as in MagellanMapper: plain pools of ``multiprocessing`` with tilecore's settings."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from collections.abc import Callable, Mapping
from multiprocessing.pool import Pool
from typing import Any, Protocol

from tilecore.configuration import settings
from tilecore.executors.processes.start_method import method_in_use, platform_default, usable_start_method

__all__ = ["MagmapConfig", "configure", "get_mp_pool", "is_fork", "set_mp_start_method"]

_log = logging.getLogger(__name__)


class MagmapConfig(Protocol):
    """What is taken of MagellanMapper's module ``magmap.settings.config``."""

    @property
    def cpus(self) -> int | None:
        """Number of processes, from its command line; None: all cores."""
        ...

    def get_roi_profile(self, i: int, /) -> Mapping[str, Any] | None:
        """The profile of a channel; None before the command line was read."""
        ...


def configure(config: MagmapConfig) -> None:
    """Take over MagellanMapper's own settings of processes, for `get_mp_pool` and the rest of tilecore.

    Parameters
    ----------
    config : module
        ``magmap.settings.config``, after the command line was read. From ``cpus`` (``--cpus``) comes the number of
        processes, from ``mp_max_tasks`` of the first profile the number of tasks after which a process is replaced;
        None is tilecore's default. ``mp_start`` of the profile is set as by `set_mp_start_method`.

    Raises
    ------
    ParameterError, ParameterTypeError
        If a number is less than 1, or no whole number.

    Notes
    -----
    Process-safety: sets `settings` and the start method of this process; workers need neither.
    """
    profile = config.get_roi_profile(0) or {}
    settings.workers, settings.max_tasks = config.cpus, profile.get("mp_max_tasks")
    set_mp_start_method(profile.get("mp_start"))


def set_mp_start_method(val: str | None = None) -> str:
    """Set the start method of ``multiprocessing`` for this process.

    Parameters
    ----------
    val : {"fork", "forkserver", "spawn"}, optional
        Default: from `settings` or ``TILECORE_START_METHOD``, otherwise "fork" on Linux, where MagellanMapper's
        functions count on it, and the platform's default elsewhere. The latter also replaces a method that the
        platform lacks.

    Returns
    -------
    str
        The method in use; it differs from `val` if a method was set before.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.
    """
    # From Python 3.14 on the platform's own default is the fork server, also on Linux.
    usual = "fork" if sys.platform.startswith("linux") else platform_default()
    wanted = (settings.resolve_start_method() or usual) if val is None else val
    method = usable_start_method(wanted, platform_default())
    try:
        multiprocessing.set_start_method(method)
        _log.info("start method set to %r", method)
    except RuntimeError:
        applied = multiprocessing.get_start_method()
        _log.info("start method is %r already; %r not applied", applied, method)
        return applied
    return method


def is_fork() -> bool:
    """Whether `get_mp_pool` starts processes by "fork".

    Returns
    -------
    bool
        True for "fork".

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.
    """
    return method_in_use() == "fork"


def get_mp_pool(
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] | None = None,
    *,
    processes: int | None = None,
    start_method: str | None = None,
    max_tasks: int | None = None,
) -> Pool:
    """Create a plain ``multiprocessing.Pool`` with tilecore's settings.

    Parameters
    ----------
    initializer : callable, optional
        Function that each process calls when it starts.
    initargs : tuple, optional
        Arguments of `initializer`; shared arrays in them are not copied.
    processes : int, optional
        Number of processes; default: from the settings, the environment, or the number of cores.
    start_method : {"fork", "forkserver", "spawn"}, optional
        How processes start; default: as ``multiprocessing`` is set (see `set_mp_start_method`).
    max_tasks : int, optional
        Number of tasks after which a process is replaced; default: from the settings, or no limit.

    Returns
    -------
    multiprocessing.pool.Pool
        The pool; close it after use, for example by a ``with`` block.

    Notes
    -----
    A plain pool hangs if one of its processes is killed; `map_tiles` and `pmap_chunks` do not
    use it.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.
    """
    method = method_in_use(start_method)
    n_processes, n_tasks = settings.resolve_workers(processes), settings.resolve_max_tasks(max_tasks)
    _log.info("pool of %d processes (%s), replaced after %s tasks", n_processes, method, n_tasks or "no number of")
    context = multiprocessing.get_context(method)
    return context.Pool(n_processes, initializer, initargs or (), maxtasksperchild=n_tasks)
