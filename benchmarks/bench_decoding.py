"""Tiles with a halo from a compressed source: how often chunks are decoded, and what that costs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from scipy.ndimage import uniform_filter

from benchmarks.measuring import Benchmark
from tilecore import map_tiles, open_source
from tilecore.engine.events import RunEnded
from tilecore.formats.creating import prepare_sink

WORKERS, HALO = 2, 8


def same(block: Any) -> Any:
    """Leave a block as it is."""
    return block


class Decoding(Benchmark):
    """Copy with a halo into zarr, in tiles of one chunk each, from compressed zarr and from .npy."""

    name = "decoding"
    goal = (
        "256x1024x1024 uint16 in chunks of 128^3, halo 8, tiles of one chunk: CPU seconds at most those of the copy "
        "from .npy, and of decoding everything once, and 10 %; at most 1.02 decodes of a chunk"
    )
    needs = ("dask.array",)
    repeats = 3

    def setup(self) -> None:
        self.shape, self.chunk = ((32, 64, 64), 16) if self.quick else ((256, 1024, 1024), 128)
        self.folder = Path(tempfile.mkdtemp())
        volume = uniform_filter(np.random.default_rng(0).poisson(100, self.shape).astype("u2"), 3)
        np.save(self.folder / "v.npy", volume)
        self.array = self._zarr("v.zarr")
        self.array[...] = volume

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {
            "from zarr": lambda: self.copied("v.zarr"),
            "from .npy": lambda: self.copied("v.npy"),
            "decode everything": lambda: open_source(self.folder / "v.zarr")[...],
            "dask map_overlap, threads": self._dask,
        }

    def remarks(self) -> list[str]:
        """How often a chunk is decoded with other halos, tiles and limits of memory."""
        found = []
        for halo in (0, 8, 32):
            for tile in (self.chunk, None):
                for workers in (1, 2, 16):
                    own = "tiles of a chunk" if tile else "tiles of its own plan"
                    decodes = self.copied("v.zarr", halo=halo, tile_shape=tile, workers=workers, max_memory="300MB")
                    found.append(f"halo {halo}, {own}, {workers} workers, 300 MB: {decodes:.2f} decodes of a chunk")
        return found

    def copied(self, source: str, **options: Any) -> float:
        """Copy a file with a halo; return how often a chunk was decoded."""
        ended: list[RunEnded] = []
        path = self.folder / source
        sink = prepare_sink(self.folder / "out.zarr", self.shape, codec="zstd", chunks=self.chunk, overwrite=True)
        chosen = {"tile_shape": self.chunk, "halo": HALO, "workers": WORKERS} | options
        keep = [lambda event: ended.append(event) if isinstance(event, RunEnded) else None]
        map_tiles(same, path, out=sink, dtype="u2", progress=False, callbacks=keep, **chosen)
        return ended[0].decodes or 1.0

    def _dask(self) -> None:
        import dask.array

        array = dask.array.from_zarr(str(self.folder / "v.zarr"))
        shifted = array.map_overlap(same, depth=HALO, boundary="none", dtype="u2")
        with dask.config.set(scheduler="threads", num_workers=WORKERS):
            dask.array.store(shifted, self._zarr("dask.zarr"), lock=False)

    def _zarr(self, name: str) -> zarr.Array[Any]:
        """Create an array with the codec that tilecore calls "zstd"."""
        codec = zarr.codecs.ZstdCodec(level=1, checksum=True)
        chunks = (self.chunk,) * 3
        path = self.folder / name
        return zarr.create_array(path, shape=self.shape, dtype="u2", chunks=chunks, compressors=codec, overwrite=True)
