"""CPU seconds of this process and of all processes that it has started, directly or not."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class CpuSeconds:
    """Counts the CPU seconds, user and system, of all processes while a ``with`` block runs.

    Counted are this process, its children that it has waited for, and all descendants that are
    there at the end, with the children that those have waited for. So the workers of a fork server
    are counted too: they are its children, not this process's, and it waits for each. Lost is the
    time of a process whose parent died before it. What is not this process's own is known to
    about 0.02 s a turn: the system tells it in ticks of 0.01 s. Without ``/proc`` (macOS) the
    descendants that have not ended are not seen.
    """

    seconds = 0.0

    def __enter__(self) -> CpuSeconds:
        self._others = _seconds_of_others()
        self._own = time.process_time()  # last, so that the looking above is not in it
        return self

    def __exit__(self, *_: object) -> None:
        own = time.process_time() - self._own
        self.seconds = own + _seconds_of_others() - self._others


class _Process(NamedTuple):
    pid: int
    started: int
    parent: int
    ticks: int


def _seconds_of_others() -> float:
    """Read both sums while no process starts or ends: a process that is waited for moves from one to the other."""
    descendants = _descendants()
    while True:
        waited_for = resource.getrusage(resource.RUSAGE_CHILDREN)
        before, descendants = descendants, _descendants()
        if [each[:2] for each in before] == [each[:2] for each in descendants]:
            ticks = sum(each.ticks for each in descendants)
            return waited_for.ru_utime + waited_for.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def _descendants() -> list[_Process]:
    children: dict[int, list[_Process]] = {}
    for folder in _PROC.glob("[0-9]*"):
        process = _look_at(folder)
        if process is not None:
            children.setdefault(process.parent, []).append(process)
    found: list[_Process] = []
    waiting = [os.getpid()]
    while waiting:
        own = children.get(waiting.pop(), [])
        found += own
        waiting += [each.pid for each in own]
    return sorted(found)


def _look_at(folder: Path) -> _Process | None:
    """Read a process's line in ``/proc``, whose name in parentheses may hold any character."""
    try:
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return None
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, and both of the children waited for
    return _Process(int(folder.name), int(fields[19]), int(fields[1]), ticks)
