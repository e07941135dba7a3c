"""Tests of throttling: tasks count how many of them run at once, in files that all processes see."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from dask.delayed import delayed
from distributed import Client, LocalCluster, get_worker, wait

from tests.faults.harness import wait_until
from tilecore.compat.minian import ANNOTATIONS, TaskAnnotation, custom_arr_optimize, optimize_chunk
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.throttling import throttle

TASKS = 8
NEED = {"resources": {"MEM": 1}}
#: Threads of a test's cluster end some time after it; it leaves no file or shared memory.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@contextmanager
def cluster_of(
    processes: bool = False, workers: int = 1, resources: dict[str, float] | None = None, protocol: str | None = None
) -> Iterator[Client]:
    resources = {"MEM": 1} if resources is None else resources
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=4,
            processes=processes,
            protocol=protocol,
            resources=resources,
            dashboard_address=":0",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def counted(value: Any, folder: str) -> Any:
    """Note how many of these calls run in this worker at once, at its begin."""
    own = Path(folder) / f"{get_worker().name}-{time.monotonic_ns()}-{np.random.default_rng().integers(2**62)}"
    own.with_suffix(".running").touch()
    mine = f"{get_worker().name}-"
    running = len([name for name in os.listdir(folder) if name.startswith(mine) and name.endswith(".running")])
    own.with_suffix(f".most-{running}").touch()
    time.sleep(0.05)
    own.with_suffix(".running").unlink()
    return value


def write(path: str, name: str) -> None:
    time.sleep(0.02)
    with open(path, "a") as file:
        file.write(f"{name}\n")


def most_at_once(folder: Path) -> int:
    return max(int(name.rpartition("-")[2]) for name in os.listdir(folder) if ".most-" in name)


def plain(folder: Path) -> da.Array:
    return da.ones((TASKS, 2), chunks=(1, 2)).map_blocks(counted, str(folder), name=f"heavy-{folder.name}", dtype=float)


def fused(folder: Path) -> da.Array:
    ones = da.ones((TASKS, 2), chunks=(1, 2))
    return (ones + 1).map_blocks(counted, str(folder), dtype=float, name=f"heavy-{folder.name}") * 2 - 1


def overlapped(folder: Path) -> da.Array:
    array = da.ones((TASKS, 2), chunks=(1, 2))
    return array.map_overlap(
        counted, depth=1, boundary=0, folder=str(folder), dtype=float, name=f"heavy-{folder.name}", meta=np.ones(1)
    )


def rechunked(folder: Path) -> da.Array:
    return plain(folder).rechunk((2, 1)) + 1


GRAPHS: dict[str, Callable[[Path], da.Array]] = {
    "plain": plain,
    "fused": fused,
    "overlapped": overlapped,
    "rechunked": rechunked,
}


@contextmanager
def throttled(client: Client, how: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if how == "throttle":
        with throttle(client, "heavy"):
            yield
        return
    monkeypatch.setitem(ANNOTATIONS, "heavy", NEED)
    client.cluster.scheduler.add_plugin(TaskAnnotation())
    own = {"array_optimize": custom_arr_optimize} if how == "optimiser" else {}
    with dask.config.set(own):
        yield


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["threads", "processes"])
@pytest.mark.parametrize("how", [pytest.param("plugin", marks=pytest.mark.slow), "optimiser", "throttle"])
def test_one_annotated_task_runs_at_once(
    how: str, processes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster_of(processes) as client, throttled(client, how, monkeypatch):
        for name, build in GRAPHS.items():
            for persist in (False, True):
                folder = tmp_path / f"{name}-{persist}"
                folder.mkdir()
                lazy = build(folder)
                result = client.persist(lazy).compute() if persist else client.compute(lazy).result()
                assert result.shape == (TASKS, 2)
                assert most_at_once(folder) == 1, name
                assert len(os.listdir(folder)) >= TASKS


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["threads", "processes"])
@pytest.mark.parametrize("how", ["plugin", "optimiser", "throttle"])
def test_each_worker_has_its_own_resource(
    how: str, processes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One annotated task at a time on each of two workers, and both work."""
    with cluster_of(processes, workers=2) as client, throttled(client, how, monkeypatch):
        for name, build in GRAPHS.items():
            folder = tmp_path / name
            folder.mkdir()
            assert client.compute(build(folder)).result().shape == (TASKS, 2)
            assert most_at_once(folder) == 1, name
            assert {each.partition("-")[0] for each in os.listdir(folder)} == {"0", "1"}, name


def test_without_throttle_several_run_at_once(tmp_path: Path) -> None:
    with cluster_of() as client:
        with throttle(client, "heavy"):
            pass
        client.compute(plain(tmp_path)).result()
    assert most_at_once(tmp_path) > 1


def test_half_a_resource_lets_two_run(tmp_path: Path) -> None:
    with cluster_of() as client, throttle(client, ["heavy"], resources={"MEM": 0.5}):
        client.compute(plain(tmp_path)).result()
    assert most_at_once(tmp_path) == 2


def test_names_added_later_count_and_plugins_twice_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster_of() as client:
        scheduler = client.cluster.scheduler
        scheduler.add_plugin(TaskAnnotation())
        scheduler.add_plugin(TaskAnnotation())
        assert TaskAnnotation().annt_dict is ANNOTATIONS
        monkeypatch.setitem(ANNOTATIONS, "heavy", NEED)
        with throttle(client, "heavy"), throttle(client, "heavy"):
            client.compute(plain(tmp_path)).result()
        assert dict(next(iter(scheduler.workers.values())).used_resources) == {"MEM": 0}
    assert most_at_once(tmp_path) == 1


def test_address_or_cluster_stands_for_a_client(tmp_path: Path) -> None:
    with cluster_of(protocol="tcp") as client:
        assert client.scheduler.address.startswith("tcp://")
        for number, where in enumerate((client.cluster, client.scheduler.address)):
            folder = tmp_path / str(number)
            folder.mkdir()
            with throttle(where, "heavy"):
                client.compute(plain(folder)).result()
            assert most_at_once(folder) == 1


def test_tasks_of_higher_priority_run_first(tmp_path: Path) -> None:
    order = tmp_path / "order"
    with cluster_of() as client, throttle(client, {"late": {**NEED}, "soon": {**NEED, "priority": 3}}):
        calls = [
            delayed(write)(str(order), name, dask_key_name=f"{name}-{n}") for n in range(3) for name in ("late", "soon")
        ]
        wait(client.compute(calls))
    assert order.read_text().split()[-2:] == ["late", "late"]


def test_rechunk_merges_are_throttled_by_their_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    xr = pytest.importorskip("xarray")
    seen: dict[str, Any] = {}
    array = xr.DataArray(np.arange(64).reshape(8, 8), dims=("frame", "width")).chunk(frame=1)
    with cluster_of() as client:
        scheduler = client.cluster.scheduler
        scheduler.add_plugin(TaskAnnotation())
        kept = client.persist((optimize_chunk(array, {"frame": 8, "width": 2}) + 1).data)
        wait(kept)
        seen = {str(key): task.resource_restrictions for key, task in scheduler.tasks.items()}
        assert kept.compute().sum() == 2016 + 64
    assert {"MEM": 1} in seen.values(), seen


@pytest.mark.parametrize("resources", [{}, {"MEM": 0.5}], ids=["none", "too little"])
def test_resource_that_no_worker_has_is_told_at_once(resources: dict[str, float]) -> None:
    with (
        cluster_of(resources=resources) as client,
        pytest.raises(ParameterError, match=r"would wait for ever: no worker has \{'MEM': 1\}; worker .* declares"),
    ):
        throttle(client, "heavy")


def test_plugin_alone_logs_what_no_worker_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log of the scheduler, which may be far away, and a warning where the client is."""
    monkeypatch.setitem(ANNOTATIONS, "heavy", NEED)
    with cluster_of(resources={}) as client, caplog.at_level(logging.WARNING, "tilecore"):
        client.cluster.scheduler.add_plugin(TaskAnnotation())
        with pytest.warns(UserWarning, match="no worker has") as warned:
            future = client.compute(plain(tmp_path))
            wait_until(lambda: warned.list)
        future.cancel()
    for told in (caplog.text, str(warned[0].message)):
        assert f"tasks such as 'heavy-{tmp_path.name}' wait, {TASKS} in all: no worker has {{'MEM': 1}}; worker" in told
        assert "declares nothing. Start workers with resources={'MEM': 1}" in told


def test_asynchronous_clients_are_refused() -> None:
    """The message tells what they can do instead, and that works."""

    async def attempt() -> int:
        options: dict[str, Any] = {"n_workers": 1, "resources": {"MEM": 1}, "dashboard_address": ":0"}
        async with Client(asynchronous=True, processes=False, **options) as client:
            with pytest.raises(ParameterTypeError, match=r"asynchronous; instead: await client\.register_plugin"):
                throttle(client, "heavy")
            await client.register_plugin(TaskAnnotation({"heavy": NEED}))
            task = client.submit(abs, -3, key="heavy-1")
            result: int = await task
            assert client.cluster.scheduler.tasks["heavy-1"].resource_restrictions == {"MEM": 1}
            return result

    assert asyncio.run(attempt()) == 3


def test_other_clients_and_needs_are_refused() -> None:
    with pytest.raises(ParameterTypeError, match="client"):
        throttle(3, "heavy")  # type: ignore[arg-type]
    with cluster_of() as client:
        with pytest.raises(ParameterError, match="resources"):
            throttle(client, {"heavy": {"MEM": 1}})
        with pytest.raises(ParameterError, match="beside a list"):
            throttle(client, {"heavy": NEED}, priority=1)
