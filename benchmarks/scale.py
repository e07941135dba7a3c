"""Predict how runs on clusters grow: ``python -m benchmarks.scale [--workers N ...] [--tiles N] [--tile-seconds S]``.

What a batch and a tile cost the client, the scheduler and a worker is measured on this machine; the rest is a
simulation of events, which chooses batches as a run does. What it says of a few local workers stands beside what they
take.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.measuring import describe_machine
from benchmarks.simulation import Costs, Prediction, Workload, simulate
from tilecore import collect_tiles

if TYPE_CHECKING:
    from distributed import Client

# Tiles, and seconds of each, of the runs by which costs are measured: a batch a tile, and batches as long as can be.
_SINGLE, _MANY = (400, 0.2), (40_000, 0.0)
_WORKERS = 8
_IDLE_SECONDS = 5.0
# The same of runs whose time is predicted and measured.
_LOCAL = ((4000, 0.005), (200, 0.1))


class _Spent(NamedTuple):
    """CPU seconds that client, scheduler and workers have used, and bytes that went through the loopback device."""

    client: float
    scheduler: float
    workers: float
    bytes: float

    @classmethod
    def now(cls, client: Client) -> _Spent:
        """Look."""
        import psutil

        scheduler = client.run_on_scheduler(time.process_time)
        workers = sum(client.run(time.process_time).values())
        return cls(time.process_time(), scheduler, workers, psutil.net_io_counters(pernic=True)["lo"].bytes_sent)

    def since(self, before: _Spent) -> np.ndarray[Any, np.dtype[np.float64]]:
        """What was used since then."""
        return np.subtract(self, before)


@contextmanager
def _cluster(n_workers: int) -> Iterator[Client]:
    """A client of a scheduler and workers that are processes of their own."""
    from distributed import Client
    from distributed.deploy.subprocess import SubprocessCluster

    worker = {"nthreads": 1, "dashboard": False}
    with (
        SubprocessCluster(  # type: ignore[no-untyped-call]
            n_workers=n_workers,
            worker_class="distributed.Worker",
            worker_kwargs=worker,
            scheduler_kwargs={"dashboard": False, "dashboard_address": ":0"},
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(n_workers)
        yield client


class _Ran(NamedTuple):
    """A run on a real cluster: its time, what was spent, and how many batches were sent."""

    seconds: float
    spent: np.ndarray[Any, np.dtype[np.float64]]
    n_batches: int


def asleep(_: Any, seconds: float) -> None:
    """Wait; several workers can on one core."""
    if seconds:
        time.sleep(seconds)


def _run(client: Client, n_tiles: int, seconds: float) -> _Ran:
    """Run tiles on a real cluster."""
    submit, n_sent = client.submit, itertools.count()

    def counted(*args: Any, **kwargs: Any) -> Any:
        next(n_sent)
        return submit(*args, **kwargs)

    client.submit = counted  # type: ignore[method-assign]
    try:
        before, start = _Spent.now(client), time.perf_counter()
        run: dict[str, Any] = {"executor": client, "progress": False, "kwargs": {"seconds": seconds}}
        collect_tiles(asleep, np.zeros(n_tiles, np.uint8), tile_shape=1, **run)
        return _Ran(time.perf_counter() - start, _Spent.now(client).since(before), next(n_sent))
    finally:
        client.submit = submit  # type: ignore[method-assign]


def measure_costs() -> Costs:
    """Find what batches and tiles cost by two runs: one in which a tile is a batch, and one of long batches."""
    from distributed.scheduler import heartbeat_interval

    with _cluster(_WORKERS) as client:
        _run(client, *_MANY)  # modules are loaded
        start = _run(client, _WORKERS, 0.0)
        before = _Spent.now(client)
        time.sleep(_IDLE_SECONDS)
        idle = _Spent.now(client).since(before) / _IDLE_SECONDS
        runs = [(n_tiles, _run(client, n_tiles, seconds)) for n_tiles, seconds in (_SINGLE, _MANY)]
    counts = [[run.n_batches, n_tiles] for n_tiles, run in runs]
    spent = [run.spent - idle * run.seconds for _, run in runs]
    (client_batch, scheduler_batch, worker_batch, bytes_batch), tile = np.maximum(np.linalg.solve(counts, spent), 0)
    return Costs(
        start=start.seconds,
        client_batch=client_batch,
        client_tile=tile[0],
        scheduler_batch=scheduler_batch,
        scheduler_heartbeat=idle[1] * heartbeat_interval(_WORKERS) / _WORKERS,
        worker_batch=worker_batch,
        worker_tile=tile[2],
        bytes_batch=bytes_batch,
        bytes_tile=tile[3],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what is predicted."""
    options = _parse(arguments)
    print(describe_machine(), flush=True)
    costs = measure_costs()
    print("\nWhat a run costs beside its function, of one core:")
    for each in fields(costs):
        is_bytes = each.name.startswith("bytes")
        value = getattr(costs, each.name) * (1 if is_bytes else 1e6)
        print(f"  {each.name:20} {value:12,.1f} {'B' if is_bytes else 'us'}")
    if options.local:
        print("\nOn this machine:  workers  tile [ms]  predicted [s]  measured [s]")
    for n_workers in options.local:
        for n_tiles, seconds in _LOCAL:
            print(_compared(costs, Workload(n_workers, n_tiles, seconds)), flush=True)
    size = options.tile_bytes / 2**20
    print(f"\n{options.tiles:,} tiles of {options.tile_seconds:g} s that read and write {size:.1f} MiB each:")
    print("  workers   hours  of ideal  tiles a batch  bottleneck  messages [GiB]  storage [TiB]  loads")
    for n_workers in options.workers:
        work = Workload(n_workers, options.tiles, options.tile_seconds, options.tile_bytes, options.storage)
        print(_line(work, simulate(costs, work)), flush=True)
    return 0


def _compared(costs: Costs, work: Workload) -> str:
    """A run on this machine: what is predicted, and what is measured."""
    with _cluster(work.n_workers) as client:
        _run(client, work.n_workers, 0.0)  # modules are loaded
        measured = _run(client, work.n_tiles, work.tile_seconds).seconds
    predicted = simulate(costs, work).seconds
    return f"{work.n_workers:25} {1e3 * work.tile_seconds:10.0f} {predicted:14.2f} {measured:13.2f}"


def _line(work: Workload, found: Prediction) -> str:
    ideal = work.n_tiles * work.tile_seconds / work.n_workers
    loads = ", ".join(f"{name} {load:.0%}" for name, load in found.loads.items())
    return (
        f"{work.n_workers:9,} {found.seconds / 3600:7.2f} {ideal / found.seconds:9.0%} {found.batch:14,}  "
        f"{found.bottleneck:10}  {found.message_bytes / 2**30:14.1f} {found.storage_bytes / 2**40:14.1f}  {loads}"
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--workers", nargs="+", type=int, default=[100, 1000, 10_000], metavar="N")
    parser.add_argument("--tiles", type=lambda text: int(float(text)), default=10**8, metavar="N")
    parser.add_argument("--tile-seconds", type=float, default=1.0, metavar="S", help="time of a tile")
    parser.add_argument(
        "--tile-bytes", type=float, default=2 * 2 * 128**3, metavar="B", help="read and written by each"
    )
    parser.add_argument("--storage", type=float, default=np.inf, metavar="B", help="bytes a second, for all workers")
    parser.add_argument("--local", nargs="*", type=int, default=[2, 4, 8], metavar="N", help="workers on this machine")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
