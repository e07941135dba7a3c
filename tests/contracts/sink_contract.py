"""Contract tests of sinks: a subclass gives the file name, and reads the file by another program."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import Session
from tilecore import (
    DiskSpaceError,
    MissingFileError,
    OutputExistsError,
    ParameterError,
    Sink,
    TileError,
    UnwritableFileError,
    create_sink,
    map_tiles,
    open_source,
)
from tilecore.engine.events import TileDone
from tilecore.formats import file_sink
from tilecore.formats.creating import prepare_sink

SHAPE = (10, 33, 41)


def volume(dtype: str = "uint16") -> np.ndarray:
    numbers = np.random.default_rng(3).integers(0, 120, SHAPE)
    return numbers.astype(dtype)


def same(block: np.ndarray) -> np.ndarray:
    return block


class FailsOnce:
    """Function that fails at one tile while a file exists."""

    def __init__(self, folder: Path) -> None:
        self.trigger, self.log = folder / "trigger", folder / "log"

    def __call__(self, block: np.ndarray, tile: Any) -> np.ndarray:
        if tile.number == 3 and self.trigger.exists():
            raise ValueError("as asked")
        with self.log.open("a") as file:
            file.write(f"{tile.number}\n")
        return block


class SinkContract:
    """Tests that every sink must pass; subclasses define `name` and `read`."""

    name = ""
    options: dict[str, Any] = {}  # noqa: RUF012
    keeps_voxel_size = True

    def read(self, path: Path) -> np.ndarray:
        """Read the file with another program."""
        raise NotImplementedError

    def path(self, folder: Path) -> Path:
        return folder / self.name

    def target(self, folder: Path) -> Path | str:
        return self.path(folder)

    def create(self, folder: Path, dtype: str = "uint16", **options: Any) -> Any:
        return create_sink(self.target(folder), SHAPE, dtype, **{**self.options, **options})

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
    def test_other_programs_read_what_was_written(self, tmp_path: Path, dtype: str) -> None:
        with self.create(tmp_path, dtype) as sink:
            sink[...] = volume(dtype)
        found = self.read(self.path(tmp_path))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, volume(dtype))
        assert os.listdir(tmp_path) == [self.path(tmp_path).name]

    def test_it_says_what_it_is(self, tmp_path: Path) -> None:
        with self.create(tmp_path) as sink:
            assert isinstance(sink, Sink)
            assert (sink.shape, sink.dtype) == (SHAPE, np.uint16)
            assert sink.write_units is None or len(sink.write_units) == 3
            sink[...] = volume()

    def test_metadata_travel(self, tmp_path: Path) -> None:
        with self.create(tmp_path, voxel_size_um=(2.0, 0.5, 0.25), axes="ZYX") as sink:
            sink[...] = volume()
        source = open_source(self.target(tmp_path))
        assert source.axes == "ZYX"
        assert source.voxel_size_um == ((2.0, 0.5, 0.25) if self.keeps_voxel_size else None)

    def test_it_has_its_name_when_it_is_complete(self, tmp_path: Path) -> None:
        sink = self.create(tmp_path)
        assert not self.path(tmp_path).exists()
        sink[...] = volume()
        assert not self.path(tmp_path).exists()
        sink.commit()
        assert os.listdir(tmp_path) == [self.path(tmp_path).name]
        with pytest.raises(ParameterError, match="complete"):
            sink[...] = 0

    def test_a_block_that_raises_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(KeyError), self.create(tmp_path):
            raise KeyError
        assert os.listdir(tmp_path) == []

    def test_overwriting_is_refused_unless_asked_for(self, tmp_path: Path) -> None:
        with self.create(tmp_path) as sink:
            sink[...] = 1
        with pytest.raises(OutputExistsError):
            self.create(tmp_path)
        with self.create(tmp_path, overwrite=True) as sink:
            sink[...] = volume()
        np.testing.assert_array_equal(self.read(self.path(tmp_path)), volume())
        assert os.listdir(tmp_path) == [self.path(tmp_path).name]

    def test_what_appeared_meanwhile_is_not_replaced(self, tmp_path: Path) -> None:
        sink = self.create(tmp_path)
        sink[...] = 1
        self.path(tmp_path).write_text("somebody's")
        with pytest.raises(OutputExistsError):
            sink.commit()
        sink.discard()
        assert self.path(tmp_path).read_text() == "somebody's"

    def test_of_two_that_write_it_at_once_the_first_to_complete_has_it(self, tmp_path: Path) -> None:
        first, second = self.create(tmp_path), self.create(tmp_path)
        second[...] = 1
        first[...] = volume()
        first.commit()
        with pytest.raises(OutputExistsError, match="The output of this run is in"):
            second.commit()
        np.testing.assert_array_equal(self.read(self.path(tmp_path)), volume())
        self.path(tmp_path).rename(tmp_path / "elsewhere")
        second.commit()
        assert (self.read(self.path(tmp_path)) == 1).all()
        assert sorted(os.listdir(tmp_path)) == sorted(["elsewhere", self.path(tmp_path).name])

    def test_of_two_that_may_overwrite_it_the_last_has_it(self, tmp_path: Path) -> None:
        first, second = self.create(tmp_path, overwrite=True), self.create(tmp_path, overwrite=True)
        second[...] = volume()
        first[...] = 1
        first.commit()
        assert (self.read(self.path(tmp_path)) == 1).all()
        second.commit()
        np.testing.assert_array_equal(self.read(self.path(tmp_path)), volume())
        assert os.listdir(tmp_path) == [self.path(tmp_path).name]

    @pytest.mark.parametrize("end", ["commit", "discard"])
    def test_who_writes_when_its_run_is_over_gets_an_error(self, tmp_path: Path, end: str) -> None:
        sink = self.create(tmp_path)
        if sink.single_writer:
            pytest.skip("nobody else writes")
        sink[...] = volume()
        late, too_late = pickle.loads(pickle.dumps(sink)), pickle.dumps(sink)
        getattr(sink, end)()
        with contextlib.suppress(UnwritableFileError):
            late[...] = volume()  # a map is what it was
        with pytest.raises(MissingFileError, match="no longer exists"):
            pickle.loads(too_late)
        del late
        assert os.listdir(tmp_path) == ([self.path(tmp_path).name] if end == "commit" else [])

    def test_a_place_is_not_to_be_guessed(self, tmp_path: Path) -> None:
        sinks = [self.create(tmp_path) for _ in range(3)]
        assert len({sink.token for sink in sinks}) == 3
        for sink in sinks:
            assert sink.place.folder.stat().st_mode & 0o077 == 0
            sink.discard()

    def test_what_was_written_can_be_read(self, tmp_path: Path) -> None:
        sink = self.create(tmp_path)
        first = tuple(map(slice, self.tiles(tmp_path)))
        sink[first] = volume()[first]
        np.testing.assert_array_equal(sink[first], volume()[first])
        sink[...] = volume()
        for _ in ("as it is made", "as it is complete"):
            assert (sink.shape, sink.dtype) == (SHAPE, np.uint16)
            np.testing.assert_array_equal(sink[2:7, 5, ::3], volume()[2:7, 5, ::3])
            np.testing.assert_array_equal(np.asarray(sink), volume())
            assert np.asarray(sink, dtype="f4").dtype == "f4"
            if sink.is_created:
                sink.commit()
        sink = self.create(tmp_path, overwrite=True)
        sink.discard()
        with pytest.raises(ParameterError, match="has not been created"):
            sink[...]  # not what somebody else has made

    @pytest.mark.parametrize("start_method", ["fork", "forkserver"])
    def test_workers_write_it(self, tmp_path: Path, start_method: str) -> None:
        run = {"tile_shape": self.tiles(tmp_path), "workers": 2, "start_method": start_method}
        result = map_tiles(same, volume(), out=self.plan(tmp_path), **run)
        np.testing.assert_array_equal(result[...], volume())
        np.testing.assert_array_equal(self.read(self.path(tmp_path)), volume())
        assert os.listdir(tmp_path) == [self.path(tmp_path).name]

    def test_a_callers_sink_is_the_callers_to_complete(self, tmp_path: Path) -> None:
        with self.create(tmp_path) as sink:
            result = map_tiles(same, volume(), out=sink, executor="threads", workers=2)
            assert not self.path(tmp_path).exists()
            assert (result.shape, result.dtype) == (SHAPE, np.uint16)
            np.testing.assert_array_equal(result[3:5], volume()[3:5])
            np.testing.assert_array_equal(np.asarray(result), volume())
        np.testing.assert_array_equal(result, volume())
        np.testing.assert_array_equal(self.read(self.path(tmp_path)), volume())

    def plan(self, folder: Path) -> Any:
        return prepare_sink(self.target(folder), SHAPE, **self.options)

    def tiles(self, folder: Path) -> tuple[int, ...]:
        return tuple(self.plan(folder).write_units or (5, 11, 41))

    def test_a_run_goes_on_where_it_failed(self, tmp_path: Path) -> None:
        function, folder = FailsOnce(tmp_path), tmp_path / "out"
        folder.mkdir()
        function.trigger.touch()
        run = {"tile_shape": self.tiles(tmp_path), "pass_tile": True, "retries": 0, "executor": "serial"}
        with pytest.raises(TileError, match="as asked") as kept:  # and with it all that the run had open
            map_tiles(function, volume(), out=self.plan(folder), dtype="uint16", on_error="finish", **run)
        assert not self.path(folder).exists()
        function.trigger.unlink()
        done = function.log.read_text().split()
        map_tiles(function, volume(), out=self.plan(folder), dtype="uint16", resume=True, **run)
        del kept
        assert function.log.read_text().split() == [*done, "3"]
        np.testing.assert_array_equal(self.read(self.path(folder)), volume())
        assert os.listdir(folder) == [self.path(folder).name]

    @pytest.mark.parametrize("n_done", [1, 3, 5])
    def test_a_run_that_was_killed_goes_on(self, tmp_path: Path, n_done: int) -> None:
        folder, number = tmp_path / "out", iter(range(1, 100))
        folder.mkdir()
        run = {"tile_shape": self.tiles(tmp_path), "executor": "serial", "out": self.plan(folder), "dtype": "uint16"}

        def die(event: Any) -> None:
            if isinstance(event, TileDone) and next(number) > n_done:
                os.kill(os.getpid(), signal.SIGKILL)

        code, output = Session(lambda: map_tiles(same, volume(), callbacks=[die], **run)).wait()
        assert code == -signal.SIGKILL, output
        done: list[TileDone] = []
        map_tiles(same, volume(), resume=True, callbacks=[lambda e: isinstance(e, TileDone) and done.append(e)], **run)
        assert len({event.tile.number for event in done} & set(range(n_done))) == 0
        np.testing.assert_array_equal(self.read(self.path(folder)), volume())
        assert os.listdir(folder) == [self.path(folder).name]

    def test_a_full_disk_is_seen_before_any_work(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(file_sink, "free_space", lambda _: 1000)
        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(DiskSpaceError, match="needs .* free") as caught:
            self.create(tmp_path)
        assert caught.value.errno == errno.ENOSPC
        assert os.listdir(tmp_path) == []

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(MissingFileError, match="no such folder"):
            self.create(tmp_path / "missing")
        with pytest.raises(MissingFileError, match="no such folder"):  # before any work
            self.plan(tmp_path / "missing")
        (tmp_path / "file").touch()
        with pytest.raises(MissingFileError, match="no such folder"):
            self.plan(tmp_path / "file")

    @pytest.mark.parametrize("lengths", [(8, 8), (8, 8, 8, 8), (0, 8, 8), 0], ids=str)
    def test_a_wrong_number_of_lengths(self, tmp_path: Path, lengths: Any) -> None:
        for name in ("chunks", "shards"):
            with pytest.raises(ParameterError, match=name):
                prepare_sink(self.target(tmp_path), SHAPE, **{name: lengths})

    def test_numbers_only(self, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match="only numbers"):
            self.create(tmp_path, "O")
        with pytest.raises(ParameterError, match="codec='brotli'"):
            self.create(tmp_path, codec="brotli")

    def test_it_travels_as_a_descriptor(self, tmp_path: Path) -> None:
        with self.create(tmp_path) as sink:
            if not sink.single_writer:
                packed = pickle.dumps(sink)
                assert len(packed) < 4096
                pickle.loads(packed)[...] = volume()
            else:
                sink[...] = volume()
        np.testing.assert_array_equal(self.read(self.path(tmp_path)), volume())
