"""Main function of a worker process: open the job, run tasks, report, and end with the parent."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import gc
import multiprocessing.util
import os
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import current_process, parent_process
from typing import Any

import threadpoolctl

from tilecore.executors.attempts import attempt, failure_of, not_sent, take_phases
from tilecore.executors.base import Failure, Function, Outcome
from tilecore.executors.processes.channel import MESSAGE_BYTES, Channel
from tilecore.executors.processes.messages import Hello, Job, Known, Report, Result
from tilecore.executors.processes.raised import pack_raised
from tilecore.executors.processes.results import Letter, Outbox
from tilecore.machine import keep_freed_memory, limit_threads
from tilecore.memory.descriptors import Descriptor
from tilecore.memory.segments import Segment

__all__ = ["BOARD_BYTES", "Tools", "run_worker", "thread_environment"]

#: Size of a worker's line on the board: number of tasks begun, and start of the last one (two float64) [byte].
BOARD_BYTES = 16

# Longest time between reports [s], so that a batch that takes longer than expected shows progress.
_REPORT_SECONDS = 0.01

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "BLIS_NUM_THREADS",
)


@dataclass
class Tools:
    """Resources that the parent gives a worker in addition to the job.

    Attributes
    ----------
    channel : Channel
        The worker's end of the channel.
    board : Segment
        Shared bytes in which the worker notes its progress, in line `place`; the parent reads them after its death.
    place : int
        Number of the worker's place.
    crash_log : Segment
        Segment for the interpreter's stack traces if it crashes.
    parent : Descriptor or None
        Descriptor that becomes readable when the parent has ended (Linux).
    lifeline : Descriptor or None
        Pipe that breaks when the parent ends (Linux).
    inherited : list
        Open files of the parent, which a forked worker closes.
    threads : int
        Threads that numerical libraries may use.
    environment : dict of str to str, or None
        Variables of the calling process, for a worker that has not inherited them as they are now.
    """

    channel: Channel
    board: Segment
    place: int
    crash_log: Segment
    parent: Descriptor | None
    lifeline: Descriptor | None
    inherited: list[Any]
    threads: int
    environment: dict[str, str] | None = None


def run_worker(tools: Tools, job: Job) -> None:
    """Run tasks until the parent sends a stop message, closes the channel, or ends."""
    gc.freeze()  # objects inherited by fork are never garbage here, and visiting them would copy them
    _protect(tools)
    if tools.environment is not None:
        os.environ.clear()
        os.environ.update(tools.environment)
    keep_freed_memory()
    if "fork" in multiprocessing.get_all_start_methods():
        # Libraries use semaphores as locks: under fork their names are removed at once, so a kill leaves none behind.
        multiprocessing.set_start_method("fork", force=True)
    try:
        function, known = job.open()
    except BaseException as error:
        tools.channel.send(Hello(_short(failure_of(error))))
        return
    tools.channel.send(Hello())
    _limit_threads(tools.threads)
    with contextlib.suppress(EOFError, BrokenPipeError):
        _serve(tools, function, known)
    sys.stdout.flush()
    sys.stderr.flush()
    # Libraries use named semaphores, which the kernel keeps; it frees everything else faster than Python could.
    multiprocessing.util._run_finalizers(0)  # type: ignore[attr-defined]
    os._exit(0)


def _serve(tools: Tools, function: Function, known: object) -> None:
    board = memoryview(tools.board.map()).cast("B")[tools.place * BOARD_BYTES :].cast("d")
    outbox, call = Outbox(), function
    while (assignment := tools.channel.receive()) is not None:
        outbox.release(assignment.released)
        if assignment.known is not None:
            call, known = _informed(function, assignment.known)
        report = _Draft(tools.channel, outbox)
        for task in assignment.tasks:
            board[1] = report.send_if_due()
            board[0] += 1
            report.add(attempt(call, task, known, tools.place, tells_phases=False))
        report.send()


def _informed(function: Function, news: Known) -> tuple[Function, Any]:
    """Return the function and the new shared value; if that cannot be opened here, a function that fails."""
    try:
        return function, news.open()
    except Exception as error:
        return functools.partial(_fail, error), None


def _fail(error: Exception, *_: object) -> None:
    raise error


class _Draft:
    """A report that is being filled."""

    def __init__(self, channel: Channel, outbox: Outbox) -> None:
        self._channel, self._outbox = channel, outbox
        self._results: list[Result] = []
        self._n_bytes = 0
        self._peak_bytes: int | None = None
        self._due = time.monotonic() + _REPORT_SECONDS

    def add(self, outcome: Outcome) -> None:
        result = _packed(outcome, self._outbox)
        self._results.append(result)
        self._n_bytes += _length(result)
        self._peak_bytes = outcome.peak_bytes

    def send_if_due(self) -> float:
        """Send the report if it is old or long; return the time now."""
        now = time.monotonic()
        if now > self._due or self._n_bytes > MESSAGE_BYTES:
            self.send()
            self._due = now + _REPORT_SECONDS
        return now

    def send(self) -> None:
        if self._results:
            trays, self._outbox.fresh = self._outbox.fresh, {}
            self._channel.send(Report(self._results, trays, self._peak_bytes, take_phases()))
            self._results, self._n_bytes = [], 0


def _packed(outcome: Outcome, outbox: Outbox) -> Result:
    failure = outcome.failure
    if failure is None:
        try:
            return Result(outcome.seconds, outbox.pack(outcome.value))
        except Exception as error:
            unsent = not_sent(outcome.value, error)
            # It would not help to try again, unless memory was short.
            failure = Failure(str(unsent)) if isinstance(error, MemoryError) else failure_of(unsent)
    return Result(outcome.seconds, _pack_exception(failure.exception, outbox), _short(failure))


def _pack_exception(exception: BaseException | None, outbox: Outbox) -> Letter | None:
    """Pack an exception; None if there is none, or only its text can be sent."""
    content = None if exception is None else pack_raised(exception)
    try:
        return None if content is None else outbox.lay(content)
    except MemoryError:  # no shared memory is left for a long one
        return None


def _short(failure: Failure) -> Failure:
    """Shorten a failure's text so that it fits into a message; its exception is sent separately."""
    text, half = failure.traceback, MESSAGE_BYTES // 8
    if len(text) > 2 * half:
        text = text[:half] + "\n  ...\n" + text[-half:]
    return Failure(failure.reason[:1000], text)


def _length(result: Result) -> int:
    n_bytes = 64 + (len(result.letter.text) if result.letter else 0)
    return n_bytes + (len(result.failure.traceback) + len(result.failure.reason) if result.failure else 0)


def _protect(tools: Tools) -> None:
    """Prepare a worker: it must not outlive its parent, and must ignore Ctrl-C."""
    for opened in tools.inherited:
        opened.close()
    # The parent does not wait for the worker (daemon), but the worker may have children.
    current_process().daemon = False
    if hasattr(os, "setsid"):
        with contextlib.suppress(PermissionError):  # it leads a group already
            os.setsid()
    # Signal handlers of the parent must not run in its forked children.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable(file=tools.crash_log.fileno())
    os.environ.update(thread_environment(tools.threads))
    if tools.lifeline is not None:
        _die_with(tools.lifeline)
    threading.Thread(target=_watch, args=(tools.parent,), name="tilecore-watch", daemon=True).start()


def _die_with(lifeline: Descriptor) -> None:
    """Ask the kernel to kill this worker, and the processes it started, when the pipe breaks.

    A thread could not do so: it waits for the interpreter lock, which a compiled function may hold for hours.
    """
    import fcntl  # not on Windows

    # Opened again here, because workers that share an open file would also share its owner.
    own = os.open(f"/proc/self/fd/{lifeline.fileno()}", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(own, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(own, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    if select.select([own], [], [], 0)[0]:  # the pipe broke before the kernel was asked
        _end_group()


def _watch(parent: Descriptor | None) -> None:
    if parent is not None:
        select.select([parent.fileno()], [], [])
    else:
        process = parent_process()
        if process is None:
            return
        process.join()
    _end_group()


def _end_group() -> None:
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables that limit the threads of libraries loaded later."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


def _limit_threads(n_threads: int) -> None:
    """Limit the threads of libraries that are already loaded, and of tilecore itself."""
    limit_threads(n_threads)
    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        if library.num_threads != n_threads and not _limited_quietly(library, n_threads):
            library.set_num_threads(n_threads)


def _limited_quietly(library: threadpoolctl.LibController, n_threads: int) -> bool:
    """Lower OpenBLAS's number of threads without starting those that a forked worker lacks.

    OpenBLAS's own function would start them all, and they would wait actively without work.
    Instead this sets a variable that OpenBLAS reads before it starts any threads.
    """
    if library.internal_api != "openblas" or library.num_threads < n_threads:
        return False
    try:
        ctypes.c_int.in_dll(library.dynlib, "blas_cpu_number").value = n_threads
    except ValueError:  # OpenBLAS was built with that variable hidden
        return False
    return True
