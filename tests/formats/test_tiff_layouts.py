"""Tests of TIFF layouts from microscopes and other programs: the voxels equal tifffile's."""

from __future__ import annotations

import ntpath
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tilecore import MissingFileError, UnreadableFileError, open_source
from tilecore.formats import paths

GENERATOR = np.random.default_rng(5)
GREY = GENERATOR.integers(0, 255, (6, 50, 70)).astype(np.uint8)
COLOUR = GENERATOR.integers(0, 255, (6, 50, 70, 3)).astype(np.uint8)

LAYOUTS: dict[str, tuple[np.ndarray, str, dict[str, Any]]] = {
    "colour": (COLOUR, "ZYXC", {"photometric": "rgb"}),
    "compressed colour": (COLOUR, "ZYXC", {"photometric": "rgb", "compression": "zlib", "tile": (16, 32)}),
    "planes of colour": (
        COLOUR.transpose(0, 3, 1, 2),
        "ZCYX",
        {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib", "rowsperstrip": 16},
    ),
    "tiles of depth": (GREY, "ZYX", {"tile": (4, 16, 32), "compression": "zlib", "photometric": "minisblack"}),
    "lzma": (GREY, "ZYX", {"compression": "lzma", "photometric": "minisblack"}),
    "floats": (GREY.astype("f4"), "ZYX", {"compression": "zlib", "predictor": 3, "photometric": "minisblack"}),
    "big-endian": (GREY.astype("u4"), "ZYX", {"byteorder": ">", "tile": (16, 16), "photometric": "minisblack"}),
    "one plane": (GREY[0], "YX", {"compression": "zlib"}),
    "six axes": (
        np.broadcast_to(GREY, (2, 3, 6, 50, 70)).copy(),
        "TCZYX",
        {"compression": "zlib", "metadata": {"axes": "TCZYX"}, "photometric": "minisblack"},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ome", [False, True])
def test_layouts(tmp_path: Path, layout: str, ome: bool) -> None:
    data, axes, options = LAYOUTS[layout]
    if ome:
        options = {"metadata": {"axes": axes.replace("C", "S") if "colour" in layout else axes}, **options}
    if ome and layout == "tiles of depth":
        pytest.skip("OME-TIFF has no such tiles")
    if layout in ("floats", "tiles of depth"):
        pytest.importorskip("imagecodecs", reason="it writes the file")
    tifffile.imwrite(tmp_path / "v.tif", data, ome=ome, **options)
    with open_source(tmp_path / "v.tif") as source:
        expected = tifffile.imread(tmp_path / "v.tif")
        assert (source.shape, source.dtype.newbyteorder("=")) == (expected.shape, expected.dtype)
        assert source.axes == axes
        for index in (..., (slice(1, 5), slice(3, 41), slice(2, 3)), -1):
            if not (index == -1 or index is ...) and data.ndim < 3:
                continue
            np.testing.assert_array_equal(source[index], expected[index])


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


def test_several_series(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "v.tif") as writer:
        writer.write(GREY, photometric="minisblack")
        writer.write(GREY[:2, :20, :30], photometric="minisblack", compression="zlib")
    assert open_source(tmp_path / "v.tif").shape == (6, 50, 70)
    with open_source(tmp_path / "v.tif", series=1) as source:
        np.testing.assert_array_equal(source[...], GREY[:2, :20, :30])
    with pytest.raises(ValueError, match="series=2"):
        open_source(tmp_path / "v.tif", series=2)


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


def test_a_drive_that_is_not_there_is_no_endless_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "os", types.SimpleNamespace(path=ntpath, sep="\\"))
    assert not paths.is_pattern(r"Z:\nowhere\v.npy")
    assert paths.is_pattern(r"\\server\share\*.tif")
