"""Tests of `open_recording`: every kind of file as one array, indexed as numpy does."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.arrays.kinds_of_arrays import KINDS, an_array
from tests.recordings.files import made, write
from tilecore import BoundsError, MissingFileError, ParameterError, ParameterTypeError, UnreadableFileError, create_sink
from tilecore.arrays.kinds import access_of
from tilecore.recordings import Recording, map_batches, open_recording
from tilecore.recordings.microvolts import Microvolts

DATA = made(100, 4)


@pytest.fixture(params=["samples", "channels", "yaml", "npy", "npy, F", "zarr", "h5", "memory", "several", "in uV"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    kind, path = request.param, tmp_path / "raw.bin"
    if kind in ("samples", "channels"):
        recording = open_recording(write(path, DATA, kind), "int16", 4, kind)
    elif kind == "yaml":
        path.with_suffix(".yaml").write_text("dtype: int16\nn_channels: 4\ndata_order: channels\n")
        recording = open_recording(write(path, DATA, "channels"))
    elif kind.startswith("npy"):
        np.save(tmp_path / "raw.npy", np.asfortranarray(DATA) if kind.endswith("F") else DATA)
        recording = open_recording(tmp_path / "raw.npy")
    elif kind in ("zarr", "h5"):
        with create_sink(tmp_path / f"raw.{kind}", DATA.shape, "int16", chunks=(30, 3), axes="TC") as sink:
            sink[...] = DATA
        recording = open_recording(tmp_path / f"raw.{kind}")
    elif kind == "memory":
        recording = open_recording(DATA)
    elif kind == "several":
        write(path, DATA[:33])
        np.save(tmp_path / "b.npy", DATA[33:34])
        first = open_recording(path, "int16", 4, "samples")
        recording = open_recording([first, tmp_path / "b.npy", DATA[34:34], DATA[34:]])
    else:
        recording = open_recording(DATA, gains_uv=[1, 1.0, None, 1]).in_uv()
    with recording:
        yield recording


ROWS = st.one_of(
    st.integers(-100, 99),
    st.slices(100),
    st.lists(st.integers(-100, 99), max_size=5),
    st.just(np.arange(100) % 3 == 0),
)
COLUMNS = st.one_of(
    st.integers(-4, 3),
    st.slices(4),
    st.lists(st.integers(-4, 3), min_size=1, max_size=5),
    st.just(np.array([True, False, True, True])),
)


@settings(max_examples=25, deadline=None)
@given(ROWS, COLUMNS)
def test_indexing_is_that_of_numpy_on_each_axis(rows: Any, columns: Any) -> None:
    parts = [DATA[:10], np.asfortranarray(DATA[10:])]
    for recording in (open_recording(DATA), open_recording(np.asfortranarray(DATA)), open_recording(parts)):
        lines = DATA[rows]
        expected = lines[:, columns] if lines.ndim == 2 else lines[columns]
        found = recording[rows, columns]
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(recording[rows], DATA[rows])


def test_every_kind_is_read_and_mapped(opened: Recording) -> None:
    assert opened.shape == (100, 4)
    assert len(opened) == 100
    np.testing.assert_array_equal(opened[:], DATA)
    np.testing.assert_array_equal(opened[20:60:7, [3, 1]], DATA[20:60:7, [3, 1]])
    np.testing.assert_array_equal(opened[-5], DATA[-5])
    found = map_batches(np.negative, opened, buffer=2, batch_length=13, channels=[2, 0], workers=2, progress=False)
    np.testing.assert_array_equal(found, -DATA[:, [2, 0]])


def test_it_travels(opened: Recording) -> None:
    with pickle.loads(pickle.dumps(opened)) as other:
        np.testing.assert_array_equal(other[:], DATA)


def test_what_lies_around_a_batch_is_read_across_files(tmp_path: Path) -> None:
    seen: list[np.ndarray] = []

    def note(data: np.ndarray) -> np.ndarray:
        seen.append(data.copy())
        return data

    map_batches(note, [DATA[:50], DATA[50:]], buffer=3, batch_length=50, executor="serial")
    np.testing.assert_array_equal(seen[-2], np.concatenate([np.zeros((3, 4), "int16"), DATA[:53]]))
    np.testing.assert_array_equal(seen[-1], np.concatenate([DATA[47:], np.zeros((3, 4), "int16")]))


def test_gains_make_microvolts() -> None:
    recording = open_recording(DATA, gains_uv=[0.5, 2, None, 0.25], rate=50)
    assert recording.seconds == 2
    found = recording.in_uv()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, [3, 2, 0]], DATA[:, [3, 2, 0]] * np.array([0.25, 1, 0.5], "float32"))
    with pytest.raises(ParameterError, match="gains_uv="):
        open_recording(DATA).in_uv()
    assert found.in_uv() is found
    with pytest.raises(ParameterError, match="microvolts already"):
        open_recording(found, gains_uv=2)
    large = open_recording(np.full((3, 1), 2**24 + 1, np.int32), gains_uv=1).in_uv()
    assert large[0, 0] == 2**24 + 1


@pytest.mark.parametrize(
    ("given", "options", "reason"),
    [
        ("none.bin", {}, "dtype, n_channels, data_order: not given"),
        ("none.npy", {}, "none.npy"),
        ("raw.bin", {"dtype": "int16"}, "n_channels, data_order"),
        ("raw.bin", {"dtype": "int16", "n_channels": 3, "data_order": "samples"}, "800 bytes"),
        ("raw.bin", {"dtype": "int16", "n_channels": 4, "data_order": "samples", "rate": 0}, "rate=0"),
        ("raw.bin", {"dtype": "int16", "n_channels": 4, "data_order": "samples", "rate": "fast"}, "rate='fast'"),
        ("raw.bin", {"dtype": "int16", "n_channels": 4, "data_order": "samples", "gains_uv": [1, 2]}, "gains_uv"),
        ("raw.bin", {"dtype": "int16", "n_channels": 4, "data_order": "samples", "gains_uv": -1}, "gains_uv"),
        ("raw.bin", {"dtype": "int16", "n_channels": 4, "data_order": "samples", "stream": "x"}, "stream='x'"),
        ("volume.npy", {}, "two axes"),
        ([], {}, "empty list"),
        (["raw.npy", "other.npy"], {}, "other.npy has 3 channels of int16, and .*raw.npy has 4 of int16"),
        (["raw.npy", "float.npy"], {}, "float.npy has 4 channels of float64"),
        (DATA, {"dtype": "int16"}, "are for files"),
        (DATA, {"stream": "x"}, "are for files"),
        (DATA, {"rate": True}, "rate=True"),
        (DATA[0], {}, "two axes"),
        (7, {}, "recording=7"),
    ],
)
def test_what_is_no_recording_is_refused(given: Any, options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    write(tmp_path / "raw.bin", DATA)
    for name, array in {"raw": DATA, "other": DATA[:, :3], "float": DATA * 1.0, "volume": DATA[None]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    if isinstance(given, list):
        given = [tmp_path / each for each in given]
    elif isinstance(given, str):
        given = tmp_path / given
    with pytest.raises((ParameterError, ParameterTypeError, MissingFileError), match=reason):
        open_recording(given, **options)


def test_parts_that_were_recorded_at_another_rate_are_refused() -> None:
    parts = [open_recording(DATA, rate=10), open_recording(DATA, rate=20)]
    with pytest.raises(ParameterError, match="rate"):
        open_recording(parts)
    assert open_recording(parts, rate=5).rate == 5
    with pytest.raises(ParameterError, match="other channels"):
        open_recording([Recording(DATA, channel_names=tuple("ABCD")), Recording(DATA, channel_names=tuple("ABCE"))])
    with pytest.raises(ParameterError, match="gains"):
        open_recording([open_recording(DATA, gains_uv=1).in_uv(), DATA.astype("float32")])


def test_a_file_that_tells_of_itself_is_not_taken_for_plain_numbers(tmp_path: Path) -> None:
    for name in ("x.bin", "x.npy", "x.zarr"):
        map_batches(np.negative, DATA, out=tmp_path / name, executor="serial")
        np.testing.assert_array_equal(open_recording(tmp_path / name)[:], -DATA)


def test_a_run_with_other_gains_is_another_run(tmp_path: Path) -> None:
    inner = [Microvolts(Microvolts(DATA, (gain,) * 4), (3.0,) * 4) for gain in (1.0, 2.0)]
    contents = [access_of(each).content() for each in inner]
    assert contents[0] != contents[1]


@pytest.mark.parametrize("key", [100, -101, (0, 4), ([100], 0), (slice(0, 5), [4])])
def test_what_is_not_there_is_an_error(key: Any) -> None:
    with pytest.raises((BoundsError, IndexError)):
        open_recording(DATA)[key]


@pytest.mark.parametrize("key", [1.7, True, [True, False], None, (slice(None), None), ([0.5], 0), DATA > 5])
def test_keys_that_numpy_would_take_otherwise_are_refused(key: Any) -> None:
    with pytest.raises((ParameterError, ParameterTypeError), match="key"):
        open_recording(DATA)[key]


def test_it_is_an_array() -> None:
    np.testing.assert_array_equal(np.asarray(open_recording(DATA), dtype="float32"), DATA)


@pytest.mark.parametrize("key", [(0, 0, 0), ...])
def test_other_keys_are_refused(key: Any) -> None:
    with pytest.raises(ParameterError, match="observations, channels"):
        open_recording(DATA)[key]


SPIKEGLX = "typeThis=imec\nnSavedChans=4\nacqApLfSy=384,384,1\nsnsApLfSy=3,0,1\nimSampRate=30000\n"
SPIKEGLX += "imAiRangeMax=0.6\nimAiRangeMin=-0.6\n"
SPIKEGLX += "imMaxInt=512\nimDatPrb_type=0\nfileSizeBytes=800\nsnsSaveChanSubset=0:2,768\n"
SPIKEGLX += "~imroTbl=(0,384)" + "".join(f"({n} 0 0 500 250 1)" for n in range(384)) + "\n"


def test_spikeglx_tells_rate_channels_and_gains(tmp_path: Path) -> None:
    write(tmp_path / "x.ap.bin", DATA)
    (tmp_path / "x.ap.meta").write_text(SPIKEGLX)
    for name in ("x.ap.bin", "x.ap.meta"):
        with open_recording(tmp_path / name) as recording:
            assert (recording.shape, recording.rate, recording.channel_names[-1]) == ((100, 4), 30000, "SY0")
            assert recording.gains_uv == (2.34375, 2.34375, 2.34375, None)
            np.testing.assert_array_equal(recording.in_uv()[:, 3], DATA[:, 3])
            np.testing.assert_allclose(recording.in_uv()[:, :3], DATA[:, :3] * 2.34375)
    with pytest.raises(ParameterError, match=r"n_channels='?5'?.*says 4"):
        open_recording(tmp_path / "x.ap.bin", n_channels=5)


def test_open_ephys_tells_rate_channels_and_gains(tmp_path: Path) -> None:
    folder = tmp_path / "continuous" / "Probe-A"
    folder.mkdir(parents=True)
    write(folder / "continuous.dat", DATA)
    channels = ", ".join(f'{{"channel_name": "CH{n}", "bit_volts": 0.195}}' for n in range(4))
    stream = f'{{"folder_name": "Probe-A/", "sample_rate": 30000, "num_channels": 4, "channels": [{channels}]}}'
    (tmp_path / "structure.oebin").write_text(f'{{"GUI version": "0.6.0", "continuous": [{stream}]}}')
    for place in (tmp_path, tmp_path / "structure.oebin", folder, folder / "continuous.dat"):
        with open_recording(place) as recording:
            assert (recording.shape, recording.rate) == ((100, 4), 30000)
            np.testing.assert_allclose(recording.in_uv()[:], DATA * 0.195, rtol=1e-6)
            found = map_batches(np.abs, recording.in_uv(), buffer="1 ms", batch_length="1 ms", executor="serial")
            np.testing.assert_allclose(found, np.abs(DATA) * 0.195, rtol=1e-6)
    np.save(folder / "timestamps.npy", np.zeros((5, 2)))
    with open_recording(folder / "timestamps.npy") as other:
        assert other.rate is None


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.ap.meta").write_text(SPIKEGLX)
    write(tmp_path / "x.ap.bin", DATA[:50])
    with pytest.raises(UnreadableFileError, match="800"):
        open_recording(tmp_path / "x.ap.bin")


def test_zarr_arrays_that_are_open_are_taken(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=DATA.shape, chunks=(10, 4), dtype="int16")
    array[...] = DATA
    np.testing.assert_array_equal(open_recording(array)[5:, 1], DATA[5:, 1])


WIDE = made(60, 10)


@pytest.mark.parametrize(
    ("kind", "executor"), [*[(kind, "serial") for kind in KINDS], ("dask", "processes"), ("tensorstore", "processes")]
)
def test_arrays_of_other_libraries_are_taken(kind: str, executor: Any, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with an_array(kind, WIDE, tmp_path / "one") as array, an_array(kind, WIDE, tmp_path / "two") as other:
        recording = open_recording(array)
        assert recording.dtype == WIDE.dtype
        np.testing.assert_array_equal(recording[5:, 1], WIDE[5:, 1])
        for joined, expected in ((recording, WIDE), (open_recording([array, other]), np.concatenate([WIDE, WIDE]))):
            whole = open_recording(joined, gains_uv=2).in_uv()
            for each, numbers in ((joined, expected), (whole, expected * 2.0)):
                found = map_batches(lambda batch: batch + 1, each, batch_length=32, executor=executor, workers=2)
                np.testing.assert_array_equal(found, numbers + 1)


def test_masked_numbers_are_no_recording() -> None:
    with pytest.raises(ParameterTypeError, match="recording: a masked array"):
        open_recording(np.ma.masked_equal(DATA, DATA[0, 0]))


def test_a_plan_knows_of_chunks(tmp_path: Path) -> None:
    with create_sink(tmp_path / "a.zarr", (100, 4), "int16", chunks=(25, 3)) as sink:
        sink[...] = DATA
    with open_recording(tmp_path / "a.zarr") as recording:
        assert recording.excerpt(0, 100, (0, 1, 2, 3)).chunks == (25, 3)
        assert recording.excerpt(0, 100, (1,)).chunks == (25, 1)
        other = open_recording(recording, gains_uv=2).in_uv()
        assert other.excerpt(0, 100, (0, 1, 2, 3)).chunks == (25, 3)
        assert open_recording([recording, recording]).excerpt(0, 200, (0, 1, 2, 3)).chunks == (25, 3)
        assert open_recording([recording, DATA]).excerpt(0, 200, (0,)).chunks is None
    assert open_recording(DATA).excerpt(0, 100, (1,)).chunks is None
