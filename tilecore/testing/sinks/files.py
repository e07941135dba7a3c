"""The contract of sinks, first part: one file, from its creation to its name."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilecore.errors import DiskSpaceError, MissingFileError, OutputExistsError, ParameterError
from tilecore.formats import file_sink
from tilecore.formats.creating import prepare_sink
from tilecore.formats.opening import open_source
from tilecore.formats.sink import Sink
from tilecore.testing.sinks.file_driver import SHAPE, Driver, volume

__all__ = ["FileContract"]


class FileContract(Driver):
    """A file is written by region, has its name when it is complete, and is removed if it is not."""

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
    def test_other_programs_read_what_was_written(self, tmp_path: Path, dtype: str) -> None:
        """Voxels, and their kind of number."""
        if dtype not in self.dtypes:
            pytest.skip("this kind of file holds no such numbers")
        with self.create(tmp_path, dtype) as sink:
            sink[...] = volume(dtype)
        assert self.read(self.path(tmp_path)).dtype == dtype, "the file must have the dtype that was asked for"
        self.check_written(tmp_path, dtype)

    def test_it_says_what_it_is(self, tmp_path: Path) -> None:
        """Shape, dtype and write units are known before anything is written."""
        with self.create(tmp_path) as sink:
            assert isinstance(sink, Sink), "what is created must be a Sink"
            assert sink.shape == SHAPE and sink.dtype == np.uint16, "shape and dtype must be those asked for"
            units = sink.write_units
            assert units is None or len(units) == 3, "a write unit must have a length along each axis"
            sink[...] = volume()

    def test_metadata_travel(self, tmp_path: Path) -> None:
        """Axes and voxel size are in the file, and read again."""
        with self.create(tmp_path, voxel_size_um=(2.0, 0.5, 0.25), axes="ZYX") as sink:
            sink[...] = volume()
        source = open_source(self.target(tmp_path))
        assert source.axes == "ZYX", "the axes must be read as they were given"
        expected = pytest.approx((2.0, 0.5, 0.25)) if self.keeps_voxel_size else None
        assert source.voxel_size_um == expected, "the voxel size must be read as it was given, in micrometres"
        np.testing.assert_array_equal(source[...], volume(), err_msg="tilecore must read what it has written")

    def test_it_has_its_name_when_it_is_complete(self, tmp_path: Path) -> None:
        """Nobody takes half a file for a whole one."""
        sink = self.create(tmp_path)
        sink[...] = volume()
        assert not self.path(tmp_path).exists(), "a file must not have its name before it is complete"
        sink.commit()
        self.check_alone(tmp_path)
        with pytest.raises(ParameterError, match="complete"):
            sink[...] = 0

    def test_a_block_that_raises_leaves_nothing(self, tmp_path: Path) -> None:
        """A ``with`` block that raises removes the file."""
        with pytest.raises(KeyError), self.create(tmp_path):
            raise KeyError
        assert os.listdir(tmp_path) == [], "a file that is not completed must be removed"

    def test_overwriting_is_refused_unless_asked_for(self, tmp_path: Path) -> None:
        """``overwrite=True`` replaces a file."""
        with self.create(tmp_path) as sink:
            sink[...] = 1
        with pytest.raises(OutputExistsError):
            self.create(tmp_path)
        with self.create(tmp_path, overwrite=True) as sink:
            sink[...] = volume()
        self.check_written(tmp_path)

    def test_what_was_written_can_be_read(self, tmp_path: Path) -> None:
        """Before it is complete, and afterwards."""
        law = "what was written must be read from the sink"
        sink = self.create(tmp_path)
        first = tuple(map(slice, self.tiles(tmp_path)))
        sink[first] = volume()[first]
        np.testing.assert_array_equal(sink[first], volume()[first], err_msg=law)
        sink[...] = volume()
        for _ in ("as it is made", "as it is complete"):
            assert sink.shape == SHAPE and sink.dtype == np.uint16, "shape and dtype must stay what they are"
            np.testing.assert_array_equal(sink[2:7, 5, ::3], volume()[2:7, 5, ::3], err_msg=law)
            np.testing.assert_array_equal(np.asarray(sink), volume(), err_msg=law)
            assert np.asarray(sink, dtype="f4").dtype == "f4", "numpy must get the dtype that it asks for"
            if sink.is_created:
                sink.commit()
        sink = self.create(tmp_path, overwrite=True)
        sink.discard()
        with pytest.raises(ParameterError, match="has not been created"):
            sink[...]  # not what somebody else has made

    def test_a_full_disk_is_seen_before_any_work(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Room is reserved, or at least compared with what is free."""

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(file_sink, "free_space", lambda _: 1000)
        monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(DiskSpaceError, match=r"needs .* free") as caught:
            self.create(tmp_path)
        assert caught.value.errno == errno.ENOSPC, "the error must be the system's own for a full disk"
        assert os.listdir(tmp_path) == [], "a file that has no room must leave nothing"

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        """It is missing before any work, and is not made."""
        with pytest.raises(MissingFileError, match="no such folder"):
            self.create(tmp_path / "missing")
        with pytest.raises(MissingFileError, match="no such folder"):
            self.plan(tmp_path / "missing")
        (tmp_path / "file").touch()
        with pytest.raises(MissingFileError, match="no such folder"):
            self.plan(tmp_path / "file")

    @pytest.mark.parametrize("lengths", [(8, 8), (8, 8, 8, 8), (0, 8, 8), 0], ids=str)
    def test_a_wrong_number_of_lengths(self, tmp_path: Path, lengths: Any) -> None:
        """Chunks and shards have a length for each axis, where the kind of file has them."""
        for name in ("chunks", "shards"):
            with pytest.raises(ParameterError, match=name):
                prepare_sink(self.target(tmp_path), SHAPE, **{name: lengths})

    def test_numbers_only(self, tmp_path: Path) -> None:
        """Objects are no voxels, and a codec must be known."""
        with pytest.raises(ParameterError, match="only numbers"):
            self.create(tmp_path, "O")
        with pytest.raises(ParameterError, match="codec='brotli'"):
            self.create(tmp_path, codec="brotli")
        assert os.listdir(tmp_path) == [], "what is refused must leave nothing"
