"""Contract tests for the executor on a cluster of dask."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from operator import add
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
import zarr
from distributed import Client, LocalCluster
from distributed.security import Security
from scipy.ndimage import gaussian_filter

from tests.clusters import ROOT, cluster_of
from tests.faults.harness import HANGS, wait_until
from tilecore import (
    DatasetVariable,
    MemoryBudgetError,
    MissingFileError,
    ParameterError,
    RunCancelledError,
    Tile,
    UnreadableFileError,
    WorkerError,
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
from tilecore.engine.request import Request
from tilecore.executors.base import Executor, create_executor
from tilecore.executors.dask.cluster import Cluster
from tilecore.executors.dask.connecting import Connection
from tilecore.executors.dask.crew import DaskCrew
from tilecore.executors.dask.executor import DaskExecutor
from tilecore.executors.dask.memory_resource import MemoryResource
from tilecore.recordings import map_batches
from tilecore.testing import ExecutorContract

pytestmark = pytest.mark.slow


class TestDask(ExecutorContract):
    @pytest.fixture(autouse=True)
    def _on_the_cluster(self, client: Client) -> None:
        self.client = client

    def make(self, **options: Any) -> Executor:
        return DaskExecutor(self.client, **options)


class NotThere:
    """A shared value that refers to a file which no worker finds."""

    def verify(self) -> None:
        raise MissingFileError("the zarr array out.zarr is not there")


def _held(path: str, _: object) -> str:
    Path(f"{path}-begun").touch()
    wait_until(Path(path).exists)
    return path


class TestTold:
    """What a run tells its workers later is seen by a worker of each machine at once, not when one needs it."""

    def test_before_work_it_is_awaited(self, client: Client) -> None:
        told = pytest.raises(WorkerError, match=r"a worker on \S+ cannot open .*out.zarr is not there")
        with DaskExecutor(client).start(_held) as crew, told:
            crew.tell(NotThere())

    def test_a_worker_that_is_busy_with_other_work_is_not_waited_for(self, client: Client, tmp_path: Path) -> None:
        first, second = client.scheduler_info()["workers"]
        for worker in (first, second):
            end = tmp_path / worker.rpartition(":")[2]
            other = client.submit(_held, str(end), None, workers=[worker])
            wait_until(Path(f"{end}-begun").exists)
            hang = threading.Timer(HANGS, end.touch)
            hang.start()
            with DaskExecutor(client).start(_held):
                assert not end.exists()
            hang.cancel()
            end.touch()
            other.result(timeout=HANGS)
            del other

    def test_while_workers_are_busy_the_run_goes_on(self, client: Client, tmp_path: Path) -> None:
        paths = [str(tmp_path / name) for name in "abc"]
        with DaskExecutor(client).start(_held) as crew:
            for path in paths:
                crew.submit(path)
            crew.wait(0)
            wait_until(lambda: len(list(tmp_path.glob("*-begun"))) == 2)
            crew.tell(NotThere())
            for path in paths:
                Path(path).touch()
            with pytest.raises(WorkerError, match=r"a worker on \S+ cannot open .*out.zarr is not there"):
                wait_until(lambda: crew.wait(0.1) is None)  # until the error comes
        wait_until(lambda: not any(client.processing().values()))


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


@contextmanager
def adaptive_cluster(**options: Any) -> Iterator[Client]:
    """A client of a cluster in this process that has no worker until there is something to do, and then two."""
    of_none: dict[str, Any] = {"n_workers": 0, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**of_none, **options) as cluster:  # type: ignore[no-untyped-call]
        cluster.adapt(minimum=0, maximum=2, interval="0.1 s")
        with Client(cluster, set_as_default=False) as client:
            yield client


class TestNoWorkerYet:
    """A run begins on a cluster that has no worker."""

    def test_it_plans_from_the_first_worker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        planned: list[Any] = []
        reserved: list[Any] = []
        planner, reserve = Request.planner, DaskCrew.reserve

        def note_plan(request: Request, *given: Any) -> Any:
            planned.append(given[-1])
            return planner(request, *given)

        def note_resources(crew: DaskCrew, n_bytes: int) -> None:
            reserve(crew, n_bytes)
            reserved.append(crew._memory.taken)

        monkeypatch.setattr(Request, "planner", note_plan)
        monkeypatch.setattr(DaskCrew, "reserve", note_resources)
        with adaptive_cluster(memory_limit="1GB", resources={"MEM": 100}) as client:
            found = map_tiles(np.sqrt, _volume(), executor=client, progress=False)
        np.testing.assert_array_equal(found, np.sqrt(_volume()))
        assert {limit % 500_000_000 for limit in planned} == {0}, "half of each worker's memory, not of this machine"
        ((resources),) = reserved
        assert 0 < resources["MEM"] <= 100

    def test_other_chunks_are_planned_from_it(self, source: Path, tmp_path: Path) -> None:
        with adaptive_cluster(memory_limit="40kB") as client, pytest.raises(MemoryBudgetError, match="max_memory"):
            rechunk(source, tmp_path / "out.zarr", chunks=(24, 20, 16), executor=client, progress=False)

    def test_what_is_asked_for_follows_the_workers(self) -> None:
        with adaptive_cluster() as client:
            memory = MemoryResource(client)
            memory.reserve(2**20 * 50)
            assert not memory.taken
            workers = client.cluster
            workers.adapt(minimum=0, maximum=0).stop()
            for n_workers, declared, expected in ((1, 20, 20), (2, 100, 50)):
                workers.new_spec["options"]["resources"] = {"MEM": declared}
                workers.scale(n_workers)
                client.wait_for_workers(n_workers, timeout=HANGS)
                memory.look()
                assert memory.taken == {"MEM": expected}

    def test_each_run_counts_again(self) -> None:
        with adaptive_cluster() as client:
            executor = DaskExecutor(client)
            assert executor.workers == 1
            client.cluster.adapt(minimum=2, maximum=2)
            client.wait_for_workers(2, timeout=HANGS)
            assert executor.workers == 2
            assert executor.for_run(lambda: None).workers == 2

    def test_its_patience_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TILECORE_DASK_PATIENCE", "0.3")
        with cluster_of(0) as client, pytest.raises(WorkerError, match="no worker for 0.3 s.*TILECORE_DASK_PATIENCE"):
            map_tiles(np.sqrt, _volume(), executor=client, progress=False)

    def test_cancel_ends_the_wait(self) -> None:
        cancel = threading.Event()
        with cluster_of(0) as client:
            timer = threading.Timer(0.5, cancel.set)
            timer.start()
            with pytest.raises(RunCancelledError):
                map_tiles(np.sqrt, _volume(), executor=client, cancel=cancel, progress=False)
            timer.join()
            wait_until(lambda: not client.futures)  # the client forgets it in another thread


def test_a_connection_that_is_of_no_use_is_closed() -> None:
    closed: list[bool] = []
    with ExitStack() as opened, LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster:  # type: ignore[no-untyped-call]
        opened.callback(closed.append, True)
        client = Client(cluster, set_as_default=False)  # type: ignore[no-untyped-call]
        client.close()
        with pytest.raises(ParameterError, match=r"executor: this client of dask is closed; give one that is conn"):
            Cluster(Connection(client, opened))
        assert closed
        with pytest.raises(ParameterError, match=r"executor: this client of dask is closed"):
            map_tiles(np.sqrt, _volume(), executor=client, progress=False)


def _together(block: npt.NDArray[Any], folder: str, tile: Tile) -> npt.NDArray[Any]:
    """Wait until three tiles are in work in one process, and tell which thread this one has."""
    if tile.number < 3:
        Path(folder, f"{os.getpid()}-{threading.get_ident()}").touch()
        wait_until(lambda: len(list(Path(folder).glob(f"{os.getpid()}-*"))) >= 3)
    return np.sqrt(block)


def test_a_worker_with_several_threads(source: Path, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    with cluster_of(1, "--nthreads", "3") as client:
        run: dict[str, Any] = {"tile_shape": 8, "pass_tile": True, "kwargs": {"folder": str(marks)}, "progress": False}
        found = map_tiles(_together, source, out=tmp_path / "out.zarr", executor=client, **run)
    np.testing.assert_array_equal(found[...], np.sqrt(_volume()))
    assert len(list(marks.iterdir())) == 3


def test_a_cluster_that_encrypts(source: Path, tmp_path: Path) -> None:
    security = Security.temporary()  # type: ignore[no-untyped-call]
    made: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0", "security": security}
    with (
        LocalCluster(**made) as cluster,  # type: ignore[no-untyped-call]
        Client(cluster, security=security, set_as_default=False) as client,  # type: ignore[no-untyped-call]
    ):
        address = client.scheduler.address
        assert address.startswith("tls://")
        found = map_tiles(np.sqrt, source, out=tmp_path / "out.zarr", executor=client, progress=False)
        np.testing.assert_array_equal(found[...], np.sqrt(_volume()))
        with pytest.raises(ParameterError, match="asks for certificates"):
            map_tiles(np.sqrt, source, executor=DaskExecutor(address=address), progress=False)


class TestClearErrors:
    """What is wrong on the way to a cluster is one error of tilecore that says what to do."""

    def test_a_scheduler_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("notes").write_text("no scheduler")
        Path("other.json").write_text('{"workers": {}}')
        run: dict[str, Any] = {"executor": "dask", "progress": False}
        for where in ("sched", "./sched.json"):
            monkeypatch.setenv("TILECORE_DASK", where)
            with pytest.raises(MissingFileError, match="there is no such file; a scheduler writes it .*tcp://"):
                map_tiles(np.sqrt, _volume(), **run)
        for where in ("notes", "other.json", "."):
            monkeypatch.setenv("TILECORE_DASK", where)
            with pytest.raises(UnreadableFileError, match="no scheduler has written this file"):
                map_tiles(np.sqrt, _volume(), **run)

    def test_a_scheduler_file_without_a_slash(
        self, client: Client, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("sched").write_text(json.dumps({"address": client.scheduler.address}))
        with pytest.raises(SystemExit, match="0"):
            main(["convert", str(source), "copy.zarr", "-q", "--scheduler-file", "sched", "--executor", "dask"])
        np.testing.assert_array_equal(open_source("copy.zarr")[...], _volume())

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--scheduler-file", "sched"], "no such file"),
            (["--dask", "tcp://127.0.0.1:9", "--executor", "threads"], "--dask is for executor 'dask' alone"),
            (["--dask", "tcp://127.0.0.1:9", "--timeout", "5"], r"a cluster of dask \(--dask\) has no such option"),
        ],
    )
    def test_of_the_command(
        self, options: list[str], told: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit, match="[12]"):
            main(["convert", str(source), str(tmp_path / "copy.zarr"), "-q", *options])
        assert re.search(told, capsys.readouterr().err)

    def test_a_scheduler_that_asks_for_certificates(self) -> None:
        with pytest.raises(ParameterError, match=r"asks for certificates; give executor=distributed.Client\(address"):
            map_tiles(np.sqrt, _volume(), executor=DaskExecutor(address="tls://127.0.0.1:9"), progress=False)

    @pytest.mark.parametrize("name", ["dask", "processes", "threads", "serial"])
    def test_threads_per_worker(self, name: str) -> None:
        for wrong in (0, -1):
            with pytest.raises(ParameterError, match=f"threads_per_worker={wrong}: must be at least 1"):
                create_executor(name, threads_per_worker=wrong)

    def test_a_script_without_a_guard(self, tmp_path: Path) -> None:
        """Each process that dask starts imports the script, and would start others."""
        call = (
            "print(tilecore.map_tiles(np.sqrt, np.ones((2, 3, 4)), executor='dask', workers=1, progress=False).sum())"
        )
        head = "import numpy as np, tilecore\nprint('begins')\n"
        nested = f"def run():\n    {call}\nrun()\n"
        guarded = f'def run():\n    {call}\nif __name__ == "__main__":\n    run()\n'
        results = {}
        for name, body in (("plain", call), ("nested", nested), ("guarded", guarded)):
            script = tmp_path / f"{name}.py"
            script.write_text(head + body)
            command = [sys.executable, str(script)]
            results[name] = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=False)
        for name in ("plain", "nested"):
            assert results[name].returncode == 1
            assert results[name].stdout == "begins\n", "no process has run the script again"
            assert results[name].stderr.count("errors.WorkerError:") == 1
            assert 'below the line  if __name__ == "__main__":' in results[name].stderr
        assert results["guarded"].returncode == 0, results["guarded"].stderr
        assert results["guarded"].stdout.endswith("24.0\n")


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
