"""Memory for a volume far larger than the allowed memory."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.measuring import Benchmark, Peak
from tilecore import map_tiles
from tilecore.bytesize import parse_bytes

BUDGET = "512MB"
WORKERS = 2


def smoothed(block: Any) -> Any:
    """Filter a block with temporary arrays of several times its size, and keep every fourth voxel."""
    return gaussian_filter(block.astype(np.float32), 1.0)[4:-4:4, 4:-4:4, 4:-4:4].astype(np.uint16)


class Memory(Benchmark):
    """Memory of all processes together, mapped pages included, while a sparse file is read through a map."""

    name = "memory"
    goal = "16 GiB on max_memory=512MB: peak of all processes within the budget and the interpreters' own"
    repeats = 1
    warm_up = False

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        shape = (64, 64, 64) if self.quick else (2048, 2048, 2048)
        self.source = np.memmap(Path(self.folder.name, "in"), dtype=np.uint16, mode="w+", shape=shape)
        small = tuple(length // 4 for length in shape)
        self.sink = np.memmap(Path(self.folder.name, "out"), dtype=np.uint16, mode="w+", shape=small)
        self.peak = self.own = 0

    def teardown(self) -> None:
        del self.source, self.sink
        self.folder.cleanup()

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"map_tiles": self._watched}

    def remarks(self) -> list[str]:
        used, budget = self.peak - self.own, parse_bytes(BUDGET)
        return [
            f"{self.source.nbytes / 2**30:.1f} GiB read; budget {budget / 2**20:.0f} MiB; "
            f"peak {used / 2**20:.0f} MiB beyond the {self.own / 2**20:.0f} MiB of idle interpreters"
        ]

    def _run(self, source: Any, out: Any) -> None:
        map_tiles(
            smoothed,
            source,
            halo=4,
            boundary="edge",
            scale=1 / 4,
            out=out,
            max_memory=BUDGET,
            workers=WORKERS,
            progress=False,
        )

    def _watched(self) -> None:
        with Peak(resident_bytes, 0.01) as idle:
            self._run(self.source[:4, :8, :8], np.zeros((1, 2, 2), np.uint16))
        with Peak(resident_bytes, 0.01) as busy:
            self._run(self.source, self.sink)
        self.own, self.peak = idle.highest, busy.highest


def resident_bytes() -> int:
    """Resident memory of this process and its children [byte]."""
    import psutil

    this, total = psutil.Process(), 0
    for process in [this, *this.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            total += process.memory_info().rss
    return total
