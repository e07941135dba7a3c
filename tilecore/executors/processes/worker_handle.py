"""Handle of a worker process in its parent."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import deque
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

from tilecore.errors import SharedMemoryError, ShippingError
from tilecore.executors.attempts import describe
from tilecore.executors.base import Failure, Outcome, Task
from tilecore.executors.processes.channel import Channel
from tilecore.executors.processes.messages import Assignment, Hello, Known, Report, Result
from tilecore.executors.processes.results import Inbox, Letter
from tilecore.memory.segments import Segment

__all__ = ["SupervisedWorker"]

# Longest time for the system to end a killed process, or to give its exit code, on a busy machine [s].
_BURIAL_SECONDS = 10.0


class SupervisedWorker:
    """One worker process: its tasks, its messages, and whether it lives.

    Attributes
    ----------
    place : int
        Number of its place in the executor.
    tasks : deque
        Tasks that it was given and has not reported yet, in order.
    ready : bool
        Whether it has opened the job.
    n_done : int
        Number of tasks that it has reported.
    started : float
        Start time, by the monotonic clock [s].
    is_bloated : bool
        Whether it ran out of memory in a task, and should be replaced.
    loss : str or None
        Reason why results that it sent are lost; it cannot be used any more then.
    """

    def __init__(
        self, process: BaseProcess, channel: Channel, line: memoryview[float], crash_log: Segment, place: int
    ) -> None:
        self.place = place
        self.tasks: deque[Any] = deque()
        self.ready = False
        self.n_done = 0
        self.started = time.monotonic()
        self.is_bloated = False
        self.loss: str | None = None
        self._process, self._channel, self._line, self._crash_log = process, channel, line, crash_log
        self._inbox = Inbox()
        self._version = 0
        self._unopened: list[Known | None] = []  # shared values that it may still have to open, though newer ones exist
        self._death = _open_process(self._pid)

    @property
    def _pid(self) -> int:
        pid = self._process.pid
        assert pid is not None  # it was started
        return pid

    def signals(self) -> list[Any]:
        """Objects to wait for: the channel of the worker's messages, and the signal of its end."""
        return [self._channel, self._process.sentinel if self._death is None else self._death]

    def assign(self, tasks: list[Any], version: int, known: Known | None) -> None:
        """Send tasks, and the run's shared value if the worker has an older one; a dead worker is noticed later."""
        if not self.tasks:
            self._unopened.clear()
        self.tasks.extend(tasks)
        fresh, self._version = known if version > self._version else None, version
        self._unopened.append(fresh)
        released, self._inbox.released[:] = self._inbox.released[:], []
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._channel.send(Assignment(tasks, fresh, released))

    def messages(self) -> tuple[Hello | None, list[Outcome]]:
        """Read all messages that have arrived, as a greeting and as outcomes."""
        hello: Hello | None = None
        outcomes: list[Outcome] = []
        # EOFError, OSError: there is nothing more to read now, or ever.
        with contextlib.suppress(EOFError, OSError):
            while self.loss is None:
                try:
                    message = self._channel.receive_now()
                    if isinstance(message, Hello):
                        hello = message
                        self.ready = message.failure is None
                    else:
                        outcomes += self._outcomes(message)
                except SharedMemoryError as error:
                    # The memory that holds its results was freed with it, or cannot be opened here. Any later
                    # results would be taken for those of the wrong tasks.
                    self.loss = f"its results could not be received: {error}"
        return hello, outcomes

    def is_dead(self) -> bool:
        """Whether the process has ended. A pidfd is asked, as children may hold a forked worker's sentinel open."""
        if self._death is None:
            return self._process.exitcode is not None
        return bool(connection.wait([self._death], timeout=0))

    def begun(self) -> int:
        """Number of its unreported tasks that it had begun, as noted on the board."""
        return int(self._line[0]) - self.n_done

    def begun_since(self) -> float | None:
        """Start time of the task that it runs, by the monotonic clock [s]; None if it runs none."""
        return float(self._line[1]) if self.begun() > 0 else None

    def exitcode(self) -> int | None:
        """Exit code of a worker that is dead or dying; a negative number is the signal that killed it."""
        deadline = time.monotonic() + _BURIAL_SECONDS
        if self._process.exitcode is None:
            self.join(_BURIAL_SECONDS)
        # Check first, as the worker's children may hold the object open that multiprocessing waits for.
        if self._process.exitcode is None:
            self._process.join(timeout=max(deadline - time.monotonic(), 0))
        code = self._process.exitcode
        return None if code is None else int(code)

    def death(self, why: str | None) -> Failure:
        """Describe the worker's death, with its stack traces if it crashed."""
        code = self.exitcode()
        text = os.pread(self._crash_log.fileno(), 2**16, 0).strip(b"\0").decode(errors="replace")
        return Failure(why or _describe_exit(code), text, exitcode=code, timed_out=why is not None)

    def kill(self) -> None:
        """Kill the worker and every process that it has started."""
        self.kill_group()
        with contextlib.suppress(ProcessLookupError):  # it may not lead a group yet
            os.kill(self._pid, signal.SIGKILL)

    def kill_group(self) -> None:
        """Kill the processes that the worker has started and that outlive it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def dismiss(self) -> None:
        """Ask the worker to end once it has nothing to do."""
        with contextlib.suppress(OSError):
            self._channel.send(None)

    def close(self) -> None:
        """Close this process's files for the worker; forked children call this too."""
        self._channel.close()
        if self._death is not None:
            os.close(self._death)
            self._death = None
        self._crash_log.close()

    def join(self, seconds: float) -> None:
        """Wait for the process to end, at most `seconds` seconds."""
        connection.wait([self.signals()[1]], timeout=max(seconds, 0))

    def reap(self) -> None:
        """Remove the process, which must be dead or dying, and close its files."""
        self.kill_group()
        self.exitcode()
        self._process.join(timeout=0)  # by this call multiprocessing forgets the process
        self.close()
        with contextlib.suppress(ValueError):  # not ended, unexpectedly: its process number stays taken
            self._process.close()

    def _outcomes(self, report: Report) -> list[Outcome]:
        self._inbox.add_trays(report.trays)
        outcomes: list[Outcome] = []
        for result in report.results:
            task = self.tasks.popleft()
            self.n_done += 1
            phases = () if outcomes else report.phases
            outcomes.append(self._outcome(task, result, report.peak_bytes, phases))
        return outcomes

    def _outcome(self, task: Task, result: Result, peak_bytes: int | None, phases: tuple[float, ...]) -> Outcome:
        value, failure = None, result.failure
        if failure is not None:
            failure = Failure(failure.reason, failure.traceback, self._exception(result.letter))
            self.is_bloated |= isinstance(failure.exception, MemoryError)
        else:
            assert result.letter is not None
            try:
                value = self._inbox.open(result.letter)
            except Exception as error:
                reason = f"the result cannot be read: {describe(error)}"
                failure = Failure(reason, exception=ShippingError(reason))
        return Outcome(task, value, failure, result.seconds, self.place, peak_bytes, phases)

    def _exception(self, letter: Letter | None) -> BaseException | None:
        try:
            exception = None if letter is None else self._inbox.open(letter)
        except Exception:  # its class cannot be unpacked here; the failure's text describes it
            return None
        # Libraries such as distributed let exceptions carry a copy of their traceback; it is told as text.
        return exception.with_traceback(None) if isinstance(exception, BaseException) else None


def _open_process(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:  # dead already: the read end of a broken pipe becomes readable in the same way
        far, near = os.pipe()
        os.close(near)
        return far


def _describe_exit(code: int | None) -> str:
    if code is None:
        return "the worker died"
    if code >= 0:
        return f"the worker ended with exit code {code} in the middle of the tile"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    text = f"the worker was killed by {name}"
    if name == "SIGKILL":
        text += ", probably because memory ran out: use smaller tiles, fewer workers or max_memory"
    return text
