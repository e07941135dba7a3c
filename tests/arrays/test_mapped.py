"""Tests of `MappedArray`: correct voxels for every box, with few pages in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore import map_tiles
from tilecore.arrays import mapped
from tilecore.arrays.mapped import MappedArray
from tilecore.arrays.pickling import Parcel

SHAPE = (9, 10, 11)


@pytest.fixture(autouse=True)
def _small_pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "few_pages" not in request.node.name:
        monkeypatch.setattr(mapped, "_KEPT_BYTES", 300)
        monkeypatch.setattr(mapped, "_LONG_ROW", 20)


def files(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    volume = np.memmap(folder / "in", dtype="u2", mode="w+", shape=SHAPE)
    volume[...] = np.arange(volume.size).reshape(SHAPE)
    return volume, np.memmap(folder / "out", dtype=">u2", mode="w+", shape=SHAPE, offset=10)


@given(data=st.data())
def test_any_box_is_read_and_written(tmp_path: Path, data: st.DataObject) -> None:
    volume, out = files(tmp_path)
    order = data.draw(st.permutations(range(3)))
    flipped = data.draw(st.booleans())
    source, sink = (array.transpose(order)[:: -1 if flipped else 1] for array in (volume, out))
    ends = [sorted([data.draw(st.integers(0, length)), data.draw(st.integers(0, length))]) for length in source.shape]
    box = tuple(slice(*each) for each in ends)
    block = MappedArray(source)[box]
    np.testing.assert_array_equal(block, source[box])
    out[...] = 0
    MappedArray(sink)[box] = block
    np.testing.assert_array_equal(sink[box], source[box])
    assert np.count_nonzero(out) == np.count_nonzero(block)


def test_travels_as_a_path(tmp_path: Path) -> None:
    volume, out = files(tmp_path)
    remote = Parcel(MappedArray(out)).open()
    remote[0:9, 0:10, 0:11] = np.asarray(volume)
    np.testing.assert_array_equal(out, volume)


def resident(path: Path) -> int:
    """Pages of a file that this process has mapped [byte]."""
    here, total = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            here = line.endswith(str(path))
        elif here and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


def test_few_pages_of_a_large_file_are_kept(tmp_path: Path) -> None:
    path, most = tmp_path / "large", []
    volume = np.memmap(path, dtype="u1", mode="w+", shape=(256, 1024, 1024))

    def look(block: np.ndarray) -> np.ndarray:
        most.append(resident(path))
        return block[:1, :1, :1]

    for tile_shape in [(256, 128, 128), (16, 1024, 1024)]:
        scale = tuple(1 / length for length in tile_shape)
        map_tiles(look, volume, tile_shape=tile_shape, scale=scale, executor="serial", progress=False)
    assert max(most) <= 2 * mapped._KEPT_BYTES + 2**22
