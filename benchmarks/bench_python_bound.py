"""Function that holds the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measuring import Benchmark
from tilecore import map_tiles


def collatz(block: Any) -> Any:
    """Count steps of the Collatz sequence for each voxel, in plain Python."""
    counts = np.empty_like(block)
    for index, value in np.ndenumerate(block):
        number, steps = int(value), 0
        while number > 1:
            number = number // 2 if number % 2 == 0 else 3 * number + 1
            steps += 1
        counts[index] = steps
    return counts


class PythonBound(Benchmark):
    """Runs in which threads do not help, only processes."""

    name = "python-bound"
    goal = "at least 1.9x the function on the whole volume"
    repeats = 3

    def setup(self) -> None:
        shape = (4, 8, 8) if self.quick else (32, 128, 128)
        self.volume = np.random.default_rng(0).integers(1, 10_000, shape, dtype=np.int32)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {
            "map_tiles": lambda: self._tilecore("processes"),
            "the function on the whole": lambda: collatz(self.volume),
            "map_tiles, threads": lambda: self._tilecore("threads"),
        }

    def _tilecore(self, executor: str) -> Any:
        return map_tiles(collatz, self.volume, executor=executor, workers=2, progress=False)
