"""Tests of reading what Open Ephys says: files follow its public description."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore.errors import MissingFileError, ParameterError, TilecoreError, UnreadableFileError
from tilecore.recordings.header import RecordingHeader
from tilecore.recordings.open_ephys import read_open_ephys


def channel(name: str, bit_volts: float = 0.195, **more: Any) -> dict[str, Any]:
    return {"channel_name": name, "bit_volts": bit_volts, **more}


def stream(folder: str, channels: list[dict[str, Any]], rate: float = 30000.0, **more: Any) -> dict[str, Any]:
    return {"folder_name": folder, "sample_rate": rate, "num_channels": len(channels), "channels": channels, **more}


#: As version 0.4 writes it: one stream for each source, and no name of its own.
OLD = stream(
    "Rhythm_FPGA-100.0/",
    [
        channel("CH1", description="Headstage data channel", identifier="genericdata.continuous"),
        channel("AUX1", 3.74e-05, description="Auxiliary data channel"),
        channel("ADC1", 0.000152587890625, description="ADC data channel"),
    ],
    source_processor_name="Rhythm FPGA",
)
#: As version 0.6 and later write it.
AP = stream(
    "Neuropix-PXI-100.ProbeA-AP", [channel(f"AP{each}", units="uV") for each in (1, 2)], stream_name="ProbeA-AP"
)
LFP = stream("Neuropix-PXI-100.ProbeA-LFP", [channel("LFP1", 4.69, units="uV")], 2500.0, stream_name="ProbeA-LFP")


def document(*streams: dict[str, Any]) -> dict[str, Any]:
    return {"GUI version": "0.6.4", "continuous": list(streams), "events": [], "spikes": []}


def write(root: Path, *streams: dict[str, Any], n_observations: int = 10) -> Path:
    """Write a recording; gives its folder."""
    folder = root / "Record Node 101" / "experiment1" / "recording1"
    for each in streams:
        place = folder / "continuous" / each["folder_name"]
        place.mkdir(parents=True, exist_ok=True)
        (place / "continuous.dat").write_bytes(bytes(2 * n_observations * len(each["channels"])))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "structure.oebin").write_text(json.dumps(document(*streams), indent=2))
    return folder


def refused(folder: Path) -> str:
    """What the error says; it names the file."""
    with pytest.raises(UnreadableFileError) as caught:
        read_open_ephys(folder)
    assert str(folder / "structure.oebin") in str(caught.value)
    return str(caught.value)


def test_a_stream(tmp_path: Path) -> None:
    folder = write(tmp_path, AP)
    header = read_open_ephys(folder)
    assert header.data == folder / "continuous" / "Neuropix-PXI-100.ProbeA-AP" / "continuous.dat"
    assert header.layout.params == {"dtype": "int16", "n_channels": 2, "data_order": "samples"}
    assert header.rate == 30000
    assert header.channel_names == ("AP1", "AP2")
    assert header.gains_uv == (0.195, 0.195)


@pytest.mark.parametrize(
    "below", ["", "structure.oebin", "continuous/Rhythm_FPGA-100.0", "continuous/Rhythm_FPGA-100.0/continuous.dat"]
)
def test_every_path_of_a_recording(tmp_path: Path, below: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, OLD)
    expected = folder / "continuous" / "Rhythm_FPGA-100.0" / "continuous.dat"
    assert read_open_ephys(folder / below).data == expected
    assert read_open_ephys(str(folder / below)).data == expected
    monkeypatch.chdir((folder / below) if (folder / below).is_dir() else (folder / below).parent)
    assert read_open_ephys("." if (folder / below).is_dir() else os.path.basename(below)).data == expected


def test_a_recording_in_a_folder_named_continuous(tmp_path: Path) -> None:
    folder = write(tmp_path, AP).rename(tmp_path / "continuous")
    inner = write(folder, OLD).rename(folder / "recording1")
    assert read_open_ephys(inner).channel_names == ("CH1", "AUX1", "ADC1")


def test_units_of_old_files(tmp_path: Path) -> None:
    """Without a unit, electrodes are in uV, the other inputs in V: 37.4 uV and 152.6 uV a unit."""
    header = read_open_ephys(write(tmp_path, OLD))
    assert header.channel_names == ("CH1", "AUX1", "ADC1")
    assert header.gains_uv == pytest.approx((0.195, 37.4, 152.587890625))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (channel("CH1", 0.195, units="uV"), 0.195),
        (channel("CH1", 0.195, units="µV"), 0.195),
        (channel("CH1", 0.195, units="\u03bcV"), 0.195),
        (channel("CH1", 0.25, units="mV"), 250.0),
        (channel("CH1", 0.000152587890625, units="V"), 152.587890625),
        (channel("ADC1", 0.25, units="mV"), 250.0),
        (channel("ADC1", 0.25, units="uV"), 0.25),  # what is told counts, not the name
        (channel("ADC1", 0.000152587890625, units=""), 152.587890625),
        (channel("A1_AUX2", 3.74e-05), 37.4),
        (channel("ADC_8", 0.5), 500000.0),
        (channel("light", 0.5, description="ADC data channel"), 500000.0),
        (channel("x axis", 0.5, description="Auxiliary data channel"), 500000.0),
        (channel("AP1", 2.34375, units=" "), 2.34375),
        (channel("ADCORTEX", 0.195), 0.195),
        (channel("HEADC1", 0.195), 0.195),
        (channel("Q-w", 6.1e-05, units="quaternion"), None),
        (channel("ACC-x", 0.01, units="m/s^2"), None),
        (channel("AP_SYNC", 0.195, units="uV"), None),
        (channel("SYNC", 0), None),
    ],
)
def test_units(tmp_path: Path, told: dict[str, Any], expected: float | None) -> None:
    (gain,) = read_open_ephys(write(tmp_path, stream("A", [told]))).gains_uv
    assert gain == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("name", ["ProbeA-LFP", "Neuropix-PXI-100.ProbeA-LFP"])
def test_a_stream_is_chosen_by_either_name(tmp_path: Path, name: str) -> None:
    header = read_open_ephys(write(tmp_path, AP, LFP), name)
    assert (header.channel_names, header.gains_uv, header.rate) == (("LFP1",), (4.69,), 2500)
    assert header.data.parent.name == "Neuropix-PXI-100.ProbeA-LFP"


@pytest.mark.parametrize("below", ["", "continuous.dat"])
@pytest.mark.parametrize("name", [None, "ProbeA-LFP"])
def test_a_stream_is_chosen_by_its_path(tmp_path: Path, below: str, name: str | None) -> None:
    place = write(tmp_path, AP, LFP) / "continuous" / "Neuropix-PXI-100.ProbeA-LFP" / below
    assert read_open_ephys(place, name).channel_names == ("LFP1",)


@pytest.mark.parametrize("name", [None, "ProbeB-AP", "", 0])
def test_streams_are_listed_where_none_is_chosen(tmp_path: Path, name: Any) -> None:
    with pytest.raises(ParameterError, match="'Neuropix-PXI-100.ProbeA-AP', 'Neuropix-PXI-100.ProbeA-LFP'") as caught:
        read_open_ephys(write(tmp_path, AP, LFP), name)
    assert f"stream={name!r}" in str(caught.value)


def test_a_path_and_a_stream_that_contradict_each_other(tmp_path: Path) -> None:
    place = write(tmp_path, AP, LFP) / "continuous" / "Neuropix-PXI-100.ProbeA-LFP"
    with pytest.raises(ParameterError, match="stream='ProbeA-AP'"):
        read_open_ephys(place, "ProbeA-AP")


def test_streams_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    one = stream("FPGA-100.Data", [channel("CH1")], stream_name="Data")
    other = stream("FPGA-102.Data", [channel("CH2")], stream_name="Data")
    third = stream("Data", [channel("CH3")], stream_name="FPGA-102.Data")
    folder = write(tmp_path, one, other)
    with pytest.raises(ParameterError, match="'FPGA-100.Data', 'FPGA-102.Data': choose one"):
        read_open_ephys(folder, "Data")
    assert read_open_ephys(folder, "FPGA-102.Data").channel_names == ("CH2",)
    folder = write(tmp_path, one, other, third)
    assert read_open_ephys(folder, "FPGA-102.Data").channel_names == ("CH2",)
    assert read_open_ephys(folder, "Data").channel_names == ("CH3",)


def test_damage_of_another_stream_does_no_harm(tmp_path: Path) -> None:
    folder = write(tmp_path, AP, LFP | {"sample_rate": "?"})
    assert read_open_ephys(folder, "ProbeA-AP").channel_names == ("AP1", "AP2")


def test_a_stream_that_is_not_described(tmp_path: Path) -> None:
    folder = write(tmp_path, AP)
    place = (folder / "continuous" / "Neuropix-PXI-100.ProbeA-AP").rename(folder / "continuous" / "renamed")
    with pytest.raises(UnreadableFileError, match="'renamed'; it has 'Neuropix-PXI-100.ProbeA-AP'"):
        read_open_ephys(place)


@pytest.mark.parametrize("missing", ["structure.oebin", "continuous/Neuropix-PXI-100.ProbeA-AP/continuous.dat"])
@pytest.mark.parametrize("given", ["", "structure.oebin", "continuous/Neuropix-PXI-100.ProbeA-AP/continuous.dat"])
def test_a_missing_file_is_named(tmp_path: Path, given: str, missing: str) -> None:
    folder = write(tmp_path, AP)
    (folder / missing).unlink()
    with pytest.raises(MissingFileError, match=f"{os.path.basename(missing)}: there is no such file"):
        read_open_ephys(folder / given)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file or folder"):
        read_open_ephys(tmp_path / "none")


@pytest.mark.parametrize("above", ["experiment1", "Record Node 101"])
def test_a_folder_above_says_what_to_give(tmp_path: Path, above: str) -> None:
    write(tmp_path, AP)
    (place,) = tmp_path.rglob(above)
    with pytest.raises(MissingFileError, match="such as experiment1/recording1"):
        read_open_ephys(place)


def test_another_file_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, AP)
    (folder / "sync_messages.txt").write_text("")
    with pytest.raises(ParameterError, match=r"structure.oebin, the folder in which it lies, or a continuous.dat"):
        read_open_ephys(folder / "sync_messages.txt")


def test_numbers_that_are_cut_off(tmp_path: Path) -> None:
    folder = write(tmp_path, AP)
    data = read_open_ephys(folder).data
    data.write_bytes(bytes(38))
    message = refused(folder)
    assert f"{data} has 38 bytes" in message
    assert "2 channels, which take 4 bytes" in message
    data.write_bytes(b"")
    assert read_open_ephys(folder).layout.observations_in(data) == 0


def test_numbers_are_read_by_the_layout(tmp_path: Path) -> None:
    header = read_open_ephys(write(tmp_path, AP))
    np.arange(20).astype("<i2").tofile(header.data)
    assert header.layout.observations_in(header.data) == 10
    assert np.fromfile(header.data, header.layout.dtype)[-1] == 19


LOST = object()


def changed(target: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    return {each: target[each] for each in target if each != key} | ({} if value is LOST else {key: value})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("folder_name", LOST, "continuous[0]: folder_name is missing"),
        ("folder_name", 7, "continuous[0]: folder_name=7"),
        ("folder_name", "", "continuous[0]: folder_name=''"),
        ("folder_name", "..", "continuous[0]: folder_name='..'"),
        ("folder_name", "../../other", "must be the name of one folder"),
        ("folder_name", "/tmp", "must be the name of one folder"),
        ("folder_name", "a\0b", "must be the name of one folder"),
        ("stream_name", 7, "continuous[0]: stream_name=7"),
        ("sample_rate", LOST, "continuous[0]: sample_rate is missing"),
        ("sample_rate", -30000, "continuous[0]: sample_rate=-30000: a number above zero"),
        ("sample_rate", 0, "sample_rate=0"),
        ("sample_rate", math.nan, "sample_rate=nan"),
        ("sample_rate", math.inf, "sample_rate=inf"),
        ("sample_rate", 10**400, "sample_rate=1"),
        ("sample_rate", "30000", "sample_rate='30000': must be a number"),
        ("sample_rate", True, "sample_rate=True"),
        ("num_channels", LOST, "num_channels is missing"),
        ("num_channels", 0, "num_channels=0"),
        ("num_channels", 3, "num_channels is 3, and channels has 2 entries"),
        ("num_channels", 10**30, "num_channels is 1e+30"),
        ("channels", LOST, "continuous[0]: channels is missing"),
        ("channels", {}, "channels={}: must be a list"),
        ("channels", [], "num_channels is 2, and channels has 0 entries"),
        ("channels", [1, 2], "continuous[0]: channels[0]=1: a JSON object is needed"),
    ],
)
def test_damage_is_named(tmp_path: Path, key: str, value: Any, said: str) -> None:
    folder = write(tmp_path, AP)
    (folder / "structure.oebin").write_text(json.dumps(document(changed(AP, key, value))))
    assert said in refused(folder)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("channel_name", LOST, "channel_name is missing"),
        ("channel_name", 3, "channel_name=3"),
        ("bit_volts", LOST, "bit_volts is missing"),
        ("bit_volts", 0, "bit_volts=0: a number above zero"),
        ("bit_volts", -0.195, "bit_volts=-0.195"),
        ("bit_volts", "0.195", "bit_volts='0.195'"),
        ("bit_volts", None, "bit_volts=None"),
        ("units", 1, "units=1"),
        ("units", None, "units=None"),
    ],
)
def test_damage_of_a_channel_is_named(tmp_path: Path, key: str, value: Any, said: str) -> None:
    damaged = AP | {"channels": [AP["channels"][0], changed(AP["channels"][1], key, value)]}
    message = refused(write(tmp_path, damaged))
    assert f"continuous[0]: channels[1]: {said}" in message


def test_a_gain_beyond_all_numbers(tmp_path: Path) -> None:
    assert "channel 'ADC1'" in refused(write(tmp_path, stream("A", [channel("ADC1", 1e305)])))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read as a description of Open Ephys"),
        (b'{"continuous": [', "cannot be read"),
        (b'{"continuous": [{"folder_name": "\xff"}]}', "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"1" * 10_000, "cannot be read"),
        (b"[]", "a JSON object is needed"),
        (b"{}", "continuous is missing"),
        (b'{"continuous": {}}', "continuous={}: must be a list"),
        (b'{"continuous": []}', "continuous is empty"),
        (b'{"continuous": [null]}', "continuous[0]=None"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    folder = write(tmp_path, AP)
    (folder / "structure.oebin").write_bytes(content)
    assert said in refused(folder)


def test_a_description_that_is_cut_off(tmp_path: Path) -> None:
    folder = write(tmp_path, OLD)
    content = (folder / "structure.oebin").read_bytes()
    for length in range(0, len(content), 3):
        (folder / "structure.oebin").write_bytes(content[:length])
        refused(folder)


def is_sound(header: RecordingHeader) -> bool:
    gains = [gain for gain in header.gains_uv if gain is not None]
    return (
        len(header.channel_names) == len(header.gains_uv) == header.layout.n_channels > 0
        and 0 < header.rate < math.inf
        and all(0 < gain < math.inf for gain in gains)
    )


def check_any(folder: Path, content: bytes) -> None:
    (folder / "structure.oebin").write_bytes(content)
    with contextlib.suppress(TilecoreError):
        assert is_sound(read_open_ephys(folder))


@given(content=st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_any_content_is_a_header_or_an_error(tmp_path: Path, content: bytes) -> None:
    check_any(write(tmp_path, AP), content)


KEYS = (
    "continuous",
    "folder_name",
    "stream_name",
    "sample_rate",
    "num_channels",
    "channels",
    "channel_name",
    "bit_volts",
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["A", "uV", "V", "..", "\ud800"])
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner), max_leaves=12
)


@given(data=st.data())
def test_any_change_is_a_header_or_an_error(tmp_path: Path, data: Any) -> None:
    """Keys are left out or have other values, at every level."""
    told = channel("CH1", units="uV", description="Headstage data channel")
    whole = document(stream("A", [told], stream_name="A"))
    levels = {"document": whole, "stream": whole["continuous"][0], "channel": told}
    folder = write(tmp_path, whole["continuous"][0])
    for _ in range(data.draw(st.integers(1, 3))):
        target = levels[data.draw(st.sampled_from(sorted(levels)))]
        key = data.draw(st.sampled_from(sorted(target))) if target else "continuous"
        if data.draw(st.booleans()):
            target[key] = data.draw(VALUES)
        else:
            target.pop(key, None)
    check_any(folder, json.dumps(whole).encode())
