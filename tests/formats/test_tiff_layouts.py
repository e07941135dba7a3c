"""Tests of TIFF layouts from microscopes and other programs: the voxels equal tifffile's."""

from __future__ import annotations

import ntpath
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tilecore import open_source
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


def test_several_series(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "v.tif") as writer:
        writer.write(GREY, photometric="minisblack")
        writer.write(GREY[:2, :20, :30], photometric="minisblack", compression="zlib")
    assert open_source(tmp_path / "v.tif").shape == (6, 50, 70)
    with open_source(tmp_path / "v.tif", series=1) as source:
        np.testing.assert_array_equal(source[...], GREY[:2, :20, :30])
    with pytest.raises(ValueError, match="series=2"):
        open_source(tmp_path / "v.tif", series=2)


def test_a_drive_that_is_not_there_is_no_endless_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "os", types.SimpleNamespace(path=ntpath, sep="\\"))
    assert not paths.is_pattern(r"Z:\nowhere\v.npy")
    assert paths.is_pattern(r"\\server\share\*.tif")


def write_lsm(path: Path, data: np.ndarray, **options: Any) -> None:
    """Write a stack as Zeiss microscopes do: channels apart, and a thumbnail after every plane."""
    record = np.zeros(1, tifffile.TIFF.CZ_LSMINFO[:44])
    record["MagicNumber"], record["StructureSize"] = 67127628, record.itemsize
    lengths = {"X": data.shape[3], "Y": data.shape[2], "Z": data.shape[0], "Channels": data.shape[1], "Time": 1}
    for name, length in lengths.items():
        record[f"Dimension{name}"] = length
    for axis, metres in {"X": 0.5e-6, "Y": 0.5e-6, "Z": 2e-6}.items():
        record[f"VoxelSize{axis}"] = metres
    with tifffile.TiffWriter(path) as writer:
        for number, planes in enumerate(data):
            tags = [(34412, 7, record.nbytes, record.tobytes(), True)] if number == 0 else []
            apart: Any = {"photometric": "minisblack", "planarconfig": "separate", "metadata": None}
            writer.write(planes, extratags=tags, **apart, **options)
            thumbnail = np.zeros((3, 8, 8), np.uint8)
            writer.write(thumbnail, subfiletype=1, photometric="rgb", planarconfig="separate", metadata=None)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("options", [{}, {"compression": "lzw", "predictor": True}], ids=["plain", "lzw"])
def test_lsm(tmp_path: Path, dtype: str, options: dict[str, Any]) -> None:
    if options:
        pytest.importorskip("imagecodecs", reason="it decodes LZW")
    data = GENERATOR.integers(0, 255, (5, 3, 40, 60)).astype(dtype)
    write_lsm(tmp_path / "v.lsm", data, **options)
    with open_source(tmp_path / "v.lsm") as source:
        assert (source.axes, source.shape) == ("ZCYX", data.shape)
        assert source.voxel_size_um == pytest.approx((2, 0.5, 0.5))
        np.testing.assert_array_equal(source[...], data)
        np.testing.assert_array_equal(source[1:4, 1, 7:20], data[1:4, 1, 7:20])
    with open_source(tmp_path / "v.lsm", channel=1) as source:
        np.testing.assert_array_equal(source[...], data[:, 1])
    assert open_source(tmp_path / "v.lsm", series=1).shape[-2:] == (8, 8)  # thumbnails


def test_svs(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="it decodes JPEG")
    ramp = np.add.outer(np.arange(160), np.arange(200)) // 2
    slide = np.stack([ramp, ramp[::-1], 255 - ramp], axis=-1).astype(np.uint8)
    text = "Aperio Image Library v11.2.1\n200x160 (64x64) JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990"
    with tifffile.TiffWriter(tmp_path / "v.svs") as writer:
        options: Any = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
        writer.write(slide, tile=(64, 64), description=text, **options)
        writer.write(slide[::8, ::8], description=text, rowsperstrip=16, **options)  # thumbnail
        writer.write(slide[::4, ::4], tile=(64, 64), description=text, **options)
        writer.write(slide[:30, :40], subfiletype=1, description=text, **options)  # label
    with tifffile.TiffFile(tmp_path / "v.svs") as tif:
        levels = [level.asarray() for level in tif.series[0].levels]
        assert [each.shape for each in levels] == [(160, 200, 3), (40, 50, 3)]
    for level, expected in enumerate(levels):
        with open_source(tmp_path / "v.svs", level=level) as source:
            assert (source.axes, source.shape) == ("YXC", expected.shape)
            assert source.voxel_size_um == (1, 0.499 * 4**level, 0.499 * 4**level)
            np.testing.assert_array_equal(source[...], expected)
            np.testing.assert_array_equal(source[10:30, 20:], expected[10:30, 20:])
    with open_source(tmp_path / "v.svs", series=1) as source:
        assert source.shape == (20, 25, 3)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("shape", [(6, 11, 1), (4, 6, 11, 1), (6, 1, 11), (1, 6, 11), (6, 1, 1)])
def test_axes_that_nobody_named_are_those_of_an_array(shape: tuple[int, ...], compression: Any, tmp_path: Path) -> None:
    """tifffile names them by their lengths; an axis of one voxel at the end is no axis of another meaning."""
    volume = np.random.default_rng(0).random(shape)
    tifffile.imwrite(tmp_path / "v.tif", volume, photometric="minisblack", compression=compression)
    np.save(tmp_path / "v.npy", volume)
    with open_source(tmp_path / "v.tif") as source, open_source(tmp_path / "v.npy") as array:
        assert (source.shape, source.axes) == (array.shape, array.axes)
        np.testing.assert_array_equal(source[...], volume)
