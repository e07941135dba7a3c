"""Conversion of a folder of TIFF planes to sharded OME-Zarr and to .npy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tifffile
import zarr

from benchmarks.measuring import Benchmark
from tilecore import create_sink, map_tiles, open_source
from tilecore.formats.creating import prepare_sink

CHUNKS, SHARDS = (64, 128, 128), (64, 512, 512)


def same(block: np.ndarray) -> np.ndarray:
    return block


def write_planes(folder: Path, shape: tuple[int, int, int]) -> None:
    folder.mkdir()
    generator = np.random.default_rng(0)
    noise = generator.poisson(100, shape[1:]).astype(np.uint16)
    for z in range(shape[0]):
        tifffile.imwrite(folder / f"plane_{z:05d}.tif", np.roll(noise, 977 * z) + np.uint16(z % 50))


class Convert(Benchmark):
    repeats = 3

    def setup(self) -> None:
        self.shape = (16, 256, 256) if self.quick else (512, 1024, 1024)
        self.folder = Path(tempfile.mkdtemp())
        self.planes = self.folder / "planes"
        write_planes(self.planes, self.shape)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def prepare(self, name: str) -> None:
        """Wait until the disk has nothing left to write, before each turn."""
        os.sync()

    def convert(self, name: str, **options: Any) -> None:
        path = self.folder / name
        source = open_source(self.planes)
        sink = prepare_sink(path, source.shape, overwrite=True, **options)
        map_tiles(same, source, out=sink, dtype=source.dtype, workers=2, progress=False)


class ConvertToOmeZarr(Convert):
    name = "convert-ome-zarr"
    goal = "1 GiB of TIFF planes to sharded OME-Zarr: 2 workers at least 1.8x as fast as a zarr-python loop"

    def by_tilecore(self) -> None:
        self.convert("out.ome.zarr", chunks=CHUNKS, shards=SHARDS, pyramid=False)

    def by_zarr(self) -> None:
        group = zarr.open_group(self.folder / "loop.ome.zarr", mode="w")
        blosc = zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=2)
        codec = [blosc, zarr.codecs.Crc32cCodec()]
        array = group.create_array(
            "0", shape=self.shape, dtype="u2", chunks=CHUNKS, shards=SHARDS, compressors=codec, overwrite=True
        )
        paths = sorted(self.planes.iterdir())
        for first in range(0, self.shape[0], SHARDS[0]):
            block = np.stack([tifffile.imread(path) for path in paths[first : first + SHARDS[0]]])
            array[first : first + SHARDS[0]] = block

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"tilecore, 2 workers": self.by_tilecore, "zarr-python, 1 process": self.by_zarr}

    def remarks(self) -> list[str]:
        ours, theirs = (
            open_source(self.folder / "out.ome.zarr"),
            zarr.open_array(self.folder / "loop.ome.zarr", path="0"),
        )
        np.testing.assert_array_equal(ours[:70], theirs[:70])
        return []


class ConvertToNpy(Convert):
    name = "convert-npy"
    goal = "1 GiB of TIFF planes to .npy: at least 0.6x the speed of cp"

    def prepare(self, name: str) -> None:
        """Remove the last result, too, before each turn."""
        (self.folder / "out.npy").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "copy", ignore_errors=True)
        super().prepare(name)

    def by_tilecore(self) -> None:
        self.convert("out.npy")

    def by_cp(self) -> None:
        subprocess.run(["cp", "-r", self.planes, self.folder / "copy"], check=True)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"tilecore, 2 workers": self.by_tilecore, "cp -r": self.by_cp}


class ConvertWithinMemory(Benchmark):
    """Slow conversion in bounded memory: 8 GiB are read from a sparse file and written compressed."""

    name = "convert-memory"
    goal = "8 GiB to OME-Zarr with a pyramid under max_memory=300MB: private memory of all processes stays within it"
    repeats = 1

    def setup(self) -> None:
        self.shape = (64, 300, 300) if self.quick else (1024, 2048, 2048)
        self.folder = Path(tempfile.mkdtemp())
        with create_sink(self.folder / "volume.npy", self.shape, "u2") as sink:
            plane = np.random.default_rng(0).poisson(100, self.shape[1:]).astype(np.uint16)
            for z in range(self.shape[0]):
                sink[z] = plane
        self.peak = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def by_tilecore(self) -> None:
        names = [str(self.folder / name) for name in ("volume.npy", "out.ome.zarr")]
        options = ["--overwrite", "-j", "2", "--max-memory", "300MB", "-q"]
        command = [sys.executable, "-m", "tilecore", "convert", *names, *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                self.peak = max(self.peak, private_bytes(process.pid))
                time.sleep(0.02)
        assert process.returncode == 0

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {"tilecore, 2 workers": self.by_tilecore}

    def remarks(self) -> list[str]:
        return [f"peak of the private memory of all processes: {self.peak / 1e6:.0f} MB of 300 MB"]


def private_bytes(pid: int) -> int:
    """Memory of a process and its children without mapped files; shared memory counts once [byte]."""
    total = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return total
