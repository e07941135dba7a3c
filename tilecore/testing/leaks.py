"""Leaks of a process: other processes, open files, and names in /dev/shm."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["CAN_LOOK", "descendants", "names_in_shm", "nothing_left", "start_what_stays"]

#: Whether this system tells what a process has: Linux does.
CAN_LOOK = os.path.isdir("/proc/self/fd")

_PROCESS = "process "

# How long what is ending may take to be gone, on a busy machine [s].
_PATIENCE = 60


def start_what_stays() -> None:
    """Start multiprocessing's own helper processes, which live as long as this process and are not leaks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    from multiprocessing import forkserver, resource_tracker

    modules = ["tilecore.executors.processes.worker", "scipy.ndimage", "skimage.feature", "zarr"]
    forkserver.set_forkserver_preload(modules)
    resource_tracker.ensure_running()
    forkserver.ensure_running()


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Fail if a ``with`` block leaves a process, an open file, or a name in /dev/shm.

    Where the system does not tell (see `CAN_LOOK`), nothing is looked at. Call `start_what_stays` before.
    """
    before = _census()
    yield
    deadline = time.monotonic() + _PATIENCE
    while (left := _difference(before)) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    assert not left, f"left behind: {', '.join(map(_described, left))}"


def descendants(pid: int) -> list[int]:
    """The children of a process that run, and theirs."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):  # a pattern fails where a process goes meanwhile
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:  # every test comes here twice
                fields = file.read().rpartition(b")")[2].split(maxsplit=2)
        except OSError:  # it has ended
            continue
        if fields[0] != b"Z":
            children.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        todo += (own := children.get(todo.pop(), []))
        found += own
    return found


def names_in_shm(pids: Iterable[int]) -> list[str]:
    """Names that processes have given to shared memory."""
    owners = {str(pid) for pid in pids}
    return [path.name for path in Path("/dev/shm").glob("tilecore-*") if path.name.split("-")[1] in owners]


def _census() -> Counter[str]:
    """List our processes, our open files by kind, and our names in /dev/shm."""
    census: Counter[str] = Counter()
    if not CAN_LOOK:
        return census
    children = descendants(os.getpid())
    # A name of a process that is gone is left out: nobody can tell whose child that was.
    for name in names_in_shm([os.getpid(), *children]):
        census[f"/dev/shm/{name}"] += 1
    for pid in children:
        census[f"{_PROCESS}{pid}"] += 1  # its command may only be there a moment after it has begun
    for number in os.listdir("/proc/self/fd"):
        target = _link(f"/proc/self/fd/{number}")
        # A library's own files, such as matplotlib's fonts, stay open from their first use on.
        if target and not target.startswith("/proc/") and "/site-packages/" not in target:
            census[f"open {re.sub(r'[0-9]+', 'N', target)}"] += 1
    return census


def _difference(before: Counter[str]) -> dict[str, int]:
    return dict(_census() - before - _event_loops())


def _event_loops() -> Counter[str]:
    """Number of files of the event loops of zarr and fsspec, which start at their first use and stay."""
    modules = [sys.modules.get(name) for name in ("zarr.core.sync", "fsspec.asyn")]
    n_running = sum(1 for module in modules if module is not None and module.loop[0] is not None)
    return Counter({"open anon_inode:[eventpoll]": n_running, "open socket:[N]": 2 * n_running})


def _described(name: str) -> str:
    """What the census calls by a name; of a process, also its command."""
    if not name.startswith(_PROCESS):
        return name
    try:
        command = Path(f"/proc/{name.removeprefix(_PROCESS)}/cmdline").read_text()
    except OSError:
        command = "gone"
    return f"{name}: {command.replace(chr(0), ' ')[:120]}"


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
