"""Tests of TIFF stacks whose pages are not stored alike, and of pages with few tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from tests.formats import tiffs
from tilecore import UnreadableFileError, map_tiles, open_source
from tilecore.formats.tiff import directories
from tilecore.formats.tiff.directories import is_one_block

GENERATOR = np.random.default_rng(8)
GREY = GENERATOR.integers(0, 255, (3, 48, 64)).astype(np.uint8)
SMOOTH = np.add.outer(np.arange(3), np.add.outer(np.arange(48), np.arange(64))).astype(np.uint8)


def same(block: np.ndarray) -> np.ndarray:
    return block


class Pages(AppendingTiffWriter):
    """Writer of pages one by one, whose second closing, when it is deleted, does no harm in any version of Pillow."""

    def close(self) -> None:
        if not self.f.closed:
            super().close()


def write_jpegs(path: Path) -> np.ndarray:
    """Write pages of JPEG with tables of their own, as libtiff does; returns what libtiff reads."""
    with Pages(str(path), True) as file:
        for number, quality in enumerate((95, 20, 60)):
            tags = {270: tiffs.IMAGEJ.decode()} if number == 0 else {}
            image = Image.fromarray((SMOOTH[number] + GREY[number] // 16).astype("u1"))
            image.save(file, format="TIFF", compression="jpeg", quality=quality, tiffinfo=tags)
            file.newFrame()
    image = Image.open(path)
    planes = []
    for number in range(3):
        image.seek(number)
        planes.append(np.asarray(image))
    image.close()
    return np.stack(planes)


def test_pages_of_jpeg_with_tables_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="it decodes JPEG")
    expected = write_jpegs(tmp_path / "v.tif")
    with open_source(tmp_path / "v.tif") as source:
        assert source.info.codec == "jpeg"
        np.testing.assert_array_equal(source[...], expected)
        np.testing.assert_array_equal(source[2, 5:20], expected[2, 5:20])
    result = map_tiles(same, tmp_path / "v.tif", tile_shape=(1, 48, 64), executor="processes", workers=2)
    np.testing.assert_array_equal(result, expected)


def test_planes_of_jpeg_with_tables_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="it decodes JPEG")
    for number, quality in enumerate((95, 20, 60)):
        image = Image.fromarray((SMOOTH[number] + GREY[number] // 16).astype("u1"))
        image.save(tmp_path / f"z{number}.tif", compression="jpeg", quality=quality)
    expected = np.stack([tifffile.imread(tmp_path / f"z{number}.tif") for number in range(3)])
    np.testing.assert_array_equal(open_source(tmp_path)[...], expected)


WAYS: dict[str, list[dict[str, Any]]] = {
    "compression": [{"compression": "zlib"}, {"compression": "lzma"}, {}],
    "compression of some": [{}, {"compression": "zlib"}, {}],
    "predictor": [{"compression": "zlib"}, {"compression": "zlib", "predictor": 2}, {"compression": "zlib"}],
    "strips": [{"compression": "zlib", "rowsperstrip": rows} for rows in (16, 20, 23)],
    "strips, as they are": [{"rowsperstrip": rows} for rows in (16, 20, 23)],
    "tiles": [{"tile": (16, 80)}, {"tile": (16, 64)}, {"tile": (16, 96), "compression": "zlib"}],
    "tiles of some": [{"compression": "zlib", "rowsperstrip": 8}, {"tile": (16, 32)}, {"tile": (16, 32)}],
    "colour": [{"photometric": "minisblack"}, {"photometric": "miniswhite"}, {"compression": "zlib"}],
}


@pytest.mark.parametrize("way", WAYS)
def test_pages_stored_in_different_ways(tmp_path: Path, way: str) -> None:
    """ImageJ and OME-TIFF take the pages of a file for one stack, however each is stored."""
    pytest.importorskip("imagecodecs", reason="it decodes some of the pages")
    with tifffile.TiffWriter(tmp_path / "v.tif") as writer:
        for number, options in enumerate(WAYS[way]):
            text = tiffs.IMAGEJ.decode() if number == 0 else None
            writer.write(GREY[number], **{"photometric": "minisblack"} | options, description=text, metadata=None)
    with open_source(tmp_path / "v.tif") as source:
        assert (source.axes, source.shape) == ("ZYX", (3, 48, 64))
        np.testing.assert_array_equal(source[...], GREY)
        np.testing.assert_array_equal(source[1:, 10:30, 20:50], GREY[1:, 10:30, 20:50])


def test_pages_of_different_numbers_of_strips_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "v.tif") as writer:
        for number, rows in enumerate((16, 48, 7)):
            text = tiffs.IMAGEJ.decode() if number == 0 else None
            writer.write(GREY[number], compression="zlib", rowsperstrip=rows, description=text, metadata=None)
    with pytest.raises(UnreadableFileError, match="differ in width or in their number of strips"):
        open_source(tmp_path / "v.tif")


@pytest.mark.parametrize("other", [GREY[1].astype("i1"), GREY[1].astype("u2"), GREY[1, :40], GREY[1, :, :32]])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_page_of_another_size_or_kind_is_refused(tmp_path: Path, other: np.ndarray, compression: Any) -> None:
    with tifffile.TiffWriter(tmp_path / "v.tif") as writer:
        for number, plane in enumerate((GREY[0], other, GREY[2])):
            text = tiffs.IMAGEJ.decode() if number == 0 else None
            options: Any = {"compression": compression, "photometric": "minisblack", "metadata": None}
            writer.write(plane, description=text, **options)
    with pytest.raises(UnreadableFileError, match=r"v\.tif"):
        open_source(tmp_path / "v.tif")


def test_pages_that_lie_in_another_order(tmp_path: Path) -> None:
    """Offsets are those of each page, also where the first page alone tells of a stack without gaps."""
    planes = tmp_path / "v.tif"
    tifffile.imwrite(planes, GREY, imagej=True)
    with tifffile.TiffFile(planes, mode="r+b") as tif:
        first, second, third = tif.pages
        offsets = [page.dataoffsets[0] for page in (first, second, third)]
        assert offsets[1] - offsets[0] == GREY[0].nbytes
        second.aspage().tags[273].overwrite(offsets[2])
        third.aspage().tags[273].overwrite(offsets[1])
    np.testing.assert_array_equal(open_source(planes)[...], GREY[[0, 2, 1]])


@pytest.mark.parametrize("program", tiffs.PROGRAMS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_planes_of_programs(tmp_path: Path, program: str, dtype: str) -> None:
    order, tags_of = tiffs.PROGRAMS[program]
    planes = GREY.astype(dtype) * 3 if dtype != "u1" else GREY
    for number, plane in enumerate(planes):
        tiffs.write(tmp_path / f"z{number}.tif", [plane], [tags_of(plane)], order)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / f"z{number}.tif"), plane)
    with open_source(tmp_path) as source:
        assert (source.dtype, source.info.codec) == (np.dtype(dtype), "none")
        np.testing.assert_array_equal(source[...], planes)
        np.testing.assert_array_equal(source[1, 5:30, 7:20], planes[1, 5:30, 7:20])
    result = map_tiles(same, tmp_path, tile_shape=(1, 48, 64), executor="processes", workers=2)
    np.testing.assert_array_equal(result, planes)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_a_stack_without_the_tag_of_compression_that_cannot_be_mapped(tmp_path: Path, dtype: str) -> None:
    planes = GREY.astype(dtype)
    tags = [tiffs.imagej(planes[0], tiffs.IMAGEJ), *[tiffs.fewest(plane) for plane in planes[1:]]]
    tiffs.write(tmp_path / "v.tif", planes, tags, ">")
    with open_source(tmp_path / "v.tif") as source:
        assert (source.axes, source.info.codec) == ("ZYX", "none")
        np.testing.assert_array_equal(source[...], planes)


def test_pages_of_colours_stored_in_different_ways(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="it decodes JPEG")
    colour = np.stack([SMOOTH, SMOOTH[::-1], 255 - SMOOTH], axis=-1)
    with tifffile.TiffWriter(tmp_path / "v.tif") as writer:
        for number, own in enumerate(({"outcolorspace": "rgb"}, {}, {"outcolorspace": "rgb"})):
            text = tiffs.IMAGEJ.decode() if number == 0 else None
            options: Any = {"photometric": "rgb", "compression": "jpeg", "compressionargs": own, "metadata": None}
            writer.write(colour[number], description=text, **options)
    with tifffile.TiffFile(tmp_path / "v.tif") as tif:
        expected = np.stack([page.asarray() for page in tif.pages])
        assert len({page.hash for page in tif.pages}) == 2
    np.testing.assert_array_equal(open_source(tmp_path / "v.tif")[...], expected)


@pytest.mark.parametrize("other", ["size", "sign", "compression"])
def test_a_page_in_the_middle_of_a_long_stack_that_differs(tmp_path: Path, other: str) -> None:
    """tifffile looks at the first, second, eighth and last page; those between may be of another image."""
    planes = [np.roll(GREY[0], number).astype("u2") for number in range(10)]
    options: list[dict[str, Any]] = [{"compression": "zlib", "rowsperstrip": 48} for _ in planes]
    if other == "size":
        planes[4] = planes[4][:20, :30]
    if other == "sign":
        planes[4] = planes[4].astype("i2") * np.int16(-1)
    if other == "compression":
        options[4] = {"compression": "lzma", "rowsperstrip": 48}
        pytest.importorskip("imagecodecs", reason="it decodes LZMA")
    with tifffile.TiffWriter(tmp_path / "v.tif") as writer:
        for plane, own in zip(planes, options, strict=True):
            writer.write(plane, photometric="minisblack", metadata=None, **own)
    with open_source(tmp_path / "v.tif") as source:
        if other == "compression":
            np.testing.assert_array_equal(source[...], planes)
            return
        np.testing.assert_array_equal(source[...], planes[:4] + planes[5:])
    np.testing.assert_array_equal(open_source(tmp_path / "v.tif", series=1)[...], planes[4])


def test_files_of_one_image_that_differ(tmp_path: Path) -> None:
    """The parts of an OME-TIFF in several files are decoded each as its own file says, or refused."""
    parts = [GREY[0], GREY[1]]
    for other, options in ((GREY[1], {"compression": "lzma", "byteorder": ">"}), (GREY[1].astype("u2"), {})):
        data = "".join(
            f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1">'
            f'<UUID FileName="z{z}.ome.tif">urn:uuid:{z:08d}-0000-0000-0000-000000000000</UUID></TiffData>'
            for z in range(2)
        )
        for z, plane in enumerate((parts[0], other)):
            xml = (
                '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
                f'UUID="urn:uuid:{z:08d}-0000-0000-0000-000000000000"><Image ID="Image:0"><Pixels ID="Pixels:0" '
                'DimensionOrder="XYZCT" Type="uint8" SizeX="64" SizeY="48" SizeZ="2" SizeC="1" SizeT="1">'
                f'<Channel ID="Channel:0:0"/>{data}</Pixels></Image></OME>'
            )
            written: Any = options if z else {"compression": "zlib"}
            tifffile.imwrite(tmp_path / f"z{z}.ome.tif", plane, description=xml, metadata=None, **written)
        if other.dtype == "u1":
            pytest.importorskip("imagecodecs", reason="it decodes LZMA")
            np.testing.assert_array_equal(open_source(tmp_path / "z0.ome.tif")[...], GREY[:2])
        else:
            with pytest.raises(UnreadableFileError, match=r"z1\.ome\.tif, plane 1, has .* of uint16; the stack has"):
                open_source(tmp_path / "z0.ome.tif")


@pytest.mark.parametrize(
    "options", [{}, {"imagej": True}, {"bigtiff": True}, {"byteorder": ">"}], ids=["shaped", "imagej", "big", "be"]
)
def test_many_pages_are_compared_together_as_one_by_one(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever byte of their directories changes, the pages that pass together are those that pass one by one."""
    tifffile.imwrite(tmp_path / "v.tif", GREY[:1].repeat(12, axis=0).astype(np.uint16), **options)
    with tifffile.TiffFile(tmp_path / "v.tif") as tif:
        pages = [page.offset for page in tif.pages]
        series = tif.series[0]
        assert is_one_block(series)
        with monkeypatch.context() as patched:
            patched.setattr(directories, "_following", None)
            assert is_one_block(series), "pages that were written together are not looked at one by one"
    intact, differ = (tmp_path / "v.tif").read_bytes(), 0
    for place in range(pages[6] - 4, pages[7] + 4):
        changed = bytearray(intact)
        changed[place] ^= 1 << place % 8
        (tmp_path / "v.tif").write_bytes(changed)
        together = _is_one_block(series)
        with monkeypatch.context() as patched:
            patched.setattr(directories, "_MANY", 100)
            one_by_one = _is_one_block(series)
        assert together == one_by_one, f"byte {place - pages[6]} of a directory"
        differ += not together
    assert differ > 20


def _is_one_block(series: Any) -> bool:
    try:
        return is_one_block(series)
    except Exception:
        return False
