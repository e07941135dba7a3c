"""Time of a task: tiles with nothing to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from benchmarks.measuring import Benchmark
from tilecore import collect_tiles

WORKERS = 2


def nothing(block: Any) -> None:
    """Do nothing with a block."""


class Dispatch(Benchmark):
    """Tasks compared: others get a number for each tile. Start and end of workers count, except for distributed."""

    name = "dispatch"
    goal = "50,000 empty tiles: at least 3x ProcessPoolExecutor.submit, 50x distributed"
    repeats = 3
    needs = ("distributed",)

    def setup(self) -> None:
        self.n_tiles = 50 if self.quick else 50_000
        self.volume = np.zeros(self.n_tiles, dtype=np.uint8)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"collect_tiles": self._tilecore, "ProcessPoolExecutor.submit": self._pool}

    def remarks(self) -> list[str]:
        """Measure distributed in one turn with a tenth of the tiles, as it takes minutes for the whole.

        Its cluster starts only here: it is never idle, and what it does would count as the others' CPU seconds.
        """
        from distributed import Client, LocalCluster

        n_tiles = self.n_tiles // 10
        with (
            LocalCluster(
                n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, processes=not self.quick
            ) as cluster,
            Client(cluster) as client,
        ):
            start = time.perf_counter()
            client.gather(client.map(nothing, range(n_tiles)))
            each = (time.perf_counter() - start) / n_tiles
        start = time.perf_counter()
        self._tilecore()
        own = (time.perf_counter() - start) / self.n_tiles
        return [
            f"distributed, {n_tiles} tiles: {1e6 * each:.0f} us a tile; collect_tiles: {1e6 * own:.1f} us; "
            f"ratio {each / own:.0f}x"
        ]

    def _tilecore(self) -> Any:
        return collect_tiles(nothing, self.volume, tile_shape=1, workers=WORKERS, progress=False)

    def _pool(self) -> Any:
        with ProcessPoolExecutor(WORKERS) as pool:
            futures = [pool.submit(nothing, number) for number in range(self.n_tiles)]
            return [future.result() for future in futures]
