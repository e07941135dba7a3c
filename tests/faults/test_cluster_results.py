"""Faults of a cluster of dask between the end of a batch and the arrival of its results."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client, Future

from tests.clusters import cluster_of
from tests.faults.harness import wait_until
from tilecore import TileError, WorkerError, collect_tiles
from tilecore.geometry.tiles import Tile

pytestmark = pytest.mark.slow

VOLUME = np.arange(8)
TILES: dict[str, Any] = {"tile_shape": 1, "pass_tile": True, "progress": False}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Client of two workers, whose nannies start them again."""
    with cluster_of(2) as opened:
        yield opened


class Marks:
    """Notes each time that a tile is begun, and does something the second time; files tell it all workers."""

    def __init__(self, folder: Path, again: Callable[[], Any]) -> None:
        self.folder, self.again = folder, again

    def __call__(self, block: Any, tile: Tile) -> int:
        (self.folder / f"{tile.number}-{time.time_ns()}").touch()
        if self.counts()[tile.number] > 1:
            self.again()
        time.sleep(0.05)
        return int(block[0])

    def counts(self) -> Counter[int]:
        """How often each tile was begun."""
        return Counter(int(path.name.partition("-")[0]) for path in self.folder.iterdir())


class KillsHolder:
    """When the first tile has come, kills a worker that has a result which nobody has fetched yet.

    Parameters
    ----------
    client : Client
    is_noticed : bool
        Whether to wait until the scheduler has seen that the worker is gone.
    """

    def __init__(self, client: Client, *, is_noticed: bool) -> None:
        self.client, self.is_noticed, self.n_held = client, is_noticed, 0
        self.pids: dict[str, int] = client.run(os.getpid)

    def __call__(self, event: Any) -> None:
        if type(event).__name__ != "TileDone" or self.n_held:
            return
        # So all that was sent ahead is done, and the scheduler has heard of all that were fetched.
        wait_until(
            lambda: not any(self.client.processing().values()) and self._holders().keys() <= set(self.client.futures)
        )
        ((holder, self.n_held),) = Counter(self._holders().values()).most_common(1)
        os.kill(self.pids[holder], signal.SIGKILL)
        if self.is_noticed:
            wait_until(lambda: holder not in self.client.nthreads())

    def _holders(self) -> dict[str, str]:
        """The worker that has each result."""
        return {key: workers[0] for key, workers in self.client.who_has().items() if "-tiles-" in key and workers}


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_result_that_is_lost_with_its_worker_is_made_again(
    client: Client, tmp_path: Path, is_noticed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the caller keep a processor busy until it is there again."""
    monkeypatch.setattr("tilecore.executors.dask.results._MOST_BYTES", 0)  # one is fetched, so one worker holds several
    marks, kill = Marks(tmp_path, lambda: time.sleep(3.0)), KillsHolder(client, is_noticed=is_noticed)
    before = time.process_time()
    found = collect_tiles(marks, VOLUME, executor=client, callbacks=[kill], **TILES)
    used = time.process_time() - before
    assert found == list(VOLUME)
    assert kill.n_held > 1
    assert max(marks.counts().values()) > 1, "a tile whose result was lost must have been done again"
    assert used < 1.5, f"the caller has used {used:.1f} CPU seconds while it waited"


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_tile_that_kills_when_it_is_done_again_is_named(client: Client, tmp_path: Path, is_noticed: bool) -> None:
    marks, kill = Marks(tmp_path, _die), KillsHolder(client, is_noticed=is_noticed)
    run: dict[str, Any] = {"executor": client, "callbacks": [kill], "retries": 0, "on_error": "finish", **TILES}
    with pytest.raises(TileError, match=r"worker tcp://.* died in the middle of the tile") as error:
        collect_tiles(marks, VOLUME, **run)
    again = {number for number, times in marks.counts().items() if times > 1}
    assert {failure.tile.number for failure in error.value.failures} == again


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("told", ["the cluster at tcp://.* was restarted", "somebody has cancelled .*tidying"])
def test_a_restart_and_a_cancellation_are_told_as_such(client: Client, told: str) -> None:
    def deed(event: Any) -> None:
        if type(event).__name__ == "TileDone" and "restarted" in told:
            client.restart()
        elif type(event).__name__ == "TileDone":
            mine = [Future(key, client) for key in [*client.futures] if "-tiles-" in key]
            client.cancel(mine, reason="tidying", force=True)

    run: dict[str, Any] = {"executor": client, "callbacks": [deed], "tile_shape": 1, "progress": False}
    with pytest.raises(WorkerError, match=told):
        collect_tiles(lambda _: time.sleep(0.3), VOLUME, **run)
