"""Tests of HDF5 chunks that are decoded on several threads: always what the library itself reads."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore import Box, UnreadableFileError, machine, open_source, spreading
from tilecore.formats.hdf5 import regions

h5py = pytest.importorskip("h5py", reason="HDF5 is optional")

SHAPE, CHUNKS = (11, 20, 17), (4, 7, 8)
DTYPES = ["u1", "<u2", ">u2", "<i4", ">i8", "f2", "<f4", ">f8", "c8", "?"]
CACHE_BYTES = regions._cache_bytes
VALUES = np.random.default_rng(1).integers(0, 250, SHAPE)


@pytest.fixture(autouse=True)
def by_library(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    """Reads of little voxels use threads, too; the mock tells what was left to the library."""
    monkeypatch.setattr(spreading, "_BYTES_PER_THREAD", 1)
    monkeypatch.setitem(machine._limits, "threads", 3)
    monkeypatch.setattr(regions, "_cache_bytes", lambda _: 0)
    read = mock.Mock(side_effect=regions._read_by_library)
    monkeypatch.setattr(regions, "_read_by_library", read)
    return read


def write(path: Path, dtype: str = "<u2", **options: Any) -> str:
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=VALUES.astype(dtype), chunks=CHUNKS, **options)
    return f"{path}:/v"


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kind_of_number(dtype: str, shuffle: bool, tmp_path: Path, by_library: mock.Mock) -> None:
    with open_source(write(tmp_path / "v.h5", dtype, compression="gzip", shuffle=shuffle)) as source:
        for index in (..., np.s_[2:9, 3:19, 1:16], 5, np.s_[:, :, 16:]):
            np.testing.assert_array_equal(source[index], VALUES.astype(dtype)[index])
    assert not by_library.called


@given(ends=st.tuples(*[st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted) for n in SHAPE]))
def test_any_box(ends: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any_box.h5"
    place = f"{path}:/v" if path.exists() else write(path, compression="gzip", shuffle=True)
    box = Box([first for first, _ in ends], [last for _, last in ends])
    with open_source(place) as source:
        np.testing.assert_array_equal(source[box.slices], VALUES[box.slices])


@pytest.mark.parametrize(
    "options", [{"fletcher32": True}, {"scaleoffset": 8}, {"compression": "lzf"}, {"compression": None}], ids=str
)
def test_other_filters_are_left_to_the_library(options: dict[str, Any], tmp_path: Path, by_library: mock.Mock) -> None:
    with open_source(write(tmp_path / "v.h5", **{"compression": "gzip"} | options)) as source:
        np.testing.assert_array_equal(source[...], VALUES)
    assert by_library.called


def test_unusual_chunks_are_left_to_the_library(tmp_path: Path, by_library: mock.Mock) -> None:
    """One that was never written, and one that is stored without its compression."""
    with h5py.File(tmp_path / "v.h5", "w") as file:
        found = file.create_dataset("v", SHAPE, "<u2", chunks=CHUNKS, compression="gzip", shuffle=True, fillvalue=9)
        found[4:] = VALUES[4:]
        found.id.write_direct_chunk((0, 7, 0), VALUES[:4, 7:14, :8].astype("<u2").tobytes(), filter_mask=3)
        expected = found[...]
    assert {9, *VALUES[:4, 7:14, :8].flat} == set(expected[:4].flat)
    with open_source(tmp_path / "v.h5") as source:
        np.testing.assert_array_equal(source[...], expected)
    assert by_library.call_count == 9


def test_what_the_library_keeps_is_left_to_it(
    tmp_path: Path, by_library: mock.Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regions, "_cache_bytes", CACHE_BYTES)
    with open_source(write(tmp_path / "v.h5", compression="gzip")) as source:
        source[...]
    assert by_library.called


@pytest.mark.parametrize("content", [b"no gzip", zlib.compress(bytes(99)), zlib.compress(bytes(10**6))], ids=len)
def test_damaged_chunks_are_no_voxels(content: bytes, tmp_path: Path) -> None:
    place = write(tmp_path / "v.h5", compression="gzip")
    with h5py.File(tmp_path / "v.h5", "r+") as file:
        file["v"].id.write_direct_chunk((4, 7, 8), content)
    with open_source(place) as source:
        np.testing.assert_array_equal(source[:4], VALUES[:4])
        with pytest.raises(UnreadableFileError, match=r"v\.h5"):
            source[...]
