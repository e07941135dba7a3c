"""Tests of images of five axes: one channel or time point, or tiles of length one along these axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tilecore import (
    BoundsError,
    JournalError,
    ParameterError,
    TileError,
    collect_tiles,
    create_sink,
    map_tiles,
    open_source,
)

SHAPE = (3, 4, 2, 30, 40)
VOLUME = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)
NAMES = ("dapi", "gfp")


@pytest.fixture(params=["v.ome.tif", "v.ome.zarr", "compressed.ome.tif"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Path of an image with axes TZCYX in TIFF; OME-Zarr has its own order."""
    path: Path = tmp_path / request.param
    if path.suffix == ".zarr":
        options: dict[str, Any] = {"axes": "TCZYX", "channel_names": NAMES, "voxel_size_um": (2, 1, 1)}
        with create_sink(path, (3, 2, 4, 30, 40), "u2", **options) as sink:
            sink[...] = VOLUME.transpose(0, 2, 1, 3, 4)
    else:
        codec = "zlib" if path.name.startswith("compressed") else None
        tifffile.imwrite(
            path, VOLUME, metadata={"axes": "TZCYX", "Channel": {"Name": NAMES}}, compression=codec, ome=True
        )
    return path


def test_one_channel_and_one_time(path: Path) -> None:
    for channel in (1, -1, "gfp"):
        with open_source(path, channel=channel, time=2) as source:
            assert (source.axes, source.shape) == ("ZYX", (4, 30, 40))
            np.testing.assert_array_equal(source[1:3, 5:], VOLUME[2, 1:3, 1, 5:])
    with open_source(path, channel="dapi") as source:
        assert source.axes == "TZYX"
        np.testing.assert_array_equal(source[0, 3], VOLUME[0, 3, 0])


@pytest.mark.parametrize("options", [{"channel": 2}, {"channel": "rfp"}, {"time": -4}, {"channel": 0.5}], ids=str)
def test_what_is_not_there(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises((ParameterError, TypeError), match="channel|time"):
        open_source(path, **options)


def test_an_axis_that_is_not_there(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VOLUME[0, 0])
    with pytest.raises(ParameterError, match="axes ZYX, without C"):
        open_source(tmp_path / "v.npy", channel=0)
    assert open_source(tmp_path / "v.npy", axes="CYX", channel=0).axes == "YX"
    with pytest.raises(BoundsError):
        open_source(tmp_path / "v.npy")[5]


def shapes(block: np.ndarray) -> tuple[int, ...]:
    return block.shape


@pytest.mark.parametrize("tile_shape", [(2, 30, 40), None])
def test_tiles_of_one_along_time_and_channel(path: Path, tile_shape: Any) -> None:
    found = collect_tiles(shapes, path, tile_shape=tile_shape, halo=1, executor="serial")
    with open_source(path) as source:
        single = [source.axes.index(axis) for axis in "TC"]
        assert {block[axis] for block in found for axis in single} == {1}
        assert len(found) >= 6


HALOS: list[Any] = [4, np.int64(4), np.array(4), (4, 4, 4), [4, 4, 4], np.array([4, 4, 4]), np.full((3, 2), 4)]


@pytest.mark.parametrize("halo", HALOS, ids=repr)
def test_lengths_for_the_axes_of_space_in_whatever_form(halo: Any, path: Path) -> None:
    wanted = collect_tiles(shapes, path, tile_shape=(2, 16, 16), halo=4, executor="serial")
    assert collect_tiles(shapes, path, tile_shape=np.array([2, 16, 16]), halo=halo, executor="serial") == wanted


def test_a_filter_over_all_of_them(path: Path) -> None:
    from scipy import ndimage

    with open_source(path) as source:
        sigma = [0 if axis in "TC" else 1 for axis in source.axes]
        whole = source[...].astype(np.float32)

        def smooth(block: np.ndarray) -> np.ndarray:
            return ndimage.gaussian_filter(block.astype(np.float32), sigma)

        result = map_tiles(smooth, source, halo=4, tile_shape=(2, 16, 16), executor="serial")
        np.testing.assert_array_equal(result, ndimage.gaussian_filter(whole, sigma))


def test_a_journal_of_another_channel_is_refused(path: Path, tmp_path: Path) -> None:
    def fail(block: np.ndarray, tile: Any) -> np.ndarray:
        if tile.number == 1:
            raise ValueError("as asked")
        return block

    run: dict[str, Any] = {"tile_shape": (2, 30, 40), "pass_tile": True, "retries": 0, "executor": "serial"}
    out = {"out": tmp_path / "o.npy", "dtype": "u2"}
    with pytest.raises(TileError):
        map_tiles(fail, open_source(path, channel=0, time=1), **out, **run)
    with pytest.raises(JournalError, match="selection"):
        map_tiles(fail, open_source(path, channel=1, time=1), resume=True, **out, **run)
