"""What a worker process does: protect itself, open the job, run tasks, report, end with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import gc
import multiprocessing.util
import os
import pickle
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import current_process, parent_process
from typing import Any

import threadpoolctl

from tilecore.executors.attempts import attempt, describe, failure_of
from tilecore.executors.base import Failure, Function, Outcome
from tilecore.executors.processes.channel import MESSAGE_BYTES, Channel
from tilecore.executors.processes.messages import Hello, Job, Known, Report, Result
from tilecore.executors.processes.results import Letter, Outbox
from tilecore.machine import keep_freed_memory, limit_threads
from tilecore.memory.descriptors import Descriptor
from tilecore.memory.segments import Segment

__all__ = ["BOARD_BYTES", "Tools", "run_worker", "thread_environment"]

#: Each worker's line on the board: tasks begun, and when the last of them began (two float64).
BOARD_BYTES = 16

# Results are sent at least this often, so that a batch that takes longer than expected shows progress.
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
    """What the parent gives a worker beside the job.

    Attributes
    ----------
    channel : Channel
        The worker's end.
    board : Segment
        Where the worker notes what it does, in line `place`, for the parent to read after its death.
    place : int
    crash_log : Segment
        Where the interpreter writes its tracebacks if it crashes.
    parent : Descriptor or None
        Readable when the parent has ended (Linux).
    lifeline : Descriptor or None
        A pipe that breaks when the parent ends (Linux).
    inherited : list
        Open files of the parent, closed here (fork).
    threads : int
        Threads that numerical libraries may use.
    """

    channel: Channel
    board: Segment
    place: int
    crash_log: Segment
    parent: Descriptor | None
    lifeline: Descriptor | None
    inherited: list[Any]
    threads: int


def run_worker(tools: Tools, job: Job) -> None:
    """Run tasks until the parent says stop, closes the channel, or ends."""
    gc.freeze()  # what a fork has inherited is not its garbage: looking at it would copy it
    _protect(tools)
    keep_freed_memory()
    if "fork" in multiprocessing.get_all_start_methods():
        # Libraries lock with semaphores: set so, their names are gone at once, and being killed leaves none behind.
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
    # Libraries lock with named semaphores, which the kernel keeps; the rest it takes back faster than we could.
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
            report.add(attempt(call, task, known, tools.place))
        report.send()


def _informed(function: Function, news: Known) -> tuple[Function, Any]:
    """The function and what is known from now on; a function that fails if that cannot be opened here."""
    try:
        return function, news.open()
    except Exception as error:
        return functools.partial(_fail, error), None


def _fail(error: Exception, *_: object) -> None:
    raise error


class _Draft:
    """A report in the making."""

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
        """Send if the report is old or long; return the time."""
        now = time.monotonic()
        if now > self._due or self._n_bytes > MESSAGE_BYTES:
            self.send()
            self._due = now + _REPORT_SECONDS
        return now

    def send(self) -> None:
        if self._results:
            trays, self._outbox.fresh = self._outbox.fresh, {}
            self._channel.send(Report(self._results, trays, self._peak_bytes))
            self._results, self._n_bytes = [], 0


def _packed(outcome: Outcome, outbox: Outbox) -> Result:
    failure = outcome.failure
    if failure is None:
        try:
            return Result(outcome.seconds, outbox.pack(outcome.value))
        except Exception as error:
            kind = type(outcome.value).__name__
            return Result(
                outcome.seconds, None, Failure(f"the result, a {kind}, cannot be sent back: {describe(error)}")
            )
    return Result(outcome.seconds, _pack_exception(failure.exception, outbox), _short(failure))


def _pack_exception(exception: BaseException | None, outbox: Outbox) -> Letter | None:
    """Pack an exception if it survives the journey: some can be packed and not unpacked."""
    try:
        letter = outbox.pack(exception)
        if letter.tray >= 0:
            outbox.release([letter.tray])
            return None
        pickle.loads(letter.text)
    except Exception:  # whatever its own code does; it travels as text alone
        return None
    return letter


def _short(failure: Failure) -> Failure:
    """Cut a failure's text to what fits into a message; its exception travels beside it."""
    text, half = failure.traceback, MESSAGE_BYTES // 8
    if len(text) > 2 * half:
        text = text[:half] + "\n  ...\n" + text[-half:]
    return Failure(failure.reason[:1000], text)


def _length(result: Result) -> int:
    n_bytes = 64 + (len(result.letter.text) if result.letter else 0)
    return n_bytes + (len(result.failure.traceback) + len(result.failure.reason) if result.failure else 0)


def _protect(tools: Tools) -> None:
    """Set up a worker so that it neither outlives its parent nor gets its Ctrl-C."""
    for opened in tools.inherited:
        opened.close()
    # A daemon towards the parent, which need not wait for it; but one that may have children.
    current_process().daemon = False
    if hasattr(os, "setsid"):
        with contextlib.suppress(PermissionError):  # leads a group already
            os.setsid()
    # What the parent does on a signal is not for a fork of it to do.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable(file=tools.crash_log.fileno())
    os.environ.update(thread_environment(tools.threads))
    if tools.lifeline is not None:
        _die_with(tools.lifeline)
    threading.Thread(target=_watch, args=(tools.parent,), name="tilecore-watch", daemon=True).start()


def _die_with(lifeline: Descriptor) -> None:
    """Have the kernel kill this worker and what it started when the pipe breaks.

    A thread could not: it waits for an interpreter lock that a compiled function may hold for hours.
    """
    import fcntl  # not on Windows

    # Opened anew: workers that share an open file would share its owner too.
    own = os.open(f"/proc/self/fd/{lifeline.fileno()}", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(own, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(own, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    if select.select([own], [], [], 0)[0]:  # it broke before anybody listened
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
    """Environment that limits the threads of libraries loaded under it."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


def _limit_threads(n_threads: int) -> None:
    """Limit the threads of libraries that are loaded already, and tilecore's own."""
    limit_threads(n_threads)
    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        if library.num_threads != n_threads and not _limited_quietly(library, n_threads):
            library.set_num_threads(n_threads)


def _limited_quietly(library: threadpoolctl.LibController, n_threads: int) -> bool:
    """Lower OpenBLAS's number of threads, if it can be done without a start of those that a fork has not.

    Its own function would start them all, and they would spin for want of work; the variable
    that it sets is looked at before any are started.
    """
    if library.internal_api != "openblas" or library.num_threads < n_threads:
        return False
    try:
        ctypes.c_int.in_dll(library.dynlib, "blas_cpu_number").value = n_threads
    except ValueError:  # built with that variable hidden
        return False
    return True
