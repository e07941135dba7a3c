"""The contract of sinks, second part: several that write at once."""

from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tilecore.errors import MissingFileError, OutputExistsError, UnwritableFileError
from tilecore.testing.sinks.file_driver import Driver, volume

__all__ = ["WriterContract"]

_LAST = "the last one that may overwrite must have the name"


class WriterContract(Driver):
    """Processes write one sink together; sinks of one name do not disturb each other."""

    def test_it_travels_as_a_descriptor(self, tmp_path: Path) -> None:
        """Another process opens what the first has created."""
        with self.create(tmp_path) as sink:
            if not sink.single_writer:
                packed = pickle.dumps(sink)
                assert len(packed) < 4096, "a sink must travel as a small descriptor, not as data"
                pickle.loads(packed)[...] = volume()
            else:
                sink[...] = volume()
        self.check_written(tmp_path)

    def test_what_appeared_meanwhile_is_not_replaced(self, tmp_path: Path) -> None:
        """Somebody else's file stays."""
        sink = self.create(tmp_path)
        sink[...] = 1
        self.path(tmp_path).write_text("somebody's")
        with pytest.raises(OutputExistsError):
            sink.commit()
        sink.discard()
        assert self.path(tmp_path).read_text() == "somebody's", "a file of somebody else must not be replaced"

    def test_of_two_that_write_it_at_once_the_first_to_complete_has_it(self, tmp_path: Path) -> None:
        """The other ends in an error, and its voxels are not lost."""
        first, second = self.create(tmp_path), self.create(tmp_path)
        second[...] = 1
        first[...] = volume()
        first.commit()
        with pytest.raises(OutputExistsError, match="The output of this run is in"):
            second.commit()
        law = "the first to complete must have the name"
        np.testing.assert_array_equal(self.read(self.path(tmp_path)), volume(), err_msg=law)
        self.path(tmp_path).rename(tmp_path / "elsewhere")
        second.commit()
        assert (self.read(self.path(tmp_path)) == 1).all(), "the other must not have lost its voxels"
        self.check_alone(tmp_path, "elsewhere")

    def test_of_two_that_may_overwrite_it_the_last_has_it(self, tmp_path: Path) -> None:
        """Each is whole."""
        first, second = self.create(tmp_path, overwrite=True), self.create(tmp_path, overwrite=True)
        second[...] = volume()
        first[...] = 1
        first.commit()
        assert (self.read(self.path(tmp_path)) == 1).all(), _LAST
        second.commit()
        np.testing.assert_array_equal(self.read(self.path(tmp_path)), volume(), err_msg=_LAST)
        self.check_alone(tmp_path)

    @pytest.mark.parametrize("end", ["commit", "discard"])
    def test_who_writes_when_its_run_is_over_gets_an_error(self, tmp_path: Path, end: str) -> None:
        """A worker that is late writes into no file of others, and brings nothing back."""
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
        expected = [self.path(tmp_path).name, *self.beside] if end == "commit" else []
        assert sorted(os.listdir(tmp_path)) == sorted(expected), "a late worker must bring nothing back"

    def test_a_place_is_not_to_be_guessed(self, tmp_path: Path) -> None:
        """Until it is complete a file lies where nobody else looks or writes."""
        sinks = [self.create(tmp_path) for _ in range(3)]
        assert len({sink.token for sink in sinks}) == 3, "each sink must have a place of its own"
        for sink in sinks:
            assert sink.place.folder.stat().st_mode & 0o077 == 0, "the place must be closed to others"
            sink.discard()
