"""Tests of folders and patterns of planes: the numbers in their names, and their kinds of files."""

from __future__ import annotations

import logging
import re
import struct
import zlib
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from PIL import Image

from tilecore import MissingFileError, UnreadableFileError, map_tiles, open_source

GENERATOR = np.random.default_rng(5)
GREY = GENERATOR.integers(0, 255, (6, 50, 70)).astype(np.uint8)
COLOUR = GENERATOR.integers(0, 255, (6, 50, 70, 3)).astype(np.uint8)


def same(block: np.ndarray) -> np.ndarray:
    return block


def test_planes_in_two_ways_of_counting(tmp_path: Path) -> None:
    for c in range(2):
        for z in range(6):
            tifffile.imwrite(tmp_path / f"exp1_c{c}_z{z + 8}.tif", GREY[z] + np.uint8(c))
    with open_source(tmp_path) as source:
        assert (source.axes, source.shape) == ("CZYX", (2, 6, 50, 70))
        np.testing.assert_array_equal(source[1, 2:4], GREY[2:4] + np.uint8(1))
    with open_source(str(tmp_path / "*_c1_*.tif")) as source:
        assert source.axes == "ZYX"
        np.testing.assert_array_equal(source[...], GREY + np.uint8(1))


@pytest.mark.parametrize("name", ["img_{:05d}", "img_{}", "z{:02d}um"])
@pytest.mark.parametrize("step", [2, 5, 25])
def test_planes_numbered_in_steps(tmp_path: Path, name: str, step: int) -> None:
    for z in range(6):
        tifffile.imwrite(tmp_path / f"{name.format(step * z)}.tif", GREY[z])
    for path in (tmp_path, tmp_path / "*.tif"):
        with open_source(path) as source:
            assert source.axes == "ZYX"
            np.testing.assert_array_equal(source[...], GREY)


@pytest.mark.parametrize(("step", "lost"), [(1, "img_00001"), (5, "img_00005"), (5, "img_00020")])
def test_a_missing_plane_is_named_as_the_others_are(tmp_path: Path, step: int, lost: str) -> None:
    for z in range(6):
        tifffile.imwrite(tmp_path / f"img_{step * z:05d}.tif", GREY[z])
    (tmp_path / f"{lost}.tif").unlink()
    for path in (tmp_path, tmp_path / "img_*.tif"):
        with pytest.raises(UnreadableFileError, match=f"plane {lost} is missing"):
            open_source(path)


def test_a_plane_that_only_one_channel_lacks(tmp_path: Path) -> None:
    for c in (1, 2):
        for z in range(0, 30, 10):
            tifffile.imwrite(tmp_path / f"a_z{z:03d}_c{c}.tif", GREY[0])
    with open_source(tmp_path) as source:
        assert (source.axes, source.shape) == ("ZCYX", (3, 2, 50, 70))
    (tmp_path / "a_z010_c2.tif").unlink()
    with pytest.raises(UnreadableFileError, match="plane a_z010_c2 is missing"):
        open_source(tmp_path)


def test_planes_of_colour(tmp_path: Path) -> None:
    for z in range(6):
        tifffile.imwrite(tmp_path / f"z{z}.tif", COLOUR[z], photometric="rgb", compression="zlib")
    with open_source(tmp_path, channel=1) as source:
        assert source.axes == "ZYX"
        np.testing.assert_array_equal(source[2:, 10:], COLOUR[2:, 10:, :, 1])


def test_brackets_in_the_name_of_a_folder_that_is_there_are_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "stack[1]"
    folder.mkdir()
    for z in range(3):
        tifffile.imwrite(folder / f"img_{z}.tif", GREY[z])
    for path in (folder, folder / "img_*.tif", folder / "img_[0-2].tif"):
        np.testing.assert_array_equal(open_source(path)[...], GREY[:3])
    with pytest.raises(MissingFileError, match="there is no such file"):
        open_source(folder / "other.tif")
    with pytest.raises(MissingFileError, match="there is no TIFF file"):
        open_source(folder / "other*.tif")


@pytest.mark.parametrize(
    ("name", "numbers", "axes", "guess"),
    [
        ("ch{:05d}", range(30), "ZYX", '30 files numbered after "ch" are taken for planes'),  # cellfinder
        ("ch{:03d}", range(1, 4), "ZYX", "3 files .* planes"),
        ("mouse_C{}", range(40), "ZYX", "40 files .* planes"),
        ("mouse_C{:02d}", range(1, 4), "CYX", '3 files numbered after "mouse_C" are taken for channels'),
        ("channel {}", range(2), "CYX", "2 files .* channels"),
        ("a_z003_ch{}", range(3), "CYX", ""),
        ("a_z003_ch{:03d}", range(3), "CYX", ""),
        ("a_ch1_z{:03d}", range(6), "ZYX", ""),
        ("img_{:04d}", range(6), "ZYX", ""),
        ("{}", range(5, 11), "ZYX", ""),
        ("march_{:03d}", range(6), "ZYX", ""),
        ("t{:03d}", range(6), "TYX", ""),
    ],
)
def test_what_one_number_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, numbers: range, axes: str, guess: str
) -> None:
    for number in numbers:
        tifffile.imwrite(tmp_path / f"{name.format(number)}.tif", GREY[0, :20, :30] + np.uint8(number))
    for path in (tmp_path, tmp_path / "*.tif"):
        caplog.clear()
        with open_source(path) as source:
            assert (source.axes, source.shape) == (axes, (len(numbers), 20, 30))
            assert source[-1, 0, 0] == GREY[0, 0, 0] + np.uint8(numbers[-1])
        said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(said) == bool(guess)
        assert not guess or re.search(guess, said[0])


def test_a_guess_is_overruled_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(6):
        tifffile.imwrite(tmp_path / f"ch{number:05d}.tif", GREY[number])
    assert open_source(tmp_path, axes="CYX").axes == "CYX"
    assert not caplog.records
    result = map_tiles(same, tmp_path, tile_shape=(2, 50, 70), executor="threads", workers=2)
    np.testing.assert_array_equal(result, GREY)
    assert "are taken for planes" in open_source(tmp_path).info.guess
    caplog.clear()
    map_tiles(same, tmp_path, tile_shape=(2, 50, 70), executor="processes", workers=2)
    assert sum("are taken for planes" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "jpeg"])
def test_planes_of_pictures(tmp_path: Path, suffix: str) -> None:
    smooth = np.add.outer(np.arange(12), np.add.outer(np.arange(40), np.arange(60))).astype(np.uint8)
    for z in range(8, 12):
        imageio.imwrite(tmp_path / f"a_z{z}.{suffix}", smooth[z])
        imageio.imwrite(tmp_path / f"b_z{z}.{suffix}", smooth[z][::-1])
    expected = np.stack([imageio.imread(tmp_path / f"a_z{z}.{suffix}") for z in range(8, 12)])
    assert abs(expected.astype(int) - smooth[8:]).max() < (1 if suffix.lower() == "png" else 12)
    with open_source(tmp_path / f"a_*.{suffix}") as source:
        assert (source.axes, source.shape, source.chunks) == ("ZYX", (4, 40, 60), (1, 40, 60))
        assert source.info.codec == ("png" if suffix.lower() == "png" else "jpeg")
        np.testing.assert_array_equal(source[...], expected)
        np.testing.assert_array_equal(source[2:, 3:20, 50:], expected[2:, 3:20, 50:])
    for z in range(8, 12):
        (tmp_path / f"b_z{z}.{suffix}").unlink()
    result = map_tiles(same, tmp_path, tile_shape=(1, 40, 60), executor="processes", workers=2)
    np.testing.assert_array_equal(result, expected)
    (tmp_path / f"a_z9.{suffix}").unlink()
    with pytest.raises(UnreadableFileError, match="plane a_z9 is missing"):
        open_source(tmp_path)


def test_planes_of_pictures_of_colour_and_of_16_bits(tmp_path: Path) -> None:
    for z in range(6):
        (tmp_path / "colour").mkdir(exist_ok=True)
        (tmp_path / "deep").mkdir(exist_ok=True)
        imageio.imwrite(tmp_path / "colour" / f"{z}.png", COLOUR[z])
        imageio.imwrite(tmp_path / "deep" / f"{z}.png", GREY[z].astype("u2") * 257)
    with open_source(tmp_path / "colour", channel=2) as source:
        assert source.axes == "ZYX"
        np.testing.assert_array_equal(source[1:, 4:30], COLOUR[1:, 4:30, :, 2])
    with open_source(tmp_path / "deep") as source:
        assert source.dtype == np.uint16
        np.testing.assert_array_equal(source[...], GREY.astype("u2") * 257)


def _png(bits: int, colour: int, row: bytes, shape: tuple[int, int] = (1, 4)) -> bytes:
    """A PNG file of one row of voxels, byte by byte; its header may promise more."""
    parts = {b"IHDR": struct.pack(">IIBBBBB", *shape[::-1], bits, colour, 0, 0, 0), b"IDAT": zlib.compress(b"\0" + row)}
    chunks = [
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in [*parts.items(), (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_pictures_that_would_lose_bits_are_refused(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(_png(16, 0, np.arange(4, dtype=">u2").tobytes()))
    np.testing.assert_array_equal(open_source(tmp_path)[...], [[[0, 1, 2, 3]]])
    (tmp_path / "0.png").write_bytes(_png(16, 2, np.arange(12, dtype=">u2").tobytes()))
    with pytest.raises(UnreadableFileError, match="0.png has colours of 16 bits"):
        open_source(tmp_path)


@pytest.mark.parametrize("most", [1000, 2000])
@pytest.mark.filterwarnings("error")
def test_pictures_may_be_larger_than_pillows_limit(tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow refuses the one, and warns of the other."""
    imageio.imwrite(tmp_path / "0.png", GREY[0])
    assert most < GREY[0].size
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    with open_source(tmp_path) as source:
        np.testing.assert_array_equal(source[0], GREY[0])
    assert most == Image.MAX_IMAGE_PIXELS


def test_pictures_too_large_for_memory_are_refused(tmp_path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    (tmp_path / "0.png").write_bytes(_png(8, 0, bytes(4), (70_000, 70_000)))
    with pytest.raises(UnreadableFileError, match=r"0\.png declares chunks of \(70000, 70000\) voxels"):
        open_source(tmp_path)
    (tmp_path / "0.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableFileError, match=r"0\.png"):
        open_source(tmp_path)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("content", [b"", b"no picture at all", None])
def test_damaged_pictures_are_named(tmp_path: Path, content: bytes | None) -> None:
    for z in range(3):
        imageio.imwrite(tmp_path / f"{z}.png", GREY[z])
    path = tmp_path / "1.png"
    path.write_bytes(path.read_bytes()[:900] if content is None else content)
    with pytest.raises(UnreadableFileError, match=r"1\.png"):
        open_source(tmp_path)[...]


def test_tiff_comes_before_pictures(tmp_path: Path) -> None:
    """A folder of planes often has previews beside them."""
    for z in range(3):
        tifffile.imwrite(tmp_path / f"{z}.tif", GREY[z])
        imageio.imwrite(tmp_path / f"{z}.png", GREY[z, ::2, ::2])
    np.testing.assert_array_equal(open_source(tmp_path)[...], GREY[:3])
    np.testing.assert_array_equal(open_source(tmp_path / "*.png")[...], GREY[:3, ::2, ::2])
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match="no TIFF file, and no PNG or JPEG file"):
        open_source(tmp_path / "empty")
