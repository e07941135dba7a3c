"""Faults while labelled variables are saved: failed tasks, killed processes, other saves, a full disk."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests.faults.harness import Session
from tests.faults.test_memory_and_storage import in_small_filesystem
from tests.faults.test_rechunk import killing_itself
from tests.faults.test_steps import OnceAtStep, sweep
from tilecore import DatasetVariable, SharedArray, TileDone, map_tiles
from tilecore.datasets import open_dataset, rechunk_dataset, rechunking, save_variable, update_metadata
from tilecore.errors import UnwritableFileError

VALUES = np.arange(7 * 6 * 5, dtype="i4").reshape(7, 6, 5)
#: Kind of a block; dask would call functions to find it.
META = np.empty((0, 0, 0), "i4")
#: All is written at once, or first in blocks and then in other chunks.
WAYS: dict[str, Any] = {"blocks": None, "other chunks": {"frame": -1, "height": 2}}


def variable(values: np.ndarray = VALUES, chunks: Any = (2, 6, 5)) -> xr.DataArray:
    return xr.DataArray(da.from_array(values, chunks=chunks), dims=("frame", "height", "width"), name="Y")


def left_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


class FailsWhileOthersWork:
    """Function of blocks: the second that begins fails, the others end long after that."""

    def __init__(self) -> None:
        self.has_failed, self.begun, self.ended = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

        self.number = itertools.count()

    def __call__(self, block: np.ndarray) -> np.ndarray:
        if next(self.number) == 1:
            assert self.begun.acquire(timeout=60)
            self.has_failed.set()
            raise ValueError("a bad block")
        self.begun.release()
        assert self.has_failed.wait(60)
        time.sleep(0.3)
        self.ended.release()
        return block


@pytest.mark.parametrize("compute", [True, False])
@pytest.mark.parametrize("chunks", WAYS.values(), ids=WAYS)
def test_a_save_that_fails_leaves_nothing(tmp_path: Path, compute: bool, chunks: Any) -> None:
    """Not even if other tasks write after the error was seen; the old variable stays."""
    save_variable(variable(), tmp_path)
    fails = FailsWhileOthersWork()
    broken = variable().copy(data=da.from_array(VALUES, chunks=(1, 6, 5)).map_blocks(fails, meta=META))
    with dask.config.set(scheduler="threads", num_workers=4), pytest.raises(ValueError, match="a bad block") as caught:
        dask.compute(save_variable(broken, tmp_path, overwrite=True, compute=compute, chunks=chunks))
    del caught, broken
    assert fails.ended.acquire(timeout=60)  # the other task that had begun
    time.sleep(0.5)  # it writes, or finds that it must not
    if not compute:  # the error has the graph, and with it the folder; the next save of the variable removes it
        save_variable(variable(), tmp_path, overwrite=True)
    assert left_in(tmp_path) == ["Y.zarr"]
    np.testing.assert_array_equal(open_dataset(tmp_path)["Y"], VALUES)


def test_a_first_save_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    broken = variable().map_blocks(lambda block: 1 / 0, template=variable())
    with pytest.raises(ZeroDivisionError):
        save_variable(broken, tmp_path / "dataset")
    assert left_in(tmp_path) == []


def test_errors_of_tasks_stay_what_they_are(tmp_path: Path) -> None:
    """A file that a task does not find is not one of the dataset."""
    broken = variable().map_blocks(lambda block: open("/no/such/video"), template=variable())  # noqa: SIM115
    with pytest.raises(FileNotFoundError) as caught:
        save_variable(broken, tmp_path)
    assert caught.type is FileNotFoundError
    assert left_in(tmp_path) == []


def die(step: int, parent: Path, chunks: Any, zarr_format: Any) -> bool:
    """Kill a save at a step: the variable is the old one or the new one, and the next save works as ever."""
    folder = parent / str(step)
    once = SharedArray((1,), "i8")
    with dask.config.set(scheduler="synchronous"):
        save_variable(variable(), folder)

        def save() -> None:
            OnceAtStep(step, once).install()
            new = variable(VALUES + 1, (3, 6, 5))
            save_variable(new, folder, overwrite=True, chunks=chunks, zarr_format=zarr_format)

        code, output = Session(save).wait()
        died = bool(once[0])
        assert code == (-signal.SIGKILL if died else 0), output
        found = open_dataset(folder, strict=True)["Y"].values
        assert (found == VALUES).all() or (found == VALUES + 1).all()
        save_variable(variable(VALUES + 2), folder, overwrite=True)
        assert left_in(folder) == ["Y.zarr"]
        np.testing.assert_array_equal(open_dataset(folder)["Y"], VALUES + 2)
    return died


@pytest.mark.parametrize(("chunks", "step"), [(WAYS["blocks"], 89), (WAYS["other chunks"], 291)], ids=WAYS)
def test_death_at_some_steps_of_a_save(tmp_path: Path, chunks: Any, step: int) -> None:
    sweep(range(1, 9000, step), partial(die, parent=tmp_path, chunks=chunks, zarr_format=3))


@pytest.mark.slow
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("chunks", "step"), [(WAYS["blocks"], 7), (WAYS["other chunks"], 31)], ids=WAYS)
def test_death_at_many_steps_of_a_save(tmp_path: Path, chunks: Any, step: int, zarr_format: Any) -> None:
    sweep(range(1, 9000, step), partial(die, parent=tmp_path, chunks=chunks, zarr_format=zarr_format))


def die_in_update(step: int, parent: Path) -> bool:
    """Kill an update of metadata at a step: the variable has all of the new ones or none, and its values."""
    folder, once = parent / str(step) / "minian", SharedArray((1,), "i8")
    with dask.config.set(scheduler="synchronous"):
        save_variable(variable().assign_coords(session="old"), folder, zarr_format=2)

        def update() -> None:
            OnceAtStep(step, once).install()
            update_metadata(folder.parent, meta_dict={"session": -1, "animal": -2})

        code, output = Session(update).wait()
        died = bool(once[0])
        assert code == (-signal.SIGKILL if died else 0), output
        found = open_dataset(folder, strict=True)
        new = {"session": str(step), "animal": parent.name}
        assert {name: each.item() for name, each in found.coords.items()} in ({"session": "old"}, new)
        assert (found["Y"].values == VALUES).all()
        update_metadata(folder.parent, meta_dict={"session": -1, "animal": -2})
        assert left_in(folder) == ["Y.zarr"]
        assert open_dataset(folder).coords["animal"].item() == parent.name
    return died


def test_death_at_some_steps_of_new_metadata(tmp_path: Path) -> None:
    sweep(range(1, 9000, 13), partial(die_in_update, parent=tmp_path))


@pytest.mark.parametrize("n_blocks", [0, 1, 3])
def test_death_while_blocks_are_written(tmp_path: Path, n_blocks: int) -> None:
    """It is killed after some blocks; the old variable is whole, and what is left goes with the next save."""
    save_variable(variable(), tmp_path)

    def save() -> None:
        left = [n_blocks]

        def block(values: np.ndarray) -> np.ndarray:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return values + 1

        with dask.config.set(scheduler="synchronous"):
            new = variable().map_blocks(lambda part: part.copy(data=block(part.values)), template=variable())
            save_variable(new, tmp_path, overwrite=True)

    assert Session(save).wait()[0] == -signal.SIGKILL
    assert len(left_in(tmp_path)) == 2
    np.testing.assert_array_equal(open_dataset(tmp_path)["Y"], VALUES)
    save_variable(variable(VALUES + 2), tmp_path, overwrite=True)
    assert left_in(tmp_path) == ["Y.zarr"]


@pytest.mark.parametrize("compute", [True, False])
def test_two_saves_of_one_variable_at_once(tmp_path: Path, compute: bool) -> None:
    """The second is told; the first goes on."""
    begins, ends = threading.Event(), threading.Event()

    def block(values: np.ndarray) -> np.ndarray:
        begins.set()
        assert ends.wait(60)
        return values + 1

    slow = variable().copy(data=variable().data.map_blocks(block, meta=META))
    first = threading.Thread(target=save_variable, args=(slow, tmp_path), daemon=True)
    first.start()
    try:
        assert begins.wait(60)
        with pytest.raises(UnwritableFileError, match="is being written already"):
            save_variable(variable(), tmp_path, overwrite=True, compute=compute)
        save_variable(variable().rename("other"), tmp_path)
    finally:
        ends.set()
        first.join()
    np.testing.assert_array_equal(open_dataset(tmp_path)["Y"], VALUES + 1)
    assert left_in(tmp_path) == ["Y.zarr", "other.zarr"]


@pytest.mark.parametrize("first", ["save_variable", "map_tiles"])
def test_either_writer_of_a_variable_keeps_the_other_away(tmp_path: Path, first: str) -> None:
    """`save_variable` and `map_tiles` of one variable at once: the second is told, the first goes on."""

    def save() -> None:
        save_variable(variable(), tmp_path, overwrite=True)

    def write(function: Callable[[np.ndarray], np.ndarray] = np.copy) -> None:
        map_tiles(function, VALUES, out=DatasetVariable(tmp_path, "Y"), overwrite=True, executor="serial")

    if first == "save_variable":
        lazy = save_variable(variable() + 1, tmp_path, compute=False)
        with pytest.raises(UnwritableFileError, match="is being written already"):
            write()
        lazy.compute()
    else:

        def with_another(block: np.ndarray) -> np.ndarray:
            with pytest.raises(UnwritableFileError, match="is being written already"):
                save()
            return block + 1

        map_tiles(
            with_another,
            VALUES,
            out=DatasetVariable(tmp_path, "Y"),
            dtype=VALUES.dtype,
            tile_shape=(7, 6, 5),
            executor="serial",
        )
    np.testing.assert_array_equal(open_dataset(tmp_path)["Y"], VALUES + 1)
    assert left_in(tmp_path) == ["Y.zarr"]


def test_another_process_is_saving(tmp_path: Path) -> None:
    lazy = save_variable(variable(), tmp_path, compute=False)

    def save() -> None:
        with dask.config.set(scheduler="synchronous"):
            save_variable(variable(), tmp_path)

    code, output = Session(save).wait()
    assert code == 1
    assert "is being written already" in output
    lazy.compute()
    np.testing.assert_array_equal(open_dataset(tmp_path)["Y"], VALUES)


@pytest.mark.parametrize("step", [100, 400, 700, 1000, 1300, 1600, 2000, 2500])
def test_a_killed_copy_into_other_chunks_goes_on(tmp_path: Path, step: int) -> None:
    """What it has done stays, and nothing else is left in the end."""
    old, new = tmp_path / "old", tmp_path / "new"
    save_variable(variable(chunks=(1, 6, 5)), old)
    once = SharedArray((1,), "i8")

    def copy(*, resume: bool = True) -> None:
        rechunk_dataset(old, new, chunks={"frame": -1, "height": 1}, mem_limit=900, resume=resume)

    def killed() -> None:
        OnceAtStep(step, once).install()
        copy(resume=False)

    code, output = Session(killed).wait()
    assert code == (-signal.SIGKILL if once[0] else 0), output
    copy()
    np.testing.assert_array_equal(open_dataset(new, strict=True)["Y"], VALUES)
    assert left_in(new) == ["Y.zarr"]
    assert sorted(each.name for each in (new / "Y.zarr").iterdir()) == ["Y", "zarr.json"]


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_copy_that_goes_on_does_only_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: float
) -> None:
    """Tiles of the killed copy are not done again: they are counted by the events of both runs."""
    old, copy_group = tmp_path / "old", rechunking.copy_group
    save_variable(variable(chunks=(1, 6, 5)), old)

    def copy(name: str, look: Callable[[Any], None], *, resume: bool = False) -> None:
        monkeypatch.setattr(rechunking, "copy_group", partial(copy_group, callbacks=[look]))
        rechunk_dataset(old, tmp_path / name, chunks={"frame": -1, "height": 1}, mem_limit=900, resume=resume)

    def tiles(events: list[Any]) -> int:
        return sum(isinstance(event, TileDone) for event in events)

    whole: list[Any] = []
    copy("whole", whole.append)
    n_done = max(1, round(part * tiles(whole)))
    assert Session(lambda: copy("new", killing_itself(n_done))).wait()[0] == -signal.SIGKILL
    rest: list[Any] = []
    copy("new", rest.append, resume=True)
    # The tile whose end was told last may not have come into the journal.
    assert tiles(whole) - n_done <= tiles(rest) <= tiles(whole) - n_done + 1
    np.testing.assert_array_equal(open_dataset(tmp_path / "new")["Y"], VALUES)
    again: list[Any] = []
    copy("new", again.append, resume=True)
    assert again == []
    assert left_in(tmp_path / "new") == ["Y.zarr"]


DISK_FULL = """
import os
import numpy as np, xarray as xr, dask.array as da
from tilecore.datasets import save_variable, open_dataset
values = np.random.default_rng(0).integers(0, 2**16, (16, 128, 128), np.uint16)  # 0.5 MiB
var = xr.DataArray(da.from_array(values, chunks=(4, 128, 128)), dims=("z", "y", "x"), name="Y")
save_variable(var[:4], "/mnt")
names = sorted(os.listdir("/mnt"))
try:
    save_variable(var, "/mnt", overwrite=True, chunks={chunks})
except OSError as error:
    assert "/mnt" in str(error) and "No space" in str(error) + repr(error.__cause__), (error, error.__cause__)
else:
    raise SystemExit("no error")
assert sorted(os.listdir("/mnt")) == names == ["Y.zarr"], os.listdir("/mnt")
assert (open_dataset("/mnt")["Y"].values == values[:4]).all()
print("ok")
"""


@pytest.mark.parametrize(
    ("chunks", "size"),
    [pytest.param(None, "400k", id="blocks"), pytest.param({"z": -1, "y": 32}, "900k", id="other chunks")],
)
def test_a_full_disk(chunks: Any, size: str) -> None:
    """The error says so and names the folder; the old variable stays."""
    result = in_small_filesystem(DISK_FULL.format(chunks=chunks), "/mnt", size)
    assert result.stdout.strip() == "ok", result.stderr


@pytest.mark.parametrize("compute", [True, False])
def test_on_a_cluster(tmp_path: Path, compute: bool) -> None:
    """Workers write the blocks, and may give the variable its name; a failure leaves nothing."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster),
    ):
        dask.compute(save_variable(variable() + 1, tmp_path, compute=compute))
        broken = variable().copy(data=variable().data.map_blocks(lambda block: 1 / 0, meta=META))
        with pytest.raises(ZeroDivisionError):
            save_variable(broken, tmp_path, overwrite=True)
    assert left_in(tmp_path) == ["Y.zarr"]
    np.testing.assert_array_equal(open_dataset(tmp_path)["Y"], VALUES + 1)
