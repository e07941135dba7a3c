"""Copy of an array into shared memory."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measuring import Benchmark
from tilecore import SharedArr, SharedArray


class Share(Benchmark):
    """Copy compared with the minimum: writing into new shared pages."""

    name = "share"
    goal = "SharedArr made within 1.3x of one copy into fresh shared pages"
    repeats = 9

    def setup(self) -> None:
        n_voxels = 2**16 if self.quick else 2**26
        self.volume = np.random.default_rng(0).random(n_voxels, dtype=np.float32).reshape(-1, 64, 64)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {
            "SharedArr": lambda: SharedArr(self.volume),
            "SharedArray.from_array": lambda: SharedArray.from_array(self.volume),
            "copy into fresh shared pages": self._copy,
        }

    def _copy(self) -> Any:
        pages = mmap.mmap(-1, self.volume.nbytes)
        shared = np.frombuffer(pages, self.volume.dtype).reshape(self.volume.shape)
        shared[...] = self.volume
        return shared
