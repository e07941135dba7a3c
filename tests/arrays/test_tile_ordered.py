"""Tests of the temporary file between two runs: any box, and the order of its voxels."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore import Box, TileGrid, UnreadableFileError
from tilecore.arrays.tile_ordered import TileOrderedFile

AXES = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(1, 5)), max_size=4)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("file") / "voxels"


def empty_file(path: Path, axes: list[tuple[int, int, int]], dtype: str = "f4") -> TileOrderedFile:
    shape, written, read = (tuple([axis[n] for axis in axes]) for n in range(3))
    file = TileOrderedFile(str(path), shape, np.dtype(dtype), written, read)
    with path.open("wb") as system_file:
        system_file.truncate(file.nbytes)
    return file


def volume_of(file: TileOrderedFile) -> np.ndarray:
    return np.arange(np.prod(file.shape, dtype=int), dtype=file.dtype).reshape(file.shape)


@given(AXES, st.data())
def test_any_boxes_are_written_and_read(path: Path, axes: list[tuple[int, int, int]], data: st.DataObject) -> None:
    file = empty_file(path, axes)
    volume = volume_of(file)
    grid = TileGrid(file.shape, data.draw(st.tuples(*[st.integers(1, 7) for _ in axes])))
    for tile in data.draw(st.permutations(list(grid))):
        file[tile.write.slices] = volume[tile.write.slices]
    assert os.path.getsize(path) == volume.nbytes
    np.testing.assert_array_equal(file[...], volume)
    start = [data.draw(st.integers(0, length - 1)) for length in file.shape]
    stop = [data.draw(st.integers(first, length)) for first, length in zip(start, file.shape, strict=True)]
    box = Box(start, stop)
    np.testing.assert_array_equal(file[box.slices], volume[box.slices])


@given(AXES)
def test_a_tile_that_is_read_is_one_piece(path: Path, axes: list[tuple[int, int, int]]) -> None:
    """In the file lies one tile after the other; in each of them, one part of a written tile after the other."""
    file = empty_file(path, axes, "u2")
    volume = volume_of(file)
    file[...] = volume
    bricks = []
    for tile in TileGrid(file.shape, file.read):
        for other in TileGrid(file.shape, file.written):
            common = tile.write.intersection(other.write)
            if common.size:
                bricks.append(volume[common.slices].ravel())
    np.testing.assert_array_equal(np.fromfile(path, "u2"), np.concatenate(bricks))


def test_it_is_sent_as_its_description(path: Path) -> None:
    file = empty_file(path, [(4, 2, 3)])
    file[1:3] = [5, 6]
    assert len(pickle.dumps(file)) < 1000
    assert pickle.loads(pickle.dumps(file))[1:3].tolist() == [5, 6]


def test_other_numbers_are_converted(path: Path) -> None:
    file = empty_file(path, [(3, 1, 3), (4, 4, 2)], "i4")
    file[...] = np.asfortranarray(np.arange(12, dtype=">u2").reshape(3, 4))
    np.testing.assert_array_equal(file[...], np.arange(12).reshape(3, 4))


def test_a_file_that_was_cut_off_is_told(path: Path) -> None:
    file = empty_file(path, [(4, 2, 3)])
    os.truncate(path, 10)
    with pytest.raises(UnreadableFileError, match="cut off"):
        file[...]
