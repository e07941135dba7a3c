"""Contract tests for all sinks; another program reads each file."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
import zarr

from tilecore import (
    AlignmentError,
    BoundsError,
    OutputExistsError,
    ParameterError,
    TilecoreError,
    create_sink,
    map_tiles,
    open_source,
)
from tilecore.compat.yass import RecordingsReader
from tilecore.formats.creating import prepare_sink
from tilecore.formats.file_sink import FileSink
from tilecore.testing import SinkContract
from tilecore.testing.sinks.file_driver import SHAPE, same, volume


class TestNpy(SinkContract):
    name = "v.npy"
    keeps_voxel_size = False

    def read(self, path: Path) -> np.ndarray:
        return np.load(path)


class TestRaw(SinkContract):
    name = "v.bin"
    beside = ("v.yaml",)
    keeps_voxel_size = False

    def read(self, path: Path) -> np.ndarray:
        params = yaml.safe_load(path.with_suffix(".yaml").read_text())
        return np.fromfile(path, params["dtype"]).reshape(params["shape"])


class TestTiff(SinkContract):
    name = "v.tif"

    def read(self, path: Path) -> np.ndarray:
        return tifffile.imread(path)


class TestOmeTiff(TestTiff):
    name = "v.ome.tif"


class TestZarr(SinkContract):
    name = "v.zarr"
    options = {"chunks": (5, 16, 16)}  # noqa: RUF012

    def read(self, path: Path) -> np.ndarray:
        return np.asarray(zarr.open_array(path, mode="r")[...])

    def test_there_is_nothing_but_chunks_and_metadata(self, tmp_path: Path) -> None:
        with self.create(tmp_path) as sink:
            sink[...] = volume()
            # Of a worker that was killed as it wrote.
            (sink.place.folder / f"{'0' * 16}.temporary").touch()
        names = [path.relative_to(self.path(tmp_path)) for path in self.path(tmp_path).rglob("*") if path.is_file()]
        metadata = {"zarr.json", ".zarray", ".zattrs", ".zgroup"}
        chunks = [name for name in names if name.name not in metadata]
        assert chunks
        assert all(re.fullmatch(r"(\d+/)?(c/)?\d+[/.]\d+[/.]\d+", str(name)) for name in chunks)

    def test_links_among_the_chunks_are_not_followed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sink = self.create(tmp_path)
        (tmp_path / "precious").write_text("mine")
        monkeypatch.setattr(secrets, "token_hex", lambda n: "ab" * n)  # as if somebody had guessed it
        (sink.place.folder / f"{'ab' * 8}.temporary").symlink_to(tmp_path / "precious")
        with pytest.raises(FileExistsError):
            sink[...] = volume()
        sink.discard()
        assert (tmp_path / "precious").read_text() == "mine"

    def test_regions_that_cut_a_unit_are_refused(self, tmp_path: Path) -> None:
        with self.create(tmp_path) as sink:
            for region in [slice(0, 3), (slice(None), slice(1, None)), (slice(0, 5), slice(0, 15))]:
                with pytest.raises(AlignmentError, match="cuts a storage unit"):
                    sink[region] = 0
            with pytest.raises(ParameterError, match="slices without a step"):
                sink[::2] = 0
            with pytest.raises(AlignmentError, match="data would be lost"):
                map_tiles(same, volume(), out=sink, tile_shape=(3, 16, 16), executor="serial")
            sink[...] = volume()

    def test_planes_are_written_by_their_number(self, tmp_path: Path) -> None:
        """As with arrays: a whole number drops the axis of what is given."""
        with create_sink(tmp_path / "v.zarr", (3, 16, 16), "u2", chunks=(1, 8, 16)) as sink:
            for z in range(3):
                sink[z - 3] = volume()[z, :16, :16]
            sink[1, 8:] = 7
            with pytest.raises(BoundsError):
                sink[3] = 0
        expected = np.asarray(volume()[:3, :16, :16]).astype("u2")
        expected[1, 8:] = 7
        np.testing.assert_array_equal(zarr.open_array(tmp_path / "v.zarr")[:], expected)


class TestShardedZarr(TestZarr):
    options = {"chunks": (5, 8, 8), "shards": (5, 16, 16)}  # noqa: RUF012

    @pytest.mark.parametrize("codec", ["none", "zstd", "gzip", "blosc"])
    def test_codecs(self, codec: str, tmp_path: Path) -> None:
        with self.create(tmp_path, codec=codec) as sink:
            sink[...] = volume()
        np.testing.assert_array_equal(self.read(self.path(tmp_path)), volume())
        np.testing.assert_array_equal(open_source(self.path(tmp_path))[...], volume())


class TestOmeZarr(TestZarr):
    name = "v.ome.zarr"

    def read(self, path: Path) -> np.ndarray:
        return np.asarray(zarr.open_array(path, path="0", mode="r")[...])


class TestOmeZarr04(TestOmeZarr):
    options = {"chunks": (5, 16, 16), "ome_zarr_version": "0.4"}  # noqa: RUF012


class TestHdf5(SinkContract):
    name = "v.h5"
    options = {"chunks": (5, 16, 16)}  # noqa: RUF012

    def read(self, path: Path) -> np.ndarray:
        h5py = pytest.importorskip("h5py", reason="HDF5 is optional")
        with h5py.File(path) as file:
            return np.asarray(file["data"])

    @pytest.mark.parametrize("codec", ["gzip", "lzf"])
    def test_codecs_and_places(self, codec: str, tmp_path: Path) -> None:
        path = f"{self.path(tmp_path)}:/images/first"
        map_tiles(same, volume(), out=create_sink(path, SHAPE, "u2", codec=codec), executor="serial").commit()
        np.testing.assert_array_equal(open_source(path)[...], volume())


@pytest.mark.parametrize("name", ["v.tif", "v.ome.tif"])
@pytest.mark.parametrize(
    ("shape", "dtype", "axes", "photometric"),
    [
        ((8, 20, 30, 3), "u1", "ZYXC", "RGB"),
        ((8, 20, 30, 4), "u2", "ZYXC", "RGB"),
        ((20, 30, 3), "u1", "YXC", "RGB"),
        ((5, 8, 20, 30, 3), "u1", "TZYXC", "RGB"),
        ((8, 20, 30, 3), "f4", "ZYXC", "MINISBLACK"),
        ((8, 20, 30, 2), "u1", "ZYXC", "MINISBLACK"),
        ((8, 20, 30, 1), "u1", "ZYXC", "MINISBLACK"),
        ((8, 20, 30, 3), "i8", "ZYXC", "MINISBLACK"),
        ((20, 30, 8), "u1", "YXZ", "MINISBLACK"),
        ((3, 20, 30), "u1", "CZX", "MINISBLACK"),
    ],
    ids=str,
)
def test_tiff_of_any_order_of_axes(
    tmp_path: Path, name: str, shape: tuple[int, ...], dtype: str, axes: str, photometric: str
) -> None:
    data = np.random.default_rng(2).integers(0, 100, shape).astype(dtype)
    with create_sink(tmp_path / name, shape, dtype, axes=axes, voxel_size_um=(2, 0.5, 0.25)) as sink:
        sink[...] = data
    np.testing.assert_array_equal(tifffile.imread(tmp_path / name), data)
    with tifffile.TiffFile(tmp_path / name) as tif:
        assert tif.pages.first.photometric.name == photometric
        assert tif.series[0].axes.replace("S", "C") == axes
    source = open_source(tmp_path / name)
    assert (source.axes, source.voxel_size_um) == (axes, (2, 0.5, 0.25))
    np.testing.assert_array_equal(source, data)
    result = map_tiles(same, source, out=tmp_path / "again.tif", executor="threads", workers=2)
    np.testing.assert_array_equal(result, data)
    assert open_source(tmp_path / "again.tif").axes == axes


def test_tiff_keeps_names_of_samples(tmp_path: Path) -> None:
    names = ("dapi", "gfp", "rfp")
    with create_sink(tmp_path / "v.tif", (4, 20, 30, 3), "u2", axes="ZYXC", channel_names=names) as sink:
        sink[...] = 1
    assert open_source(tmp_path / "v.tif").info.channel_names == names


@pytest.mark.parametrize("shape", [(), (7,), (0, 40, 40), (3, 0)], ids=str)
def test_tiff_without_a_plane(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match=r"shape=.*two axes or more.*\.npy"):
        prepare_sink(tmp_path / "v.tif", shape)


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", "f4", "c8", "c16"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1, 5, 7), "ZYX"),
        ((4, 1, 7), "ZYX"),
        ((4, 5, 1), "ZYX"),
        ((1, 1), "YX"),
        ((4, 5, 7), "ZYX"),
        ((1, 1, 1, 5, 7), "TCZYX"),
        ((2, 1, 3, 5, 7), "TZCYX"),
        ((1, 5, 7, 3), "ZYXC"),
        ((3, 5, 7, 1), "ZYXC"),
        ((1, 3, 5), "CZX"),
    ],
    ids=str,
)
def test_tiff_keeps_axes_of_length_one_and_every_dtype(
    tmp_path: Path, shape: tuple[int, ...], axes: str, dtype: str
) -> None:
    values = np.random.default_rng(1).integers(0, 2 if dtype == "?" else 100, shape).astype(dtype)
    data = values + np.array(3j, dtype) if np.dtype(dtype).kind == "c" else values
    with create_sink(tmp_path / "v.tif", shape, dtype, axes=axes, voxel_size_um=(2, 0.5, 0.25)) as sink:
        sink[...] = data
        assert sink.dtype == np.dtype(dtype)
    source = open_source(tmp_path / "v.tif")
    assert (source.shape, source.axes, source.dtype) == (shape, axes, np.dtype(dtype))
    assert source.voxel_size_um == (2, 0.5, 0.25)
    np.testing.assert_array_equal(source, data)
    np.testing.assert_array_equal(np.squeeze(tifffile.imread(tmp_path / "v.tif")), np.squeeze(data))


def over(block: np.ndarray) -> np.ndarray:
    return block > np.mean(block)


@pytest.mark.parametrize("axes", ["ZYX", "ZXY"])
def test_a_mask_is_written_as_zeros_and_ones_and_read_as_bool(tmp_path: Path, axes: str) -> None:
    source = tmp_path / "in.tif"
    with create_sink(source, (6, 20, 30), "u2", axes=axes) as sink:
        sink[...] = np.random.default_rng(1).integers(0, 100, (6, 20, 30))
    result = map_tiles(over, source, out=tmp_path / "v.tif", tile_shape=(2, 20, 30), executor="processes", workers=2)
    expected = np.concatenate([over(np.asarray(open_source(source)[z : z + 2])) for z in range(0, 6, 2)])
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == open_source(tmp_path / "v.tif").dtype == np.bool_
    others = tifffile.imread(tmp_path / "v.tif")
    assert others.dtype == np.uint8
    np.testing.assert_array_equal(others, expected)
    map_tiles(np.logical_not, tmp_path / "v.tif", out=tmp_path / "again.tif", executor="threads", workers=2)
    np.testing.assert_array_equal(open_source(tmp_path / "again.tif"), ~expected)


def test_a_mask_is_continued(tmp_path: Path) -> None:
    sink = create_sink(tmp_path / "v.tif", (4, 5, 6), "?")
    sink[:2] = True
    sink.release()
    sink.reopen()
    assert sink.dtype == np.bool_
    sink[2:] = False
    sink.commit()
    np.testing.assert_array_equal(open_source(tmp_path / "v.tif"), np.arange(4)[:, None, None] < np.full((4, 5, 6), 2))


@pytest.mark.parametrize(("dtype", "other"), [(np.longdouble, "float64"), (np.clongdouble, "complex128")], ids=str)
def test_numbers_that_tiff_has_not(tmp_path: Path, dtype: Any, other: str) -> None:
    with pytest.raises(ParameterError, match=f"use {other}"):
        create_sink(tmp_path / "v.tif", (4, 5, 6), dtype)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["v.zarr", "v.h5"])
def test_chunks_that_are_longer_than_the_image(tmp_path: Path, name: str) -> None:
    data = np.arange(24, dtype="u2").reshape(2, 3, 4)
    with create_sink(tmp_path / name, data.shape, "u2", chunks=(8, 2, 100)) as sink:
        sink[...] = data
    np.testing.assert_array_equal(open_source(tmp_path / name)[...], data)


def test_chunks_are_chosen_by_size(tmp_path: Path) -> None:
    for shape, units in [
        ((4, 30, 50), (4, 30, 50)),
        ((100, 1000, 1000), (64, 128, 128)),
        ((2048, 2048, 2048), (128, 256, 256)),  # in shards
        ((3000, 3000), (1024, 1024)),
        ((5, 2, 100, 200, 300), (1, 1, 64, 128, 128)),
    ]:
        sink = create_sink(tmp_path / "v.zarr", shape, "u1")
        assert sink.write_units == units
        sink.discard()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("v.npy", {"chunks": 4}, "npy files have no chunks"),
        ("v.tif", {"shards": 4}, "tiff files have no shards"),
        ("v.png", {}, "files are written with the suffixes"),
        ("v.zarr", {"chunks": (4, 4)}, "chunks"),
        ("v.zarr", {"chunks": (4, 4, 4), "shards": (6, 4, 4)}, "multiple of the chunks"),
        ("v.ome.zarr", {"axes": "XYZ"}, "in this order, .*keep others, and 'tilecore convert' .* in this order$"),
        ("v.ome.zarr", {"axes": "YXC"}, r"keep others, and 'tilecore convert'.* channel=0"),
        ("v.ome.zarr", {"ome_zarr_version": "0.6"}, "'0.5' or '0.4'"),
        ("v.ome.zarr", {"ome_zarr_version": "0.4", "shards": 64}, "has no shards"),
        ("v.zarr", {"axes": "ZZY"}, "3 different letters"),
        ("v.zarr", {"voxel_size_um": (1, 0, 1)}, "three positive numbers"),
    ],
)
def test_wrong_options(tmp_path: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        create_sink(tmp_path / name, SHAPE, "u2", **options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "i4", "f4", "?", "c8"])
def test_levels_are_means(tmp_path: Path, kind: str) -> None:
    """Levels are averages, made by workers or in this process, for any tiles."""
    generator = np.random.default_rng(1)
    data = generator.integers(0, 2 if kind == "?" else 100, (5, 301, 520)).astype(kind)
    with create_sink(tmp_path / "here.ome.zarr", data.shape, kind, voxel_size_um=(4, 1, 1), chunks=(5, 64, 64)) as sink:
        sink[...] = data
    sink = create_sink(tmp_path / "v.ome.zarr", data.shape, kind, voxel_size_um=(4, 1, 1), chunks=(5, 64, 64))
    sink.discard()
    map_tiles(same, tmp_path / "here.ome.zarr", out=sink, dtype=kind, executor="threads", workers=2)
    for level, expected in ((1, (5, 151, 260)), (2, (5, 76, 130))):
        here, there = (
            open_source(tmp_path / "here.ome.zarr", level=level),
            open_source(tmp_path / "v.ome.zarr", level=level),
        )
        assert here.shape == expected
        assert here.voxel_size_um == (4.0, 1.0 * 2**level, 1.0 * 2**level)
        np.testing.assert_array_equal(here[...], there[...])
    fine, coarse = data[:, :300].astype(complex), open_source(tmp_path / "v.ome.zarr", level=1)[:, :150]
    means = fine.reshape(5, 150, 2, 260, 2).mean((2, 4))
    assert abs(coarse - means).max() <= (0.5 if np.dtype(kind).kind in "iub" else 1e-4)


def test_raw_numbers_of_two_axes_are_a_recording(tmp_path: Path) -> None:
    numbers = np.arange(60, dtype="int16").reshape(20, 3)
    with create_sink(tmp_path / "r.bin", numbers.shape, "int16") as sink:
        sink[...] = numbers
    found = RecordingsReader(tmp_path / "r.bin")
    assert (found.shape, found.data_order) == ((20, 3), "samples")
    np.testing.assert_array_equal(found[:], numbers)
    source = open_source(tmp_path / "r.bin")
    assert source.axes == "TC"
    np.testing.assert_array_equal(source[...], numbers)


@pytest.mark.parametrize("shape", [(7,), (0, 3), (3, 0), (0,), (2, 0, 4), (2, 3, 4, 5), ()])
def test_raw_numbers_of_any_shape_come_back(shape: tuple[int, ...], tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).random(shape)
    with create_sink(tmp_path / "r.dat", shape, ">f8") as sink:
        sink[...] = numbers
    np.testing.assert_array_equal(sink.result()[...], numbers)
    if numbers.size:  # a file of no bytes may be a damaged one
        found = open_source(tmp_path / "r.dat")
        assert found.dtype == np.dtype(">f8")
        np.testing.assert_array_equal(np.reshape(found[...], shape), numbers)


def test_what_belongs_to_another_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("a: 1\n")
    with pytest.raises(OutputExistsError, match="r.yaml"):
        create_sink(tmp_path / "r.bin", (2, 2), "int16")
    with pytest.raises(OutputExistsError, match="r.yaml"):
        map_tiles(np.negative, np.zeros((2, 2)), out=tmp_path / "r.bin", executor="serial")
    with pytest.raises(OutputExistsError, match="r.yaml"):
        map_tiles(np.negative, np.zeros((2, 2)), out=tmp_path / "r.bin", overwrite=True, executor="serial")
    assert (tmp_path / "r.yaml").read_text() == "a: 1\n"
    (tmp_path / "r.yaml").unlink()
    for number in (1, 2):
        map_tiles(np.negative, np.full((2, 2), number), out=tmp_path / "r.bin", overwrite=True, executor="serial")
        assert sorted(os.listdir(tmp_path)) == ["r.bin", "r.yaml"]
    assert (open_source(tmp_path / "r.bin")[...] == -2).all()


@pytest.mark.parametrize("name", ["r.dat", "r.raw", "r.meta"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_with_which_raw_numbers_would_be_mixed_up_is_seen(name: str, overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"1234")
    with pytest.raises(OutputExistsError, match=name):
        map_tiles(np.negative, np.zeros((2, 2)), out=tmp_path / "r.bin", overwrite=overwrite, executor="serial")
    assert os.listdir(tmp_path) == [name]


def test_what_told_of_numbers_that_are_gone_is_replaced(tmp_path: Path) -> None:
    for number in (1, 2):
        map_tiles(np.negative, np.full((2, 2), number), out=tmp_path / "r.bin", executor="serial")
        (tmp_path / "r.bin").rename(tmp_path / "r")
        if number == 1:
            with pytest.raises(OutputExistsError, match="r.yaml"):  # it may tell of the file without a suffix
                map_tiles(np.negative, np.zeros((2, 2)), out=tmp_path / "r.bin", executor="serial")
            (tmp_path / "r").unlink()


def test_two_outputs_do_not_share_what_tells_of_them(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="its own file"):
        map_tiles(lambda block: (block, block), np.zeros((2, 2)), out=[tmp_path / "r.bin", tmp_path / "r.dat"])


def test_raw_numbers_that_cannot_get_their_name_leave_the_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create_sink(tmp_path / "r.bin", (2, 2), "int16") as sink:
        sink[...] = 7
    before = (tmp_path / "r.yaml").read_bytes()

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(FileSink, "commit", no_space)
        map_tiles(np.negative, np.zeros((3, 3)), out=tmp_path / "r.bin", overwrite=True, executor="serial")
    assert (tmp_path / "r.yaml").read_bytes() == before
    assert (open_source(tmp_path / "r.bin")[...] == 7).all()


def test_a_finished_output_that_lost_what_tells_of_it_is_no_result(tmp_path: Path) -> None:
    run: dict[str, Any] = {"out": tmp_path / "r.bin", "executor": "serial", "tile_shape": 1, "resume": True}
    map_tiles(np.negative, np.ones((2, 2)), **run)
    (tmp_path / "r.yaml").unlink()
    with pytest.raises(OutputExistsError):
        map_tiles(np.negative, np.ones((2, 2)), **run)
    assert (map_tiles(np.negative, np.ones((2, 2)), overwrite=True, **run)[...] == -1).all()


@pytest.mark.parametrize("options", [{"offset": 4}, {"order": "F"}])
def test_options_of_raw_numbers_are_not_ignored(options: dict[str, Any], tmp_path: Path) -> None:
    with create_sink(tmp_path / "r.bin", (2, 2), "int16") as sink:
        sink[...] = 7
    with pytest.raises(ParameterError, match="shape= and dtype="):
        open_source(tmp_path / "r.bin", **options)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("shape: [4, 2, 2]\ndtype: int16\n", "bytes"),
        ("shape: [2, 2]\n", "dtype"),
        ("shape: [2, -2]\ndtype: int16\n", "shape"),
        ("shape: 3\ndtype: int16\n", "shape"),
        ("shape: [2, 2]\ndtype: banana\n", "dtype"),
        ("shape: [2, 2]\ndtype: null\n", "dtype"),
    ],
)
def test_what_tells_of_raw_numbers_wrongly_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    np.zeros((2, 2), "int16").tofile(tmp_path / "r.bin")
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(TilecoreError, match=reason):
        open_source(tmp_path / "r.bin")
