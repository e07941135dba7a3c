"""Tests of the document's examples: they run as they stand, with their imports changed, on files made here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.signal import butter, filtfilt

from tilecore.compat.yass import BatchProcessor, RecordingsReader
from tilecore.compat.yass.pipeline import BatchPipeline, PipedTransformation

pytestmark = pytest.mark.filterwarnings("ignore:data_format is an old name:DeprecationWarning")

N_OBSERVATIONS = 200_000
N_CHANNELS = 385
LINES = np.random.default_rng(0).integers(-500, 500, (3, N_OBSERVATIONS)).astype("int16")


def butterworth(ts: Any, low_freq: float, high_factor: float, order: int, sampling_freq: float) -> Any:
    low, high = low_freq / sampling_freq * 2, high_factor * 2
    return filtfilt(*butter(order, [low, high], btype="band"), ts)


def standarize(rec: Any, sampling_freq: float) -> Any:
    return rec / np.median(np.abs(rec[: int(60 * sampling_freq)])) * 0.6745


def sum_one(batch: Any) -> Any:
    return batch + 1


def max_in_channel(batch: Any) -> Any:
    return np.max(batch, axis=0)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home folder with the example's recording: three channels of noise, and zeros that take no room."""
    folder = tmp_path / "data" / "ucl-neuropixel"
    (folder / "tmp").mkdir(parents=True)
    (tmp_path / "data" / "yass").mkdir()
    with (folder / "rawDataSample.bin").open("wb") as file:
        file.write(LINES.tobytes())
        file.truncate(N_OBSERVATIONS * N_CHANNELS * 2)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    plt.close("all")


def _raw() -> str:
    return os.path.expanduser("~/data/ucl-neuropixel/rawDataSample.bin")


def test_multi_channel() -> None:
    bp = BatchProcessor(_raw(), dtype="int16", n_channels=385, data_format="wide", max_memory="300MB")
    shapes = [d.shape for d, _, _ in bp.multi_channel()]
    assert shapes == [(N_OBSERVATIONS, 385)]
    for d, _, idx in bp.multi_channel(from_time=100000, to_time=200000, channels=[0, 1, 2]):
        assert idx == (slice(100000, 200000), [0, 1, 2])
        np.testing.assert_array_equal(d, LINES[:, 100000:].T)
    bp2 = BatchProcessor(_raw(), dtype="int16", n_channels=385, data_format="wide", max_memory="100KB", buffer_size=10)
    n_seen = 0
    for d, idx_local, idx in bp2.multi_channel(from_time=0, to_time=100000, channels=[0, 1, 2]):
        np.testing.assert_array_equal(d[idx_local], LINES.T[idx[0]])
        assert d.nbytes <= 100 * 1024
        n_seen += len(d[idx_local])
    assert n_seen == 100000


def test_multi_channel_apply_disk() -> None:
    path_to_modified_data = os.path.expanduser("~/data/ucl-neuropixel/tmp/modified.bin")
    bp = BatchProcessor(
        _raw(), dtype="int16", n_channels=385, data_format="wide", max_memory="500MB", show_progress_bar=False
    )
    bp.multi_channel_apply(sum_one, mode="disk", output_path=path_to_modified_data, channels=[0, 1, 2])
    raw = RecordingsReader(_raw(), dtype="int16", n_channels=385, data_format="wide")
    filtered = RecordingsReader(path_to_modified_data)
    _, (ax1, ax2) = plt.subplots(2, 1)
    ax1.plot(raw[:2000, 0])
    ax2.plot(filtered[:2000, 0])
    np.testing.assert_array_equal(filtered[:, :], LINES.T + 1)


def test_multi_channel_apply_memory() -> None:
    bp = BatchProcessor(
        _raw(), dtype="int16", n_channels=385, data_format="wide", max_memory="100KB", show_progress_bar=False
    )
    res = bp.multi_channel_apply(max_in_channel, mode="memory", channels=[0, 1, 2])
    assert len(res) == len(list(bp.multi_channel(channels=[0, 1, 2], return_data=False))) == 12
    assert res[0].shape == (3,)
    arr = np.stack(res, axis=0)
    np.testing.assert_array_equal(np.max(arr, axis=0), LINES.max(axis=1))


def test_single_channel() -> None:
    bp = BatchProcessor(_raw(), dtype="int16", n_channels=385, data_format="wide", max_memory="200KB")
    with pytest.raises(ValueError, match="force_complete_channel_batch"):
        for d in bp.single_channel():
            print(d.shape)
    data = bp.single_channel(force_complete_channel_batch=False, channels=[0, 1, 2])
    parts = [(d.shape, ch) for d, ch in data]
    assert parts == [(shape, channel) for channel in range(3) for shape in [(102400,), (97600,)]]
    data = bp.single_channel(from_time=100000, to_time=200000, channels=[0, 1, 2])
    np.testing.assert_array_equal(list(data), LINES[:, 100000:])


def test_single_channel_apply() -> None:
    path_to_filtered_data = os.path.expanduser("~/data/ucl-neuropixel/tmp/filtered.bin")
    bp = BatchProcessor(
        _raw(), dtype="int16", n_channels=385, data_format="wide", max_memory="500MB", show_progress_bar=False
    )
    bp.single_channel_apply(
        butterworth,
        mode="disk",
        output_path=path_to_filtered_data,
        low_freq=300,
        high_factor=0.1,
        order=3,
        sampling_freq=30000,
        channels=[0, 1, 2],
    )
    filtered = RecordingsReader(path_to_filtered_data)
    expected = [butterworth(line, 300, 0.1, 3, 30000) for line in LINES]
    np.testing.assert_array_equal(filtered[:, :], np.transpose(expected))


def test_pipeline(tmp_path: Path) -> None:
    """Of fewer channels, as all are filtered."""
    path_output = os.path.expanduser("~/data/ucl-neuropixel/tmp")
    path_to_neuropixel_data = os.path.join(path_output, "raw.bin")
    LINES[:, :5000].tofile(path_to_neuropixel_data)
    pipeline = BatchPipeline(
        path_to_neuropixel_data,
        dtype="int16",
        n_channels=3,
        data_format="wide",
        max_memory="500MB",
        from_time=None,
        to_time=None,
        channels="all",
        output_path=path_output,
    )
    butterworth_op = PipedTransformation(
        butterworth,
        "filtered.bin",
        mode="single_channel_one_batch",
        keep=True,
        low_freq=300,
        high_factor=0.1,
        order=3,
        sampling_freq=30000,
    )
    standarize_op = PipedTransformation(
        standarize, "standarized.bin", mode="single_channel_one_batch", keep=True, sampling_freq=30000
    )
    pipeline.add([butterworth_op, standarize_op])
    pipeline.run()
    raw = RecordingsReader(path_to_neuropixel_data, dtype="int16", n_channels=3, data_format="wide")
    filtered = RecordingsReader(os.path.join(path_output, "filtered.bin"))
    standarized = RecordingsReader(os.path.join(path_output, "standarized.bin"))
    _, (ax1, ax2, ax3) = plt.subplots(3, 1)
    ax1.plot(raw[:2000, 0])
    ax2.plot(filtered[:2000, 0])
    ax3.plot(standarized[:2000, 0])
    for channel, line in enumerate(LINES[:, :5000]):
        expected = butterworth(line, 300, 0.1, 3, 30000)
        np.testing.assert_array_equal(filtered[:, channel], expected)
        np.testing.assert_array_equal(standarized[:, channel], standarize(expected, 30000))


def test_reader() -> None:
    output_folder = os.path.join(os.path.expanduser("~"), "data/yass")
    wide_data = np.random.default_rng(1).random((50, 30000))
    long_data = wide_data.T
    path_to_wide = os.path.join(output_folder, "wide.bin")
    path_to_long = os.path.join(output_folder, "long.bin")
    wide_data.tofile(path_to_wide)
    long_data.tofile(path_to_long)
    reader_wide = RecordingsReader(path_to_wide, dtype="float64", n_channels=50, data_order="channels")
    reader_long = RecordingsReader(path_to_long, dtype="float64", n_channels=50, data_order="samples")
    assert reader_wide.shape == reader_long.shape == (30000, 50)
    for reader in (reader_wide, reader_long):
        np.testing.assert_array_equal(reader[10000:20000, 20:30], long_data[10000:20000, 20:30])
