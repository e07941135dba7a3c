"""What every test is watched for: processes, open files and shared memory left behind."""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Workers are started in hypothesis's examples too: how long one takes says nothing.
settings.register_profile(
    "tilecore", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("tilecore")


@pytest.fixture(scope="session", autouse=True)
def _helpers_running() -> None:
    """Start multiprocessing's own helpers first: they live as long as this process, and are not leaks."""
    forkserver.set_forkserver_preload(["tilecore.executors.worker", "scipy.ndimage", "skimage.feature", "zarr"])
    resource_tracker.ensure_running()
    forkserver.ensure_running()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a process, an open file, or a name in /dev/shm."""
    before = _census()
    yield
    deadline = time.monotonic() + 3
    while (left := _difference(before)) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    assert not left, f"left behind: {left}"


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    yield
    logging.getLogger("tilecore").setLevel(logging.NOTSET)


def _census() -> Counter[str]:
    """What there is now: our processes, our open files by kind, names in /dev/shm."""
    census: Counter[str] = Counter()
    for name in os.listdir("/dev/shm"):
        if name.startswith("sem.mp-"):  # any process's multiprocessing makes these and removes them at once
            continue
        census[f"/dev/shm/{name}"] += 1
    for pid in _descendants(os.getpid()):
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
    """zarr starts an event loop when it is first used, which lives as long as this process."""
    sync = sys.modules.get("zarr.core.sync")
    running = sync is not None and sync.loop[0] is not None
    return Counter({"open anon_inode:[eventpoll]": 1, "open socket:[N]": 2}) if running else Counter()


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        todo += (own := children.get(todo.pop(), []))
        found += own
    return found


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
