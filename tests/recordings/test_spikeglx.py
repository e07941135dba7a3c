"""Tests of reading what SpikeGLX says: files follow its public description, gains are worked out by hand."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore.errors import MissingFileError, ParameterError, TilecoreError, UnreadableFileError
from tilecore.recordings.header import RecordingHeader
from tilecore.recordings.spikeglx import read_spikeglx

#: A probe of four channels, each with gains of its own, in the order in which SpikeGLX writes the tags.
PROBE = {
    "acqApLfSy": "4,4,1",
    "appVersion": "20230202",
    "fileCreateTime": "2023-06-05T17:20:39",
    "fileName": "D:/run_g0/run_g0_t0.imec0.ap.bin",
    "fileSHA1": "0",
    "fileSizeBytes": "100",
    "fileTimeSecs": "0.00033333",
    "firstSample": "48994605",
    "imAiRangeMax": "0.6",
    "imAiRangeMin": "-0.6",
    "imDatPrb_pn": "NP1000",
    "imDatPrb_type": "0",
    "imMaxInt": "512",
    "imSampRate": "30000.149579831934",
    "imStdby": "",
    "nSavedChans": "5",
    "snsApLfSy": "4,0,1",
    "snsSaveChanSubset": "0:3,8",
    "typeThis": "imec",
    "userNotes": "left side",
    "~imroTbl": "(0,4)(0 0 0 500 250 1)(1 0 0 250 125 1)(2 0 0 1000 50 1)(3 0 0 1500 3000 1)",
    "~snsChanMap": "(4,4,1)(AP0;0:0)(AP1;1:1)(AP2;2:2)(AP3;3:3)(SY0;8:4)",
}

LF = PROBE | {
    "fileName": "D:/run_g0/run_g0_t0.imec0.lf.bin",
    "imSampRate": "2500.012464985995",
    "snsApLfSy": "0,4,1",
    "snsSaveChanSubset": "4:8",
    "~snsChanMap": "(4,4,1)(LF0;4:0)(LF1;5:1)(LF2;6:2)(LF3;7:3)(SY0;8:4)",
}

#: Two channels of each kind that passes through an amplifier, two that do not, and one word.
NIDQ = {
    "acqMnMaXaDw": "2,2,2,1",
    "fileName": "D:/run_g0/run_g0_t0.nidq.bin",
    "fileSizeBytes": "140",
    "nSavedChans": "7",
    "niAiRangeMax": "5",
    "niAiRangeMin": "-5",
    "niMAGain": "10",
    "niMNGain": "200",
    "niMuxFactor": "2",
    "niSampRate": "25000.127240",
    "snsMnMaXaDw": "2,2,2,1",
    "snsSaveChanSubset": "all",
    "typeThis": "nidq",
    "~snsChanMap": "(1,1,2,2,1)(MN0C0;0:0)(MN0C1;1:1)(MA0C0;2:2)(MA0C1;3:3)(XA0;4:4)(XA1;5:5)(XD0;6:6)",
}

OBX = {
    "acqXaDwSy": "3,1,1",
    "fileName": "D:/run_g0/run_g0_t0.obx0.obx.bin",
    "fileSizeBytes": "100",
    "nSavedChans": "5",
    "obAiRangeMax": "5",
    "obAiRangeMin": "-5",
    "obMaxInt": "32768",
    "obSampRate": "30303",
    "snsSaveChanSubset": "all",
    "snsXaDwSy": "3,1,1",
    "typeThis": "obx",
    "~snsChanMap": "(3,1,1)(XA0;0:0)(XA1;1:1)(XA2;2:2)(XD0;3:3)(SY0;4:4)",
}

NP2 = PROBE | {
    "acqApLfSy": "4,0,1",
    "imAiRangeMax": "0.5",
    "imDatPrb_type": "24",
    "imMaxInt": "8192",
    "snsSaveChanSubset": "0:4",
    "~imroTbl": "(24,4)(0 0 0 0 288)(1 0 0 0 289)(2 0 0 0 290)(3 0 0 0 291)",
    "~snsChanMap": "(4,0,1)(AP0;0:0)(AP1;1:1)(AP2;2:2)(AP3;3:3)(SY0;4:4)",
}


def without(tags: dict[str, str], *names: str) -> dict[str, str]:
    return {tag: value for tag, value in tags.items() if tag not in names}


def text_of(tags: dict[str, str]) -> str:
    return "".join(f"{tag}={value}\n" for tag, value in tags.items())


def write(folder: Path, tags: dict[str, str], n_bytes: int = 100, name: str = "run_g0_t0.imec0.ap") -> Path:
    """Write a recording; gives the file of numbers."""
    (folder / f"{name}.meta").write_text(text_of(tags))
    data = folder / f"{name}.bin"
    data.write_bytes(bytes(n_bytes))
    return data


def refused(path: Path) -> str:
    """What the error says; it names the file of metadata."""
    with pytest.raises(UnreadableFileError) as caught:
        read_spikeglx(path)
    assert str(path.with_suffix(".meta")) in str(caught.value)
    return str(caught.value)


def test_a_probe(tmp_path: Path) -> None:
    data = write(tmp_path, PROBE)
    header = read_spikeglx(data)
    assert header.data == data
    assert header.layout.params == {"dtype": "int16", "n_channels": 5, "data_order": "samples"}
    assert header.rate == 30000.149579831934
    assert header.channel_names == ("AP0", "AP1", "AP2", "AP3", "SY0")
    # 0.6 V are 512, so that 1 is 1171.875 uV behind the amplifier: by 500, 250, 1000 and 1500; the last is sync.
    assert header.gains_uv == (2.34375, 4.6875, 1.171875, 0.78125, None)


def test_the_file_of_metadata_is_as_good_as_that_of_numbers(tmp_path: Path) -> None:
    data = write(tmp_path, PROBE)
    headers = [read_spikeglx(path) for path in (data, str(data), data.with_suffix(".meta"))]
    assert {header.data for header in headers} == {data}
    assert headers[0] == headers[1] == headers[2]


def test_the_low_band_has_gains_of_its_own(tmp_path: Path) -> None:
    header = read_spikeglx(write(tmp_path, LF, name="run_g0_t0.imec0.lf"))
    assert header.rate == 2500.012464985995
    assert header.channel_names == ("LF0", "LF1", "LF2", "LF3", "SY0")
    # 1171.875 uV by 250, 125, 50 and 3000
    assert header.gains_uv == (4.6875, 9.375, 23.4375, 0.390625, None)


@pytest.mark.parametrize(
    ("subset", "counts", "names", "gains"),
    [
        ("1,3,8", "2,0,1", ("AP1", "AP3", "SY0"), (4.6875, 0.78125, None)),
        ("2:3", "2,0,0", ("AP2", "AP3"), (1.171875, 0.78125)),
        ("6", "0,1,0", ("LF2",), (23.4375,)),
        ("1, 5:6, 8", "1,2,1", ("AP1", "LF1", "LF2", "SY0"), (4.6875, 9.375, 23.4375, None)),
        ("8", "0,0,1", ("SY0",), (None,)),
        ("all", "4,0,1", ("AP0", "AP1", "AP2", "AP3", "SY0"), (2.34375, 4.6875, 1.171875, 0.78125, None)),
        ("all", "0,4,0", ("LF0", "LF1", "LF2", "LF3"), (4.6875, 9.375, 23.4375, 0.390625)),
    ],
)
@pytest.mark.parametrize("has_map", [True, False])
def test_saved_channels(
    tmp_path: Path, subset: str, counts: str, names: tuple[str, ...], gains: tuple[float | None, ...], has_map: bool
) -> None:
    """Names and gains are those of the channels that were saved, with a channel map and without."""
    tags = PROBE | {"snsSaveChanSubset": subset, "snsApLfSy": counts, "nSavedChans": str(len(names))}
    tags |= {"fileSizeBytes": str(20 * len(names))}
    header = read_spikeglx(write(tmp_path, tags if has_map else without(tags, "~snsChanMap"), 20 * len(names)))
    assert header.channel_names == names
    assert header.gains_uv == gains
    assert header.layout.n_channels == len(names)


def test_names_are_those_of_the_channel_map(tmp_path: Path) -> None:
    """The map is in the order of the screen, and may lack a channel."""
    tags = PROBE | {"~snsChanMap": "(4,4,1)(sync;8:0)(AP3;3:1)(tip;0:2)"}
    assert read_spikeglx(write(tmp_path, tags)).channel_names == ("tip", "AP1", "AP2", "AP3", "sync")


def test_the_first_probes(tmp_path: Path) -> None:
    """Phase 3A: no type and no highest number, and a table that begins with the serial number."""
    table = "(641251510,3,4)(0 0 1 500 250)(1 0 1 500 250)(2 0 1 500 125)(3 0 1 2000 250)"
    tags = without(PROBE, "imDatPrb_type", "imMaxInt") | {"~imroTbl": table}
    assert read_spikeglx(write(tmp_path, tags)).gains_uv == (2.34375, 2.34375, 2.34375, 0.5859375, None)


def test_the_table_tells_the_type_if_nothing_else_does(tmp_path: Path) -> None:
    assert read_spikeglx(write(tmp_path, without(PROBE, "imDatPrb_type"))).gains_uv[0] == 2.34375


@pytest.mark.parametrize(
    "kind", [0, 1015, 1016, 1020, 1022, 1030, 1031, 1032, 1100, 1120, 1121, 1122, 1123, 1200, 1300]
)
def test_probes_with_gains_for_each_channel(tmp_path: Path, kind: int) -> None:
    """The table counts: a tag for all channels tells that of the first."""
    tags = PROBE | {"imDatPrb_type": str(kind), "imChan0apGain": "500", "imChan0lfGain": "250"}
    assert read_spikeglx(write(tmp_path, tags)).gains_uv == (2.34375, 4.6875, 1.171875, 0.78125, None)


@pytest.mark.parametrize(("band", "expected"), [(PROBE, 0.78125), (LF, 9.375)])
def test_probes_with_gains_at_the_head_of_the_table(tmp_path: Path, band: dict[str, str], expected: float) -> None:
    # 1171.875 uV by 1500 and 125; the numbers of the rows are sites
    table = "(1110,2,0,1500,125,1)(0 0 0)(1 0 0)(2 0 0)(3 0 0)"
    header = read_spikeglx(write(tmp_path, band | {"imDatPrb_type": "1110", "~imroTbl": table}))
    assert header.gains_uv == (expected,) * 4 + (None,)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"imDatPrb_type": "21"}, 0.762939453125),  # 0.5 V are 8192: 61.03515625 uV by 80
        ({"imDatPrb_type": "24"}, 0.762939453125),
        ({"imDatPrb_type": "21", "imMaxInt": ""}, 0.762939453125),
        ({"imDatPrb_type": "2003", "imAiRangeMax": "0.62", "imMaxInt": "2048"}, 3.02734375),  # 302.734375 uV by 100
        ({"imDatPrb_type": "2004", "imAiRangeMax": "0.62", "imMaxInt": "2048"}, 3.02734375),
        ({"imDatPrb_type": "2013", "imAiRangeMax": "0.62", "imMaxInt": "2048"}, 3.02734375),
        ({"imDatPrb_type": "2014", "imAiRangeMax": "0.62", "imMaxInt": ""}, 3.02734375),
        ({"imDatPrb_type": "24", "imChan0apGain": "160"}, 0.3814697265625),
        ({"imDatPrb_type": "3010", "imAiRangeMax": "0.8", "imMaxInt": "1024", "imChan0apGain": "200"}, 3.90625),
        ({"imDatPrb_type": "0", "~imroTbl": "", "imMaxInt": "512", "imChan0apGain": "50"}, 19.53125),
    ],
)
def test_probes_with_one_gain(tmp_path: Path, changed: dict[str, str], expected: float) -> None:
    *gains, sync = read_spikeglx(write(tmp_path, NP2 | changed)).gains_uv
    assert gains == pytest.approx([expected] * 4, rel=1e-12)
    assert sync is None


def test_one_gain_of_the_low_band(tmp_path: Path) -> None:
    tags = LF | {"imDatPrb_type": "7", "imChan0apGain": "500", "imChan0lfGain": "250"}
    assert read_spikeglx(write(tmp_path, tags)).gains_uv == (4.6875,) * 4 + (None,)


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        (NP2 | {"imDatPrb_type": "3010"}, ["imDatPrb_type=3010", "imChan0apGain"]),
        (LF | {"imDatPrb_type": "7", "imChan0apGain": "500"}, ["imDatPrb_type=7", "imChan0lfGain"]),
        (without(PROBE, "~imroTbl"), ["imDatPrb_type=0", "imChan0apGain"]),
        (NP2 | {"imDatPrb_type": "3010", "imMaxInt": "", "imChan0apGain": "200"}, ["imMaxInt"]),
        (without(NP2, "imDatPrb_type", "~imroTbl"), ["imDatPrb_type"]),
        (without(NP2, "imAiRangeMax"), ["imAiRangeMax"]),
    ],
)
def test_gains_are_never_guessed(tmp_path: Path, tags: dict[str, str], named: list[str]) -> None:
    message = refused(write(tmp_path, tags))
    assert all(name in message for name in named)


def test_nidq(tmp_path: Path) -> None:
    header = read_spikeglx(write(tmp_path, NIDQ, 140, "run_g0_t0.nidq"))
    assert header.rate == 25000.12724
    assert header.channel_names == ("MN0C0", "MN0C1", "MA0C0", "MA0C1", "XA0", "XA1", "XD0")
    # 5 V are 32768, so that 1 is 152.587890625 uV: by 200, by 10, and as it is; the last is a word of bits.
    one = 152.587890625
    assert header.gains_uv == (0.762939453125,) * 2 + (15.2587890625,) * 2 + (one, one, None)


def test_some_of_nidq(tmp_path: Path) -> None:
    """Without channels of an amplifier its gain need not be told."""
    tags = without(NIDQ, "niMNGain", "niMAGain", "~snsChanMap")
    tags |= {"snsSaveChanSubset": "5,6", "snsMnMaXaDw": "0,0,1,1", "nSavedChans": "2", "niMaxInt": "16384"}
    header = read_spikeglx(write(tmp_path, tags, 140))
    assert header.channel_names == ("XA1", "XD0")
    assert header.gains_uv == (305.17578125, None)


def test_words_alone_need_no_gain(tmp_path: Path) -> None:
    tags = without(NIDQ, "niMNGain", "niMAGain", "niAiRangeMax")
    tags |= {"snsSaveChanSubset": "6", "snsMnMaXaDw": "0,0,0,1", "nSavedChans": "1"}
    assert read_spikeglx(write(tmp_path, tags, 140)).gains_uv == (None,)


def test_a_onebox(tmp_path: Path) -> None:
    header = read_spikeglx(write(tmp_path, OBX, 100, "run_g0_t0.obx0.obx"))
    assert header.rate == 30303
    assert header.channel_names == ("XA0", "XA1", "XA2", "XD0", "SY0")
    assert header.gains_uv == (152.587890625,) * 3 + (None, None)


def test_numbers_are_read_by_the_layout(tmp_path: Path) -> None:
    data = write(tmp_path, PROBE)
    np.arange(50).astype("<i2").tofile(data)
    layout = read_spikeglx(data).layout
    assert layout.observations_in(data) == 10
    assert np.fromfile(data, layout.dtype)[-1] == 49


@pytest.mark.parametrize("given", [".bin", ".meta"])
@pytest.mark.parametrize("missing", [".bin", ".meta"])
def test_a_missing_file_is_named(tmp_path: Path, given: str, missing: str) -> None:
    data = write(tmp_path, PROBE)
    data.with_suffix(missing).unlink()
    with pytest.raises(MissingFileError, match=rf"run_g0_t0.imec0.ap\{missing}"):
        read_spikeglx(data.with_suffix(given))


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    data = write(tmp_path, PROBE).rename(tmp_path / "run_g0_t0.imec0.ap.BIN")
    assert read_spikeglx(data).data == data


@pytest.mark.parametrize("name", ["run_g0_t0.imec0.ap", "run_g0_t0.imec0.ap.cbin", "run_g0"])
def test_another_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match=r"the \.bin or the \.meta file"):
        read_spikeglx(tmp_path / name)


@pytest.mark.parametrize("n_bytes", [0, 90, 99, 110])
def test_another_size_is_told(tmp_path: Path, n_bytes: int) -> None:
    message = refused(write(tmp_path, PROBE, n_bytes))
    assert f".bin has {n_bytes} bytes" in message
    assert "fileSizeBytes=100" in message


def test_after_a_crash_no_size_is_told(tmp_path: Path) -> None:
    """The file counts then; it has to end with a whole observation."""
    tags = without(PROBE, "fileSizeBytes", "fileTimeSecs", "fileSHA1")
    assert read_spikeglx(write(tmp_path, tags, 50)).layout.n_channels == 5
    assert "53 bytes" in refused(write(tmp_path, tags, 53))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"imSampRate": "-30000"}, "imSampRate='-30000': a number above zero"),
        ({"imSampRate": "0"}, "imSampRate"),
        ({"imSampRate": "nan"}, "imSampRate"),
        ({"imSampRate": "1e999"}, "imSampRate"),
        ({"imSampRate": "fast"}, "imSampRate='fast'"),
        ({"imSampRate": ""}, "does not tell imSampRate"),
        ({"imAiRangeMax": "-0.6"}, "imAiRangeMax"),
        ({"imMaxInt": "0"}, "imMaxInt"),
        ({"imAiRangeMax": "1e308", "imMaxInt": "1e-300"}, "channel 'AP0'"),
        ({"nSavedChans": "0", "snsApLfSy": "0,0,0", "snsSaveChanSubset": "all"}, "no channels"),
        ({"nSavedChans": "4"}, "nSavedChans is 4"),
        ({"nSavedChans": "-5"}, "nSavedChans='-5'"),
        ({"nSavedChans": "²"}, "nSavedChans='²'"),
        ({"nSavedChans": "five"}, "nSavedChans='five'"),
        ({"nSavedChans": "9" * 5000}, "nSavedChans"),
        ({"snsApLfSy": "4,1"}, "snsApLfSy='4,1': 3 numbers are needed, of AP, LF, SY"),
        ({"snsApLfSy": "5,0,1"}, r"snsSaveChanSubset has [4, 0, 1] channels and snsApLfSy has [5, 0, 1]"),
        ({"snsApLfSy": "4,0,x"}, "snsApLfSy='x'"),
        ({"acqApLfSy": "3,3,1"}, "snsSaveChanSubset has channel 8 of 7 acquired ones"),
        ({"acqApLfSy": "3,5,1"}, "contradicts itself"),
        ({"acqApLfSy": ""}, "does not tell acqApLfSy"),
        ({"snsSaveChanSubset": "0:4,8"}, "contradicts itself"),
        ({"snsSaveChanSubset": "3:0,8"}, "snsSaveChanSubset='3:0': channels must stand there in rising order"),
        ({"snsSaveChanSubset": "0:3,3,8"}, "rising order"),
        ({"snsSaveChanSubset": "0:99999999999"}, "snsSaveChanSubset='99999999999'"),
        ({"snsSaveChanSubset": "some"}, "snsSaveChanSubset='some'"),
        ({"snsSaveChanSubset": "-1:3,8"}, "snsSaveChanSubset='-1'"),
        ({"fileSizeBytes": "-100"}, "fileSizeBytes='-100'"),
        ({"typeThis": "imec2"}, "typeThis='imec2': must be one of imec, nidq, obx"),
        ({"typeThis": "nidq"}, "acqMnMaXaDw"),
        ({"imDatPrb_type": "new"}, "imDatPrb_type='new'"),
        ({"~imroTbl": "(0,4)(0 0 0 500 250 1)"}, "imroTbl, gain of AP channel 1"),
        ({"~imroTbl": "(0,4)(0 0 0 -500 250 1)"}, "imroTbl, gain of AP channel 0='-500'"),
        ({"~imroTbl": "(0,4)(0 0 0)()"}, "imroTbl, gain of AP channel 0"),
        ({"~imroTbl": "0 0 0 500 250 1"}, "imroTbl, gain of AP channel 0"),
        ({"imDatPrb_type": "1110", "~imroTbl": "(1110,2,0)"}, "imroTbl, gain of AP channel 0"),
        ({"imDatPrb_type": "24", "imChan0apGain": "0"}, "imChan0apGain='0'"),
    ],
)
def test_damage_is_named(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    assert said in refused(write(tmp_path, PROBE | changed))


@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 500, b"imec", b"=" * 50, "typeThis=imec".encode("utf-16")])
def test_other_content_is_refused(tmp_path: Path, content: bytes) -> None:
    data = write(tmp_path, PROBE)
    data.with_suffix(".meta").write_bytes(content)
    assert "typeThis" in refused(data)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_notes_may_be_in_any_encoding(tmp_path: Path, ends: str) -> None:
    """A name with an umlaut that is not UTF-8 is no reason to lose a recording; a damaged number is."""
    data = write(tmp_path, PROBE)
    expected = read_spikeglx(data)
    text = text_of(PROBE | {"userNotes": "Müller\x0bimSampRate=1", "fileName": "C:/Müller/run.bin"})
    data.with_suffix(".meta").write_bytes(text.replace("\n", ends).encode("cp1252"))
    assert read_spikeglx(data) == expected
    data.with_suffix(".meta").write_bytes(text.encode().replace(b"imSampRate=3", b"imSampRate=\xb3"))
    assert "imSampRate" in refused(data)


@pytest.mark.parametrize("tags", [PROBE, LF, NP2, OBX])
def test_metadata_that_are_cut_off_never_say_something_else(tmp_path: Path, tags: dict[str, str]) -> None:
    data, text = write(tmp_path, tags), text_of(tags)
    expected, n_refused = read_spikeglx(data), 0
    for length in range(len(text)):
        data.with_suffix(".meta").write_text(text[:length])
        try:
            assert read_spikeglx(data) == expected
        except UnreadableFileError:
            n_refused += 1
    assert n_refused >= text.index("typeThis=") + len("typeThis=")


def is_sound(header: RecordingHeader) -> bool:
    gains = [gain for gain in header.gains_uv if gain is not None]
    return (
        len(header.channel_names) == len(header.gains_uv) == header.layout.n_channels > 0
        and 0 < header.rate < math.inf
        and all(0 < gain < math.inf for gain in gains)
    )


def check_any(data: Path, content: bytes) -> None:
    data.with_suffix(".meta").write_bytes(content)
    with contextlib.suppress(TilecoreError):
        assert is_sound(read_spikeglx(data))


@given(content=st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_any_content_is_a_header_or_an_error(tmp_path: Path, content: bytes) -> None:
    check_any(write(tmp_path, PROBE), content)


ODD = (
    "",
    "0",
    "-1",
    "1",
    "all",
    "0:3",
    "1e308",
    "1e-320",
    "nan",
    "inf",
    "0,0,0",
    "4,4,1",
    "(0,4)(0 0 0 0 0 0)",
    "((",
    "²",
)


@given(data=st.data())
def test_any_change_is_a_header_or_an_error(tmp_path: Path, data: Any) -> None:
    """Tags are left out, or have other values, also those of other tags."""
    tags = dict(data.draw(st.sampled_from([PROBE, LF, NP2, NIDQ, OBX])))
    values = st.sampled_from([*ODD, *tags.values()]) | st.integers().map(str) | st.floats().map(str) | st.text()
    for tag in data.draw(st.lists(st.sampled_from(sorted(tags)), max_size=4)):
        tags[tag] = data.draw(values)
    size = data.draw(st.sampled_from([0, 100, 140]))
    path = write(tmp_path, PROBE, size)
    check_any(path, text_of(tags).encode("utf-8", "replace"))
