"""Tests of `map_batches`: the result in batches is that of the whole recording, bit for bit."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal

from tests.runs import CancelAfter
from tilecore import (
    AlignmentError,
    Event,
    JournalError,
    MemoryBudgetError,
    OutputExistsError,
    ParameterError,
    ParameterTypeError,
    RunCancelledError,
    TileDone,
    TileError,
    open_source,
)
from tilecore.compat.yass import RecordingsReader
from tilecore.recordings import Recording, map_batches, open_recording


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(0).integers(-500, 500, (2000, 7)).astype(np.int16)


@pytest.fixture
def recording(numbers: np.ndarray, tmp_path: Path) -> Iterator[Recording]:
    numbers.tofile(tmp_path / "raw.bin")
    with open_recording(tmp_path / "raw.bin", "int16", 7, "samples", rate=1000, gains_uv=0.25) as opened:
        yield opened


def smooth(data: np.ndarray) -> np.ndarray:
    result: np.ndarray = ndimage.uniform_filter1d(data.astype(np.float32), 9, axis=0, mode="constant")
    return result


def test_a_filter_with_a_buffer_gives_what_it_gives_on_the_whole(
    run: dict[str, Any], recording: Recording, numbers: np.ndarray
) -> None:
    for length in (None, 13, 700, 5000):
        found = map_batches(smooth, recording, buffer=4, batch_length=length, progress=False, **run)
        np.testing.assert_array_equal(found, smooth(numbers))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_geometry(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 5)))
    numbers = np.random.default_rng(0).integers(-99, 99, shape)
    array = np.asfortranarray(numbers) if data.draw(st.booleans()) else numbers
    cut = data.draw(st.integers(0, shape[0]))
    parts = [array[:cut], array[cut:]] if data.draw(st.booleans()) else array
    first = data.draw(st.integers(0, shape[0] - 1))
    stop = data.draw(st.integers(first + 1, shape[0]))
    channels = data.draw(st.lists(st.integers(-shape[1], shape[1] - 1), min_size=1, max_size=6))
    buffer = data.draw(st.integers(0, 9))
    length = data.draw(st.one_of(st.none(), st.integers(1, 45)))

    def window(block: np.ndarray) -> np.ndarray:
        return ndimage.correlate1d(block, np.arange(1, 2 * buffer + 2), axis=0, mode="constant")

    found = map_batches(
        window,
        parts,
        buffer=buffer,
        batch_length=length,
        from_time=first,
        to_time=stop,
        channels=channels,
        executor="serial",
    )
    np.testing.assert_array_equal(found, window(numbers)[first:stop, channels])


@pytest.mark.parametrize("name", ["out.bin", "out.dat", "out.npy", "out.zarr", "out.h5"])
def test_outputs_of_every_kind(name: str, recording: Recording, numbers: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / name
    found = map_batches(smooth, recording, buffer=4, out=out, workers=2, progress=False)
    np.testing.assert_array_equal(np.asarray(found[:]), smooth(numbers))
    np.testing.assert_array_equal(open_recording(out)[:], smooth(numbers))
    assert set(os.listdir(tmp_path)) - {"raw.bin", out.with_suffix(".yaml").name} == {name}


@pytest.mark.parametrize("name", ["out.bin", "out.dat", "out.zarr", "out.h5"])
@pytest.mark.parametrize("in_uv", [False, True])
def test_outputs_keep_what_the_numbers_mean(name: str, in_uv: bool, recording: Recording, tmp_path: Path) -> None:
    told = replace(recording, channel_names=tuple("abcdefg"), gains_uv=(0.25, None, 2.0, 0.5, 0.5, 0.5, 0.5))
    given = told.in_uv() if in_uv else told
    map_batches(smooth, given, buffer=4, channels=[2, 1, 0], out=tmp_path / name, executor="serial")
    with open_recording(tmp_path / name) as written:
        assert (written.rate, written.channel_names, written.is_in_uv) == (1000, ("c", "b", "a"), in_uv)
        assert written.gains_uv == (() if in_uv else (2.0, None, 0.25))
    map_batches(smooth, tmp_path / name, buffer="4 ms", out=tmp_path / f"again{name[3:]}", executor="serial")
    with open_recording(tmp_path / f"again{name[3:]}", rate=500) as again:
        assert (again.rate, again.channel_names, again.gains_uv) == (500, ("c", "b", "a"), written.gains_uv)


@pytest.mark.parametrize("name", ["out.bin", "out.zarr"])
@pytest.mark.parametrize("n_columns", [2, 0])
def test_of_other_columns_than_the_channels_only_the_rate_is_known(
    name: str, n_columns: int, recording: Recording, tmp_path: Path
) -> None:
    def fewer(data: np.ndarray) -> np.ndarray:
        return data[:, :2] if n_columns else data[:, 0]

    map_batches(fewer, recording, n_columns=n_columns, out=tmp_path / name, executor="serial")
    source = open_source(tmp_path / name)
    if name == "out.zarr":
        assert source.info.recorded.attributes == {"rate_hz": 1000}
    else:
        with open_recording(tmp_path / name) as written:
            assert (written.rate, written.channel_names, written.gains_uv) == (1000, (), ())


def test_attributes_that_mean_something_else_are_left_out(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "r.zarr", shape=(20, 3), dtype="i2", fill_value=0)
    array[:] = 1
    array.attrs.update({"rate_hz": "fast", "gains_uv": [1, 2], "unit": {"a": 1}, "channel_names": ["x"]})
    with open_recording(tmp_path / "r.zarr") as recording:
        assert (recording.rate, recording.gains_uv, recording.is_in_uv, recording.channel_names) == (
            None,
            (),
            False,
            (),
        )


@pytest.mark.parametrize("opens", [open_recording, open_source])
def test_the_yaml_file_is_read_once(opens: Any, recording: Recording, tmp_path: Path, monkeypatch: Any) -> None:
    map_batches(smooth, recording, buffer=4, out=tmp_path / "out.bin", executor="serial")
    reads, read_text = [], Path.read_text

    def noted(path: Path, *args: Any, **kwargs: Any) -> str:
        reads.append(path.name)
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", noted)
    opens(tmp_path / "out.bin")
    assert reads == ["out.yaml"]


def test_other_programs_read_what_was_written(recording: Recording, numbers: np.ndarray, tmp_path: Path) -> None:
    for name in ("o.bin", "o.npy", "o.zarr"):
        map_batches(smooth, recording, buffer=4, out=tmp_path / name, executor="serial")
    expected = smooth(numbers)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "o.bin", "float32").reshape(-1, 7), expected)
    np.testing.assert_array_equal(RecordingsReader(tmp_path / "o.bin")[:, :], expected)
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), expected)
    np.testing.assert_array_equal(np.asarray(zarr.open_array(tmp_path / "o.zarr", mode="r")[:]), expected)
    assert open_source(tmp_path / "o.zarr").axes == "TC"


def test_results_of_fewer_columns_or_none(recording: Recording, numbers: np.ndarray, run: dict[str, Any]) -> None:
    pair = map_batches(lambda data: data[:, [0, 3]], recording, n_columns=2, buffer=3, progress=False, **run)
    np.testing.assert_array_equal(pair, numbers[:, [0, 3]])
    line = map_batches(lambda data: data.max(axis=1), recording, n_columns=0, progress=False, **run)
    np.testing.assert_array_equal(line, numbers.max(axis=1))


def test_results_without_the_buffer_are_taken_too(recording: Recording, numbers: np.ndarray) -> None:
    found = map_batches(lambda data: data[5:-5], recording, buffer=5, batch_length=100, executor="serial")
    np.testing.assert_array_equal(found, numbers)


@pytest.mark.parametrize(
    "time", [50, "50ms", "0.05 s", "50000 us", dt.timedelta(milliseconds=50), np.timedelta64(50, "ms")]
)
def test_lengths_of_time_are_given_in_observations_or_with_a_unit(
    time: Any, recording: Recording, numbers: np.ndarray
) -> None:
    sizes = []

    def note(data: np.ndarray) -> np.ndarray:
        sizes.append(len(data))
        return data

    times = {"from_time": time, "to_time": "1 s", "buffer": time, "batch_length": time}
    found = map_batches(note, recording, executor="serial", **times)
    np.testing.assert_array_equal(found, numbers[50:1000])
    assert set(sizes) == {150}


@pytest.mark.parametrize("name", ["buffer", "batch_length", "from_time", "to_time"])
@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("5", "unit"),
        ("5 parsecs", "unit"),
        ("-5 ms", "unit"),
        (-5, "-5"),
        (2.5, "2.5"),
        ([], ""),
        (np.timedelta64(5, "M"), "unit"),
        (np.timedelta64("NaT", "s"), "no recording"),
        ("9" * 30 + "s", "no recording"),
        ("9" * 400 + "s", "no recording"),
        ("1 us", "less than one"),
    ],
)
def test_wrong_times_are_refused(name: str, time: Any, reason: str, recording: Recording) -> None:
    with pytest.raises((ParameterError, ParameterTypeError), match=f"{name}.*{reason}"):
        map_batches(np.abs, recording, **{name: time})


def test_a_time_needs_a_rate(numbers: np.ndarray) -> None:
    with pytest.raises(ParameterError, match="buffer='5 ms'.*rate="):
        map_batches(np.abs, numbers, buffer="5 ms")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"from_time": 5, "to_time": 5}, "from_time"),
        ({"to_time": 2001}, "to_time"),
        ({"channels": 7}, "channels"),
        ({"channels": []}, "channels"),
        ({"batch_length": 0}, "batch_length"),
        ({"channels": [True] * 7}, "channels"),
        ({"n_columns": -1}, "n_columns"),
        ({"max_memory": "4MB", "batch_length": None, "buffer": 1_000_000_000}, "memory"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_output(
    options: dict[str, Any], reason: str, recording: Recording, tmp_path: Path
) -> None:
    with pytest.raises((ParameterError, ParameterTypeError, MemoryBudgetError), match=reason):
        map_batches(np.abs, recording, out=tmp_path / "out.bin", executor="serial", **options)
    assert os.listdir(tmp_path) == ["raw.bin"]


@pytest.mark.parametrize("name", ["out.zarr", "out.h5", "out.npy", "out.bin"])
@pytest.mark.parametrize("length", ["0.7 s", 13, 1009])
def test_a_new_file_fits_any_length_of_batches(
    name: str, length: Any, recording: Recording, numbers: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / name
    map_batches(smooth, recording, buffer=4, batch_length=length, out=out, executor="threads", workers=2)
    with open_recording(out) as written:
        np.testing.assert_array_equal(written[:], smooth(numbers))


def test_batches_that_share_a_chunk_are_refused_in_their_own_words(recording: Recording, tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "o.zarr", shape=(2000, 7), chunks=(64, 7), dtype="f4")
    with pytest.raises(AlignmentError, match=r"^\(batch_length, channels\)=\(100, 7\).*use \(64, 7\) or \(128, 7\)"):
        map_batches(smooth, recording, buffer=4, batch_length=100, out=array, executor="serial")
    found = map_batches(smooth, recording, buffer=4, batch_length=128, out=array, executor="serial")
    np.testing.assert_array_equal(np.asarray(found[:]), smooth(recording[:]))


def test_a_result_of_another_length_names_the_batch_and_leaves_no_file(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(TileError, match="shape"):
        map_batches(lambda data: data[::2], recording, batch_length=100, out=tmp_path / "out.bin", workers=2)
    assert [name for name in os.listdir(tmp_path) if name.startswith("out")] == []


def _keep(done: list[TileDone]) -> Callable[[Event], None]:
    return lambda event: done.append(event) if isinstance(event, TileDone) else None


def test_a_run_that_was_ended_is_continued(recording: Recording, numbers: np.ndarray, tmp_path: Path) -> None:
    run: dict[str, Any] = {"batch_length": 100, "out": tmp_path / "out.bin", "executor": "serial", "progress": False}
    with pytest.raises(RunCancelledError):
        map_batches(smooth, recording, buffer=4, cancel=CancelAfter(10), **run)
    with pytest.raises(JournalError, match=r"\(batch_length, channels\) was \[100, 7\], is \[200, 7\]"):
        map_batches(smooth, recording, buffer=4, resume=True, **{**run, "batch_length": 200})
    for changed in ({"channels": [1, 0]}, {"buffer": 5}, {"from_time": 1}):
        with pytest.raises(JournalError):
            map_batches(smooth, recording, **{"buffer": 4, **changed}, resume=True, **run)
    with pytest.raises(JournalError):
        map_batches(smooth, recording.in_uv(), buffer=4, resume=True, **run)
    done: list[TileDone] = []
    found = map_batches(smooth, recording, buffer=4, resume=True, callbacks=[_keep(done)], **run)
    assert 0 < len(done) < 20
    np.testing.assert_array_equal(found, smooth(numbers))


def test_the_recording_itself_is_replaced_only_as_asked_and_when_all_is_done(
    recording: Recording, numbers: np.ndarray, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"out": tmp_path / "raw.bin", "batch_length": 100, "executor": "serial"}
    with pytest.raises(OutputExistsError):
        map_batches(smooth, recording, buffer=4, **options)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "raw.bin", "int16").reshape(-1, 7), numbers)
    found = map_batches(smooth, recording, buffer=4, overwrite=True, **options)
    np.testing.assert_array_equal(found, smooth(numbers))


def test_a_band_pass_is_that_of_the_whole_where_the_buffer_is_long_enough(recording: Recording) -> None:
    sections = signal.butter(3, [50, 200], "bandpass", fs=1000, output="sos")

    def band_pass(data: np.ndarray) -> np.ndarray:
        return signal.sosfiltfilt(sections, data, axis=0)

    whole = band_pass(recording[:])
    found = map_batches(band_pass, recording, buffer="0.3 s", batch_length="0.5 s", executor="serial")
    assert np.abs(found - whole)[300:-300].max() <= 1e-6 * np.ptp(whole)
