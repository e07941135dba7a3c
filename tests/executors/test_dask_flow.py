"""The flow of batches and results on a cluster of dask: how much is held, reserved, and tried again."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from distributed import Client, LocalCluster, get_worker

from tests.clusters import cluster_of, programs
from tests.faults.harness import HANGS, wait_until
from tilecore import TileDone, WorkerError, collect_tiles, iter_tiles, reduce_tiles
from tilecore.executors.dask.batch_length import BatchLength
from tilecore.executors.dask.crew import DaskCrew
from tilecore.executors.dask.sent import Sent
from tilecore.executors.dask.stragglers import Stragglers

pytestmark = pytest.mark.slow

MIB = 2**20


@contextmanager
def traced(client: Client) -> Iterator[None]:
    """Count the memory of all processes."""
    client.run(tracemalloc.start)
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
        client.run(tracemalloc.stop)


def peaks(client: Client) -> list[int]:
    """The most memory that was in use since the last call: here, and in each worker [byte]."""
    found = [tracemalloc.get_traced_memory()[1], *client.run(_peak).values()]
    tracemalloc.reset_peak()
    return found


def _peak() -> int:
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    return peak


def large(block: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A result of a mebibyte, whatever the block."""
    return np.full(MIB, block.flat[0], np.uint8)


@pytest.mark.parametrize("verb", ["iter_tiles", "reduce_tiles"])
def test_large_results_are_fetched_little_by_little(client: Client, verb: str) -> None:
    """Of 600 MiB in all, neither the caller nor a worker holds more than a few batches."""
    volume = np.arange(600) % 256
    run: dict[str, Any] = {"tile_shape": 1, "executor": client, "progress": False}
    with traced(client):
        peaks(client)
        if verb == "iter_tiles":
            assert sum(int(found[0]) for _, found in iter_tiles(large, volume, **run)) == volume.sum()
        else:
            np.testing.assert_array_equal(reduce_tiles(large, np.maximum, volume, **run), np.full(MIB, 255, np.uint8))
        held = [round(peak / MIB) for peak in peaks(client)]
    assert max(held) < 160, f"MiB in the caller and in the workers: {held}"


def test_the_length_of_batches_follows_the_bytes_of_their_results() -> None:
    length = BatchLength()
    for _ in range(20):
        length.learn(length.n_tasks, 1e-5 * length.n_tasks, 1000 * length.n_tasks, 2)
    assert length.n_tasks == 2048
    length.learn(10, 1e-4, 10 * MIB, 2)
    assert length.n_tasks == 16, "16 MiB in a batch"
    length.learn(2, 1e-4, 2**30, 2)
    assert length.n_tasks == 1


@pytest.mark.parametrize(("n_workers", "n_tasks"), [(1, 4), (20, 4), (100, 20), (10_000, 2000)])
def test_batches_grow_with_the_cluster(n_workers: int, n_tasks: int) -> None:
    """The scheduler gets no more of them a second from many workers than from some."""
    length = BatchLength()
    for _ in range(20):
        length.learn(length.n_tasks, 0.05 * length.n_tasks, 0, n_workers)
    assert length.n_tasks == n_tasks


def test_a_slow_batch_counts_at_once_and_a_quick_one_little_by_little() -> None:
    length = BatchLength()
    for _ in range(100):
        length.learn(length.n_tasks, 0.01 * length.n_tasks, 0, 2)
    assert length.n_tasks == 20
    length.learn(1, 1e-5, 0, 2)
    assert length.n_tasks == 20, "one small tile says nothing of the next"
    length.learn(20, 2.0, 0, 2)
    assert length.n_tasks == 2


class Span(NamedTuple):
    """When and where a tile was at work."""

    worker: str
    begin: float
    end: float


def span(block: npt.NDArray[Any]) -> Span:
    begin = time.monotonic()
    time.sleep(0.2)
    return Span(get_worker().address, begin, time.monotonic())


def most_at_once(spans: list[Span]) -> dict[str, int]:
    """Most tiles that were at work at the same time, of each worker."""
    return {
        worker: max(
            sum(other.worker == worker and other.begin <= each.begin < other.end for other in spans) for each in own
        )
        for worker in sorted({each.worker for each in spans})
        if (own := [each for each in spans if each.worker == worker])
    }


SPANS: dict[str, Any] = {"tile_shape": 1, "progress": False}


def test_no_more_tiles_are_at_work_than_one_wants_when_the_cluster_grows() -> None:
    of_one: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**of_one) as cluster, Client(cluster, set_as_default=False) as client:  # type: ignore[no-untyped-call]

        def grow(event: object) -> None:
            if isinstance(event, TileDone) and len(client.nthreads()) == 1:
                cluster.scale(3)
                client.wait_for_workers(3, timeout=HANGS)

        spans = collect_tiles(span, np.zeros(20), executor=client, workers=1, callbacks=[grow], **SPANS)
    spans.sort(key=lambda each: each.begin)
    assert all(before.end <= after.begin for before, after in itertools.pairwise(spans))


@pytest.fixture(scope="module")
def needed(client: Client) -> float:
    """What a tile of the spans needs [MiB]."""
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DaskCrew, "reserve", lambda _, n_bytes: seen.append(n_bytes))
        collect_tiles(span, np.zeros(2), executor=client, **SPANS)
    return seen[0] / MIB


def test_declared_memory_bounds_how_many_tiles_are_at_work(needed: float) -> None:
    """A worker with four threads and memory for two tiles works on two; one that has too little for any gets none."""
    volume = np.zeros(16)
    with programs() as started:
        started.start_scheduler()
        started.start_worker("--nthreads", "4")
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(1, timeout=HANGS)
            free = most_at_once(collect_tiles(span, volume, executor=client, **SPANS))
        started.stop_last()
        started.start_worker("--nthreads", "4", "--resources", f"MEM={2.5 * needed}")
        started.start_worker("--nthreads", "4", "--resources", f"MEM={0.5 * needed}")
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=HANGS)
            bound = most_at_once(collect_tiles(span, volume, executor=client, **SPANS))
    assert max(free.values()) == 4
    assert list(bound.values()) == [2]


def test_a_tile_that_needs_more_than_is_declared_has_its_worker_alone(needed: float) -> None:
    with cluster_of(1, "--nthreads", "4", "--resources", f"MEM={0.5 * needed}") as client:
        spans = collect_tiles(span, np.zeros(8), executor=client, **SPANS)
    assert list(most_at_once(spans).values()) == [1]


def test_memory_that_only_some_workers_declare_is_refused() -> None:
    with programs() as started:
        started.start_scheduler()
        started.start_worker("--resources", "MEM=1000")
        started.start_worker()
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=HANGS)
            told = (
                r'1 of 2 workers declare no MEM, such as tcp://\S+, .* start all with --resources "MEM=\.\.\.", or none'
            )
            with pytest.raises(WorkerError, match=told):
                collect_tiles(span, np.zeros(8), executor=client, **SPANS)


def test_tiles_do_not_wait_for_memory_that_has_gone() -> None:
    """The worker that has declared some leaves; one that has not goes on."""
    with programs() as started:
        started.start_scheduler()
        started.start_worker("--resources", "MEM=1000")
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(1, timeout=HANGS)
            (first,) = client.nthreads()
            done: list[Any] = []

            def change(event: Any) -> None:
                done.append(event)
                if len(done) == 4:
                    started.start_worker()
                    client.wait_for_workers(2, timeout=HANGS)
                    client.retire_workers([first])

            spans = collect_tiles(span, np.zeros(20), executor=client, callbacks=[change], **SPANS)
    assert len({each.worker for each in spans}) == 2


def _hold(begun: Path, end: Path) -> None:
    begun.touch()
    while not end.exists():
        time.sleep(0.01)


@pytest.fixture
def soon_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a batch for a straggler after half a second."""
    monkeypatch.setattr("tilecore.executors.dask.stragglers._LEAST_SECONDS", 0.5)


@pytest.mark.usefixtures("soon_late")
def test_a_straggler_is_one_that_was_begun_and_goes_to_an_idle_worker(client: Client, tmp_path: Path) -> None:
    first, second = client.nthreads()
    stragglers, end = Stragglers(client), tmp_path / "end"
    batches = [Sent(number, [number], client.submit(len, ""), is_alone=False) for number in range(2)]

    def found() -> list[tuple[Sent, str]]:
        stragglers.learn(first, 1, 0.01)  # a batch has just come back: the next one waits for its turn since then
        return stragglers.among(batches)

    try:
        for batch in batches:
            key = f"batch-{batch.number}"
            batch.copies[key] = client.submit(_hold, tmp_path / key, end, workers=first, key=key)
            wait_until((tmp_path / "batch-0").exists)
        wait_until(lambda: bool(found()))
        assert found() == [(batches[0], second)]
        busy = client.submit(_hold, tmp_path / "busy", end, workers=second)
        wait_until((tmp_path / "busy").exists)
        assert found() == [], "no worker is idle"
        busy.cancel()
    finally:
        end.touch()
    client.gather([future for batch in batches for future in batch.copies.values()])


class Hangs:
    """The last tile hangs until the end, and its second attempt, which tells where it is; the third does not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, block: npt.NDArray[Any]) -> int:
        if block[0] == 11:
            number = sum(1 for _ in self.folder.glob("attempt-*"))
            (self.folder / f"attempt-{number}").write_text(get_worker().address)
            while number < 2 and not (self.folder / "end").exists():
                time.sleep(0.01)
        return int(block[0])


@pytest.mark.usefixtures("soon_late")
def test_a_second_attempt_goes_on_elsewhere_when_its_worker_leaves(tmp_path: Path) -> None:
    with cluster_of(3) as client, ThreadPoolExecutor(1) as aside:

        def retire() -> None:
            second = tmp_path / "attempt-1"
            wait_until(lambda: second.exists() and second.read_text() != "")
            client.retire_workers([second.read_text()])

        retired = aside.submit(retire)
        run: dict[str, Any] = {"tile_shape": 1, "executor": client, "progress": False}
        assert collect_tiles(Hangs(tmp_path), np.arange(12), **run) == list(range(12))
        (tmp_path / "end").touch()
        retired.result()


@pytest.mark.usefixtures("soon_late")
def test_a_batch_behind_one_that_hangs_is_a_straggler_too(client: Client, tmp_path: Path) -> None:
    """And each gets a thread of its own."""
    first, second = client.nthreads()
    stragglers, end = Stragglers(client), tmp_path / "end"
    stragglers.learn(first, 1, 0.01)
    batch = Sent(1, [1], client.submit(len, ""), is_alone=False)
    try:
        ahead = client.submit(_hold, tmp_path / "ahead", end, workers=first)
        wait_until((tmp_path / "ahead").exists)
        batch.copies["behind"] = client.submit(_hold, tmp_path / "behind", end, workers=first, key="behind")
        wait_until(lambda: bool(stragglers.among([batch])))
        assert stragglers.among([batch, batch]) == [(batch, second)], "there is one idle thread"
    finally:
        end.touch()
    client.gather([ahead, *batch.copies.values()])
