"""Start of worker processes by each start method, without running the user's script again."""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from multiprocessing import context, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

from tilecore.executors.processes.channel import Channel, open_channel
from tilecore.executors.processes.messages import Job
from tilecore.executors.processes.start_method import n_threads
from tilecore.executors.processes.worker import BOARD_BYTES, Tools, run_worker, thread_environment
from tilecore.executors.processes.worker_handle import SupervisedWorker
from tilecore.machine import let_be_killed_first
from tilecore.memory.descriptors import Descriptor
from tilecore.memory.segments import Segment

__all__ = ["Launcher"]

# Packages that the fork server imports if this process has imported them. They start no threads, so that
# forking after them is safe, and no worker has to import them again.
_PRELOADED = ("cloudpickle", "numcodecs", "numpy", "scipy", "skimage", "threadpoolctl", "tifffile", "tilecore", "zarr")

_log = logging.getLogger(__name__)

_lock = threading.Lock()


def _renew_lock() -> None:
    """Give a forked child a new lock: the inherited one stays locked for ever."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Launcher:
    """Starter of the workers of one run.

    Parameters
    ----------
    job : Job
        Job that the workers open.
    places : int
        Largest number of workers at once.
    start_method : {"fork", "forkserver", "spawn"}
        How workers start.
    threads : int
        Threads that numerical libraries may use in a worker.
    """

    def __init__(self, job: Job, places: int, *, start_method: str, threads: int) -> None:
        self._job, self._threads = job, threads
        self._context: context.BaseContext = multiprocessing.get_context(start_method)
        self._start_method = start_method
        self._board = Segment(places * BOARD_BYTES)
        self._lines = memoryview(self._board.map()).cast("B").cast("d")
        self._parent = _open_self()
        self._lifeline, self._lifeline_end = _open_lifeline()

    def launch(self, place: int, others: list[SupervisedWorker]) -> SupervisedWorker:
        """Start a worker; a forked worker closes the inherited files of the workers in `others`."""
        line = self._lines[2 * place : 2 * place + 2]
        line[0] = line[1] = 0.0
        near, far = open_channel()
        crash_log = Segment(0)
        tools = Tools(
            channel=far,
            board=self._board,
            place=place,
            crash_log=crash_log,
            parent=self._parent,
            lifeline=self._lifeline,
            inherited=self._to_close(near, others),
            threads=self._threads,
            # The fork server has the variables of the time at which it was started.
            environment=dict(os.environ) if self._start_method == "forkserver" else None,
        )
        try:
            process = self._started(tools)
        except BaseException:
            near.close()
            raise
        finally:
            far.close()
        return SupervisedWorker(process, near, line, crash_log, place)

    def close(self) -> None:
        """Close all files; this ends workers that are still alive."""
        self._lines.release()
        for descriptor in (self._parent, self._lifeline, self._lifeline_end):
            if descriptor is not None:
                descriptor.close()
        self._board.close()

    def _to_close(self, near: Channel, others: list[SupervisedWorker]) -> list[Any]:
        if self._start_method != "fork":
            return []
        return [end for end in (near, self._lifeline_end, *others) if end is not None]

    def _started(self, tools: Tools) -> BaseProcess:
        """Start a process; use the fork server only if it belongs to this process."""
        try:
            return self._start(self._new_process(tools))
        except ChildProcessError:  # the server belongs to the process that this one was forked from
            _log.info("forked from a process with a fork server: its workers start by spawn")
            self._start_method, self._context = "spawn", multiprocessing.get_context("spawn")
            return self._start(self._new_process(tools))

    def _new_process(self, tools: Tools) -> BaseProcess:
        process: BaseProcess = self._context.Process(  # type: ignore[attr-defined]
            target=run_worker, args=(tools, self._job), name=f"tilecore-worker-{tools.place}", daemon=True
        )
        return process

    def _start(self, process: BaseProcess) -> BaseProcess:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_lock)
            stack.enter_context(_sigint_blocked())
            stack.enter_context(_not_daemonic())
            if self._start_method == "fork":
                stack.enter_context(_fork_warning_off())
            else:
                stack.enter_context(_main_hidden())
                stack.enter_context(_environment(thread_environment(self._threads)))
            if self._start_method == "forkserver":
                self._context.set_forkserver_preload(_modules_to_preload())
            process.start()
        if process.pid is not None:  # what it does can be done again; what this process holds would be lost
            let_be_killed_first(process.pid)
        return process


def _open_self() -> Descriptor | None:
    """Open a descriptor that becomes readable when this process ends, for any reason."""
    return Descriptor(os.pidfd_open(os.getpid())) if hasattr(os, "pidfd_open") else None


def _open_lifeline() -> tuple[Descriptor | None, Descriptor | None]:
    """Open a pipe that nobody writes to: it breaks when this process, which holds one end, ends."""
    if not sys.platform.startswith("linux"):
        return None, None
    far, near = os.pipe()
    return Descriptor(far), Descriptor(near)


@functools.cache  # the server takes them when it starts, and no others later
def _modules_to_preload() -> list[str]:
    public = (name for name in sys.modules if name.partition(".")[0] in _PRELOADED and "._" not in name)
    return [*sorted(public), run_worker.__module__, "tilecore.executors.processes.fork_server_preload"]


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Start a worker with Ctrl-C blocked, so that it never prints a traceback for it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it would unblock the signal when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _fork_warning_off() -> Iterator[None]:
    """Hide Python's warning about threads: libraries such as OpenBLAS stop their threads before a fork."""
    if n_threads() > 1:
        _log.warning("forking while %d threads run may deadlock the workers", n_threads())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextlib.contextmanager
def _not_daemonic() -> Iterator[None]:
    """Allow workers in processes that may not have children in Python, such as those of a pool.

    Python forbids them because children would outlive such a process; tilecore's workers end with it.
    """
    process = multiprocessing.current_process()
    if not process.daemon:
        yield
        return
    process.daemon = False
    try:
        yield
    finally:
        process.daemon = True


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """Hide the user's script from the new process, so that it is not imported again.

    The parts of it that are needed are sent with the job. So a script without an
    ``if __name__ == "__main__"`` guard works, and its top-level code is not run again.
    """
    main = sys.modules["__main__"]
    stand_in = types.ModuleType("__main__")
    stand_in.__spec__ = None
    sys.modules["__main__"] = stand_in
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
