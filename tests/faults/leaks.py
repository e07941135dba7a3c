"""Leaks of a process: other processes, open files, and names in /dev/shm."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

from tests.faults.harness import descendants, names_in_shm

# How long what is ending may take to be gone, on a busy machine [s].
_PATIENCE = 60


def start_what_stays() -> None:
    """Start multiprocessing's own helper processes, which live as long as this process and are not leaks."""
    modules = ["tilecore.executors.processes.worker", "scipy.ndimage", "skimage.feature", "zarr"]
    forkserver.set_forkserver_preload(modules)
    resource_tracker.ensure_running()
    forkserver.ensure_running()


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Fail if a ``with`` block leaves a process, an open file, or a name in /dev/shm."""
    before = _census()
    yield
    deadline = time.monotonic() + _PATIENCE
    while (left := _difference(before)) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    assert not left, f"left behind: {left}"


def _census() -> Counter[str]:
    """List our processes, our open files by kind, and our names in /dev/shm."""
    census: Counter[str] = Counter()
    children = descendants(os.getpid())
    # A name of a process that is gone is left out: nobody can tell whose child that was.
    for name in names_in_shm([os.getpid(), *children]):
        census[f"/dev/shm/{name}"] += 1
    for pid in children:
        census[f"process {pid}: {_command(pid)}"] += 1
    for number in os.listdir("/proc/self/fd"):
        target = _link(f"/proc/self/fd/{number}")
        # A library's own files, such as matplotlib's fonts, stay open from their first use on.
        if target and not target.startswith("/proc/") and "/site-packages/" not in target:
            census[f"open {re.sub(r'[0-9]+', 'N', target)}"] += 1
    return census


def _difference(before: Counter[str]) -> dict[str, int]:
    return dict(_census() - before - _zarrs_loop())


def _zarrs_loop() -> Counter[str]:
    """Number of files of zarr's event loop, which starts at its first use and lives as long as this process."""
    sync = sys.modules.get("zarr.core.sync")
    running = sync is not None and sync.loop[0] is not None
    return Counter({"open anon_inode:[eventpoll]": 1, "open socket:[N]": 2}) if running else Counter()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:120]
    except OSError:
        return "gone"


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
