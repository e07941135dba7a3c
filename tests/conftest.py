"""What every test is watched for: processes, open files and shared memory left behind."""

from __future__ import annotations

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

from tests.faults.harness import descendants, names_in_shm

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
        item.add_marker(pytest.mark.timeout(LONGEST_TEST[kind], func_only=True))


# How long what is ending may take to be gone, on a busy machine [s].
_PATIENCE = 60


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End with how to run alone what failed."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = [] if reporter is None else [*reporter.stats.get("failed", []), *reporter.stats.get("error", [])]
    if not reports or hasattr(config, "workerinput"):
        return
    python, chosen = os.path.relpath(sys.executable), config.getoption("hypothesis_profile", None)
    profile = [f"--hypothesis-profile={chosen}"] if chosen else []
    print("\nWhat failed runs alone by:")
    for nodeid in dict.fromkeys(report.nodeid for report in reports):
        print(f"    {shlex.join([python, '-m', 'pytest', *profile, nodeid])}")


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
    """zarr starts an event loop when it is first used, which lives as long as this process."""
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
