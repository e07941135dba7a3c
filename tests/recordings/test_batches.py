"""Tests of batches: what each has, how they are cut, and what their indices mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recordings.files import LOADERS, ORDERS, made, processor, write
from tilecore.compat.yass import BatchProcessor, RecordingsReader

every_file = pytest.mark.parametrize(("order", "loader"), [(order, each) for order in ORDERS for each in LOADERS])


@every_file
@pytest.mark.parametrize("buffer", [0, 3])
def test_batches_are_data_and_two_indices(tmp_path: Path, order: str, loader: Any, buffer: int) -> None:
    data = made()
    bp = processor(tmp_path, data, order, loader=loader, buffer_size=buffer, max_memory="160B")
    batches = bp.multi_channel()
    assert iter(batches) is batches
    stop = 0
    for block, idx_local, idx in batches:
        n = idx[0].stop - idx[0].start
        assert idx_local == (slice(buffer, buffer + n), slice(None))
        assert idx[0].start == stop
        assert isinstance(idx[1], slice)
        np.testing.assert_array_equal(block[idx_local], data[idx])
        assert block.shape == (n + 2 * buffer, 4)
        assert block.dtype == data.dtype
        stop = idx[0].stop
    assert stop == len(data)


def test_indices_alone(tmp_path: Path) -> None:
    data = made()
    bp = processor(tmp_path, data, max_memory=160)
    alone = list(bp.multi_channel(10, 90, [2, 0], return_data=False))
    assert alone == [idx for _, _, idx in bp.multi_channel(10, 90, [2, 0])]
    assert alone == [(slice(10, 50), [2, 0]), (slice(50, 90), [2, 0])]


@every_file
def test_a_buffer_has_the_recordings_values_and_zeros_only_beyond_its_ends(
    tmp_path: Path, order: str, loader: Any
) -> None:
    data = made()
    bp = processor(tmp_path, data, order, loader=loader, buffer_size=5, max_memory="160B")
    padded = np.pad(data, ((5, 5), (0, 0)))
    for first, stop in [(None, None), (7, 60), (50, 53), (0, 3), (98, 100)]:
        for block, _, idx in bp.multi_channel(first, stop):
            np.testing.assert_array_equal(block, padded[idx[0].start : idx[0].stop + 10])


def test_a_buffer_may_be_longer_than_what_is_selected_and_than_the_recording(tmp_path: Path) -> None:
    data = made(6)
    bp = processor(tmp_path, data, buffer_size=20)
    ((block, idx_local, _),) = bp.multi_channel(2, 4)
    np.testing.assert_array_equal(block, np.pad(data, ((18, 18), (0, 0)))[:42])
    np.testing.assert_array_equal(block[idx_local], data[2:4])


@every_file
@pytest.mark.parametrize("channels", [[3, 0, 2], (1, 2), range(3, -1, -1), np.array([2, 2]), slice(1, 3), -1, 2, "all"])
def test_channels_keep_the_order_that_is_asked_for(tmp_path: Path, order: str, loader: Any, channels: Any) -> None:
    data = made()
    numbers = (
        range(4)
        if isinstance(channels, str)
        else np.atleast_1d(np.arange(4)[channels if isinstance(channels, (int, slice)) else list(channels)])
    )
    chosen = data[:, numbers]
    bp = processor(tmp_path, data, order, loader=loader, max_memory="200B", buffer_size=2)
    batches = list(bp.multi_channel(channels=channels))
    np.testing.assert_array_equal(np.concatenate([block[local] for block, local, _ in batches]), chosen)
    for block, local, idx in batches:
        np.testing.assert_array_equal(block[local], data[idx])
    whole = processor(tmp_path, data, order, loader=loader).single_channel(channels=channels)
    np.testing.assert_array_equal(np.stack(list(whole), axis=1), chosen)


def test_one_channel_by_its_number(tmp_path: Path) -> None:
    data = made()
    bp = processor(tmp_path, data)
    ((block, _, _),) = bp.multi_channel(channels=2)
    assert block.shape == (100, 1)
    (line,) = bp.single_channel(channels=2)
    np.testing.assert_array_equal(line, data[:, 2])
    path, params = bp.single_channel_apply(lambda line: line, "disk", tmp_path / "one.bin", channels=2)
    assert params["n_channels"] == 1
    np.testing.assert_array_equal(RecordingsReader(path)[:, 0], data[:, 2])
    _, params = bp.multi_channel_apply(lambda block: block, "disk", output_path=tmp_path / "two.bin", channels=[3, 1])
    assert params["n_channels"] == 2
    np.testing.assert_array_equal(np.fromfile(tmp_path / "two.bin", "i2").reshape(-1, 2), data[:, [3, 1]])


@every_file
def test_single_channels_take_times_too(tmp_path: Path, order: str, loader: Any) -> None:
    data = made()
    bp = processor(tmp_path, data, order, loader=loader, buffer_size=7)
    lines = list(bp.single_channel(from_time=10, to_time=30, channels=[2, 0]))
    assert [line.shape for line in lines] == [(20,), (20,)]
    np.testing.assert_array_equal(np.stack(lines, axis=1), data[10:30, [2, 0]])


@every_file
def test_parts_of_a_channel_come_in_time_order_before_the_next_channel(tmp_path: Path, order: str, loader: Any) -> None:
    data = made()
    bp = processor(tmp_path, data, order, loader=loader, max_memory=60)
    parts = list(bp.single_channel(force_complete_channel_batch=False, channels=[3, 1]))
    assert [channel for _, channel in parts] == [3] * 4 + [1] * 4
    assert all(type(channel) is int and part.shape in [(30,), (10,)] for part, channel in parts)
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), data[:, [3, 1]].T.ravel())


def test_a_whole_channel_that_does_not_fit_is_refused_in_the_iteration_and_by_apply(tmp_path: Path) -> None:
    bp = processor(tmp_path, made(), max_memory=198)
    batches = bp.single_channel()
    with pytest.raises(ValueError, match="max_memory=198"):
        next(batches)
    with pytest.raises(ValueError, match="force_complete_channel_batch=False"):
        bp.single_channel_apply(np.max, "memory")
    assert len(bp.single_channel_apply(np.max, "memory", force_complete_channel_batch=False)) == 8
    assert len(list(processor(tmp_path, made(), max_memory=200).single_channel())) == 4


@pytest.mark.parametrize(
    ("size", "n_bytes"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("160B", 160),
        ("4K", 4096),
        ("4KB", 4096),
        ("4KiB", 4096),
        ("2M", 2**21),
        ("2MB", 2**21),
        ("1G", 2**30),
        ("1.5GiB", 3 * 2**29),
    ],
)
def test_sizes_of_memory(tmp_path: Path, size: Any, n_bytes: int) -> None:
    data = made(n_bytes // 8 + 1 if n_bytes <= 4096 else 10)
    bp = processor(tmp_path, data, max_memory=size)
    assert bp.max_memory == n_bytes
    lengths = [len(block) for block, _, _ in bp.multi_channel()]
    assert lengths == ([n_bytes // 8, 1] if n_bytes <= 4096 else [10])


@pytest.mark.parametrize("size", ["1 parsec", "", "GB", "-1KB", -1, 1.5, None, "1e3"])
def test_other_sizes_are_refused(tmp_path: Path, size: Any) -> None:
    with pytest.raises(ValueError, match="max_memory"):
        processor(tmp_path, made(), max_memory=size)


def test_a_batch_fits_into_the_memory_with_its_buffer(tmp_path: Path) -> None:
    bp = processor(tmp_path, made(), max_memory=8 * 20, buffer_size=5)
    assert [block.shape[0] for block, _, _ in bp.multi_channel()] == [20] * 10
    assert max(block.nbytes for block, _, _ in bp.multi_channel(channels=[0])) <= 160


def test_batches_are_copies_that_may_be_written_into(tmp_path: Path) -> None:
    data = made()

    def clear(block: Any) -> Any:
        block[...] = 0
        return block

    for loader in LOADERS:
        bp = processor(tmp_path, data, loader=loader, max_memory=160, buffer_size=2)
        for block, _, _ in bp.multi_channel():
            clear(block)
        for line in processor(tmp_path, data, loader=loader).single_channel():
            clear(line)
        for processes in (1, 2):
            bp.multi_channel_apply(clear, "memory", processes=processes)
            bp.single_channel_apply(clear, "memory", force_complete_channel_batch=False, processes=processes)
        np.testing.assert_array_equal(bp.reader[:, :], data)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "raw.bin", "i2").reshape(data.shape), data)


def test_the_processors_reader(tmp_path: Path) -> None:
    bp = processor(tmp_path, made())
    assert isinstance(bp.reader, RecordingsReader)
    assert (bp.reader.observations, bp.reader.channels, bp.reader.shape) == (100, 4, (100, 4))


@pytest.mark.parametrize("name", ["raw", "raw.dat", "raw.tif", "raw.npy", "raw.zarr", "raw [1].h5", "raw*.bin"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    data = made()
    write(tmp_path / name, data)
    bp = BatchProcessor(tmp_path / name, "int16", 4, "samples", show_progress_bar=False)
    ((block, _, _),) = bp.multi_channel()
    np.testing.assert_array_equal(block, data)
