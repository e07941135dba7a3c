"""What every test is watched for: processes, open files and shared memory left behind."""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Workers are started in hypothesis's examples too: how long one takes says nothing. The examples are the
# same each time, so that a change is judged by what it changes; --hypothesis-profile=search looks for others.
_usual = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("usual", _usual)
settings.register_profile("search", _usual, derandomize=False, max_examples=1000, print_blob=True)
settings.load_profile("usual")

#: Ends a test that hangs; pytest-timeout tells where it was [s].
LONGEST_TEST = {"usual": 600, "slow": 3600}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kind = "slow" if item.get_closest_marker("slow") else "usual"
        item.add_marker(pytest.mark.timeout(LONGEST_TEST[kind]))


# How long what is ending may take to be gone, on a busy machine [s].
_PATIENCE = 60

# When this process began, as the kernel counts.
_BEGAN = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])

_failed: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed and report.nodeid not in _failed:
        _failed.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End with how to run alone what failed."""
    if _failed and not hasattr(config, "workerinput"):
        python = os.path.relpath(sys.executable)
        print("\nWhat failed runs alone by:")
        for nodeid in _failed:
            print(f"    {shlex.join([python, '-m', 'pytest', nodeid])}")


@pytest.fixture(autouse=True)
def _room(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep other processes of pytest-xdist out while a test runs that is marked `alone`."""
    if not hasattr(request.config, "workerinput"):
        yield
        return
    alone = request.node.get_closest_marker("alone") is not None
    folder = tmp_path_factory.getbasetemp().parent
    # Who waits to be alone holds the door, so that no others go in meanwhile.
    with (folder / "door").open("w") as door, (folder / "room").open("w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


@pytest.fixture(scope="session", autouse=True)
def _helpers_running() -> None:
    """Start multiprocessing's own helpers first: they live as long as this process, and are not leaks."""
    forkserver.set_forkserver_preload(["tilecore.executors.worker", "scipy.ndimage", "skimage.feature", "zarr"])
    resource_tracker.ensure_running()
    forkserver.ensure_running()


@pytest.fixture(autouse=True)
def nothing_left_behind(_room: None) -> Iterator[None]:
    """Fail a test that leaves a process, an open file, or a name in /dev/shm."""
    before = _census()
    yield
    deadline = time.monotonic() + _PATIENCE
    while (left := _difference(before)) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    assert not left, f"left behind: {left}"


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    yield
    logging.getLogger("tilecore").setLevel(logging.NOTSET)


def _census() -> Counter[str]:
    """What there is now: our processes, our open files by kind, our names in /dev/shm."""
    census: Counter[str] = Counter()
    descendants = _descendants(os.getpid())
    for name in _names(descendants):
        census[f"/dev/shm/{name}"] += 1
    for pid in descendants:
        census[f"process {pid}: {_command(pid)}"] += 1
    for number in os.listdir("/proc/self/fd"):
        target = _link(f"/proc/self/fd/{number}")
        # A library's own files, such as matplotlib's fonts, stay open from their first use on.
        if target and not target.startswith("/proc/") and "/site-packages/" not in target:
            census[f"open {re.sub(r'[0-9]+', 'N', target)}"] += 1
    return census


def _names(descendants: list[int]) -> list[str]:
    """Names that this process and its descendants have given to shared memory, also those that are gone by now.

    A name tells whose it is and when that process began; of one that is gone nobody can say whose child
    it was, but one that began before this one was not ours.
    """
    found = []
    for name in os.listdir("/dev/shm"):
        if match := re.fullmatch(r"tilecore-(\d+)-(\d+)-\w+\.shm", name):
            owner, began = map(int, match.groups())
            is_gone = not os.path.exists(f"/proc/{owner}")
            if owner in (os.getpid(), *descendants) or (is_gone and began >= _BEGAN):
                found.append(name)
    return found


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
