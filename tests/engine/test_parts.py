"""Tests of runs in parts: together they are the run, whoever begins, and nothing is lost whatever is wrong."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.faults.harness import Session, places
from tests.runs import CancelAfter
from tilecore import (
    JournalError,
    MissingFileError,
    OutputExistsError,
    ParameterError,
    ParameterTypeError,
    RunCancelledError,
    Tile,
    TileError,
    UnwritableFileError,
    collect_tiles,
    create_sink,
    finish,
    iter_tiles,
    map_tiles,
    open_source,
    rechunk,
    reduce_tiles,
)
from tilecore.engine.events import RunStarted
from tilecore.engine.parts.finishing import DoneRun
from tilecore.engine.parts.run_part import RunPart
from tilecore.engine.parts.turns import Turn
from tilecore.output_file import Place, remove_abandoned

VOLUME = np.random.default_rng(5).random((12, 20, 30))
RUN: dict[str, Any] = {"executor": "serial", "retries": 0, "progress": False}


def blur(block: np.ndarray) -> np.ndarray:
    """Mean of each voxel and the one before and after it along the first axis."""
    padded = np.pad(block, [(1, 1), (0, 0), (0, 0)], mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


TILES: dict[str, Any] = {"tile_shape": (4, 10, 10), "halo": (1, 0, 0), **RUN}


class Counting:
    """Function that doubles its block, and records its tiles in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        with (self.folder / "calls").open("a") as calls:
            calls.write(f"{tile.number}\n")
        return 2 * block

    def calls(self) -> list[int]:
        path = self.folder / "calls"
        numbers = [int(line) for line in path.read_text().split()] if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(numbers)


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their names."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("suffix", [".zarr", ".ome.zarr"])
@pytest.mark.parametrize("count", [1, 2, 5, 18, 40])
def test_all_parts_together_are_the_run(count: int, suffix: str, tmp_path: Path) -> None:
    """Whatever their number and their order, the files are those of the whole run, byte for byte."""
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    map_tiles(blur, VOLUME, out=whole, **TILES)
    numbers = list(range(1, count + 1))
    random.Random(count).shuffle(numbers)
    for number in numbers:
        assert map_tiles(blur, VOLUME, out=out, shard=(number, count), **TILES) is None
    assert not out.exists()
    np.testing.assert_array_equal(finish(out), open_source(whole)[...])
    found, expected = files_of(out), files_of(whole)
    name = b"parts" + suffix.encode(), b"whole" + suffix.encode()  # OME-Zarr keeps the name of the image
    assert {each: content.replace(*name) for each, content in found.items()} == expected
    assert sorted(each.name for each in tmp_path.iterdir()) == [out.name, whole.name]


def test_levels_of_a_pyramid_are_made_when_all_parts_are_done(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 1000, (2, 300, 300), dtype="u2")
    options: dict[str, Any] = {"tile_shape": (2, 64, 300), **RUN}
    for number in (3, 1, 2):
        map_tiles(np.copy, volume, out=tmp_path / "parts.ome.zarr", shard=(number, 3), **options)
    finish(tmp_path / "parts.ome.zarr", executor="serial")
    map_tiles(np.copy, volume, out=tmp_path / "whole.ome.zarr", **options)
    for level in (0, 1):
        parts, whole = (open_source(tmp_path / f"{name}.ome.zarr", level=level)[...] for name in ("parts", "whole"))
        np.testing.assert_array_equal(parts, whole)


def test_parts_run_on_hosts_of_other_sizes(tmp_path: Path) -> None:
    """The first one chooses the tiles, whatever memory and workers the others have."""
    out, run = tmp_path / "o.zarr", {**RUN, "halo": (1, 0, 0), "out": tmp_path / "o.zarr"}
    map_tiles(blur, VOLUME, shard=(2, 3), max_memory="300kB", **run)
    map_tiles(blur, VOLUME, shard=(1, 3), max_memory="1GB", **(run | {"executor": "threads"}), workers=2)
    map_tiles(blur, VOLUME, shard=(3, 3), **run)
    np.testing.assert_array_equal(finish(out), blur(VOLUME))


def _copied_slowly(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Take so long for a voxel that small tiles, of which each worker has several, are best."""
    time.sleep(2e-8 * block.size)
    return block.copy()


def test_a_host_with_less_memory_works_on_fewer_tiles_at_once(tmp_path: Path) -> None:
    """It gets the tiles that suit the first one."""
    started: list[int] = []
    volume = np.zeros((256, 256, 256))  # so many tiles that each part has one for each worker
    for number, memory in ((1, "1GB"), (2, "1GB"), (3, "100MB")):
        map_tiles(
            _copied_slowly,
            volume,
            out=tmp_path / "o.zarr",
            shard=(number, 3),
            workers=4,  # processes: memory is measured in one that does nothing else
            max_memory=memory,
            callbacks=[lambda event: started.append(event.workers) if isinstance(event, RunStarted) else None],
        )
    assert started[:2] == [4, 4]
    assert started[2] < 4
    assert finish(tmp_path / "o.zarr")[...].max() == 0


def test_each_part_does_its_own_tiles_alone(tmp_path: Path) -> None:
    function, out = Counting(tmp_path), tmp_path / "o.zarr"
    options: dict[str, Any] = {"tile_shape": (4, 10, 10), "pass_tile": True, "dtype": "f8", "out": out, **RUN}
    found = []
    for number in range(1, 5):
        map_tiles(function, VOLUME, shard=f"{number}/4", **options)
        found.append(function.calls())
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16, 17]]
    map_tiles(function, VOLUME, shard="2/4", **options)  # a finished part has nothing to do
    assert function.calls() == []
    finish(out)
    map_tiles(function, VOLUME, shard="2/4", **options)  # nor has a part of a finished run
    assert function.calls() == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["o.zarr"]


def test_a_stopped_part_goes_on_by_itself(tmp_path: Path) -> None:
    function, out = Counting(tmp_path), tmp_path / "o.zarr"
    options: dict[str, Any] = {"tile_shape": (4, 10, 10), "pass_tile": True, "dtype": "f8", "out": out, **RUN}
    with pytest.raises(RunCancelledError):
        map_tiles(function, VOLUME, shard=(1, 2), cancel=CancelAfter(8), **options)
    done = function.calls()
    assert 0 < len(done) < 9
    with pytest.raises(JournalError, match=f"{18 - len(done)} of 18 tiles are not done"):
        finish(out)
    map_tiles(function, VOLUME, shard=(1, 2), **options)
    assert sorted(done + function.calls()) == list(range(9))
    map_tiles(function, VOLUME, shard=(2, 2), **options)
    np.testing.assert_array_equal(finish(out), 2 * VOLUME)


def test_workers_may_be_forked(tmp_path: Path) -> None:
    """The thread that shows that a part runs holds nothing that a fork could copy."""
    forked: dict[str, Any] = {"executor": "processes", "start_method": "fork", "workers": 1}

    def run() -> None:  # in a process without the threads of other tests
        logging.basicConfig(force=True)
        first(shard=(1, 1), **forked)(tmp_path / "o.zarr")

    code, output = Session(run).wait()
    assert code == 0, output
    assert "deadlock" not in output
    np.testing.assert_array_equal(finish(tmp_path / "o.zarr"), blur(VOLUME))


def test_an_empty_volume(tmp_path: Path) -> None:
    for number in (1, 2):
        map_tiles(np.sqrt, VOLUME[:, :0], out=tmp_path / "o.zarr", tile_shape=4, shard=(number, 2), **RUN)
    assert finish(tmp_path / "o.zarr").shape == (12, 0, 30)


def test_results_of_other_verbs_are_kept_by_the_parts(tmp_path: Path) -> None:
    name, options = tmp_path / "sums", {"tile_shape": (4, 10, 10), **RUN}
    third = collect_tiles(np.sum, VOLUME, shard=(3, 3), journal=name, **options)
    for number in (1, 2):
        for _ in iter_tiles(np.sum, VOLUME, shard=(number, 3), journal=name, **options):
            pass
    whole = collect_tiles(np.sum, VOLUME, **options)
    assert third == whole[12:]
    assert finish(name) == whole
    assert finish(name) == whole  # they are in memory alone, so they can be had again


def first(**other: Any) -> Callable[[Path], object]:
    """A call of a part, with some arguments of its own."""

    def call(out: Path | str) -> object:
        arguments: dict[str, Any] = {"function": blur, "source": VOLUME, "out": out, "shard": (2, 3)} | TILES | other
        return map_tiles(**arguments)

    return call


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (first(function=np.copy), r"belongs to another run: code\."),
        (first(source=VOLUME + 1), "belongs to another run: sources"),
        (first(halo=2), "belongs to another run: halo"),
        (first(tile_shape=(6, 10, 10)), "belongs to another run: tile_shape was"),
        (first(dtype="f4"), "belongs to another run: dtypes"),
        (first(shard=(2, 4)), "it has 3 parts, not 4"),
        (first(shard=None), "is being written in parts already"),
        (first(shard=None, overwrite=True), "is being written in parts already"),
        (first(shard=None, resume=True), "is being written in parts already"),
        (lambda out: rechunk(VOLUME, out, chunks=5, **RUN), "is being written already"),
    ],
)
def test_another_run_is_refused_and_nothing_is_lost(
    call: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    out = tmp_path / "o.zarr"
    first(shard=(1, 3))(out)
    with pytest.raises((JournalError, OutputExistsError, OSError), match=message):
        call(out)
    for number in (2, 3):
        first(shard=(number, 3))(out)
    np.testing.assert_array_equal(finish(out), blur(VOLUME))


@pytest.mark.parametrize("shard", ["0/3", "4/3", (0, 3), (4, 3), "1/0", "auto/3", "3", "1/", "-1/3", "a/b", "1.5/3"])
def test_a_part_that_is_none_is_refused(shard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_ARRAY_TASK_ID", "SGE_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ParameterError, match="^shard="):
        first(shard=shard)(tmp_path / "o.zarr")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shard", [3, (1, 2, 3), 1.5, ("1", 2)])
def test_what_is_no_part_is_refused(shard: Any, tmp_path: Path) -> None:
    with pytest.raises(ParameterTypeError, match="^shard="):
        first(shard=shard)(tmp_path / "o.zarr")


@pytest.mark.parametrize("name", ["o.npy", "o.tif", "o.bin", "o.h5"])
def test_files_that_one_host_writes_are_refused_with_the_remedy(name: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"are written by one host, not in parts: write a \.zarr"):
        first()(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_parts_cannot_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="one new file together"):
        first()(None)
    with pytest.raises(ParameterError, match="one new file together"):
        first(out=[tmp_path / "a.zarr", tmp_path / "b.zarr"])(tmp_path)
    with pytest.raises(ParameterError, match="use collect_tiles in parts"):
        reduce_tiles(np.sum, np.add, VOLUME, shard=(1, 2), journal=tmp_path / "j")
    with pytest.raises(ParameterError, match="give journal= a path"):
        collect_tiles(np.sum, VOLUME, shard=(1, 2), **TILES)
    with pytest.raises(ParameterError, match="passes are not done in parts"):
        rechunk(VOLUME, tmp_path / "o.zarr", chunks=5, shard=(1, 2))
    with pytest.raises(ParameterError, match="each part has one of its own"):
        first(journal=tmp_path / "j")(tmp_path / "o.zarr")
    with pytest.raises(MissingFileError, match="there is no such folder"):
        collect_tiles(np.sum, VOLUME, shard=(1, 2), journal=tmp_path / "none" / "j", **TILES)
    assert not list(tmp_path.iterdir())


def test_object_stores_are_refused(tmp_path: Path) -> None:
    """Wherever a URL may be given."""
    with pytest.raises(ParameterError, match=r"^out='?memory://o\.zarr.* in files, not in an object store"):
        first()("memory://o.zarr")
    with pytest.raises(ParameterError, match=r"^journal='?s3://bucket/j.* in files, not in an object store"):
        collect_tiles(np.sum, VOLUME, shard=(1, 2), journal="s3://bucket/j", **TILES)
    with pytest.raises(ParameterError, match=r"^path='?s3://bucket/o\.zarr.*none is to be finished in an object store"):
        finish("s3://bucket/o.zarr")


class Unknowable:
    """Function that cannot be described, as it cannot be packed by its parts."""

    def __call__(self, block: np.ndarray) -> np.ndarray:
        return block

    def __reduce__(self) -> Any:
        raise TypeError("not me")


def test_a_function_that_cannot_be_known_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="name it yourself with identity="):
        first(function=Unknowable())(tmp_path / "o.zarr")
    for number in (1, 2):
        first(function=Unknowable(), identity="v1", shard=(number, 2))(tmp_path / "o.zarr")
    np.testing.assert_array_equal(finish(tmp_path / "o.zarr"), VOLUME)


class Failing:
    """Function that fails as long as there is a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, block: np.ndarray) -> np.ndarray:
        if self.path.exists():
            raise OSError("no more")
        return block


def test_a_dtype_that_no_call_shows_must_be_given(tmp_path: Path) -> None:
    (path := tmp_path / "fail").touch()
    with pytest.raises(ParameterError, match="give it, as in dtype="):
        first(function=Failing(path))(tmp_path / "o.zarr")
    assert list(tmp_path.iterdir()) == [path]


def test_a_part_that_fails_takes_nothing_from_the_others(tmp_path: Path) -> None:
    """Not even if all of its tiles fail, when its own journal is useless."""
    out, path = tmp_path / "o.zarr", tmp_path / "fail"
    call = first(function=Failing(path), dtype="f8")
    first(function=Failing(path), dtype="f8", shard=(1, 3))(out)
    path.touch()
    with pytest.raises(TileError):
        call(out)
    path.unlink()
    with pytest.raises(JournalError, match="12 of 18 tiles are not done: .* and 7 more.* for I = 2, 3"):
        finish(out)
    call(out)
    first(function=Failing(path), dtype="f8", shard=(3, 3))(out)
    np.testing.assert_array_equal(finish(out), VOLUME)


def test_nobody_removes_what_parts_have_written(tmp_path: Path) -> None:
    """Another run into a file of the same name does not take it for what a killed run has left."""
    out = tmp_path / "o.zarr"
    first(shard=(1, 3))(out)
    remove_abandoned(out)
    create_sink(out, (4, 4), "u1").discard()
    Place.create(out).discard()
    (place,) = places(out)
    for number in (2, 3):
        first(shard=(number, 3))(out)
    assert places(out) == [place]
    np.testing.assert_array_equal(finish(out), blur(VOLUME))


def test_without_its_folder_a_run_in_parts_is_an_abandoned_one(tmp_path: Path) -> None:
    out = tmp_path / "o.zarr"
    first(shard=(1, 3))(out)
    for path in (tmp_path / "o.zarr.run").iterdir():
        path.unlink()
    (tmp_path / "o.zarr.run").rmdir()
    map_tiles(blur, VOLUME, out=out, **TILES)
    assert places(out) == []


def test_a_source_that_changed_between_parts_is_refused(tmp_path: Path) -> None:
    path, out = tmp_path / "v.npy", tmp_path / "o.zarr"
    np.save(path, VOLUME)
    first(source=path, shard=(1, 2))(out)
    np.save(path, VOLUME + 1)
    os.utime(path, ns=(1, 1))
    with pytest.raises(JournalError, match=r"belongs to another run: sources\[0\]"):
        first(source=path, shard=(2, 2))(out)


@contextlib.contextmanager
def taken(out: Path, name: str) -> Any:
    """A turn in the folder of a run in parts that this process has, as one of another call."""
    turn = Turn(out.with_name(f"{out.name}.run"), name)
    turn.take()
    yield
    turn.end()


def test_a_run_is_not_finished_while_a_part_runs(tmp_path: Path) -> None:
    out = tmp_path / "o.zarr"
    for number in (1, 2, 3):
        first(shard=(number, 3))(out)
    with taken(out, "part-0002-of-0003"):
        with pytest.raises(JournalError, match="part 2 of 3 still runs, as process [0-9]+ on .*: wait for its end"):
            finish(out)
        with pytest.raises(JournalError, match="part 2 of 3 is running already"):
            first(shard=(2, 3))(out)
        first(shard=(3, 3))(out)
    np.testing.assert_array_equal(finish(out), blur(VOLUME))


def test_no_part_begins_while_the_run_is_finished(tmp_path: Path) -> None:
    out = tmp_path / "o.zarr"
    first(shard=(1, 3))(out)
    with taken(out, "finish"):
        with pytest.raises(JournalError, match="is being finished by process [0-9]+ on .*: wait for its end"):
            finish(out)
        with pytest.raises(JournalError, match="the run is being finished by process .* part 2 of 3 has nothing to do"):
            first(shard=(2, 3))(out)
    first(shard=(2, 3))(out)


def test_nothing_to_finish_is_told(tmp_path: Path) -> None:
    out = tmp_path / "o.zarr"
    with pytest.raises(MissingFileError, match=r"does not exist: start its parts first"):
        finish(out)
    (tmp_path / "o.zarr.run").mkdir()
    with pytest.raises(MissingFileError, match="no part of this run has begun"):
        finish(out)
    first(shard=(1, 1))(out)
    finish(out)
    with pytest.raises(MissingFileError, match="exists already"):
        finish(out)


def test_a_file_that_has_appeared_is_not_replaced_unless_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "o.zarr"
    first(shard=(1, 1))(out)
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(OutputExistsError):
        finish(out)
    with pytest.raises(OutputExistsError):
        first(shard=(1, 1))(out)
    assert (out / "mine").exists()
    np.testing.assert_array_equal(finish(out, overwrite=True), blur(VOLUME))
    assert [each.name for each in tmp_path.iterdir()] == ["o.zarr"]


def test_an_older_output_is_replaced_when_all_parts_are_done(tmp_path: Path) -> None:
    """It is never taken for that of this run meanwhile."""
    out = tmp_path / "o.zarr"
    map_tiles(np.copy, VOLUME, out=out, **TILES)
    for number in (1, 2, 3):
        first(shard=(number, 3), overwrite=True)(out)
        np.testing.assert_array_equal(open_source(out)[...], VOLUME)
    np.testing.assert_array_equal(finish(out), blur(VOLUME))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "o.zarr.run").touch()
    with pytest.raises(UnwritableFileError, match=r"o\.zarr\.run.*cannot be created"):
        first()(tmp_path / "o.zarr")


def test_a_plan_that_is_damaged_is_told(tmp_path: Path) -> None:
    out = tmp_path / "o.zarr"
    first(shard=(1, 2))(out)
    plan = tmp_path / "o.zarr.run" / "plan"
    plan.write_bytes(plan.read_bytes().replace(b"blur", b"blob"))
    for call in (finish, first(shard=(2, 2))):
        with pytest.raises(
            JournalError, match=r"is damaged, or of another version of tilecore: remove .* to start over"
        ):
            call(out)


def test_an_older_output_is_not_taken_for_one_that_somebody_has_removed(tmp_path: Path) -> None:
    out = tmp_path / "o.zarr"
    map_tiles(np.negative, VOLUME, out=out, executor="serial", progress=False)
    first(shard=(1, 1), overwrite=True)(out)
    (place,) = places(out)
    place.rename(tmp_path / "away")
    with pytest.raises(JournalError, match="somebody has removed: remove .* to start over"):
        finish(out)
    np.testing.assert_array_equal(open_source(out)[...], -VOLUME)
    assert (tmp_path / "o.zarr.run").exists(), "what the parts have noted stays"


def test_an_output_that_somebody_has_removed_is_told(tmp_path: Path) -> None:
    out = tmp_path / "o.zarr"
    first(shard=(1, 1))(out)
    (place,) = places(out)
    place.rename(tmp_path / "away")
    for call in (finish, first(shard=(1, 1))):
        with pytest.raises(JournalError, match="somebody has removed: remove .* to start over"):
            call(out)
    (tmp_path / "away").rename(place)
    np.testing.assert_array_equal(finish(out), blur(VOLUME))


def test_a_run_may_move_to_another_folder_before_it_is_finished(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first(shard=(1, 1))(tmp_path / "a" / "o.zarr")
    (tmp_path / "a").rename(tmp_path / "b")
    np.testing.assert_array_equal(finish(tmp_path / "b" / "o.zarr"), blur(VOLUME))
    assert [each.name for each in (tmp_path / "b").iterdir()] == ["o.zarr"]


SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP")
SGE = ("SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE")


@pytest.mark.parametrize("names", [SLURM, SGE])
@pytest.mark.parametrize(("start", "step"), [(0, 1), (1, 1), (7, 1), (0, 2), (100, 10)])
def test_tasks_of_an_array_job_are_numbered_from_one(
    names: tuple[str, ...], start: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of the first task, and the step from one to the next."""
    for name in (*SLURM, *SGE, "SLURM_ARRAY_TASK_COUNT"):
        monkeypatch.delenv(name, raising=False)
    found = []
    for task in range(start, start + 4 * step, step):
        for name, value in zip(names, (task, start, start + 3 * step, step), strict=True):
            monkeypatch.setenv(name, str(value))
        found.append(RunPart.of("auto/4"))
    assert [(part.number, part.count) for part in found] == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "neither SLURM_ARRAY_TASK_ID nor SGE_TASK_ID is set"),
        ({"SGE_TASK_ID": "undefined", "SGE_TASK_FIRST": "undefined"}, "neither"),
        (dict(zip(SLURM, "0031", strict=True)), None),
        (dict(zip(SLURM, "3371", strict=True)), "this array job has 5 tasks, numbered from 3 to 7, and 4 parts"),
        (dict(zip(SLURM, "1051", strict=True)) | {"SLURM_ARRAY_TASK_COUNT": "4"}, "has 4 tasks, numbered from 0 to 5"),
        ({"SLURM_ARRAY_TASK_ID": "4"}, None),
        ({"SLURM_ARRAY_TASK_ID": "0"}, "numbered from 1 to 4"),
        ({"SLURM_ARRAY_TASK_ID": "5"}, "numbered from 1 to 4"),
    ],
)
def test_an_array_job_of_another_size_is_refused(
    variables: dict[str, str], message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of tasks that were started again alone: which parts they are cannot be told from their numbers."""
    for name in (*SLURM, *SGE, "SLURM_ARRAY_TASK_COUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with contextlib.nullcontext() if message is None else pytest.raises(ParameterError, match=message):
        RunPart.of("auto/4")


@pytest.mark.parametrize("n_tiles", [0, 1, 7, 16, 1000])
@pytest.mark.parametrize("count", [1, 3, 16, 100])
def test_parts_share_the_tiles_evenly(n_tiles: int, count: int) -> None:
    ranges = [RunPart(number, count).numbers(n_tiles) for number in range(1, count + 1)]
    assert [number for each in ranges for number in each] == list(range(n_tiles))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


def test_the_finished_file_is_known_as_that_of_the_run(tmp_path: Path) -> None:
    """As a whole run would know it with resume=True."""
    function, out = Counting(tmp_path), tmp_path / "o.zarr"
    options: dict[str, Any] = {"tile_shape": (4, 10, 10), "pass_tile": True, "dtype": "f8", "out": out, **RUN}
    map_tiles(function, VOLUME, shard=(1, 1), **options)
    finish(out)
    assert len(function.calls()) == 18
    map_tiles(function, VOLUME, resume=True, **options)  # it would be refused if it were not known
    assert function.calls() == []


@pytest.mark.parametrize("has_attributes", [True, False])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_part_that_is_started_again_after_the_end_does_nothing(
    overwrite: bool,
    has_attributes: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also where files have no extended attributes; another run may begin there."""
    if not has_attributes:
        monkeypatch.setattr(os, "setxattr", _refuse, raising=False)
        monkeypatch.setattr(os, "getxattr", _refuse, raising=False)
    function, out = Counting(tmp_path), tmp_path / "o.zarr"
    options: dict[str, Any] = {"tile_shape": (4, 10, 10), "pass_tile": True, "dtype": "f8", "out": out, **RUN}
    for number in (1, 2):
        map_tiles(function, VOLUME, shard=(number, 2), overwrite=overwrite, **options)
    finish(out)
    before, _ = files_of(tmp_path), function.calls()
    before.pop("calls")
    map_tiles(function, VOLUME, shard=(2, 2), overwrite=overwrite, **options)
    assert function.calls() == []
    assert "o.zarr is finished already: part 2 of 2 has nothing to do" in caplog.text
    assert files_of(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"o.zarr", *([] if has_attributes else ["o.zarr.run"])}
    for number in (1, 2):
        first(shard=(number, 2), overwrite=True)(out)
    np.testing.assert_array_equal(finish(out), blur(VOLUME))


def _refuse(*arguments: object) -> None:
    raise OSError(errno.ENOTSUP, "Operation not supported")


def test_a_part_of_a_run_whose_end_was_killed_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the output had its name already, but the run was not tidied up."""
    out = tmp_path / "o.zarr"
    first(shard=(1, 1))(out)
    with monkeypatch.context() as killed:
        killed.setattr(DoneRun, "tidy", _refuse)
        with pytest.raises(OSError, match="not supported"):
            finish(out)
    first(shard=(1, 1))(out)
    np.testing.assert_array_equal(finish(out), blur(VOLUME))
    assert [each.name for each in tmp_path.iterdir()] == ["o.zarr"]


def test_what_is_in_use_in_the_folder_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As by NFS, which keeps a file that was removed as long as a process has it open; the run is finished."""
    out, removed = tmp_path / "o.zarr", Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith(".nfs"):
            raise OSError(errno.EBUSY, "Device or resource busy")
        removed(path, missing_ok=missing_ok)

    first(shard=(1, 1))(out)
    (tmp_path / "o.zarr.run" / ".nfs0001").touch()
    monkeypatch.setattr(Path, "unlink", unlink)
    np.testing.assert_array_equal(finish(out), blur(VOLUME))
    assert "remove it later" in caplog.text
    first(shard=(1, 1))(out)
    assert [each.name for each in (tmp_path / "o.zarr.run").iterdir()] == [".nfs0001"]
