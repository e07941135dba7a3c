"""What the workers of a cluster do: open what a run has sent, run a batch of tasks, and report."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import cloudpickle
from dask.context import thread_state
from distributed import get_worker

from tilecore.executors.attempts import attempt, describe, failure_of, not_sent
from tilecore.executors.base import Failure, Function, Outcome, Task, Verifiable
from tilecore.executors.dask.fields import Fields
from tilecore.executors.library_threads import LibraryThreads
from tilecore.executors.processes.raised import pack_raised
from tilecore.machine import limit_threads, threads_limit

__all__ = ["MOST_BYTES", "Batch", "Done", "Packed", "Report", "Unopened", "open_both", "run_batch"]

Item = TypeVar("Item")

#: Bytes of results after which a batch ends: they stay in the worker's memory until they are fetched.
MOST_BYTES = 16 * 2**20


class Packed(Generic[Item]):
    """An object that each worker opens once, when its first task needs it; dask moves it between workers as bytes.

    Parameters
    ----------
    content : bytes
        Pickle of the object.

    Notes
    -----
    Process-safety: the threads of a worker open it together. What was opened goes with this object, which dask keeps
    as long as the run needs it.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self._lock = content, threading.Lock()
        self._opened: list[Item] = []

    def open(self, *apart: Packed[Any]) -> Item:
        """Return the object, which is put together with those of its fields that were sent apart."""
        with self._lock:
            if not self._opened:
                item: Any = pickle.loads(self._content)
                if isinstance(item, Fields):
                    item = item.assembled([each.open() for each in apart])
                if isinstance(item, Verifiable):
                    item.verify()
                self._opened.append(item)
            return self._opened[0]

    def __reduce__(self) -> tuple[type[Packed[Item]], tuple[bytes]]:
        return Packed, (self._content,)


@dataclass(frozen=True)
class Batch:
    """Tasks that one task of dask runs, one after the other.

    Attributes
    ----------
    content : bytes
        Pickle of the list of tasks: dask would look into a list for keys of its own.
    threads : int
        Threads that numerical libraries may use.
    """

    content: bytes
    threads: int

    @classmethod
    def of(cls, tasks: list[Task], threads: int) -> Batch:
        """Pack tasks."""
        return cls(pickle.dumps(tasks, protocol=5), threads)


class Report(NamedTuple):
    """What became of a task, in a form that always arrives.

    Attributes
    ----------
    value : bytes
        Pickle of the function's value, or of what it raised; empty if it raised what cannot be sent.
    buffers : list
        Memory of arrays in it, which is not copied into the pickle.
    reason, trace : str
        Of a failure: its reason and its traceback; an empty reason tells success.
    seconds : float
    peak_bytes : int or None
    phases : tuple of float
        As of an `Outcome`.
    """

    value: bytes
    buffers: list[bytearray]
    reason: str
    trace: str
    seconds: float
    peak_bytes: int | None
    phases: tuple[float, ...]

    @classmethod
    def of(cls, outcome: Outcome) -> Report:
        """Pack an outcome; a value that cannot be packed is a failure."""
        failure, content = outcome.failure, b""
        buffers: list[pickle.PickleBuffer] = []
        if failure is None:
            try:
                content = cloudpickle.dumps(outcome.value, protocol=5, buffer_callback=buffers.append)
            except Exception as error:
                failure, buffers = failure_of(not_sent(outcome.value, error)), []
        if failure is not None and failure.exception is not None:
            content = pack_raised(failure.exception) or b""
        # Copied now: the function may use the memory of its results again for the next task of the batch.
        copies = [bytearray(buffer.raw()) for buffer in buffers]
        told = ("", "") if failure is None else (failure.reason, failure.traceback)
        return cls(content, copies, *told, outcome.seconds, outcome.peak_bytes, outcome.phases)

    @property
    def n_bytes(self) -> int:
        """Size of what was packed [byte]."""
        return len(self.value) + sum(map(len, self.buffers)) if self.buffers else len(self.value)

    def outcome(self, task: Task, worker: int) -> Outcome:
        """The outcome of a task, in the process that asked for it."""
        value, failure = None, None
        try:
            value = pickle.loads(self.value, buffers=self.buffers) if self.value else None
        except Exception as error:
            reason = self.reason or f"the result cannot be read: {describe(error)}"
            failure = Failure(reason, self.trace)
        if self.reason and failure is None:
            exception = value.with_traceback(None) if isinstance(value, BaseException) else None
            value, failure = None, Failure(self.reason, self.trace, exception)
        return Outcome(task, value, failure, self.seconds, worker, self.peak_bytes, self.phases)


@dataclass(frozen=True)
class Unopened:
    """Report of a worker that could not open what the run has sent.

    Attributes
    ----------
    reason : str
        Why, in one line.
    host : str
        Name of the worker's machine.
    """

    reason: str
    host: str

    @property
    def advice(self) -> str:
        """What is wrong, and what to do."""
        return (
            f"a worker on {self.host} cannot open the function or its data: {self.reason}. All workers need the same "
            "modules (client.upload_file brings them a file), and see files by the same paths"
        )


def open_both(function: Packed[Function], known: Packed[object], *apart: Packed[object]) -> Unopened | None:
    """Open what a run has sent, and see that files which it reads and writes are there; None if they are."""
    try:
        function.open()
        known.open(*apart)
    except BaseException as error:
        return Unopened(describe(error), socket.gethostname())
    return None


@dataclass(frozen=True)
class Done:
    """What a worker has done of a batch.

    Attributes
    ----------
    worker : str
        Address of the worker.
    reports : list of Report
        Of its tasks, in their order; fewer if the batch was taken back, or if they have become large.
    n_bytes : int
        Size of all results [byte].
    """

    worker: str
    reports: list[Report]
    n_bytes: int

    def __sizeof__(self) -> int:
        """Size by which dask tells how much memory of a worker is in use [byte]."""
        return object.__sizeof__(self) + self.n_bytes


def run_batch(
    batch: Batch, function: Packed[Function], known: Packed[object], *apart: Packed[object]
) -> Done | Unopened:
    """Run the tasks of a batch, as a task of dask; `apart` are fields of the shared value that were sent apart.

    Tasks that are left when the run takes the batch back, or when there are `MOST_BYTES` of results, are not begun.
    """
    if (problem := open_both(function, known, *apart)) is not None:
        return problem
    call, facts, tasks = function.open(), known.open(*apart), pickle.loads(batch.content)
    reports, n_bytes = [], 0
    with _few_threads(batch.threads):
        for task in tasks:
            if n_bytes >= MOST_BYTES or _is_taken_back():
                break
            outcome = attempt(call, task, facts, 0)
            reports.append(Report.of(outcome))
            del outcome  # what was raised refers to this frame
            n_bytes += reports[-1].n_bytes
    return Done(get_worker().address, reports, n_bytes)


def _is_taken_back() -> bool:
    """Whether nobody waits for this task of dask any more."""
    task = get_worker().state.tasks.get(thread_state.key)
    return task is None or task.state not in ("executing", "long-running")


class _Busy:
    """Batches at work in this process, which may be that of the caller: the last one gives its threads back."""

    def __init__(self) -> None:
        self.lock, self.number, self.before = threading.Lock(), 0, 0


_busy = _Busy()


@contextmanager
def _few_threads(threads: int) -> Iterator[None]:
    """Hold numerical libraries, and tilecore's own decoding, to some threads while a batch is at work."""
    libraries = LibraryThreads(threads)
    libraries.hold()
    with _busy.lock:
        if not _busy.number:
            _busy.before = threads_limit()
        _busy.number += 1
        limit_threads(threads)
    try:
        yield
    finally:
        with _busy.lock:
            _busy.number -= 1
            if not _busy.number:
                limit_threads(_busy.before)
        libraries.let_go()
