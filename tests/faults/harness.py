"""Runs in a session of their own, and what must hold after each: in time, and nothing left."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tilecore import Tile

METHODS = ["fork", "forkserver", "spawn"]

VOLUME = np.random.default_rng(0).random((8, 12, 12))
TILES: dict[str, Any] = {"tile_shape": (2, 6, 6), "halo": 1, "workers": 2, "pass_tile": True, "progress": False}
N_TILES = 16


class Once:
    """Does something terrible at some tiles, as often as it is allowed to."""

    def __init__(self, folder: Path, deed: Callable[[], Any], tiles: tuple[int, ...] = (5,), times: int = 1) -> None:
        self.folder, self.deed, self.tiles, self.times = folder, deed, tiles, times

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        if tile.number in self.tiles:
            for time_ in range(self.times):
                try:
                    (self.folder / f"{tile.number}-{time_}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                self.deed()
                break
        return block + 1


class Session:
    """A forked process in a session of its own, that runs a function and is watched."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.started = time.monotonic()
        self._far, near = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.dup2(near, 1)
            os.dup2(near, 2)
            sys.stdout = sys.stderr = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
            signal.signal(signal.SIGINT, signal.default_int_handler)
            faulthandler.enable(2)
            code = 0
            try:
                function()
            except BaseException:
                traceback.print_exc()
                code = 1
            finally:
                os._exit(code)
        os.close(near)

    def kill(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the process, or to all of its group."""
        (os.killpg if group else os.kill)(self.pid, number)

    def wait(self, seconds: float = 30) -> tuple[int, str]:
        """Wait for the end; return the exit code (negative: a signal) and all output."""
        os.set_blocking(self._far, False)
        output, deadline = b"", time.monotonic() + seconds
        while True:
            output += self._read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGABRT)  # its stacks, please
                time.sleep(0.5)
                output += self._read()
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                os.close(self._far)
                raise AssertionError(f"still running after {seconds} s: {output.decode(errors='replace')}")
            time.sleep(0.005)
        output += self._read()
        os.close(self._far)
        return os.waitstatus_to_exitcode(status), output.decode(errors="replace")

    def _read(self) -> bytes:
        parts = []
        try:
            while part := os.read(self._far, 2**16):
                parts.append(part)
        except BlockingIOError:
            pass
        return b"".join(parts)


def alive(pids: Iterable[int]) -> list[int]:
    """Those of some processes that run, zombies aside."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


class PidLog:
    """A tile function that takes its time and notes in which process."""

    def __init__(self, folder: Path, seconds: float = 0.05) -> None:
        self.path, self.seconds = folder / "pids", seconds

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        with self.path.open("a") as file:
            file.write(f"{os.getpid()} {tile.number}\n")
        time.sleep(self.seconds)
        return block + 1

    def lines(self) -> list[tuple[int, int]]:
        if not self.path.exists():
            return []
        return [(int(pid), int(tile)) for pid, tile in (line.split() for line in self.path.read_text().splitlines())]

    def pids(self) -> list[int]:
        return sorted({pid for pid, _ in self.lines()})

    def wait_for(self, n_tiles: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.lines()) < n_tiles:
            assert time.monotonic() < deadline, "the run does not begin"
            time.sleep(0.005)


def shared_memory_in_use() -> int:
    """Shared memory of the whole machine [byte]."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Shmem:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Shmem in /proc/meminfo")


def gone_within(seconds: float, condition: Callable[[], Any]) -> bool:
    """Whether something is no more, soon enough."""
    deadline = time.monotonic() + seconds
    while condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
