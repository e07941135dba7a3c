"""Time until a run with endless tiles has ended after Ctrl-C, a cancel or a death."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Benchmark
from tilecore import RunCancelledError, SharedArray, TileError, collect_tiles

WORKERS = 2


class Ending(Benchmark):
    """Whole calls, with the start of the workers; the remarks tell the time since the signal."""

    name = "ending"
    goal = "at most 0.2 s after Ctrl-C, a cancel, the death of a worker, or that of the calling process"
    repeats = 7

    def setup(self) -> None:
        self.pids = SharedArray((WORKERS,), "i8")
        self.after: dict[str, list[float]] = {}

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {
            "Ctrl-C": self._interrupt,
            "a cancel": self._cancel,
            "a worker dies": self._kill_worker,
            "the caller dies": self._kill_caller,
        }

    def prepare(self, name: str) -> None:
        self.pids[:] = 0

    def remarks(self) -> list[str]:
        return [f"{name}: over {1000 * statistics.median(times):.1f} ms later" for name, times in self.after.items()]

    def _run(self, cancel: threading.Event | None = None) -> None:
        """Start a run whose tiles never end; each tile notes its process."""
        pids = self.pids

        def hold(_: Any, tile: Any) -> None:
            pids[tile.number] = os.getpid()
            time.sleep(1e6)

        options: dict[str, Any] = {"workers": WORKERS, "retries": 0, "cancel": cancel, "progress": False}
        collect_tiles(hold, np.zeros(WORKERS), tile_shape=1, pass_tile=True, **options)

    def _interrupt(self) -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
        try:
            with self._struck("Ctrl-C", lambda: os.kill(os.getpid(), signal.SIGINT)), suppress(KeyboardInterrupt):
                self._run()
        finally:
            signal.signal(signal.SIGINT, before)

    def _cancel(self) -> None:
        cancel = threading.Event()
        with self._struck("a cancel", cancel.set), suppress(RunCancelledError):
            self._run(cancel)

    def _kill_worker(self) -> None:
        with self._struck("a worker dies", lambda: os.kill(int(self.pids[0]), signal.SIGKILL)), suppress(TileError):
            self._run()

    def _kill_caller(self) -> None:
        caller = os.fork()
        if caller == 0:
            try:
                self._run()
            finally:
                os._exit(1)
        with self._struck("the caller dies", lambda: os.kill(caller, signal.SIGKILL)):
            os.waitpid(caller, 0)
            while any(_is_running(int(pid)) for pid in self.pids):
                time.sleep(0.001)

    @contextmanager
    def _struck(self, name: str, blow: Callable[[], None]) -> Iterator[None]:
        """Send the signal from another thread once all tiles have begun; note the time until the block ends."""
        at: list[float] = []

        def strike() -> None:
            while not self.pids.view().all():
                if over.wait(0.001):
                    return
            at.append(time.perf_counter())
            blow()

        over = threading.Event()
        thread = threading.Thread(target=strike)
        thread.start()
        try:
            yield
            self.after.setdefault(name, []).append(time.perf_counter() - at[0])
        finally:
            over.set()
            thread.join()


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
