"""Fixtures for all tests: they detect processes, open files and shared memory left behind."""

from __future__ import annotations

import gc
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.objects.server import new_bucket, serving, use_endpoint
from tests.runs import EVERY_RUN, RUNS
from tilecore.testing import nothing_left, start_what_stays

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
LONGEST_TEST = {"usual": 300, "slow": 900}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kind = "slow" if item.get_closest_marker("slow") else "usual"
        item.add_marker(pytest.mark.timeout(LONGEST_TEST[kind], func_only=True))


def pytest_collection_finish() -> None:
    gc.freeze()  # thousands of tests are no garbage: the collector need not visit them, nor forked processes copy them


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell a failure at once, where it is not known whether the whole run comes to its end."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid} has failed ({report.when}):\n{report.longreprtext[-5000:]}", flush=True)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Print at the end how to run failed tests alone."""
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
    """Start multiprocessing's own helper processes first; they live as long as this process and are not leaks."""
    start_what_stays()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a process, an open file, or a name in /dev/shm."""
    with nothing_left():
        yield


@pytest.fixture(params=EVERY_RUN)
def run(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of a run, by each executor."""
    return RUNS[request.param]


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    yield
    logging.getLogger("tilecore").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """URL of an S3 server on loopback, which is started once."""
    with serving() as (endpoint, _):
        yield endpoint


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a new bucket; ``s3://`` means the server on loopback."""
    use_endpoint(s3_server, monkeypatch)
    yield new_bucket(s3_server)
    gc.collect()  # connections are closed with the last object that uses them
