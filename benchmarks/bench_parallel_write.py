"""Parallel writing: no voxel is lost, and tiles that would lose some are refused."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Benchmark
from tilecore import AlignmentError, map_tiles
from tilecore.formats.creating import prepare_sink

LAYOUTS: dict[str, dict[str, Any]] = {
    "chunks": {"chunks": (16, 32, 32)},
    "shards": {"chunks": (8, 16, 16), "shards": (16, 32, 32)},
    "uncompressed": {"chunks": (16, 32, 32), "codec": "none"},
    "blosc": {"chunks": (16, 32, 32), "codec": "blosc"},
}


def same(block: np.ndarray) -> np.ndarray:
    return block


class ParallelWrite(Benchmark):
    name = "parallel-write"
    goal = "2 workers: 0 wrong voxels in 50 repeats over chunks, shards and codecs; shared units are refused"
    repeats = 1

    def setup(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.volume = np.random.default_rng(0).integers(1, 60_000, (48, 100, 130)).astype(np.uint16)
        self.n_repeats = 1 if self.quick else 50
        self.n_wrong = self.n_runs = self.n_refused = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def write(self, turn: int, layout: str) -> None:
        sink = prepare_sink(self.folder / f"{layout}.zarr", self.volume.shape, overwrite=True, **LAYOUTS[layout])
        tile_shape = None if turn % 2 else (16, 32, 32)
        found = map_tiles(same, self.volume, out=sink, tile_shape=tile_shape, workers=2, progress=False)
        self.n_runs += 1
        self.n_wrong += int((found[...] != self.volume).sum())
        try:
            sink = prepare_sink(self.folder / f"{layout}.zarr", self.volume.shape, overwrite=True, **LAYOUTS[layout])
            map_tiles(same, self.volume, out=sink, tile_shape=(16, 40, 32), workers=2, progress=False)
        except AlignmentError:
            self.n_refused += 1

    def by_tilecore(self) -> None:
        for turn in range(self.n_repeats):
            for layout in LAYOUTS:
                self.write(turn, layout)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"tilecore, 2 workers": self.by_tilecore}

    def remarks(self) -> list[str]:
        assert self.n_wrong == 0
        assert self.n_refused == self.n_runs
        return [f"{self.n_wrong} wrong voxels in {self.n_runs} runs; {self.n_refused} runs on shared units refused"]
