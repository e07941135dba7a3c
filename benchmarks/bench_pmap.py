"""Mapping over chunks of an array: shared memory compared with pickles."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.measuring import Benchmark
from tilecore import SharedArray, chunk_coordinates, pmap_chunks, settings

WORKERS = 2


def doubled_chunk(arr: Any, start: Sequence[int], chunks: Sequence[int]) -> Any:
    """Cut a chunk out of the array and double it, as a caller of `pmap_chunks` does."""
    return 2 * arr[tuple(slice(first, first + length) for first, length in zip(start, chunks, strict=True))]


def doubled(chunk: Any) -> Any:
    """Double a chunk that was received through a pipe."""
    return 2 * chunk


class Pmap(Benchmark):
    """Whole calls: start of the processes, results in the caller's process, end of the processes."""

    name = "pmap"
    goal = "function returns its chunk doubled: at least 10x Pool.starmap over pickled tiles"
    repeats = 7

    def setup(self) -> None:
        side = 64 if self.quick else 256
        self.chunks = (32,) * 3 if self.quick else (64,) * 3
        shape = (side, side, side if self.quick else 4 * side)
        self.volume = np.random.default_rng(0).random(shape, dtype=np.float32)
        self.shared = SharedArray.from_array(self.volume)

    def teardown(self) -> None:
        self.shared.close()

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {
            "pmap_chunks, fork": lambda: self._tilecore(self.volume, "fork"),
            "pmap_chunks, forkserver": lambda: self._tilecore(self.volume, "forkserver"),
            "pmap_chunks, forkserver, SharedArray": lambda: self._tilecore(self.shared, "forkserver"),
            "Pool.starmap, fork": self._starmap,
        }

    def _tilecore(self, volume: Any, start_method: str) -> Any:
        with settings.override(start_method=start_method):
            return pmap_chunks(doubled_chunk, volume, self.chunks, nb_workers=WORKERS)

    def _starmap(self) -> Any:
        starts = chunk_coordinates(self.volume.shape, self.chunks)
        tiles = [
            (
                self.volume[
                    tuple(slice(first, first + length) for first, length in zip(start, self.chunks, strict=True))
                ],
            )
            for start in starts
        ]
        with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
            return pool.starmap(doubled, tiles)
