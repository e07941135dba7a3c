"""Tests of ``tilecore info`` on files that hold several images: what is listed can be opened as it is told."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from tests.cli.commands import one_line_of, run
from tilecore import create_sink, open_source
from tilecore.formats.contents import contents_of

VOLUME = np.arange(2 * 30 * 40, dtype=np.uint16).reshape(2, 30, 40)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def contents(capsys: pytest.CaptureFixture[str], path: str, *options: Any) -> list[dict[str, Any]]:
    """What is listed; each thing is opened by the command that is told, and is what was told of it."""
    assert run("info", path, "--json", *options) == 0
    listed: list[dict[str, Any]] = json.loads(capsys.readouterr().out).get("contents", [])
    assert run("info", path, *options) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "tilecore info" in line]
    openable = [each for each in listed if not each["problem"]]
    assert len(lines) == len(openable)
    for line, each in zip(lines, openable, strict=True):
        assert run(*shlex.split(line[line.index("tilecore info") :])[1:], "--json") == 0
        facts = json.loads(capsys.readouterr().out)
        assert {name: facts[name] for name in ("shape", "dtype", "axes")} == {
            name: each[name] for name in ("shape", "dtype", "axes")
        }
    return listed


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_of_a_zarr_group(capsys: pytest.CaptureFixture[str], zarr_format: Any) -> None:
    group = zarr.open_group("a group.zarr", mode="w", zarr_format=zarr_format)
    group.create_array("raw", data=VOLUME)
    group.create_group("more").create_array("mask", data=VOLUME[0].astype("u1"))
    group.create_group("empty")
    found = contents(capsys, "a group.zarr")
    assert [(each["path"], each["shape"]) for each in found] == [
        ("a group.zarr/more/mask", [30, 40]),
        ("a group.zarr/raw", [2, 30, 40]),
    ]
    one_line_of(capsys, run("info", "a group.zarr/empty"), "neither an array nor")
    one_line_of(capsys, run("info", "a group.zarr", "--level", 1), "neither an array nor")


def test_datasets_of_n5(capsys: pytest.CaptureFixture[str]) -> None:
    """A pyramid is one image; groups may have no attributes."""
    about = {"dataType": "uint16", "blockSize": [40, 30, 2], "compression": {"type": "raw"}}
    for folder, lengths in {"setup0/raw/s0": [40, 30, 2], "setup0/raw/s1": [20, 15, 1], "mask": [40, 30]}.items():
        Path("group.n5", folder).mkdir(parents=True)
        document = {**about, "dimensions": lengths, "blockSize": about["blockSize"][: len(lengths)]}
        Path("group.n5", folder, "attributes.json").write_text(json.dumps(document))
    Path("group.n5", "attributes.json").write_text('{"n5": "2.5.0"}')
    Path("group.n5", "odd").mkdir()
    odd = {**about, "dimensions": [4], "blockSize": [4], "compression": {"type": "lz4"}}
    Path("group.n5", "odd", "attributes.json").write_text(json.dumps(odd))
    found = contents(capsys, "group.n5")
    assert [(each["path"], each["shape"], each["problem"] != "") for each in found] == [
        ("group.n5/mask", [30, 40], False),
        ("group.n5/odd", [], True),
        ("group.n5/setup0/raw", [2, 30, 40], False),
    ]


def test_an_array_of_a_group_that_cannot_be_opened(capsys: pytest.CaptureFixture[str]) -> None:
    group = zarr.open_group("g.zarr", mode="w")
    group.create_array("raw", data=VOLUME)
    group.create_array("broken", data=VOLUME)
    Path("g.zarr/broken/zarr.json").write_text("{")
    broken, raw = contents(capsys, "g.zarr")
    assert "broken/zarr.json" in broken["problem"]
    assert raw["problem"] == ""


def test_images_of_a_collection_and_their_labels(capsys: pytest.CaptureFixture[str]) -> None:
    zarr.open_group("c.zarr", mode="w", attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    for name in ("0", "1"):
        with create_sink(f"c.zarr/{name}.ome.zarr", VOLUME.shape, "u2") as sink:
            sink[...] = VOLUME
        Path(f"c.zarr/{name}.ome.zarr").rename(f"c.zarr/{name}")
    labels = zarr.open_group("c.zarr/1/labels", mode="w")
    labels.create_array("cells", data=VOLUME[0])
    found = contents(capsys, "c.zarr")
    assert [(each["path"], each["series"]) for each in found] == [
        ("c.zarr", 0),
        ("c.zarr", 1),
        ("c.zarr/1/labels/cells", None),
    ]
    assert [each["path"] for each in contents(capsys, "c.zarr/1")] == ["c.zarr/1", "c.zarr/1/labels/cells"]
    assert contents(capsys, "c.zarr/0") == []  # it is that image alone


@pytest.mark.parametrize("name", ["g.zip", "g.zarr", "g.ome.zarr", "g.ozx"])
def test_a_zip_file(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with zarr.storage.ZipStore(name, mode="w") as store:
        zarr.open_group(store, mode="w").create_array("raw", data=VOLUME)
    (item,) = contents(capsys, name)
    assert item["path"] == f"{name}:/raw"
    assert item["problem"] == ""
    np.testing.assert_array_equal(open_source(item["path"])[...], VOLUME)
    one_line_of(capsys, run("info", f"{name}:/raws"), f"{name}:/raws", "raw")
    one_line_of(capsys, run("convert", f"{name}:/raw", "other.zip:/raw"), "other.zip", ".zarr")


@pytest.mark.parametrize("name", ["g.zip", "g.zarr", "g.ome.zarr"])
def test_the_path_in_a_folder_counts_whatever_its_suffix(capsys: pytest.CaptureFixture[str], name: str) -> None:
    group = zarr.open_group(name, mode="w")
    group.create_array("a/raw", data=VOLUME)
    group.create_array("b", data=VOLUME + 1)
    np.testing.assert_array_equal(open_source(f"{name}:/a/raw")[...], VOLUME)
    np.testing.assert_array_equal(open_source(f"{name}:/b")[...], VOLUME + 1)
    zarr.create_array(f"whole-{name}", data=VOLUME)
    one_line_of(capsys, run("info", f"whole-{name}:/raw"), f"whole-{name}/raw", "neither an array")


@pytest.mark.parametrize("name", ["o.zarr", "o.ome.zarr"])
def test_only_hdf5_is_written_by_a_path_in_it(capsys: pytest.CaptureFixture[str], name: str) -> None:
    np.save("v.npy", VOLUME)
    one_line_of(capsys, run("convert", "v.npy", f"{name}:/raw", "--overwrite"), f"{name}:/raw", f"write {name}")
    assert not Path(name).exists()


def test_datasets_of_hdf5(capsys: pytest.CaptureFixture[str]) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File("v.h5", "w") as file:
        file["a"], file["b/c"], file["name"] = VOLUME, VOLUME[0], "text"
    found = contents(capsys, "v.h5")
    assert [each["path"] for each in found] == ["v.h5:/a", "v.h5:/b/c", "v.h5:/name"]
    assert [each["problem"] for each in found] == ["", "", "only numbers can be read"]
    assert len(contents(capsys, "v.h5:/a")) == 3
    one_line_of(capsys, run("info", "v.h5:/d"), "not a dataset", "b/c")


def test_datasets_of_hdf5_that_cannot_be_opened(capsys: pytest.CaptureFixture[str]) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File("v.h5", "w") as file:
        file["null"], file["volume"] = h5py.Empty("f4"), VOLUME.astype(">f4")
        h5py.h5d.create(file.id, b"when", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((2,)))
        file.create_dataset("outside", (4,), "u1", external=[("../v.bin", 0, 4)])
    problems = {each["path"].removeprefix("v.h5:/"): each["problem"] for each in contents(capsys, "v.h5")}
    assert problems.keys() == {"null", "volume", "when", "outside"}
    assert (problems["volume"], problems["when"]) == ("", "only numbers can be read")
    assert "no elements" in problems["null"]
    assert "v.bin" in problems["outside"]


def test_series_of_tiff(capsys: pytest.CaptureFixture[str]) -> None:
    with tifffile.TiffWriter("v.tif") as tif:
        tif.write(VOLUME, metadata={"axes": "ZYX"})
        tif.write(VOLUME[0, :5].astype("f4"), metadata={"axes": "YX"})
    found = contents(capsys, "v.tif")
    assert [(each["series"], each["dtype"]) for each in found] == [(0, "uint16"), (1, "float32")]
    one_line_of(capsys, run("info", "v.tif", "--series", 2), "series", "2")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_series_of_tiff_are_those_that_are_opened(
    capsys: pytest.CaptureFixture[str], byteorder: Any, compression: str | None
) -> None:
    with tifffile.TiffWriter("v.tif", byteorder=byteorder) as tif:
        for number in range(30):  # tifffile compares a few of these pages only
            page = np.full((8 + (number == 15), 9), number, f"{byteorder}u2")
            tif.write(page, metadata=None, contiguous=False, compression=compression)
    found = contents(capsys, "v.tif")
    assert [(each["series"], each["shape"]) for each in found] == [(0, [29, 8, 9]), (1, [9, 9])]
    with tifffile.TiffWriter("s.tif", byteorder=byteorder) as tif:
        for dtype in ("u1", "f4", "i2"):
            stack = VOLUME.astype(f"{byteorder}{dtype}")
            tif.write(stack, metadata={"axes": "QYX"}, compression=compression)
    found = contents(capsys, "s.tif")
    assert [each["shape"] for each in found] == [[2, 30, 40]] * 3


def test_axes_and_dtype_of_tiff_are_those_that_were_noted(capsys: pytest.CaptureFixture[str]) -> None:
    with create_sink("v.tif", (1, 20, 64), "bool", axes="ZYX") as sink:
        sink[...] = True
    assert contents(capsys, "v.tif") == []
    (item,) = contents_of("v.tif")
    assert (item.shape, item.dtype, item.axes) == ((1, 20, 64), "bool", "ZYX")


def test_a_series_of_tiff_that_cannot_be_opened(capsys: pytest.CaptureFixture[str]) -> None:
    with tifffile.TiffWriter("v.tif") as tif:
        for number in range(3):
            tif.write(VOLUME[0, number:].astype("i2"), metadata=None, contiguous=False)
    with tifffile.TiffFile("v.tif", mode="r+") as tif:
        tif.pages[1].tags["BitsPerSample"].overwrite(100)
    found = contents(capsys, "v.tif")
    assert ["samples of a kind" in each["problem"] for each in found] == [False, True, False]
    one_line_of(capsys, run("info", "v.tif", "--series", 1), "samples of a kind")


def test_one_image_is_told_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("v.npy", VOLUME)
    tifffile.imwrite("v.tif", VOLUME)
    for path in ("v.npy", "v.tif"):
        assert contents(capsys, path) == []
    Path("v.tif").write_bytes(b"II*\0\0\0")
    one_line_of(capsys, run("info", "v.tif"), "v.tif")
