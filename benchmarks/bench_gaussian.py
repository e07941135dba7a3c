"""Gaussian filter of a whole volume, with tiles that the planner chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.measuring import Benchmark
from tilecore import map_tiles

SIGMA, TRUNCATE = 2.0, 4.0
HALO = int(TRUNCATE * SIGMA + 0.5)
WORKERS = 2


def filtered(block: Any) -> Any:
    """Filter a block."""
    return gaussian_filter(block, SIGMA, truncate=TRUNCATE, mode="nearest")


class Gaussian(Benchmark):
    """Filter of an ordinary array into a new one; start and end of the processes count."""

    name = "gaussian"
    goal = "at least 1.8x scipy in one process, 1.5x dask with threads, 10x dask with processes; bitwise equal"
    needs = ("dask.array",)

    def setup(self) -> None:
        shape = (16, 32, 32) if self.quick else (256, 512, 512)
        self.volume = np.random.default_rng(0).random(shape, dtype=np.float32)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {
            "map_tiles": self._tilecore,
            "scipy on the whole": lambda: filtered(self.volume),
            "dask map_overlap, threads": lambda: self._dask("threads"),
            "dask map_overlap, processes": lambda: self._dask("processes"),
        }

    def remarks(self) -> list[str]:
        equal = bool((self._tilecore() == filtered(self.volume)).all())
        return [f"bitwise equal to scipy's: {equal}"]

    def _tilecore(self) -> Any:
        return map_tiles(filtered, self.volume, halo=HALO, workers=WORKERS, progress=False)

    def _dask(self, scheduler: str) -> Any:
        import dask.array

        chunks = tuple(-(-length // 2) for length in self.volume.shape)
        array = dask.array.from_array(self.volume, chunks=chunks)
        result = array.map_overlap(filtered, depth=HALO, boundary="none", dtype=self.volume.dtype)
        return result.compute(scheduler=scheduler, num_workers=WORKERS)
