"""Faults of a cluster of dask: workers that die, lack what they need, or come and go; a scheduler that is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from distributed import Client

from tests.clusters import cluster_of, kill_group, programs
from tests.faults.harness import HANGS, wait_until
from tilecore import RunCancelledError, TileError, WorkerError, collect_tiles, map_tiles
from tilecore.engine.events import TileRetried
from tilecore.executors.dask.shipping import Shipping
from tilecore.geometry.tiles import Tile

pytestmark = pytest.mark.slow

Block = npt.NDArray[Any]

TILES: dict[str, Any] = {"tile_shape": 5, "halo": 1, "progress": False}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Client of two workers, whose nannies start them again."""
    with cluster_of(2, "--memory-limit", "700MB") as opened:
        yield opened


def volume() -> Block:
    return np.random.default_rng(3).random((15, 15, 15))


def neighbours(block: Block) -> Block:
    """Depends on both neighbours along each axis."""
    total = block.copy()
    for axis in range(block.ndim):
        total += np.roll(block, 1, axis) - 0.5 * np.roll(block, -1, axis)
    return total


def expected() -> Block:
    return np.asarray(map_tiles(neighbours, volume(), executor="serial", boundary="wrap", **TILES))


class KillsOnce:
    """Kills its worker at some tiles, the first time that each is begun; files tell who was killed."""

    def __init__(self, folder: Path, numbers: set[int], times: int = 1) -> None:
        self.folder, self.numbers, self.times = folder, numbers, times

    def __call__(self, block: Block, tile: Tile) -> Block:
        mine = list(self.folder.glob(f"{tile.number}-*"))
        if tile.number in self.numbers and len(mine) < self.times:
            (self.folder / f"{tile.number}-{len(mine)}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return neighbours(block)


def test_twenty_deaths_of_workers_do_not_change_the_result(client: Client, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    numbers = set(np.random.default_rng(0).choice(27, 20, replace=False).tolist())
    run: dict[str, Any] = {"executor": client, "pass_tile": True, "boundary": "wrap", **TILES}
    found = map_tiles(KillsOnce(marks, numbers), volume(), out=tmp_path / "out.zarr", **run)
    np.testing.assert_array_equal(found[...], expected())
    assert len(list(marks.iterdir())) == 20, "each of the twenty must have killed its worker once"


def test_a_tile_that_always_kills_is_named_and_others_are_not(client: Client, tmp_path: Path) -> None:
    kills = KillsOnce(tmp_path, {13}, times=99)
    with pytest.raises(TileError, match=r"worker tcp://.* died in the middle of the tile") as error:
        map_tiles(kills, volume(), executor=client, pass_tile=True, retries=1, on_error="finish", **TILES)
    (failure,) = error.value.failures
    assert (failure.tile.number, failure.attempts) == (13, 2)


def test_a_tile_that_needs_too_much_memory_is_cut(client: Client) -> None:
    retried: list[TileRetried] = []

    def eats(block: Block, tile: Tile) -> Block:
        if tile.number == 7 and block.size > 300:
            held = [np.ones(10**7) for _ in range(60)]  # far more than the worker may have
            time.sleep(HANGS)
            del held
        return neighbours(block)

    def note(event: Any) -> None:
        if isinstance(event, TileRetried):
            retried.append(event)

    run: dict[str, Any] = {"executor": client, "pass_tile": True, "boundary": "wrap", "callbacks": [note], **TILES}
    np.testing.assert_array_equal(map_tiles(eats, volume(), retries=0, **run), expected())
    assert {event.tile.number for event in retried} == {7}
    assert all("more memory than it may" in event.failure.reason for event in retried)


def test_a_cancelled_run_ends_and_its_tasks_with_it(client: Client, tmp_path: Path) -> None:
    cancel = threading.Event()

    def slow(block: Block, tile: Tile) -> Block:
        (tmp_path / str(tile.number)).touch()
        time.sleep(0.2)
        return block

    def stop(event: Any) -> None:
        if type(event).__name__ == "TileDone":
            cancel.set()

    run: dict[str, Any] = {"executor": client, "pass_tile": True, "cancel": cancel, "callbacks": [stop], **TILES}
    with pytest.raises(RunCancelledError):
        map_tiles(slow, volume(), **run)
    wait_until(lambda: not any(client.processing().values()))
    n_begun = len(list(tmp_path.iterdir()))
    assert n_begun < 27
    assert not client.futures, "nothing of the run is left on the cluster"


def test_a_module_that_workers_lack_is_named(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("def same(block):\n    return block\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here  # type: ignore[import-not-found]

    with pytest.raises(WorkerError, match="No module named 'only_here'.*client.upload_file"):
        map_tiles(only_here.same, volume(), executor=client, **TILES)


def test_a_large_array_in_memory_is_refused_with_the_remedy(client: Client) -> None:
    large = np.broadcast_to(np.zeros((), "u1"), (2**10, 2**9, 2**9)).copy()
    with pytest.raises(ValueError, match=r'256\.0 MiB in a ndarray.*at most 64\.0 MiB are sent.*out="volume.zarr"'):
        map_tiles(np.sqrt, large, executor=client, progress=False)


def test_all_that_is_sent_together_is_limited_and_the_largest_is_named(client: Client) -> None:
    """Arguments, variables of the function, several sources, a store of zarr in memory."""
    part, table = np.ones((10, 1024, 512)), np.ones((9, 1024, 1024))
    run: dict[str, Any] = {"executor": client, "progress": False, "tile_shape": (1, 1024, 512)}

    def looks_up(block: Block) -> Block:
        return block * table[0, 0, 0]

    def adds(block: Block, table: Block) -> Block:
        return block + table[0, 0, 0]

    store = zarr.create_array(zarr.storage.MemoryStore(), data=np.random.default_rng(0).random((9, 1024, 1024)))
    small = np.ones((2, 1024, 512))
    most = r"at most 64\.0 MiB are sent.*out=\"volume.zarr\".*np\.load"
    for function, source, kwargs, told in (
        (looks_up, small, {}, r"80\.0 MiB .* 72\.0 MiB of them for table of .*looks_up \(ndarray\)"),
        (adds, small, {"table": table}, r"80\.0 MiB .* 72\.0 MiB of them for kwargs\['table'\] \(ndarray\)"),
        (adds, part, {"table": table[:4]}, r"72\.0 MiB .* 40\.0 MiB of them for sources\[0\] \(ndarray\)"),
        (np.add, [part, part.copy()], {}, r"80\.0 MiB .* 40\.0 MiB of them for sources\[0\] \(ndarray\)"),
        (np.sqrt, store, {}, r" MiB of them for sources\[0\].* \("),
    ):
        with pytest.raises(ValueError, match=f"{told}.*{most}"):
            map_tiles(function, source, kwargs=kwargs, **run)


def test_a_source_in_memory_is_sent_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    put = Shipping._put

    def note(shipping: Shipping, content: bytes) -> Any:
        sent.append(len(content))
        return put(shipping, content)

    monkeypatch.setattr(Shipping, "_put", note)
    large = np.random.default_rng(0).random((64, 64, 64))
    found = map_tiles(np.sqrt, large, executor=client, progress=False)
    np.testing.assert_array_equal(found, np.sqrt(large))
    assert len(sent) > 3, "the shared value changes during a run"
    assert sum(size >= large.nbytes for size in sent) == 1


def test_a_caller_that_is_killed_leaves_nothing_on_the_scheduler(client: Client, tmp_path: Path) -> None:
    script = (
        "import sys, time, numpy as np\nfrom pathlib import Path\nfrom tilecore import map_tiles\n"
        "from tilecore.executors.dask.executor import DaskExecutor\n"
        "def hold(block):\n"
        f"    Path({str(tmp_path)!r}, 'begun').touch()\n    time.sleep(0.1)\n    return block\n"
        "executor = DaskExecutor(address=sys.argv[1])\n"
        "map_tiles(hold, np.ones((1000, 2, 2)), tile_shape=1, executor=executor, progress=False)\n"
    )
    command = [sys.executable, "-c", script, client.scheduler.address]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as caller:
        wait_until(lambda: (tmp_path / "begun").exists() or caller.poll() is not None)
        assert caller.poll() is None, caller.stderr and caller.stderr.read()
        assert _plugins(client), "while it runs"
        caller.kill()
    wait_until(lambda: not _plugins(client))
    wait_until(lambda: not any(client.processing().values()))


def _plugins(client: Client) -> list[str]:
    """Names of tilecore's plugins on the scheduler."""
    names: list[str] = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.plugins))
    return [name for name in names if name.startswith("tilecore")]


def test_a_file_that_only_one_machine_sees_is_named_before_work_starts(tmp_path: Path) -> None:
    """The worker has a folder of its own in the place of the caller's."""
    mount = f'mount -t tmpfs none {tmp_path / "data"} && exec "$@"'
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh")
    (tmp_path / "data").mkdir()
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces are not permitted here")
    source, out = tmp_path / "data" / "in.zarr", tmp_path / "data" / "out.zarr"
    map_tiles(np.copy, volume(), out=source, executor="serial", **TILES)
    with programs() as started:
        started.start_scheduler()
        started.start_worker(prefix=prefix)
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(1, timeout=HANGS)
            for given in (source, zarr.open_array(source, mode="r")):
                with pytest.raises(WorkerError, match=r"a worker on \S+ cannot open.*in\.zarr.*same paths"):
                    map_tiles(np.sqrt, given, executor=client, **TILES)
            with pytest.raises(
                WorkerError, match=r"a worker on \S+ cannot open.*the folder .*out\.zarr.* is not there"
            ):
                map_tiles(np.sqrt, volume(), out=out, executor=client, **TILES)
    assert not out.exists()


def test_workers_without_tilecore_are_named(tmp_path: Path) -> None:
    (tmp_path / "tilecore.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'tilecore'\", name='tilecore')\n"
    )
    with programs({"PYTHONPATH": str(tmp_path)}) as started:
        started.start_scheduler()
        started.start_worker()
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(1, timeout=HANGS)
            with pytest.raises(WorkerError, match="No module named 'tilecore'"):
                map_tiles(np.sqrt, volume(), executor=client, **TILES)


def test_other_versions_are_refused_before_work_starts(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    found = client.get_versions(packages=["tilecore"])
    worker = next(iter(found["workers"]))
    found["workers"][worker]["packages"]["tilecore"] = "0.0.1"
    monkeypatch.setattr(Client, "get_versions", lambda *_, **__: found)
    with pytest.raises(WorkerError, match=r"worker tcp://.* has tilecore 0\.0\.1, and this process .*same version"):
        map_tiles(np.sqrt, volume(), executor=client, **TILES)
    assert not _plugins(client), "a scheduler of another version is given nothing to unpack"


def test_no_scheduler_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tilecore.executors.dask.connecting._PATIENCE_SECONDS", 1)
    monkeypatch.setenv("TILECORE_DASK", "tcp://127.0.0.1:9")
    with pytest.raises(WorkerError, match=r"no scheduler of dask answers at tcp://127\.0\.0\.1:9 within 1 s"):
        map_tiles(np.sqrt, volume(), executor="dask", **TILES)


def test_a_scheduler_that_dies_ends_the_run_and_the_journal_stays(tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"

    def slow(block: Block) -> Block:
        time.sleep(0.05)
        return neighbours(block)

    with programs() as started:
        scheduler = started.start_scheduler()
        started.start_worker("--nworkers", "2")
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=HANGS)
            done: list[Any] = []

            def kill(event: Any) -> None:
                done.append(event)
                if len(done) == 8:
                    kill_group(scheduler)

            with pytest.raises(
                WorkerError, match=r"the scheduler of the cluster at tcp://\S+ is gone; .* stay in the journal"
            ):
                map_tiles(slow, volume(), out=out, boundary="wrap", executor=client, callbacks=[kill], **TILES)
    assert (tmp_path / "out.zarr.journal").exists()
    again = map_tiles(slow, volume(), out=out, boundary="wrap", resume=True, **TILES)
    np.testing.assert_array_equal(again[...], expected())


def test_ctrl_c_ends_the_run_and_leaves_nothing_on_the_cluster(client: Client, tmp_path: Path) -> None:
    def hold(block: Block) -> Block:
        (tmp_path / "begun").touch()
        while not (tmp_path / "end").exists():
            time.sleep(0.01)
        return block

    def interrupt() -> None:
        wait_until((tmp_path / "begun").exists)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            map_tiles(hold, volume(), executor=client, **TILES)
    finally:
        (tmp_path / "end").touch()
        thread.join()
    wait_until(lambda: not any(client.processing().values()))
    assert not client.futures


class OpensBadly:
    """A function that does something the first time that a worker opens it."""

    def __init__(self, folder: Path, deed: Callable[[Path], None]) -> None:
        self.folder, self.deed = folder, deed

    def __call__(self, block: Block) -> Block:
        return neighbours(block)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self.folder, self.deed)


def _opened(folder: Path, deed: Callable[[Path], None]) -> OpensBadly:
    mark = folder / "opened"
    if not mark.exists():
        mark.touch()
        deed(folder)
    return OpensBadly(folder, deed)


def _dies(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _waits(folder: Path) -> None:
    while not (folder / "end").exists():
        time.sleep(0.01)


def test_a_worker_that_dies_while_it_is_asked_is_replaced(client: Client, tmp_path: Path) -> None:
    function = OpensBadly(tmp_path, _dies)
    found = map_tiles(function, volume(), executor=client, boundary="wrap", **TILES)
    np.testing.assert_array_equal(found, expected())
    assert (tmp_path / "opened").exists()


def test_a_worker_that_retires_while_it_is_asked_is_replaced(tmp_path: Path) -> None:
    function = OpensBadly(tmp_path, _waits)
    with programs() as started:
        started.start_scheduler()
        asked = started.start_worker()
        with Client(scheduler_file=str(started.scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(1, timeout=HANGS)

            def replace() -> None:
                wait_until((tmp_path / "opened").exists)
                started.start_worker()
                client.wait_for_workers(2, timeout=HANGS)
                kill_group(asked)

            thread = threading.Thread(target=replace)
            thread.start()
            try:
                found = map_tiles(function, volume(), executor=client, boundary="wrap", **TILES)
            finally:
                thread.join()
    np.testing.assert_array_equal(found, expected())


@pytest.mark.parametrize("way", ["cancel", "ctrl-c"])
def test_a_run_is_ended_while_it_asks_workers(client: Client, tmp_path: Path, way: str) -> None:
    cancel = threading.Event()

    def end() -> None:
        wait_until((tmp_path / "opened").exists)
        cancel.set() if way == "cancel" else os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=end)
    thread.start()
    try:
        with pytest.raises(RunCancelledError if way == "cancel" else KeyboardInterrupt):
            map_tiles(OpensBadly(tmp_path, _waits), volume(), executor=client, cancel=cancel, **TILES)
    finally:
        (tmp_path / "end").touch()
        thread.join()
    wait_until(lambda: not any(client.processing().values()))
    assert not client.futures


def test_a_straggler_is_tried_by_another_worker(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tilecore.executors.dask.stragglers._LEAST_SECONDS", 0.5)

    def hangs_once(block: Block, tile: Tile) -> Block:
        mark = tmp_path / "hangs"
        if tile.number == 11 and not mark.exists():
            mark.touch()
            while not (tmp_path / "end").exists():
                time.sleep(0.01)
        return neighbours(block)

    run: dict[str, Any] = {"executor": client, "pass_tile": True, "boundary": "wrap", **TILES}
    try:
        np.testing.assert_array_equal(map_tiles(hangs_once, volume(), **run), expected())
        assert (tmp_path / "hangs").exists()
    finally:
        (tmp_path / "end").touch()
    wait_until(lambda: not any(client.processing().values()))


def test_results_that_cannot_be_sent_are_failures_of_their_tiles(client: Client) -> None:
    with pytest.raises(TileError, match="cannot be sent back"):
        collect_tiles(lambda _: threading.Lock(), volume(), executor=client, retries=0, **TILES)
