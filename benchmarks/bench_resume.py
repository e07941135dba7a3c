"""Continuation of a run that was killed half way."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Benchmark
from tilecore import map_tiles

N_TILES = 40


def slow(block: Any) -> Any:
    """Sleep for a fixed time per voxel."""
    time.sleep(block.size * 1e-5)
    return block + 1


class Resume(Benchmark):
    """Reading of the journal, the remaining tiles, and completion of the file; the killed half does not count."""

    name = "resume"
    goal = "continuing a run killed at 50 % costs at most 55 % of the full run"
    repeats = 3

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "out.npy")
        self.volume = np.zeros((N_TILES, 2 if self.quick else 100, 100), np.float32)

    def teardown(self) -> None:
        self.folder.cleanup()

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"the rest of the run": self._rest, "the full run": self._full}

    def prepare(self, name: str) -> None:
        """Create the files of a run that was killed after half of its tiles."""
        self.path.unlink(missing_ok=True)
        if name == "the rest of the run":
            pid = os.fork()
            if pid == 0:
                try:
                    self._run(callbacks=[_KilledHalfWay()])
                finally:
                    os._exit(1)
            os.waitpid(pid, 0)

    def remarks(self) -> list[str]:
        return [f"the result is whole: {bool((np.load(self.path) == 1).all())}"]

    def _full(self) -> None:
        self._run()

    def _rest(self) -> None:
        self._run(resume=True)

    def _run(self, **options: Any) -> None:
        map_tiles(slow, self.volume, tile_shape=(1, 100, 100), out=self.path, workers=2, progress=False, **options)


class _KilledHalfWay:
    def __init__(self) -> None:
        self.n_done = 0

    def __call__(self, event: Any) -> None:
        self.n_done += type(event).__name__ == "TileDone"
        if self.n_done >= N_TILES // 2:
            os.kill(os.getpid(), signal.SIGKILL)
