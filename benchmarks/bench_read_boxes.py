"""Reading of zarr on all cores: many boxes at once, and the whole array, compared with other libraries."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from benchmarks.measuring import Benchmark
from tilecore import Box, open_source, read_boxes
from tilecore.machine import usable_threads

#: Bytes of decoded chunks that tensorstore may keep, where it keeps some.
CACHE_BYTES = 2**30


def memory_folder() -> Path:
    """A new folder in memory, if the system has such a file system, as disks differ from turn to turn."""
    return Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def open_in_tensorstore(path: Path, cache_bytes: int = 0, **options: Any) -> Any:
    """Open a zarr array in tensorstore, with as many threads as tilecore uses."""
    import tensorstore

    threads = {"limit": usable_threads()}
    context = {
        "data_copy_concurrency": threads,
        "file_io_concurrency": threads,
        "cache_pool": {"total_bytes_limit": cache_bytes},
        "file_io_sync": False,  # as tilecore leaves it to the system when the disk is written
    }
    place = {"driver": "file", "path": str(path)}
    return tensorstore.open({"driver": "zarr3", "kvstore": place, "context": context, **options}).result()


def others(path: Path) -> dict[str, Callable[[], Any]]:
    """Ways to open the array in other libraries that are installed; what they give is indexed by slices."""
    ways = {"tensorstore": open_in_tensorstore, "zarrs": _open_in_zarrs, "zarrista": _open_in_zarrista}
    return {name: partial(way, path) for name, way in ways.items() if importlib.util.find_spec(name) is not None}


def _open_in_zarrs(path: Path) -> Any:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return zarr.open_array(path, mode="r")


def _open_in_zarrista(path: Path) -> Any:
    import zarrista

    return zarrista.Array.open(zarrista.store.FilesystemStore(str(path)), "/")


class ReadAllZarr(Benchmark):
    name = "read-all-zarr"
    goal = "a whole array of chunks of 128^3 voxels, zstd: faster than zarr-python and tensorstore"
    repeats = 7

    def setup(self) -> None:
        self.shape, self.chunk, self.length = ((64, 128, 128), 32, 16) if self.quick else ((256, 1024, 1024), 128, 64)
        self.folder = memory_folder()
        self.path = self.folder / "volume.zarr"
        volume = np.random.default_rng(0).poisson(100, self.shape).astype(np.uint16)
        codec = ZstdCodec(level=1)
        zarr.create_array(self.path, data=volume, chunks=(self.chunk,) * 3, compressors=codec)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        found: dict[str, Callable[[], Any]] = {
            "tilecore": lambda: open_source(self.path)[...],
            "zarr-python": lambda: zarr.open_array(self.path, mode="r")[...],
            **{name: lambda way=way: np.asarray(way()[...]) for name, way in others(self.path).items()},
        }
        whole = found["tilecore"]()
        assert all(np.array_equal(read(), whole) for read in found.values())
        return found


class ReadBoxes(ReadAllZarr):
    name = "read-boxes"
    goal = "64 random boxes of 64^3 voxels from chunks of 128^3, zstd: at least as fast as tensorstore's reads together"

    def setup(self) -> None:
        super().setup()
        starts = np.random.default_rng(1).integers(0, np.array(self.shape) - self.length + 1, (64, 3))
        self.boxes = [Box(start.tolist(), (start + self.length).tolist()) for start in starts]

    def contenders(self) -> dict[str, Callable[[], Any]]:
        found: dict[str, Callable[[], Any]] = {
            "tilecore, read_boxes": lambda: read_boxes(self.path, self.boxes),
            "tilecore, slices": lambda: self._slices(open_source(self.path)),
            "zarr-python, slices": lambda: self._slices(zarr.open_array(self.path, mode="r")),
            **{f"{name}, slices": lambda way=way: self._slices(way()) for name, way in others(self.path).items()},
        }
        if importlib.util.find_spec("tensorstore") is not None:
            found["tensorstore, reads together"] = lambda: self._by_tensorstore(0)
            found["tensorstore, reads together, with a cache"] = lambda: self._by_tensorstore(CACHE_BYTES)
        blocks = found["tilecore, read_boxes"]()
        assert all(np.array_equal(read(), blocks) for read in found.values())
        return found

    def _slices(self, array: Any) -> list[Any]:
        return [np.asarray(array[box.slices]) for box in self.boxes]

    def _by_tensorstore(self, cache_bytes: int) -> list[Any]:
        array = open_in_tensorstore(self.path, cache_bytes)
        return [read.result() for read in [array[box.slices].read() for box in self.boxes]]
