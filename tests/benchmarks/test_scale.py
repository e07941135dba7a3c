"""Tests of the simulation of large clusters, against what a single bottleneck allows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scale import main
from benchmarks.simulation import Costs, Workload, simulate

FREE = Costs(
    start=0,
    client_batch=0,
    client_tile=0,
    scheduler_batch=0,
    scheduler_heartbeat=0,
    worker_batch=0,
    worker_tile=0,
    latency=0,
)


def test_time_is_that_of_the_tiles_where_nothing_else_costs() -> None:
    found = simulate(FREE, Workload(n_workers=10, n_tiles=10_000, tile_seconds=0.1))
    assert found.seconds == pytest.approx(100, rel=0.05)
    assert found.bottleneck == "workers"
    assert found.loads["workers"] == pytest.approx(1, abs=0.05)


def test_a_run_too_long_to_be_simulated_goes_on_as_it_has_begun() -> None:
    found = simulate(FREE, Workload(n_workers=100, n_tiles=10**8, tile_seconds=1.0))
    assert found.seconds == pytest.approx(10**6, rel=0.02)


def test_the_client_bounds_tiles_that_take_no_time() -> None:
    found = simulate(replace(FREE, client_tile=1e-3), Workload(n_workers=100, n_tiles=10**6, tile_seconds=1e-5))
    assert found.seconds == pytest.approx(1000, rel=0.02)
    assert found.bottleneck == "client"


def test_the_scheduler_bounds_batches() -> None:
    costs = replace(FREE, scheduler_batch=1.0)
    found = simulate(costs, Workload(n_workers=100, n_tiles=10**5, tile_seconds=10.0))
    assert found.bottleneck == "scheduler"
    assert found.seconds == pytest.approx(10**5 / found.batch, rel=0.1)


def test_workers_that_say_they_are_there_take_the_schedulers_time() -> None:
    work = Workload(n_workers=1000, n_tiles=10**6, tile_seconds=1.0)
    costs = replace(FREE, scheduler_batch=1e-3)
    quiet = simulate(costs, work).loads["scheduler"]
    assert simulate(replace(costs, scheduler_heartbeat=3e-3), work).loads["scheduler"] == pytest.approx(
        2 * quiet, rel=0.05
    )


def test_the_storage_bounds_tiles_that_move_much() -> None:
    work = Workload(n_workers=100, n_tiles=10**5, tile_seconds=1e-2, tile_bytes=1e6, storage=1e9)
    found = simulate(FREE, work)
    assert found.bottleneck == "storage"
    assert found.seconds == pytest.approx(100, rel=0.02)
    assert found.storage_bytes == 1e11


def test_messages_are_counted_by_batches_and_tiles() -> None:
    costs = replace(FREE, bytes_batch=1000.0, bytes_tile=10.0)
    found = simulate(costs, Workload(n_workers=1, n_tiles=1000, tile_seconds=100.0))
    assert found.batch == 1
    assert found.message_bytes == 1000 * 1010


@pytest.mark.slow
def test_predictions_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("distributed")
    assert main(["--local", "2", "--workers", "10", "100", "--tiles", "1e5"]) == 0
    printed = capsys.readouterr().out
    assert "bottleneck" in printed
    assert "scheduler_batch" in printed
