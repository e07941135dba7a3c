"""Work that is spread over threads: short pieces that run outside Python, such as the decoding of chunks."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from tilecore.machine import usable_threads

__all__ = ["HELPER_NAME", "spread", "threads_for"]

#: Name of the threads that help. While one waits it holds no lock, so a fork does not harm.
HELPER_NAME = "helper of tilecore"

# Time for which a thread waits for more work before it ends [s].
_IDLE_SECONDS = 1.0

# Work on less memory than this is done sooner than another thread is woken [byte].
_BYTES_PER_THREAD = 2**19

Item = TypeVar("Item")


def threads_for(n_bytes: int) -> int:
    """Number of threads among which it pays to divide work on this much memory; 1 for little."""
    n_worth_it = n_bytes // _BYTES_PER_THREAD
    return min(n_worth_it, usable_threads()) if n_worth_it > 1 else 1


def spread(work: Callable[[Item], object], items: Sequence[Item], n_threads: int) -> None:
    """Call `work` on each item, in several threads if there are several items.

    This thread takes part, and others help that are kept for the next call. So it ends also if no other is free, as
    where `work` itself spreads something.

    Raises
    ------
    Exception
        What `work` raises; of several errors, that of the first item. Items that nobody has begun are left out then.
    """
    n_helpers = min(n_threads, len(items)) - 1
    if n_helpers < 1:
        for item in items:
            work(item)
        return
    division = _Division(work, items)
    _helpers.ask(division, n_helpers)
    try:
        division.take_part()
    finally:
        _helpers.withdraw(division)
        division.end()
    division.raise_error()


class _Helped(Protocol):
    def help(self) -> None:
        """Take part in the work."""


class _Division(Generic[Item]):
    """Items that several threads work on: each takes the next one."""

    def __init__(self, work: Callable[[Item], object], items: Sequence[Item]) -> None:
        self._work = work
        self._left = iter(list(enumerate(items)))
        self._changed = threading.Condition()
        self._n_helpers = 0
        self._errors: list[tuple[int, BaseException]] = []

    def help(self) -> None:
        """Take part as one of those that `end` waits for."""
        with self._changed:
            self._n_helpers += 1
        self.take_part()
        with self._changed:
            self._n_helpers -= 1
            self._changed.notify_all()

    def take_part(self) -> None:
        """Work on items until none is left."""
        while (taken := self._next()) is not None:
            number, item = taken
            try:
                self._work(item)
            except BaseException as error:  # it is raised where the work was asked for
                self._left = iter(())
                self._errors.append((number, error))

    def end(self) -> None:
        """Leave out what nobody has begun, and wait for the others."""
        with self._changed:
            self._left = iter(())
            self._changed.wait_for(lambda: self._n_helpers == 0)

    def raise_error(self) -> None:
        """Raise the error of the first item that has one."""
        if self._errors:
            _, error = min(self._errors, key=lambda each: each[0])
            try:
                raise error
            finally:
                self._errors.clear()  # an error that holds this object, by its traceback, would keep itself alive
                del error

    def _next(self) -> tuple[int, Item] | None:
        with self._changed:
            return next(self._left, None)


class _Helpers:
    """Threads that take part in whatever asks for help, and end when nobody has asked for a while."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin without threads, as a process does that was forked."""
        self._changed = threading.Condition()
        self._asked: deque[_Helped] = deque()
        self._n_threads = self._n_idle = 0

    def ask(self, work: _Helped, n_helpers: int) -> None:
        """Let as many threads take part in a work; never do more exist than the largest number asked for."""
        with self._changed:
            self._asked.extend([work] * n_helpers)
            n_new = max(0, min(len(self._asked) - self._n_idle, n_helpers - self._n_threads))
            self._n_threads += n_new
            self._changed.notify(n_helpers)
        for _ in range(n_new):
            self._start()

    def withdraw(self, work: _Helped) -> None:
        """Ask for no more help."""
        with self._changed:
            self._asked = deque([each for each in self._asked if each is not work])

    def _start(self) -> None:
        try:
            threading.Thread(target=self._serve, name=HELPER_NAME, daemon=True).start()
        except RuntimeError:  # the system has no more threads, or Python is ending: the work is done with fewer
            with self._changed:
                self._n_threads -= 1

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            work.help()
            del work  # which holds what is read

    def _next(self) -> _Helped | None:
        """Wait for something to take part in; None if it is time to end."""
        with self._changed:
            self._n_idle += 1
            self._changed.wait_for(lambda: self._asked, _IDLE_SECONDS)
            self._n_idle -= 1
            if self._asked:
                return self._asked.popleft()
            self._n_threads -= 1
            return None


_helpers = _Helpers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.forget)
