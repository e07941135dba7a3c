"""Clusters of dask that change during a run: workers come, leave and die, also while the first tiles are measured."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client, get_worker

from tests.clusters import programs
from tests.faults.harness import HANGS, wait_until
from tilecore import map_tiles
from tilecore.geometry.tiles import Tile

pytestmark = pytest.mark.slow

VOLUME = np.random.default_rng(3).random((15, 15, 15))


class Located:
    """Notes which worker has done which tile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, block: Any, tile: Tile) -> Any:
        time.sleep(0.1)
        (self.folder / f"{tile.number}@{get_worker().address.rpartition(':')[2]}").touch()
        return block + 1

    @property
    def tiles(self) -> dict[str, set[int]]:
        """Numbers of the tiles that each worker has done, by its port."""
        found: dict[str, set[int]] = {}
        for name in os.listdir(self.folder):
            number, _, port = name.partition("@")
            found.setdefault(port, set()).add(int(number))
        return found


def test_workers_may_come_and_go(tmp_path: Path) -> None:
    """A run begins without any worker, one comes, another one, and the first leaves."""
    located = Located(tmp_path)
    with programs() as started:
        started.start_scheduler()
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:
            first: list[str] = []
            done: list[int] = []

            def change(event: Any) -> None:
                if type(event).__name__ != "TileDone":
                    return
                done.append(event.tile.number)
                if len(done) == 3:
                    started.start_worker()
                    client.wait_for_workers(2, timeout=HANGS)
                if len(done) == 12:
                    client.retire_workers(first)
                    wait_until(lambda: first[0] not in client.nthreads())

            def begin() -> None:
                time.sleep(1.0)
                started.start_worker()
                client.wait_for_workers(1, timeout=HANGS)
                first.extend(client.nthreads())

            starter = threading.Thread(target=begin)
            starter.start()
            try:
                run: dict[str, Any] = {"executor": client, "callbacks": [change], "pass_tile": True, "progress": False}
                found = map_tiles(located, VOLUME, tile_shape=5, **run)
            finally:
                starter.join()
            (second,) = [worker.rpartition(":")[2] for worker in client.nthreads()]
    np.testing.assert_array_equal(found, VOLUME + 1)
    assert sorted(done) == list(range(27)), "each tile is told once"
    tiles, left = located.tiles, first[0].rpartition(":")[2]
    assert set(tiles) == {left, second}, "both workers, and no other one, have done tiles"
    assert len(tiles[left]) >= 3
    assert len(tiles[second]) >= 15 - 4, "what the first one had left is done by the second"


class InPilot:
    """Its first call, which is that of the pilot, waits until the cluster has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, block: Any) -> Any:
        if not (self.folder / "changed").exists():
            (self.folder / f"pid-{os.getpid()}").touch()
            wait_until((self.folder / "changed").exists)
        return block + 1

    def pid(self) -> int:
        """The process of its first call."""
        return int(next(self.folder.glob("pid-*")).name.removeprefix("pid-"))


@pytest.mark.parametrize("dies", [False, True], ids=["one joins", "its worker dies, and another joins"])
def test_the_cluster_changes_during_the_pilot(tmp_path: Path, dies: bool, caplog: pytest.LogCaptureFixture) -> None:
    function = InPilot(tmp_path)
    caplog.set_level(logging.INFO, "tilecore")
    with programs() as started:
        started.start_scheduler()
        started.start_worker("--no-nanny")
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(1, timeout=HANGS)
            (first,) = client.nthreads()

            def change() -> None:
                wait_until(lambda: any(tmp_path.glob("pid-*")))
                started.start_worker()
                client.wait_for_workers(2, timeout=HANGS)
                if dies:
                    os.kill(function.pid(), signal.SIGKILL)
                    wait_until(lambda: first not in client.nthreads())
                (tmp_path / "changed").touch()

            changer = threading.Thread(target=change)
            changer.start()
            try:
                found = map_tiles(function, VOLUME, executor=client, progress=False)
            finally:
                (tmp_path / "changed").touch()
                changer.join()
    np.testing.assert_array_equal(found, VOLUME + 1)
    told = "the pilot failed (worker tcp://" if dies else "pilot: Findings("
    assert any(message.startswith(told) for message in caplog.messages), "the pilot was at work meanwhile"
