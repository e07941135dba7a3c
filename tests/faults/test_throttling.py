"""Faults of a throttled cluster."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from dask.delayed import delayed
from distributed import Client, LocalCluster, get_worker

from tilecore.throttling import throttle


def die_once(folder: str, number: int) -> int:
    """End the worker in the first call of all, and only there."""
    try:
        (Path(folder) / "died").touch(exist_ok=False)
    except FileExistsError:
        return number
    assert get_worker().name is not None
    os.kill(os.getpid(), signal.SIGKILL)
    return -1


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_resource_of_a_lost_worker_is_free_again(tmp_path: Path) -> None:
    """A worker that is killed in a throttled task is started again, and the task, too."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, resources={"MEM": 1}, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
        throttle(client, "heavy"),
    ):
        calls = [delayed(die_once)(str(tmp_path), n, dask_key_name=f"heavy-{n}") for n in range(5)]
        assert client.gather(client.compute(calls)) == [0, 1, 2, 3, 4]
        assert [dict(each.used_resources) for each in cluster.scheduler.workers.values()] == [{"MEM": 0}]
    assert (tmp_path / "died").exists()
