"""Clusters of dask for tests: scheduler and workers are programs of their own, as on other machines."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from distributed import Client

from tests.faults.harness import HANGS, wait_until

__all__ = ["Programs", "cluster_of", "programs"]


# Time in which a program ends by itself [s].
_GENTLY_SECONDS = 10.0

#: Where workers find the functions of the tests.
ROOT = Path(__file__).parents[1]


class Programs:
    """The scheduler and the workers.

    Attributes
    ----------
    scheduler_file : Path
        Tells clients and workers where the scheduler is.
    """

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder, self.scheduler_file = folder, folder / "scheduler.json"
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        self.running: dict[int, int] = {}

    def start_scheduler(self, *arguments: str, prefix: Sequence[str] = ()) -> int:
        """Start the scheduler, and return its process group; it writes its file when it is there."""
        options = ("--port", "0", "--no-dashboard", *arguments)
        program = self._start("dask_scheduler", *options, prefix=prefix)
        wait_until(self.scheduler_file.exists)
        return program

    def start_worker(self, *arguments: str, prefix: Sequence[str] = ()) -> int:
        """Start a worker with one thread, or several workers."""
        options = ("--nthreads", "1", "--no-dashboard", "--local-directory", str(self.folder), *arguments)
        return self._start("dask_worker", *options, prefix=prefix)

    def _start(self, module: str, *arguments: str, prefix: Sequence[str] = ()) -> int:
        command = [*prefix, sys.executable, "-m", f"distributed.cli.{module}", *arguments]
        log = self.folder / f"{module}-{time.monotonic_ns()}.log"
        # No child of the test: a worker that is started again would count as left behind.
        shell = ["sh", "-c", f'"$@" > {log} 2>&1 & echo $!', "sh"]
        started = subprocess.run(
            [*shell, *command, "--scheduler-file", str(self.scheduler_file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=self._environment,
            cwd=self.folder,
            start_new_session=True,
            check=True,
        )
        program = int(started.stdout)
        group = os.getpgid(program)
        self.running[group] = program
        return group

    def stop(self) -> None:
        """End all that runs: workers first."""
        while self.running:
            self.stop_last()

    def stop_last(self) -> None:
        """End what was started last, and gently, as a killed program leaves the names of its semaphores."""
        group, program = self.running.popitem()
        with suppress(ProcessLookupError):
            os.kill(program, signal.SIGTERM)
        deadline = time.monotonic() + _GENTLY_SECONDS
        while _runs(group) and time.monotonic() < deadline:
            time.sleep(0.02)
        kill_group(group)


def kill_group(group: int) -> None:
    """Kill a program and all that it has started, and wait until they are gone."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    wait_until(lambda: not _runs(group))


def _runs(group: int) -> bool:
    """Whether a process of a group runs."""
    return any(_group_of(pid) == group for pid in filter(str.isdigit, os.listdir("/proc")))


def _group_of(pid: str) -> int | None:
    """The group of a process that runs."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[2])


@contextmanager
def programs(environment: dict[str, str] | None = None) -> Iterator[Programs]:
    """Programs that end with the ``with`` block."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        started = Programs(Path(folder), environment)
        opened.callback(started.stop)
        yield started


@contextmanager
def cluster_of(n_workers: int, *arguments: str) -> Iterator[Client]:
    """A client of so many workers, in processes that their nannies start again."""
    with programs() as started:
        started.start_scheduler()
        if n_workers:
            started.start_worker("--nworkers", str(n_workers), *arguments)
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:  # type: ignore[no-untyped-call]
            if n_workers:
                client.wait_for_workers(n_workers, timeout=HANGS)
            client.sync(_connect, client)
            yield client


async def _connect(client: Client) -> None:
    """Let a client open the connections that it keeps, so that a test which needs several leaves none."""
    await asyncio.gather(*[client.scheduler.identity(n_workers=0) for _ in range(8)])
