"""Tests of `read_boxes`: what slices give, with each chunk decoded once."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from tilecore import (
    BoundsError,
    Box,
    MemoryBudgetError,
    ParameterError,
    UnreadableFileError,
    create_sink,
    machine,
    open_source,
    read_boxes,
    spreading,
)
from tilecore.formats import region_memory
from tilecore.formats.zarr.codecs import ChunkCodec

SHAPE = (2, 19, 33, 30)
VOLUME = np.random.default_rng(3).integers(0, 60000, SHAPE).astype(np.uint16)
CHUNKS = (1, 8, 16, 11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("boxes")
    zarr.create_array(place / "v.zarr", data=VOLUME, chunks=CHUNKS, dimension_names=["c", "z", "y", "x"])
    zarr.create_array(place / "shards.zarr", data=VOLUME, chunks=CHUNKS, shards=(1, 16, 16, 33))
    np.save(place / "v.npy", VOLUME)
    tifffile.imwrite(place / "v.tif", VOLUME, metadata={"axes": "CZYX"}, tile=(16, 16), compression="zlib")
    with h5py.File(place / "v.h5", "w") as file:
        file.create_dataset("v", data=VOLUME, chunks=CHUNKS, compression="gzip")
    return place


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "_BYTES_PER_THREAD", 1)
    monkeypatch.setitem(machine._limits, "threads", 4)


@st.composite
def boxes_in(draw: st.DrawFn, shape: tuple[int, ...] = SHAPE) -> Box:
    ends = [sorted([draw(st.integers(0, length)), draw(st.integers(0, length))]) for length in shape]
    return Box([first for first, _ in ends], [last for _, last in ends])


class Own:
    """An array of somebody's own, of which one part is read at a time."""

    shape, dtype, chunks = SHAPE, VOLUME.dtype, (2, 5, 7, 30)

    def __getitem__(self, slices: Any) -> np.ndarray:
        assert threading.current_thread() is threading.main_thread()
        return VOLUME[slices]


SOURCES: dict[str, Callable[[Path], Any]] = {
    **{name: lambda folder, name=name: folder / name for name in ("v.zarr", "shards.zarr", "v.npy", "v.tif", "v.h5")},
    "zarr": lambda folder: zarr.open_array(folder / "v.zarr", mode="r"),
    "numpy": lambda _: VOLUME,
    "own": lambda _: Own(),
}


@pytest.mark.usefixtures("many_threads")
@pytest.mark.parametrize("name", SOURCES)
@given(boxes=st.lists(boxes_in(), max_size=12))
def test_it_gives_what_slices_give(name: str, boxes: list[Box], folder: Path) -> None:
    found = read_boxes(SOURCES[name](folder), boxes)
    assert len(found) == len(boxes)
    for block, box in zip(found, boxes, strict=True):
        np.testing.assert_array_equal(block, VOLUME[box.slices])
        assert block.dtype == VOLUME.dtype


@pytest.mark.usefixtures("many_threads")
@given(boxes=st.lists(boxes_in((13, 20, 17)), max_size=9))
def test_part_of_a_channel(boxes: list[Box], folder: Path) -> None:
    """Chunks lie where they lie in the file, wherever the part begins."""
    with open_source(folder / "v.zarr", channel=1) as source:
        part = source.cropped(Box((5, 3, 6), (18, 23, 23)))
        for block, box in zip(read_boxes(part, boxes), boxes, strict=True):
            np.testing.assert_array_equal(block, VOLUME[1, 5:18, 3:23, 6:23][box.slices])


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The content of each chunk that was decoded."""
    contents: list[bytes] = []
    original = ChunkCodec._decoded

    def decode(codec: ChunkCodec, content: bytes, *others: Any) -> Any:
        contents.append(content)
        return original(codec, content, *others)

    monkeypatch.setattr(ChunkCodec, "_decoded", decode)
    return contents


@pytest.mark.usefixtures("many_threads")
@pytest.mark.parametrize("name", ["v.zarr", "shards.zarr"])
def test_each_chunk_is_decoded_once(name: str, folder: Path, decoded: list[bytes]) -> None:
    generator = np.random.default_rng(5)
    starts = generator.integers(0, np.array(SHAPE) - (1, 9, 9, 9) + 1, (40, 4)).tolist()
    boxes = [Box(start, np.add(start, (1, 9, 9, 9)).tolist()) for start in starts]
    voxels = [np.argwhere(np.ones(box.shape, bool)) + np.array(box.start) for box in boxes]
    chunks = np.unique(np.concatenate(voxels) // CHUNKS, axis=0)
    read_boxes(folder / name, boxes)
    assert len(decoded) == len(set(decoded)) == len(chunks)


@pytest.mark.usefixtures("many_threads")
def test_few_chunks_are_held_at_once(tmp_path: Path) -> None:
    """However many are read: at most one for each thread."""
    with create_sink(tmp_path / "v.zarr", (48 * 32, 64, 64), np.uint16, chunks=(32, 64, 64), codec="zstd") as sink:
        sink[...] = 7
    boxes = [Box((z, 0, 0), (z + 8, 4, 4)) for z in range(0, 48 * 32 - 8, 4)]
    read_boxes(tmp_path / "v.zarr", boxes[:9])
    tracemalloc.start()
    blocks = read_boxes(tmp_path / "v.zarr", boxes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all((block == 7).all() for block in blocks)
    assert peak < 8 * 32 * 64 * 64 * 2


def test_indices_mean_what_they_mean_to_slices(folder: Path) -> None:
    indices: list[Any] = [1, (..., 3), np.s_[0, -4:, 3:99, ::5], (1, 2, 3, 4), np.s_[:, 5:5], ...]
    for source in (folder / "v.zarr", folder / "v.npy", VOLUME):
        for block, index in zip(read_boxes(source, indices), indices, strict=True):
            np.testing.assert_array_equal(block, VOLUME[index])
            assert isinstance(block, np.ndarray)


@pytest.mark.parametrize("name", SOURCES)
def test_boxes_that_do_not_fit(name: str, folder: Path) -> None:
    source = SOURCES[name](folder)
    wrong: list[tuple[Any, type[Exception]]] = [
        (Box((0, 0, 0, -1), (1, 1, 1, 4)), BoundsError),
        (Box((0, 0, 0, 0), (1, 1, 1, 31)), BoundsError),
        (Box((0,), (1,)), ParameterError),
        ((0, 0, 0, 30), BoundsError),
        (slice(None, None, -1), ParameterError),
    ]
    for box, error in wrong:
        with pytest.raises(error):
            read_boxes(source, [Box((0, 0, 0, 0), (1, 1, 1, 1)), box])


def test_more_than_the_free_memory_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_memory, "available_memory", lambda: 2**27)
    boxes = [Box.of_shape(SHAPE)] * (2**27 // VOLUME.nbytes + 1)
    with pytest.raises(MemoryBudgetError, match="boxes"):
        read_boxes(folder / "v.zarr", boxes)


@pytest.mark.usefixtures("many_threads")
def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    with create_sink(tmp_path / "v.zarr", (8, 8, 8), np.uint16, chunks=(4, 4, 4), codec="zstd") as sink:
        sink[...] = VOLUME[0, :8, :8, :8]
    (tmp_path / "v.zarr" / "c" / "1" / "0" / "1").write_bytes(b"nothing")
    with pytest.raises(UnreadableFileError, match="c/1/0/1"):
        read_boxes(tmp_path / "v.zarr", [Box((0, 0, 0), (8, 8, 8)), Box((1, 1, 1), (8, 8, 8))])
