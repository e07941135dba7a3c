"""Contract tests for the executor on a cluster of dask."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from operator import add
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
import zarr
from distributed import Client
from scipy.ndimage import gaussian_filter

from tests.clusters import ROOT, cluster_of
from tilecore import (
    DatasetVariable,
    collect_tiles,
    create_sink,
    detect_blobs,
    iter_tiles,
    map_tiles,
    open_source,
    rechunk,
    reduce_tiles,
)
from tilecore.cli.main import main
from tilecore.engine.events import RunStarted
from tilecore.executors.base import Executor
from tilecore.executors.dask.executor import DaskExecutor
from tilecore.recordings import map_batches
from tilecore.testing import ExecutorContract

pytestmark = pytest.mark.slow


class TestDask(ExecutorContract):
    @pytest.fixture(autouse=True)
    def _on_the_cluster(self, client: Client) -> None:
        self.client = client

    def make(self, **options: Any) -> Executor:
        return DaskExecutor(self.client, **options)


def _volume() -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).random((24, 20, 16), dtype=np.float32)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A zarr array in chunks that no tile below has."""
    path = tmp_path / "volume.zarr"
    zarr.create_array(path, data=_volume(), chunks=(6, 8, 16))
    return path


class TestVerbs:
    """Each verb gives on a cluster what it gives in this process."""

    run: ClassVar[dict[str, Any]] = {"progress": False}

    def test_map_tiles_from_file_to_file(self, client: Client, source: Path, tmp_path: Path) -> None:
        expected = gaussian_filter(_volume(), 1.0)
        run: dict[str, Any] = {"kwargs": {"sigma": 1.0}, "halo": 4, "executor": client, **self.run}
        for name in ("out.zarr", "out.ome.zarr", "out.npy", "out.tif", "out.h5"):
            found = map_tiles(gaussian_filter, source, out=tmp_path / name, **run)
            np.testing.assert_array_equal(found[...], expected, err_msg=name)
        assert not list(tmp_path.glob("*.partial")), "no unfinished file may stay"

    def test_a_killed_run_is_continued_on_the_cluster(self, client: Client, source: Path, tmp_path: Path) -> None:
        done: list[int] = []

        def stop(event: Any) -> None:
            done.append(type(event).__name__ == "TileDone")
            if sum(done) == 4:
                raise KeyboardInterrupt

        run: dict[str, Any] = {"out": tmp_path / "out.zarr", "tile_shape": 8, "executor": client, **self.run}
        with pytest.raises(KeyboardInterrupt):
            map_tiles(np.sqrt, source, callbacks=[stop], **run)
        starts: list[RunStarted] = []
        keep = lambda event: starts.append(event) if isinstance(event, RunStarted) else None  # noqa: E731
        found = map_tiles(np.sqrt, source, resume=True, callbacks=[keep], **run)
        np.testing.assert_array_equal(found[...], np.sqrt(_volume()))
        assert starts[0].n_done >= 3, "finished tiles are not worked on again"

    def test_collect_iter_and_reduce(self, client: Client, source: Path) -> None:
        tiles: dict[str, Any] = {"tile_shape": (7, 20, 16), **self.run}
        here, there = (collect_tiles(np.sum, source, executor=each, **tiles) for each in ("serial", client))
        assert there == here
        each_tile = {tile.number: value for tile, value in iter_tiles(np.sum, source, executor=client, **tiles)}
        assert [each_tile[number] for number in sorted(each_tile)] == here
        sums = [reduce_tiles(np.sum, add, source, executor=each, **tiles) for each in ("serial", client)]
        assert sums[0] == sums[1]

    def test_blobs_recordings_and_other_chunks(self, client: Client, source: Path, tmp_path: Path) -> None:
        found = [
            detect_blobs(source, min_sigma=1, max_sigma=2, num_sigma=2, threshold=0.05, executor=each, **self.run)
            for each in ("serial", client)
        ]
        np.testing.assert_array_equal(np.asarray(found[0]), np.asarray(found[1]))
        noise = np.random.default_rng(0).normal(size=(5000, 4))
        batches = [
            map_batches(np.cumsum, noise, batch_length=500, kwargs={"axis": 0}, executor=each, **self.run)
            for each in ("serial", client)
        ]
        np.testing.assert_array_equal(*batches)
        copy = rechunk(source, tmp_path / "other.zarr", chunks=(24, 4, 4), executor=client, **self.run)
        np.testing.assert_array_equal(copy[...], _volume())
        assert copy.chunks == (24, 4, 4)
        two = rechunk(source, tmp_path / "two.zarr", chunks=(24, 4, 4), executor=client, max_memory="50kB", **self.run)
        np.testing.assert_array_equal(two[...], _volume())

    def test_labelled_arrays(self, client: Client, tmp_path: Path) -> None:
        array = xr.DataArray(_volume(), dims=("frame", "height", "width"), name="Y")
        found = map_tiles(np.sqrt, array, out=DatasetVariable(tmp_path, "roots"), executor=client, **self.run)
        np.testing.assert_array_equal(found.values, np.sqrt(_volume()))

    def test_the_command_line(self, client: Client, source: Path, tmp_path: Path) -> None:
        out = tmp_path / "copy.zarr"
        where = ["--dask", client.scheduler.address]
        with pytest.raises(SystemExit, match="0"):
            main(["convert", str(source), str(out), "-q", *where])
        np.testing.assert_array_equal(open_source(out)[...], _volume())

    def test_a_cluster_of_its_own_ends_with_the_run(self, source: Path) -> None:
        found = map_tiles(np.sqrt, source, executor="dask", workers=1, **self.run)
        np.testing.assert_array_equal(found, np.sqrt(_volume()))


def test_an_object_store_is_read_and_written_by_a_cluster(bucket: str) -> None:
    with create_sink(f"{bucket}/in.zarr", _volume().shape, "f4", chunks=8) as sink:
        sink[...] = _volume()
    with cluster_of(2) as client:  # whose workers know where the store is
        run: dict[str, Any] = {"halo": 1, "executor": client, "progress": False}
        found = map_tiles(np.sqrt, f"{bucket}/in.zarr", out=f"{bucket}/out.zarr", **run)
        np.testing.assert_array_equal(found[...], np.sqrt(_volume()))


def test_the_page_of_clusters_renders_a_script_for_slurm(tmp_path: Path) -> None:
    """The example of the page is run, up to the script that Slurm would get; its package catches Ctrl-C for itself."""
    page = (ROOT / "docs" / "cluster.rst").read_text()
    example = textwrap.dedent(page[page.index("    cluster = SLURMCluster(") : page.index("    cluster.adapt(")])
    example = example.replace("SLURMCluster(", 'SLURMCluster(scheduler_options={"dashboard_address": ":0"}, ')
    program = f"from dask_jobqueue import SLURMCluster\n{example}\nwith cluster:\n    print(cluster.job_script())\n"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    for line in ("#SBATCH -n 1", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=60G", "#SBATCH -t 02:00:00"):
        assert line in result.stdout.splitlines()
    assert "--resources MEM=8000" in result.stdout
