"""Tasks of dask that together need more memory than the workers have, with and without a throttle."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.measuring import Benchmark

TASK_BYTES = 200_000_000
#: Most time that a contender gets [s]: without a throttle it may never end.
LONGEST_S = 90


def heavy(number: int, n_bytes: int) -> int:
    """Hold an array for a moment, as a filter of a large block does."""
    block = np.full(n_bytes, number % 251, dtype=np.uint8)
    time.sleep(0.05)
    return int(block[::4096].max())


class Throttling(Benchmark):
    """200 tasks of 200 MB each on 2 workers with 8 threads and 1 GB each."""

    name = "throttling"
    goal = "200 tasks of 200 MB on 2 workers with 8 threads and 1 GB each complete"
    repeats = 1
    warm_up = False
    needs = ("dask", "distributed")
    only_by_name = True

    def setup(self) -> None:
        self.n_tasks = 20 if self.quick else 200
        self.outcomes: dict[str, str] = {}

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {
            "with throttle": lambda: self._work("with throttle", {"MEM": 1}),
            "without": lambda: self._work("without", None),
        }

    def remarks(self) -> list[str]:
        return [f"{name}: {outcome}" for name, outcome in self.outcomes.items()]

    def _work(self, contender: str, need: dict[str, float] | None) -> None:
        from dask.delayed import delayed
        from distributed import Client, LocalCluster, as_completed

        from tilecore.throttling import throttle

        with ExitStack() as stack:
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=2,
                    threads_per_worker=8,
                    memory_limit="1GB",
                    resources={"MEM": 2},
                    dashboard_address=":0",
                    silence_logs=logging.CRITICAL,
                )
            )
            client = stack.enter_context(Client(cluster))
            if need:
                stack.enter_context(throttle(client, "heavy", resources=need))
            first = {worker.pid for worker in (nanny.process for nanny in cluster.workers.values())}
            calls = [delayed(heavy)(n, TASK_BYTES, dask_key_name=f"heavy-{n}") for n in range(self.n_tasks)]
            futures = client.compute(calls)
            done = failed = 0
            late = ""
            try:
                for future in as_completed(futures, timeout=LONGEST_S):
                    done += future.status == "finished"
                    failed += future.status == "error"
            except TimeoutError:
                late = f", given up after {LONGEST_S} s"
            last = {worker.pid for worker in (nanny.process for nanny in cluster.workers.values())}
            lost = len(first - last)
            self.outcomes[contender] = (
                f"{done} of {self.n_tasks} tasks done, {failed} failed; "
                f"{lost} of 2 workers no longer those of the start{late}"
            )
