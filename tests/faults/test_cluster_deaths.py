"""Deaths of workers of a dask cluster: why they died, on machines that were there from the start and on others."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client, KilledWorker, get_worker

from tests.clusters import cluster_of, programs
from tests.faults.harness import HANGS
from tilecore import map_tiles
from tilecore.engine.events import TileRetried
from tilecore.executors.dask.deaths import Deaths, OneDeath
from tilecore.executors.dask.sent import Sent

pytestmark = pytest.mark.slow

#: Address of a second machine, as far as dask can tell.
OTHER = "127.0.0.2"


class KilledForMemory:
    """Dies on a machine whose kernel counts a process more that it has killed, at the first block that is not small."""

    def __init__(self, kills: Path, go: Path) -> None:
        self.kills, self.go = kills, go

    def __call__(self, block: Any) -> Any:
        time.sleep(0.3)  # a batch is a tile
        if (
            OTHER in get_worker().address
            and block.size > 20
            and self.go.exists()
            and "oom_kill 0" in self.kills.read_text()
        ):
            self.kills.write_text("oom_kill 1\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return block + 1


def test_a_machine_that_joins_later_and_runs_out_of_memory_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tile is cut: its worker's machine tells that its kernel has killed somebody since."""
    kills, go, known = tmp_path / "vmstat", tmp_path / "go", set[str]()
    kills.write_text("oom_kill 0\n")
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c")
    prefix = (*prefix, f'mount --bind {kills} /proc/vmstat && exec "$@"', "sh")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces are not permitted here")
    watch = Deaths.watch

    def note(deaths: Deaths, workers: Any) -> None:
        watch(deaths, workers)
        known.update(workers)

    monkeypatch.setattr(Deaths, "watch", note)
    retried: list[TileRetried] = []
    with programs() as started:
        started.start_scheduler("--host", "127.0.0.1")
        started.start_worker("--host", "127.0.0.1")
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(1, timeout=HANGS)
            n_done = 0

            def join(event: Any) -> None:
                nonlocal n_done
                n_done += type(event).__name__ == "TileDone"
                if isinstance(event, TileRetried):
                    retried.append(event)
                if n_done == 3 and len(started.running) == 2:
                    started.start_worker("--nworkers", "2", "--host", OTHER, prefix=prefix)
                    client.wait_for_workers(3, timeout=HANGS)
                if any(OTHER in worker for worker in known):
                    go.touch()

            run: dict[str, Any] = {"tile_shape": (1, 4, 10), "executor": client, "callbacks": [join], "progress": False}
            found = map_tiles(KilledForMemory(kills, go), np.zeros((60, 4, 10)), retries=0, **run)
    assert (found == 1).all()
    assert [event.failure.reason.partition(", ")[2] for event in retried] == ["as its machine had no memory left"]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_reasons_of_several_deaths_are_awaited_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nannies are asked once for all, however many workers have died."""
    asked: list[str] = []
    monkeypatch.setattr("tilecore.executors.dask.deaths._NANNY_SECONDS", 0.0)
    with cluster_of(3) as client:
        client.register_plugin(OneDeath("dies", client.id), name="dies-deaths")
        futures = [
            client.submit(_die, key=f"dies-tiles-{number}", workers=worker)
            for number, worker in enumerate(client.nthreads())
        ]
        errors = [future.exception() for future in futures]
        lost = [(Sent(number, [number], futures[0], is_alone=False), error) for number, error in enumerate(errors)]
        monkeypatch.setattr(Client, "get_events", lambda _, topic: asked.append(topic) or ())
        outcomes, suspects = Deaths(client).judged(
            [(sent, error) for sent, error in lost if isinstance(error, KilledWorker)]
        )
    assert [outcome.task for outcome in outcomes] == [0, 1, 2]
    assert suspects == []
    assert len(asked) == 1
