"""Planning of a grid of a thousand million tiles, and start of its first tile."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measuring import Benchmark
from tilecore import iter_tiles, plan_tiles


class Planning(Benchmark):
    """Planning for a volume of one repeated voxel, which takes no memory itself."""

    name = "planning"
    goal = "10^9 tiles planned, and the first one done, within 1 s and 20 MiB"

    def setup(self) -> None:
        self.volume = np.broadcast_to(np.uint8(1), (16_000, 16_000, 16_000))

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"first of 10^9 tiles": self._first, "plan": self._plan}

    def remarks(self) -> list[str]:
        tracemalloc.start()
        self._first()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return [f"at most {peak / 2**20:.1f} MiB allocated in the calling process"]

    def _first(self) -> Any:
        results = iter_tiles(np.sum, self.volume, tile_shape=16, workers=2, progress=False)
        first = next(results)
        results.close()
        return first

    def _plan(self) -> Any:
        return plan_tiles(self.volume.shape, self.volume.dtype, workers=2, halo=4, max_memory="64KB")
