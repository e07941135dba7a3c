"""Tests of hints about what is read soon: the system reads just these bytes, and nobody waits."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from tilecore import Box, collect_tiles, open_source
from tilecore.formats.source import FileSource

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no hints")

SHAPE, CHUNKS = (4, 512, 512), (1, 256, 256)
VOLUME = np.random.default_rng(0).integers(0, 2**16, SHAPE, "u2")
PAGE = mmap.PAGESIZE


def _zarr(path: Path, **options: Any) -> str:
    array = zarr.create_array(path / "v.zarr", shape=SHAPE, dtype="u2", chunks=CHUNKS, **options)
    array[...] = VOLUME
    return str(path / "v.zarr")


def _n5(path: Path) -> str:
    import tensorstore

    metadata = {
        "dimensions": SHAPE[::-1],
        "blockSize": CHUNKS[::-1],
        "dataType": "uint16",
        "compression": {"type": "gzip"},
    }
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": str(path / "v.n5")}, "metadata": metadata}
    tensorstore.open(spec, create=True).result()[...] = VOLUME.T
    return str(path / "v.n5")


def _tiff(path: Path) -> str:
    tifffile.imwrite(path / "v.tif", VOLUME, tile=(256, 256), compression="zlib", photometric="minisblack")
    return str(path / "v.tif")


def _planes(path: Path) -> str:
    (path / "planes").mkdir()
    for number, plane in enumerate(VOLUME):
        tifffile.imwrite(path / "planes" / f"z{number}.tif", plane, compression="zlib", tile=(256, 256))
    return str(path / "planes")


KINDS: dict[str, Callable[[Path], str]] = {
    "zarr": _zarr,
    "shards": lambda path: _zarr(path, shards=(1, 512, 512)),
    "n5": _n5,
    "tiff": _tiff,
    "planes": _planes,
}


def resident(path: str) -> dict[str, int]:
    """Number of pages in memory of each file that has some."""
    files = [path] if os.path.isfile(path) else [str(each) for each in Path(path).rglob("*") if each.is_file()]
    counts = {}
    for name in files:
        size = os.path.getsize(name)
        if size < PAGE:  # metadata
            continue
        with open(name, "rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY) as mapped:
            address = ctypes.addressof(anchor := ctypes.c_char.from_buffer(mapped))
            pages = (ctypes.c_ubyte * -(-size // PAGE))()
            assert ctypes.CDLL(None).mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages) == 0
            del anchor
            counts[name] = sum(each & 1 for each in pages)
    return {name: count for name, count in counts.items() if count}


def forget(path: str) -> None:
    """Let the system drop what it keeps of the files."""
    for each in [Path(path), *Path(path).rglob("*")]:
        if each.is_file():
            with each.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if resident(path):
        pytest.skip("this file system keeps all that was written in memory")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_expected_is_read_and_nothing_else(kind: str, tmp_path: Path) -> None:
    path = KINDS[kind](tmp_path)
    with open_source(path) as source:
        assert isinstance(source, FileSource)
        _ = source[1:2, :256, :256]  # what is told of a page is known once it was parsed
        forget(path)
        length = 512 if kind == "shards" else 256
        source.expect(Box((1, 0, 0), (2, length, length)))
        deadline = time.monotonic() + 20
        while not (found := resident(path)) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.05)
        found = resident(path)
    assert len(found) == 1
    whole = os.path.getsize(path) if os.path.isfile(path) else 0
    assert whole == 0 or sum(found.values()) * PAGE < whole / 2  # of one file, not all chunks


def test_a_part_of_a_shard_is_left_out(tmp_path: Path) -> None:
    path = KINDS["shards"](tmp_path)
    with open_source(path) as source:
        assert isinstance(source, FileSource)
        _ = source[1:2, :256, :256]
        forget(path)
        source.expect(Box((1, 0, 0), (2, 256, 256)))
        time.sleep(0.05)
        assert resident(path) == {}


def test_a_missing_file_is_left_to_whoever_reads_it(tmp_path: Path) -> None:
    path = Path(KINDS["zarr"](tmp_path))
    with open_source(path) as source:
        assert isinstance(source, FileSource)
        (path / "c" / "1" / "0" / "0").unlink()
        source.expect(Box((1, 0, 0), (2, 256, 256)))


@pytest.mark.parametrize(("executor", "halo"), [("serial", (0, 0, 0)), ("serial", (0, 4, 4)), ("threads", (0, 0, 0))])
def test_each_chunk_is_expected_before_it_is_read(
    executor: str, halo: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Except for those of the first tiles; a chunk that several tiles share is expected until it is decoded."""
    source, deeds = open_source(KINDS["zarr"](tmp_path)), list[tuple[str, Box]]()
    expect, read_into = FileSource.expect, FileSource.read_into

    def expect_and_tell(self: FileSource, box: Box) -> None:
        deeds.append(("expect", box))
        expect(self, box)

    def read_and_tell(self: FileSource, box: Box, out: Any) -> None:
        deeds.append(("read", box))
        read_into(self, box, out)

    monkeypatch.setattr(FileSource, "expect", expect_and_tell)
    monkeypatch.setattr(FileSource, "read_into", read_and_tell)
    monkeypatch.setattr("tilecore.geometry.sharing._UNIT_BYTES", 1)
    options: dict[str, Any] = {"workers": 1} if executor == "threads" else {}
    collect_tiles(np.sum, source, tile_shape=CHUNKS, halo=halo, executor=executor, progress=False, **options)
    source.close()

    def chunk(box: Box) -> tuple[int, ...]:
        return tuple([first // step for first, step in zip(box.start, CHUNKS, strict=True)])

    expected: set[tuple[int, ...]] = set()
    unexpected = []
    for deed, box in deeds:
        if deed == "expect":
            expected.add(chunk(box))
        elif chunk(box) not in expected:
            unexpected.append(chunk(box))
    assert len(expected) >= 15 - len(unexpected)
    assert len(unexpected) <= (8 if any(halo) else 1)  # of two tiles, or one
