"""Labelled datasets: opening many variables, and other chunks on disk, beside xarray by itself."""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from benchmarks.bench_rechunk import peak_memory, write_planes
from benchmarks.measuring import Benchmark

LIMIT = "500MB"
WORKERS = 2


class DatasetsOpen(Benchmark):
    """Fifty variables of two dimensions with labels, and two metadata each."""

    name = "datasets-open"
    needs = ("xarray", "dask")
    goal = "50 variables: a third of the time of a loop of xarray.open_zarr"
    repeats = 5

    def setup(self) -> None:
        import xarray

        from tilecore.datasets import save_variable

        self.folder = Path(tempfile.mkdtemp())
        labels = {"unit_id": np.arange(20), "frame": np.arange(1000)}
        for number in range(5 if self.quick else 50):
            var = xarray.DataArray(np.ones((20, 1000)), labels, ("unit_id", "frame"), f"v{number}")
            save_variable(var, self.folder / "alpha" / "day1" / "minian", {"session": -1, "animal": -2})
        self.dataset = self.folder / "alpha" / "day1" / "minian"

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        from tilecore.datasets import open_dataset

        return {
            "tilecore, a dict": lambda: open_dataset(self.dataset, return_dict=True),
            "tilecore, joined": lambda: open_dataset(self.dataset),
            "open_zarr, a loop": self._by_xarray,
        }

    def _by_xarray(self) -> list[Any]:
        import xarray

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [xarray.open_zarr(each) for each in sorted(self.dataset.iterdir())]


class DatasetsRechunk(Benchmark):
    """From chunks (1, all, all) to (all, 64, 64), float32 counts of a camera."""

    name = "datasets-rechunk"
    needs = ("xarray", "dask")
    goal = "2 GiB from frames to columns: CPU seconds of dask at most, a quarter of its memory, within mem_limit"
    repeats = 1
    warm_up = False
    only_by_name = True

    def setup(self) -> None:
        shape = (32, 128, 128) if self.quick else (1024, 724, 724)
        self.folder = Path(tempfile.mkdtemp())
        self.source = self.folder / "old" / "Y.zarr"
        zarr.create_group(self.source)
        write_planes(self.source / "Y", shape)
        document = self.source / "Y" / "zarr.json"
        array = zarr.open_array(self.source / "Y", mode="r+")
        text = document.read_text().replace(
            '"attributes"', '"dimension_names": ["frame", "height", "width"], "attributes"'
        )
        document.write_text(text)
        assert array.chunks[0] == 1

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def prepare(self, name: str) -> None:
        shutil.rmtree(self.folder / "new", ignore_errors=True)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {name: lambda way=way: way(self.source, self.folder / "new") for name, way in WAYS.items()}

    def remarks(self) -> list[str]:
        lines = []
        for name in WAYS:
            self.prepare(name)
            lines.append(f"{name}: peak of {peak_memory(name, self.source, self.folder / 'new', 'bench_datasets')}")
        return lines


def by_tilecore(source: Path, out: Path) -> None:
    from tilecore.datasets import rechunk_dataset

    chunks = {"frame": -1, "height": 64, "width": 64}
    rechunk_dataset(source, out, chunks=chunks, mem_limit=LIMIT, workers=WORKERS)


def by_dask(source: Path, out: Path) -> None:
    import dask
    import xarray

    opened = xarray.open_zarr(source, consolidated=False)
    with dask.config.set(scheduler="threads", num_workers=WORKERS):
        chunked = opened.chunk({"frame": -1, "height": 64, "width": 64})
        chunked["Y"].encoding = {}
        chunked.to_zarr(out / "Y.zarr", consolidated=False)


WAYS: dict[str, Callable[[Path, Path], None]] = {
    f"tilecore, {LIMIT}": by_tilecore,
    "xarray and dask, threads": by_dask,
}

if __name__ == "__main__":
    WAYS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
