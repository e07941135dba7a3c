"""Reading of regions: tilecore's sources compared with the file formats' own libraries."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from benchmarks.measuring import Benchmark
from tilecore import open_source


class ReadRegion(Benchmark):
    """Random regions of one file, which is opened again in each turn."""

    repeats = 7
    write: Callable[[Path, np.ndarray], Any]
    suffix = ".tif"

    def setup(self) -> None:
        shape = (64, 128, 128) if self.quick else (192, 1024, 1024)
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / f"volume{self.suffix}"
        generator = np.random.default_rng(0)
        volume = generator.poisson(100, shape).astype(np.uint16)
        type(self).write(self.path, volume)
        starts = generator.integers(0, np.array(shape) - 64 + 1, (2 if self.quick else 32, 3))
        self.regions = [tuple(slice(first, first + 64) for first in start) for start in starts]

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def by_tilecore(self) -> int:
        with open_source(self.path) as source:
            return sum(int(source[region].sum()) for region in self.regions)

    def by_zarr(self) -> int:
        array: Any = zarr.open_array(self.path, mode="r")
        return sum(int(array[region].sum()) for region in self.regions)

    def by_tifffile(self) -> int:
        with tifffile.imread(self.path, aszarr=True) as store:
            array: Any = zarr.open_array(store, mode="r")
            return sum(int(array[region].sum()) for region in self.regions)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        assert self.by_tilecore() == self.by_tifffile()
        return {"tilecore": self.by_tilecore, "tifffile, as zarr": self.by_tifffile}


class ReadContiguousTiff(ReadRegion):
    name = "read-region-tiff"
    goal = "32 regions of 64^3 voxels of a contiguous TIFF: at least 10x as fast as tifffile through zarr"
    write = staticmethod(lambda path, volume: tifffile.imwrite(path, volume, metadata={"axes": "ZYX"}))


class ReadTiledTiff(ReadRegion):
    name = "read-region-tiled"
    goal = "32 regions of 64^3 voxels of a tiled deflate TIFF: at least 1.5x as fast as tifffile through zarr"
    write = staticmethod(
        lambda path, volume: tifffile.imwrite(
            path, volume, metadata={"axes": "ZYX"}, tile=(128, 128), compression="zlib"
        )
    )


class ReadOmeZarr(ReadRegion):
    name = "read-region-zarr"
    goal = "32 regions of 64^3 voxels of an array as zarr-python writes it: no slower than zarr-python"
    suffix = ".zarr"
    write = staticmethod(lambda path, volume: zarr.create_array(path, data=volume, chunks=(32, 128, 128)))

    def contenders(self) -> dict[str, Callable[[], Any]]:
        assert self.by_tilecore() == self.by_zarr()
        return {"tilecore": self.by_tilecore, "zarr-python": self.by_zarr}


class ReadShardedZarr(ReadOmeZarr):
    name = "read-region-shards"
    goal = "32 regions of 64^3 voxels of a sharded array: no slower than zarr-python"
    write = staticmethod(
        lambda path, volume: zarr.create_array(path, data=volume, chunks=(32, 64, 64), shards=(64, 256, 256))
    )
