"""Runs in separate sessions for fault tests, and checks after each: it has ended, and nothing is left."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from tilecore import Tile
from tilecore.testing.patience import FOR_EVER, HANGS

VOLUME = np.random.default_rng(0).random((8, 12, 12))
TILES: dict[str, Any] = {"tile_shape": (2, 6, 6), "halo": 1, "workers": 2, "pass_tile": True, "progress": False}
N_TILES = 16


class Once:
    """Function that does something harmful at some tiles, for a limited number of times."""

    def __init__(self, folder: Path, deed: Callable[[], Any], tiles: tuple[int, ...] = (5,), times: int = 1) -> None:
        self.folder, self.deed, self.tiles, self.times = folder, deed, tiles, times

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        if tile.number in self.tiles:
            self.happen(str(tile.number))
        return block + 1

    def happen(self, name: str) -> None:
        """Do it, unless it has been done so often under this name."""
        for time_ in range(self.times):
            try:
                (self.folder / f"{name}-{time_}").touch(exist_ok=False)
            except FileExistsError:
                continue
            self.deed()
            break


class Session:
    """Forked process in its own session that runs a function and is watched."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._far, near = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            gc.freeze()  # objects inherited are none of its garbage, and visiting them would copy them
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

    def wait(self) -> tuple[int, str]:
        """Wait for the end; return the exit code (negative: a signal) and all output."""
        os.set_blocking(self._far, False)
        output, deadline = b"", time.monotonic() + HANGS
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
                raise AssertionError(f"still running after {HANGS:g} s: {output.decode(errors='replace')}")
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
    """Those of some processes that run and are not zombies."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


class PidLog:
    """Tile function that records the processes in which it was called.

    It takes `seconds` for a tile. Once `hold_after` was called, those that begin after so many hold
    for ever: they must be ended by others. This is no part of the function, so that a run may be
    continued without it.
    """

    def __init__(self, folder: Path, seconds: float = 0.05) -> None:
        self.path, self.seconds = folder / "pids", seconds

    def hold_after(self, n_tiles: int) -> Self:
        self.path.with_name("hold").write_text(str(n_tiles))
        return self

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        with self.path.open("a") as file:
            file.write(f"{os.getpid()} {tile.number}\n")
        time.sleep(FOR_EVER if self._must_hold(tile) else self.seconds)
        return block + 1

    def _must_hold(self, tile: Tile) -> bool:
        hold = self.path.with_name("hold")
        return hold.exists() and (os.getpid(), tile.number) not in self.lines()[: int(hold.read_text())]

    def lines(self) -> list[tuple[int, int]]:
        if not self.path.exists():
            return []
        whole, _, _ = self.path.read_text().rpartition("\n")
        return [(int(pid), int(tile)) for pid, tile in (line.split() for line in whole.splitlines())]

    def pids(self) -> list[int]:
        return sorted({pid for pid, _ in self.lines()})

    def wait_for(self, n_tiles: int) -> None:
        wait_until(lambda: len(self.lines()) >= n_tiles)


def tiles_in_journal(path: Path) -> int:
    """Count the finished tiles in a journal."""
    return path.read_bytes().count(b'"t":') if path.exists() else 0


def places(path: Path) -> list[Path]:
    """Folders in which an output is written by incomplete runs."""
    name = re.compile(re.escape(path.name) + r"\.[0-9a-f]{16}\.partial")
    return sorted(each for each in path.parent.iterdir() if name.fullmatch(each.name))


class Held(NamedTuple):
    """A file, and whether any process has it open or mapped, named or not."""

    device: int
    inode: int

    @classmethod
    def at(cls, place: int | Path) -> Self:
        status = os.stat(place)
        return cls(status.st_dev, status.st_ino)

    def __bool__(self) -> bool:
        return any(self._is_held(process) for process in Path("/proc").glob("[0-9]*"))

    def _is_held(self, process: Path) -> bool:
        mapped = f"{os.major(self.device):02x}:{os.minor(self.device):02x} {self.inode} "
        with contextlib.suppress(OSError):  # it has ended
            if mapped in (process / "maps").read_text():
                return True
            for opened in list((process / "fd").iterdir()):
                with contextlib.suppress(OSError):  # closed since
                    if Held.at(opened) == self:
                        return True
        return False


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait for a certain event; the deadline only ends a test that hangs."""
    deadline = time.monotonic() + HANGS
    while not condition():
        assert time.monotonic() < deadline, f"waited {HANGS:g} s in vain"
        time.sleep(0.005)


def wait_until_removed(folder: Path) -> None:
    """Remove a cgroup, once its processes have ended."""

    def is_removed() -> bool:
        with contextlib.suppress(OSError):
            folder.rmdir()
        return not folder.exists()

    wait_until(is_removed)
