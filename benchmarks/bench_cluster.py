"""Runs on a cluster of dask: what a tile costs there, beside dask's own ways on the same workers."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import zarr
from scipy.ndimage import gaussian_filter

from benchmarks.measuring import Benchmark
from tilecore import collect_tiles, map_tiles

WORKERS = 2
CHUNK = 128
ZSTD = {"level": 1, "checksum": True}


def nothing(block: Any) -> None:
    """Do nothing with a block."""


def pause(block: Any, seconds: float) -> Any:
    """Take some time, and give the block back."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return block


def difference(block: Any) -> Any:
    """The difference of both neighbours along z."""
    result = np.zeros_like(block)
    result[1:-1] = block[2:] - block[:-2]
    return result


class OnCluster(Benchmark):
    """A cluster of two worker processes with a thread each; its start does not count."""

    needs = ("dask", "distributed")
    only_by_name = True
    repeats = 3

    def setup(self) -> None:
        from distributed import Client, LocalCluster

        with ExitStack() as opened:
            folder = opened.enter_context(tempfile.TemporaryDirectory())
            self.folder = Path(folder)
            cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0")
            opened.callback(cluster.close)
            self.client = opened.enter_context(Client(cluster))
            self._open = opened.pop_all()

    def teardown(self) -> None:
        self._open.close()


class ClusterDispatch(OnCluster):
    """Tiles with nothing to do; dask gets a number for each, a fiftieth of them, as it takes minutes for the whole."""

    name = "cluster-dispatch"
    goal = "10^5 empty tiles: under 150 us a tile"

    def setup(self) -> None:
        super().setup()
        self.volume = np.zeros(1000 if self.quick else 100_000, dtype=np.uint8)
        self.seconds: dict[str, float] = {}

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"collect_tiles": self._tilecore, "client.submit, 1/50 of them": self._submit}

    def remarks(self) -> list[str]:
        return [f"{name}: {1e6 * seconds:.0f} us a tile" for name, seconds in self.seconds.items()]

    def _tilecore(self) -> None:
        start = time.perf_counter()
        collect_tiles(nothing, self.volume, tile_shape=1, executor=self.client, progress=False)
        self.seconds["collect_tiles"] = (time.perf_counter() - start) / len(self.volume)

    def _submit(self) -> None:
        start, n_tiles = time.perf_counter(), len(self.volume) // 50
        futures = [self.client.submit(nothing, number, pure=False) for number in range(n_tiles)]
        self.client.gather(futures)
        self.seconds["client.submit"] = (time.perf_counter() - start) / n_tiles


class ClusterTiles(OnCluster):
    """Tiles that take a millisecond; dask's overlap has as many blocks, a tenth of them, as it takes minutes."""

    name = "cluster-tiles"
    goal = "10^4 tiles of 1 ms: a tenth of map_overlap's time a tile"
    repeats = 1
    warm_up = False

    def setup(self) -> None:
        super().setup()
        self.n_tiles = 100 if self.quick else 10_000
        self.seconds: dict[str, float] = {}

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"map_tiles": self._tilecore, "map_overlap, 1/10 of them": self._overlap}

    def remarks(self) -> list[str]:
        own, other = self.seconds["map_tiles"], self.seconds["map_overlap"]
        return [f"map_tiles {1e3 * own:.2f} ms a tile, map_overlap {1e3 * other:.2f} ms: ratio {other / own:.1f}x"]

    def _tilecore(self) -> None:
        start, volume = time.perf_counter(), np.zeros((self.n_tiles, 8), np.uint8)
        run: dict[str, Any] = {"executor": self.client, "progress": False, "kwargs": {"seconds": 1e-3}}
        map_tiles(pause, volume, tile_shape=(1, 8), halo=(1, 0), **run)
        self.seconds["map_tiles"] = (time.perf_counter() - start) / self.n_tiles

    def _overlap(self) -> None:
        import dask.array as da

        start, n_blocks = time.perf_counter(), self.n_tiles // 10
        blocks = da.zeros((n_blocks, 8), chunks=(1, 8), dtype=np.uint8)
        blocks.map_overlap(pause, depth={0: 1, 1: 0}, boundary="none", seconds=1e-3).compute(scheduler=self.client)
        self.seconds["map_overlap"] = (time.perf_counter() - start) / n_blocks


class ClusterHalo(OnCluster):
    """A difference of neighbours, from compressed zarr to compressed zarr, with a halo of one voxel."""

    name = "cluster-halo"
    goal = "cheap function with halo 1 from zarr to zarr: half of map_overlap's CPU seconds and time"
    shape: ClassVar[tuple[int, int, int]] = (256, 512, 512)
    halo: ClassVar[int] = 1

    def setup(self) -> None:
        super().setup()
        shape = tuple([length // 4 for length in self.shape]) if self.quick else self.shape
        noise = np.random.default_rng(0).normal(100, 10, shape)
        volume = np.round(gaussian_filter(noise, 2, mode="wrap") * 20).astype(np.float32)
        self.source = self.folder / "source.zarr"
        self.chunks = tuple([min(CHUNK, length) for length in shape])
        zarr.create_array(self.source, data=volume, chunks=self.chunks, compressors=self.codec)

    @property
    def codec(self) -> Any:
        """zstd of level 1 with a checksum, for all."""
        return zarr.codecs.ZstdCodec(**ZSTD)  # type: ignore[arg-type]

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"map_tiles": self._tilecore, "map_overlap": self._overlap}

    def prepare(self, name: str) -> None:
        shutil.rmtree(self.folder / f"{name}.zarr", ignore_errors=True)

    def remarks(self) -> list[str]:
        found, expected = (zarr.open_array(self.folder / f"{name}.zarr", mode="r")[:] for name in self.contenders())
        return [f"equal: {np.array_equal(np.asarray(found), np.asarray(expected))}"]

    def _tilecore(self) -> None:
        from tilecore import create_sink

        shape = zarr.open_array(self.source, mode="r").shape
        with create_sink(self.folder / "map_tiles.zarr", shape, "f4", chunks=self.chunks, codec="zstd") as sink:
            run: dict[str, Any] = {"halo": self.halo, "executor": self.client, "progress": False}
            map_tiles(self.function, self.source, out=sink, **run)

    def _overlap(self) -> None:
        import dask.array as da

        source = da.from_zarr(str(self.source))
        result = source.map_overlap(self.function, depth=self.halo, boundary="none", dtype=np.float32)
        target = zarr.create_array(
            self.folder / "map_overlap.zarr",
            shape=source.shape,
            chunks=self.chunks,
            dtype="f4",
            compressors=self.codec,
        )
        da.to_zarr(result, target, compute=False).compute(scheduler=self.client)

    @property
    def function(self) -> Callable[[Any], Any]:
        """What is computed."""
        return difference


class ClusterGaussian(ClusterHalo):
    """A Gaussian, in which computing takes most of the time."""

    name = "cluster-gaussian"
    goal = "Gaussian of 2 voxels from zarr to zarr: map_overlap's CPU seconds at most"
    halo = 8

    @property
    def function(self) -> Callable[[Any], Any]:
        """What is computed."""
        return smoothed


def smoothed(block: Any) -> Any:
    """A Gaussian of two voxels."""
    return gaussian_filter(block, 2.0)


class ClusterProcesses(OnCluster):
    """Tiles that take 100 ms, on the cluster and by worker processes of tilecore's own."""

    name = "cluster-processes"
    goal = "tiles of 100 ms: at most 1.25x the time of the own worker processes"

    def setup(self) -> None:
        super().setup()
        self.volume = np.zeros((4 if self.quick else 100, 8), np.uint8)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"on the cluster": lambda: self._run(executor=self.client), "own": lambda: self._run(workers=WORKERS)}

    def _run(self, **run: Any) -> None:
        map_tiles(pause, self.volume, tile_shape=(1, 8), kwargs={"seconds": 0.1}, progress=False, **run)
