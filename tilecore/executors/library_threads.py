"""Threads of numerical libraries in this process: held to a number while runs in it work, and given back afterwards."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

__all__ = ["LibraryThreads"]


class _Held:
    """Libraries whose threads are held to the least number that the runs at work ask for."""

    def __init__(self) -> None:
        self._asked: dict[int, int] = {}
        self._before: dict[str, tuple[Any, int]] = {}

    def add(self, run: int, threads: int, libraries: list[Any]) -> None:
        """Hold the libraries for a run, too."""
        self._asked[run] = threads
        for library in libraries:
            self._before.setdefault(library.filepath, (library, library.num_threads))
        self._set()

    def remove(self, run: int) -> None:
        """Let a run go, by any thread; `settle` sets what that changes."""
        self._asked.pop(run, None)

    def settle(self) -> None:
        """Set the libraries to what the runs at work ask for: as before, once the last one is gone."""
        self._set()
        if not self._asked:
            self._before.clear()

    def _set(self) -> None:
        for library, before in list(self._before.values()):
            threads = min(self._asked.values(), default=before)
            if library.num_threads != threads:
                library.set_num_threads(threads)
                # Otherwise no other thread could set it, also after the end of this run.
                getattr(library, "clear_controlling_thread", lambda: None)()


class _HeldByThread(threading.local):
    """Libraries of OpenMP, which count the threads of each calling thread for itself."""

    def __init__(self) -> None:
        self.held = _Held()


def _counts_for_each_thread(library: object) -> bool:
    return "openmp" in (getattr(library, "user_api", None), getattr(library, "threading_layer", None))


class _State:
    """What is held in this process."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.lock = threading.RLock()  # a crew that is deleted by the garbage collector lets go at any place
        self.process, self.thread = _Held(), _HeldByThread()
        self._loaded: tuple[int, list[Any]] = (0, [])

    def libraries(self) -> list[Any]:
        """Libraries that are loaded, which takes milliseconds to find out: only after an import they are others."""
        from threadpoolctl import ThreadpoolController  # it is imported with the first run

        n_modules, found = self._loaded
        if n_modules != len(sys.modules):
            n_modules = len(sys.modules)  # before the search: what is imported meanwhile is found by the next one
            found = ThreadpoolController().lib_controllers
            self._loaded = n_modules, found
        return found


_state = _State()
if hasattr(os, "register_at_fork"):
    # A forked child has neither the runs of this process nor the thread that may hold the lock.
    os.register_at_fork(after_in_child=_state.renew)


class LibraryThreads:
    """Hold the numerical libraries that are loaded to a number of threads, for one run in this process.

    Parameters
    ----------
    threads : int
        Threads that a call of BLAS or OpenMP may use. If several runs work at once, the least number counts.

    Notes
    -----
    BLAS has one number for all threads of the process, OpenMP one for each thread that calls it. So each thread
    of a run calls `hold`, and `let_go` is called once, at the end of the run. While another thread is inside
    ``threadpoolctl.threadpool_limits``, its number counts. A library that was loaded by other means than an import
    (``ctypes``) is held from the first run after another import.
    """

    def __init__(self, threads: int) -> None:
        self._threads, self._is_held = threads, True
        self._holders: list[_Held] = []
        libraries = _state.libraries()
        self._openmp = [library for library in libraries if _counts_for_each_thread(library)]
        with _state.lock:
            _state.process.add(id(self), threads, [library for library in libraries if library not in self._openmp])

    def hold(self) -> None:
        """Hold the libraries of OpenMP in the calling thread."""
        with _state.lock:
            if self._is_held:
                self._holders.append(_state.thread.held)
                _state.thread.held.add(id(self), self._threads, self._openmp)

    def let_go(self) -> None:
        """Give the libraries back; may be called twice.

        Those of OpenMP are given back by the thread that holds them: by this call, or when it holds or lets go again.
        """
        with _state.lock:
            self._is_held = False
            for held in (_state.process, *self._holders):
                held.remove(id(self))
            self._holders.clear()
            _state.process.settle()
            own = getattr(_state.thread, "held", None)
            if own is not None:  # the garbage collector may come while this thread's is made
                own.settle()
