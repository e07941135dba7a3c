"""Other chunks for an array that is stored in planes: tilecore, dask and tensorstore, with their memory."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import psutil
import zarr
from scipy.ndimage import gaussian_filter

from benchmarks.measuring import Benchmark

WORKERS = 2
SIDE = 64
ZSTD = {"level": 1, "checksum": True}
#: Peak memory that each contender is allowed, where it can be told [byte].
BUDGET = "200MB"
CUBED = {"max_workers": WORKERS}


class Memory(NamedTuple):
    """Memory of a process and its children [byte].

    Each page of a file or of shared memory counts once, in parts for those that have mapped it (Pss); in `resident`
    it counts for each of them. The cache of files that no process has mapped is the system's, and counts nowhere.
    """

    pss: int = 0
    anonymous: int = 0
    private: int = 0
    resident: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in self._asdict().items())


class Rechunk(Benchmark):
    """From chunks (1, all, all) to (all, 64, 64), both zstd of level 1 with a checksum.

    The voxels are counts of a camera as float32: noise smoothed by a Gaussian of 3 voxels in each plane, rounded.
    """

    name = "rechunk"
    needs = ("dask", "tensorstore")
    goal = "512 MiB from planes to columns: CPU seconds of dask at most, 1.1x tensorstore's; +200 MB at most"
    repeats = 3
    shape: ClassVar[tuple[int, int, int]] = (512, 512, 512)

    def setup(self) -> None:
        shape = (32, 128, 128) if self.quick else self.shape
        self.folder = Path(tempfile.mkdtemp())
        self.source = write_planes(self.folder / "planes.zarr", shape)
        self.small = write_planes(self.folder / "small.zarr", (4, SIDE, SIDE))
        stored = sum(each.stat().st_size for each in self.source.rglob("*") if each.is_file())
        self.about = f"{4 * np.prod(shape) / 2**20:.0f} MiB of voxels, compressed to {stored / 2**20:.0f} MiB"

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def prepare(self, name: str) -> None:
        """Remove the last result before each turn; CPU seconds count, which do not wait for the disk."""
        shutil.rmtree(self.folder / "out.zarr", ignore_errors=True)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {name: lambda way=way: way(self.source, self.folder / "out.zarr") for name, way in WAYS.items()}

    def remarks(self) -> list[str]:
        lines = [self.about]
        for name in WAYS:
            self.prepare(name)
            idle = peak_memory(name, self.small, self.folder / "out.zarr")
            self.prepare(name)
            busy = peak_memory(name, self.source, self.folder / "out.zarr")
            used = Memory(*[high - low for high, low in zip(busy, idle, strict=True)])
            lines.append(f"{name}: {used} beyond a tiny array, of which pss is {idle.pss / 1e6:.0f} MB")
            check(self.source, self.folder / "out.zarr")
        return lines


class RechunkLarge(Rechunk):
    """The same of 4 GiB."""

    name = "rechunk-large"
    goal = "4 GiB from planes to columns: CPU seconds of dask at most, 1.1x tensorstore's; a quarter of dask's memory"
    repeats = 1
    warm_up = False
    only_by_name = True
    shape = (1024, 1024, 1024)


def write_planes(path: Path, shape: tuple[int, int, int]) -> Path:
    codec = zarr.codecs.ZstdCodec(**ZSTD)  # type: ignore[arg-type]
    planes = zarr.create_array(path, shape=shape, chunks=(1, *shape[1:]), dtype="f4", compressors=codec)
    generator = np.random.default_rng(0)
    for z in range(shape[0]):
        noise = gaussian_filter(generator.normal(size=shape[1:]).astype(np.float32), 3)
        planes[z] = np.rint(2000 * noise + 1000)
    return path


def check(source: Path, out: Path) -> None:
    """Compare both arrays."""
    one, other = (zarr.open_array(each, mode="r") for each in (source, out))
    assert other.chunks == _columns(source)
    for z in range(0, one.shape[0], 64):
        np.testing.assert_array_equal(one[z : z + 64], other[z : z + 64])


def peak_memory(name: str, source: Path, out: Path, module: str = "bench_rechunk") -> Memory:
    """Run a contender of a module in a new interpreter, and return the most memory of it and its children."""
    command = [sys.executable, "-m", f"benchmarks.{module}", name, str(source), str(out)]
    peak = Memory()
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            peak = Memory(*map(max, zip(peak, memory_of(process.pid), strict=True)))
            time.sleep(0.02)
    assert process.returncode == 0
    return peak


def memory_of(pid: int) -> Memory:
    """Memory of a process and its children now."""
    total = dict.fromkeys(("Pss", "Pss_Anon", "Private_Clean", "Private_Dirty", "Rss"), 0)
    with contextlib.suppress(psutil.Error):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with contextlib.suppress(OSError):  # it has ended
                for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]:
                    name, size = line.split()[:2]
                    if name.rstrip(":") in total:
                        total[name.rstrip(":")] += int(size) * 1024
    return Memory(total["Pss"], total["Pss_Anon"], total["Private_Clean"] + total["Private_Dirty"], total["Rss"])


def by_tilecore(source: Path, out: Path, max_memory: str = BUDGET) -> None:
    from tilecore import rechunk

    rechunk(source, out, chunks=_columns(source), codec="zstd", max_memory=max_memory, workers=WORKERS, progress=False)


def by_tilecore_600(source: Path, out: Path) -> None:
    by_tilecore(source, out, "600MB")


def _target(source: Path, out: Path) -> zarr.Array[Any]:
    codec = zarr.codecs.ZstdCodec(**ZSTD)  # type: ignore[arg-type]
    shape = zarr.open_array(source, mode="r").shape
    return zarr.create_array(out, shape=shape, chunks=_columns(source), dtype="f4", compressors=codec)


def by_dask(source: Path, out: Path) -> None:
    import dask
    import dask.array as da

    array = da.from_zarr(str(source)).rechunk(_columns(source))
    with dask.config.set(scheduler="threads", num_workers=WORKERS):
        da.to_zarr(array, _target(source, out))


def by_cubed(source: Path, out: Path) -> None:
    import cubed

    with tempfile.TemporaryDirectory(dir=out.parent) as work:
        spec = cubed.Spec(work_dir=work, allowed_mem="600MB", executor_name="processes", executor_options=CUBED)
        array = cubed.from_zarr(str(source), spec=spec).rechunk(_columns(source))
        cubed.store([array], [_target(source, out)])


def by_tensorstore(source: Path, out: Path) -> None:
    """Copy four slabs, of whole chunks of the target."""
    import tensorstore as ts

    context = ts.Context({"data_copy_concurrency": {"limit": WORKERS}})
    read = ts.open(_spec(source), context=context).result()
    columns, shape = _columns(source), read.shape
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd", "configuration": {"level": 1}}]
    if ZSTD["checksum"]:
        codecs[1] = _zstd_of(source)
    metadata = {
        "shape": shape,
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": columns}},
        "codecs": codecs,
    }
    write = ts.open(_spec(out) | {"metadata": metadata}, create=True, context=context).result()
    step = max(columns[1], shape[1] // 4 // columns[1] * columns[1])
    for y in range(0, shape[1], step):  # a slice may not reach beyond the end
        stop = min(y + step, shape[1])
        write[:, y:stop].write(read[:, y:stop]).result()


def _zstd_of(source: Path) -> dict[str, Any]:
    """Configuration of the codec as it is stored."""
    codecs = json.loads((source / "zarr.json").read_text())["codecs"]
    return next(each for each in codecs if each["name"] == "zstd")


def _spec(path: Path) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}


def _columns(source: Path) -> tuple[int, int, int]:
    shape = json.loads((source / "zarr.json").read_text())["shape"]
    return (shape[0], SIDE, SIDE)


WAYS: dict[str, Callable[[Path, Path], None]] = {
    f"tilecore, {BUDGET}": by_tilecore,
    "tilecore, 600MB": by_tilecore_600,
    "dask, threads": by_dask,
    "tensorstore, slabs": by_tensorstore,
}
if importlib.util.find_spec("cubed") is not None:
    WAYS["cubed, 600MB"] = by_cubed

if __name__ == "__main__":
    WAYS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
