"""Writing and reading of uncompressed zarr, where every copy of the voxels counts, compared with tensorstore."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from benchmarks.bench_read_boxes import memory_folder, open_in_tensorstore
from benchmarks.measuring import Benchmark
from tilecore import create_sink, open_source

LITTLE_ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}


class UncompressedRoundTrip(Benchmark):
    name = "zarr-uncompressed-round-trip"
    goal = "write an array into uncompressed zarr, and read it: at most 1.1x the time of tensorstore with checksums"
    repeats = 7

    def setup(self) -> None:
        self.chunk, shape = (32, (64, 128, 128)) if self.quick else (128, (256, 1024, 1024))
        self.folder = memory_folder()
        self.volume = np.random.default_rng(0).integers(0, 4000, shape, np.uint16)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def prepare(self, name: str) -> None:
        for path in self.folder.iterdir():
            shutil.rmtree(path)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        found: dict[str, Callable[[], Any]] = {"tilecore, with checksums": self._by_tilecore}
        if importlib.util.find_spec("tensorstore") is not None:
            checksum = {"name": "crc32c"}
            found["tensorstore, with checksums"] = lambda: self._by_tensorstore([LITTLE_ENDIAN, checksum])
            found["tensorstore, without"] = lambda: self._by_tensorstore([LITTLE_ENDIAN])
        if importlib.util.find_spec("zarrs") is not None:
            found["zarrs, with checksums"] = self._by_zarrs
        for name, run in found.items():
            self.prepare(name)
            assert np.array_equal(run(), self.volume)
        return found

    def _by_tilecore(self) -> Any:
        path = self.folder / "tilecore.zarr"
        with create_sink(path, self.volume.shape, np.uint16, chunks=(self.chunk,) * 3, codec="none") as sink:
            sink[...] = self.volume
        return open_source(path)[...]

    def _by_zarrs(self) -> Any:
        path, options = self.folder / "zarrs.zarr", {"chunks": (self.chunk,) * 3, "compressors": Crc32cCodec()}
        with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
            zarr.create_array(path, data=self.volume, **options)
            return zarr.open_array(path, mode="r")[...]

    def _by_tensorstore(self, codecs: list[Any]) -> Any:
        path = self.folder / "tensorstore.zarr"
        grid = {"name": "regular", "configuration": {"chunk_shape": [self.chunk] * 3}}
        metadata = {"shape": self.volume.shape, "data_type": "uint16", "chunk_grid": grid, "codecs": codecs}
        open_in_tensorstore(path, create=True, metadata=metadata).write(self.volume).result()
        return open_in_tensorstore(path).read().result()
