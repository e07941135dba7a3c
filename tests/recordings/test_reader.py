"""Tests of readers of recordings' files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recordings.files import LOADERS, ORDERS, made, write
from tilecore.compat.yass import BatchPipeline, BatchProcessor, BinaryReader, MemoryMap, RecordingsReader

DATA = made(50, 6)

SLICES: list[Any] = [
    (slice(None), slice(None)),
    (slice(3, 9), slice(1, 4)),
    (slice(-7, None), slice(-2, None)),
    (slice(None, 1000), slice(4, 1000)),
    (slice(40, 1000), 2),
    (slice(9, 3), slice(None)),
    (slice(2, 5), -1),
]
INDICES: list[Any] = [
    *SLICES,
    7,
    slice(2, 30, 4),
    (slice(None, None, -3), slice(None, None, 2)),
    (5, 2),
    (5, slice(None)),
    ([3, 1, 40], slice(None)),
    (slice(None), [5, 0, 3]),
    (np.array([3, 1]), np.array([2, 4])),
    (slice(None), np.array([True, False, True, False, False, True])),
    np.arange(50) % 7 == 0,
    (np.arange(50) % 7 == 0, 3),
    (..., 1),
]


@pytest.fixture(params=ORDERS)
def order(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def reader(folder: Path, order: str, **options: Any) -> RecordingsReader:
    return RecordingsReader(write(folder / "raw.bin", DATA, order), "int16", 6, order, **options)


@pytest.mark.parametrize("loader", ["memmap", "array"])
def test_indexing_follows_numpy(tmp_path: Path, order: str, loader: Any) -> None:
    found = reader(tmp_path, order, loader=loader)
    for index in INDICES:
        np.testing.assert_array_equal(found[index], DATA[index], strict=True, err_msg=repr(index))
        np.testing.assert_array_equal(found.data[index], DATA[index])


def test_plain_reads_take_slices_and_channels(tmp_path: Path, order: str) -> None:
    found = reader(tmp_path, order, loader="python")
    for index in [*SLICES, slice(4, 8), 7, (7, 3)]:
        np.testing.assert_array_equal(found[index], DATA[index], strict=True, err_msg=repr(index))
    with pytest.raises(NotImplementedError):
        found[::2, :]


@pytest.mark.parametrize("loader", LOADERS)
def test_what_a_reader_tells(tmp_path: Path, order: str, loader: Any) -> None:
    found = reader(tmp_path, order, loader=loader)
    assert (found.shape, found.observations, found.channels, len(found)) == ((50, 6), 50, 6, 50)
    assert isinstance(found.dtype, np.dtype)
    assert (found.dtype, found.data_order) == (np.dtype("int16"), order)
    assert (found.data.shape, found.data.dtype) == ((50, 6), np.dtype("int16"))
    np.testing.assert_array_equal(found.data[10:20, 1:3], DATA[10:20, 1:3])
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again[:, 2], DATA[:, 2])


def test_the_array_loader_has_all_of_it_at_once(tmp_path: Path, order: str) -> None:
    found = reader(tmp_path, order, loader="array")
    assert type(found.data) is np.ndarray
    chosen = found[:, [4, 1]]
    chosen[...] = 0
    np.testing.assert_array_equal(found[:, :], DATA)
    found.data[3, 2] = 77
    assert found[3, 2] == 77
    bp = BatchProcessor(tmp_path / "raw.bin", "int16", 6, order, loader="array", show_progress_bar=False)
    bp.reader.data[3, 2] = 77
    ((block, _, _),) = bp.multi_channel()
    assert block[3, 2] == 77, "the array is used as the recording itself"


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("buffer", [0, 4, 100])
def test_a_buffer_and_where_the_data_is_in_it(tmp_path: Path, order: str, loader: Any, buffer: int) -> None:
    found = reader(tmp_path, order, loader=loader, buffer_size=buffer, return_data_index=True)
    padded = np.pad(DATA, ((buffer, buffer), (0, 0)))
    for first, stop in [(0, 50), (10, 20), (48, 50), (0, 1), (30, 30)]:
        for columns in (slice(None), slice(1, 3), 2):
            data, index = found[first:stop, columns]
            assert index == (slice(buffer, buffer + stop - first), slice(None))
            np.testing.assert_array_equal(data, padded[first : stop + 2 * buffer, columns], strict=True)
    plain = reader(tmp_path, order, loader=loader, buffer_size=buffer)
    np.testing.assert_array_equal(plain[45:1000, :], padded[45 : 50 + 2 * buffer])


def test_a_buffer_needs_a_slice(tmp_path: Path) -> None:
    found = reader(tmp_path, "samples", buffer_size=2)
    for rows in (3, [1, 2], slice(None, None, 2)):
        with pytest.raises(ValueError, match="slice without a step"):
            found[rows, :]


@pytest.mark.parametrize("dtype", ["int16", np.dtype(">i2"), np.float32, ">f8", "uint8"])
@pytest.mark.parametrize("loader", LOADERS)
def test_any_dtype_and_any_suffix(tmp_path: Path, order: str, dtype: Any, loader: Any) -> None:
    data = made(20, 3, "uint8").astype(dtype)
    path = write(tmp_path / "recording", data, order)
    for place in (path, str(path)):
        found = RecordingsReader(place, dtype, 3, order, loader=loader)
        np.testing.assert_array_equal(found[:, :], data, strict=True)


def test_an_old_keyword_of_the_order_warns_where_it_is_used(tmp_path: Path) -> None:
    for old, order in [("wide", "channels"), ("long", "samples")]:
        path = write(tmp_path / f"{old}.bin", DATA, order)
        for make in (RecordingsReader, BatchProcessor, BatchPipeline):
            with pytest.warns(DeprecationWarning, match="data_format") as warned:
                made_of = make(path, dtype="int16", n_channels=6, data_format=old)
            assert [warning.filename for warning in warned] == [__file__]
            if isinstance(made_of, RecordingsReader):
                np.testing.assert_array_equal(made_of[:, :], DATA)


def test_an_old_yaml_is_read_and_all_three_parameters_count_beside_one(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.bin", DATA, "channels")
    beside = tmp_path / "raw.yaml"
    beside.write_text("{dtype: int16, n_channels: 6, data_format: wide}")
    np.testing.assert_array_equal(RecordingsReader(path)[:, :], DATA)
    np.testing.assert_array_equal(RecordingsReader(path, n_channels=6)[:, :], DATA)
    for text in ("{n_channels: 6}", "{other: things}", "- a list", "", "\x00: ["):
        beside.write_text(text)
        np.testing.assert_array_equal(RecordingsReader(path, "<i2", 6, "channels")[:, :], DATA)
    beside.write_text("{n_channels: 6}")
    np.testing.assert_array_equal(RecordingsReader(path, "int16", data_order="channels")[:, :], DATA)


def test_a_yaml_is_data_not_code(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.bin", DATA)
    (tmp_path / "raw.yaml").write_text(f"!!python/object/apply:pathlib.Path.touch [{tmp_path / 'made'}]")
    with pytest.raises(ValueError, match="YAML"):
        RecordingsReader(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("order", ["C", "F"])
def test_binary_reader(tmp_path: Path, order: Any) -> None:
    path = tmp_path / "numbers"
    DATA.ravel(order=order).tofile(path)
    found = BinaryReader(path, "int16", (50, 6), order)
    assert (len(found), found.shape, found.dtype) == (50, (50, 6), np.dtype("int16"))
    for index in [*SLICES, (3, 2), (3, slice(1, 4)), (-1, slice(None))]:
        np.testing.assert_array_equal(found[index], DATA[index], strict=True, err_msg=repr(index))
    rows, columns = (slice(2, 40), [4, 0, 3]), ([9, 2, 2, 30], slice(1, 5))
    taken, other = (columns, rows) if order == "C" else (rows, columns)
    np.testing.assert_array_equal(found[taken], DATA[taken], strict=True)
    with pytest.raises(NotImplementedError):
        found[other]
    for keys in (3, slice(None), (1, 2, 3)):
        with pytest.raises(ValueError, match="rows and columns"):
            found[keys]
    for beyond in ((50, 0), (0, 6), (-51, 0)):
        with pytest.raises(IndexError):
            found[beyond]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found))[:, :], DATA)


def test_binary_reader_reads_columns_first_unless_told_and_knows_two_orders(tmp_path: Path) -> None:
    DATA.ravel(order="F").tofile(tmp_path / "numbers")
    np.testing.assert_array_equal(BinaryReader(tmp_path / "numbers", "int16", (50, 6))[:, :], DATA)
    with pytest.raises(ValueError, match="'C' or 'F'"):
        BinaryReader(tmp_path / "numbers", "int16", (50, 6), "A")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="600 bytes"):
        BinaryReader(tmp_path / "numbers", "int16", (51, 6))


def test_memory_map_is_a_memmap_for_each_access(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.bin", DATA)
    for found in (
        MemoryMap(path, "int16", "r", shape=(50, 6)),
        MemoryMap(str(path), dtype="int16", mode="r", shape=(50, 6)),
        MemoryMap(path, "int16", "r+", 0, (50, 6), "C"),
    ):
        assert (found.shape, found.dtype, found.ndim, found.size) == ((50, 6), np.dtype("int16"), 2, 300)
        assert len(found) == 50
        assert found[0] is not found[0]
        np.testing.assert_array_equal(found, DATA)
        for index in INDICES:
            np.testing.assert_array_equal(found[index], DATA[index])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(found))[3], DATA[3])
    part = MemoryMap(path, "int16", "r", offset=24, shape=(4, 6), order="F")
    np.testing.assert_array_equal(part[:, :], DATA[2:6].reshape(6, 4).T)
    assert MemoryMap(path, "int16", "r").shape == (300,)


def test_memory_map_makes_and_writes_a_file_once(tmp_path: Path) -> None:
    made_file = MemoryMap(tmp_path / "new.bin", "float32", "w+", shape=(4, 3))
    made_file[1, :] = [1, 2, 3]
    made_file[:, 2] = 7
    np.testing.assert_array_equal(np.fromfile(tmp_path / "new.bin", "f4"), [0, 0, 7, 1, 2, 7, 0, 0, 7, 0, 0, 7])
