"""Time to copy voxels: the identity function."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Benchmark, Peak
from tilecore import SharedArray, map_tiles

WORKERS = 2


def same(block: Any) -> Any:
    """Return the block."""
    return block


class Copy(Benchmark):
    """Copy compared with a copy by two processes, each of one half, between shared pages that are in use."""

    name = "copy"
    goal = "shared to shared at least 1/2 of a two-process memcpy, plain to plain (forkserver) at least 1/5, +64 MiB"
    repeats = 5

    def setup(self) -> None:
        shape = (16, 64, 64) if self.quick else (512, 1024, 1024)
        self.volume = np.zeros(shape, dtype=np.uint16)
        self.volume[...] = np.arange(shape[2], dtype=np.uint16)
        self.source, self.sink = SharedArray.from_array(self.volume), SharedArray(shape, np.uint16)
        self.sink[...] = 1  # warm

    def teardown(self) -> None:
        self.source.close()
        self.sink.close()

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {
            "map_tiles, shared to shared": lambda: self._map(self.source, self.sink, "forkserver"),
            "two-process memcpy": self._memcpy,
            "map_tiles, plain to plain, forkserver": lambda: self._map(self.volume, None, "forkserver"),
            "map_tiles, plain to plain, fork": lambda: self._map(self.volume, None, "fork"),
        }

    def remarks(self) -> list[str]:
        before = memory_in_use()
        with Peak(memory_in_use) as peak:
            result = self._map(self.volume, None, "forkserver")
        extra = peak.highest - before - result.nbytes
        return [f"plain to plain: at most {extra / 2**20:.0f} MiB beyond input and output, workers included"]

    def _map(self, source: Any, out: Any, start_method: str) -> Any:
        return map_tiles(same, source, out=out, workers=WORKERS, start_method=start_method, progress=False)

    def _memcpy(self) -> None:
        context = multiprocessing.get_context("fork")
        source, sink = self.source.view(), self.sink.view()
        middle = len(source) // 2

        def copy(part: slice) -> None:
            sink[part] = source[part]

        processes = [
            context.Process(target=copy, args=(part,)) for part in (slice(0, middle), slice(middle, len(source)))
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()


def memory_in_use() -> int:
    """Used memory of the whole machine [byte]."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return (int(fields["MemTotal"].split()[0]) - int(fields["MemAvailable"].split()[0])) * 1024
