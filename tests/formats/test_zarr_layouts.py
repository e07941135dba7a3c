"""Tests of ways to store zarr that are seldom seen, and of dtypes that files cannot hold."""

from __future__ import annotations

import json
import lzma
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec

from tilecore import (
    Box,
    ParameterError,
    TilecoreError,
    UnreadableFileError,
    create_sink,
    machine,
    map_tiles,
    open_source,
    spreading,
)

VOLUME = np.arange(10 * 12 * 14).reshape(10, 12, 14)


def write_v2(path: Path, values: np.ndarray, **options: Any) -> Path:
    array = zarr.create_array(path, shape=values.shape, dtype=values.dtype, zarr_format=2, chunks=(4, 5, 6), **options)
    array[...] = values
    return path


@pytest.mark.parametrize("filters", [None, [numcodecs.Delta(dtype="<i4")]], ids=["own", "by zarr"])
def test_chunks_of_zeros_may_be_left_out_without_a_fill_value(filters: Any, tmp_path: Path) -> None:
    """As zarr itself does where the array tells none, and reads it."""
    values = np.where(np.arange(10)[:, None, None] < 4, 0, VOLUME).astype("i4")
    path = write_v2(tmp_path / "v.zarr", values, fill_value=None, filters=filters)
    assert not (path / "0.0.0").exists()
    with pytest.raises(UnreadableFileError, match="missing_chunks"):
        open_source(path)[...]
    np.testing.assert_array_equal(open_source(path, missing_chunks="fill")[...], values)


@pytest.mark.parametrize("dtype", [">u2", "<u2", ">i8", ">f4", ">c8"])
@pytest.mark.parametrize("with_filter", [False, True])
def test_regions_have_the_dtype_that_the_source_says(dtype: str, with_filter: bool, tmp_path: Path) -> None:
    values = VOLUME.astype(dtype)
    filters = [numcodecs.Shuffle(values.dtype.itemsize)] if with_filter else None
    source = open_source(write_v2(tmp_path / "v.zarr", values, filters=filters))
    assert source.dtype == source[2:7].dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(source[2:7, 3:, ::2], values[2:7, 3:, ::2])


@pytest.mark.parametrize("suffix", [".zarr", ".ome.zarr", ".h5", ".tif", ".npy"])
def test_big_endian_sources_are_written_into_any_kind(suffix: str, tmp_path: Path) -> None:
    path = write_v2(tmp_path / "v.zarr", VOLUME.astype(">u2"), filters=[numcodecs.Delta(dtype=">u2")])
    out = tmp_path / f"out{suffix}"
    map_tiles(np.copy, path, out=out, executor="serial")
    np.testing.assert_array_equal(open_source(out)[...], VOLUME)
    with create_sink(out, VOLUME.shape, ">u2", overwrite=True) as sink:
        sink[...] = VOLUME.astype(">u2")
    np.testing.assert_array_equal(open_source(out)[...], VOLUME)


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("is_checked", [True, False])
def test_byte_order_of_the_index_of_shards(endian: Any, location: Any, is_checked: bool, tmp_path: Path) -> None:
    index: list[Any] = [BytesCodec(endian=endian), *[Crc32cCodec()] * is_checked]
    codec = ShardingCodec(chunk_shape=(4, 4, 4), codecs=[BytesCodec()], index_codecs=index, index_location=location)
    options: dict[str, Any] = {"chunks": (8, 8, 8), "serializer": codec, "compressors": None, "filters": None}
    array = zarr.create_array(tmp_path / "v.zarr", shape=VOLUME.shape, dtype=VOLUME.dtype, **options)
    array[...] = VOLUME
    np.testing.assert_array_equal(open_source(tmp_path / "v.zarr")[1:9, 2:, 5:], VOLUME[1:9, 2:, 5:])


@pytest.mark.parametrize("with_folder", [False, True])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zip_files_with_codecs_that_only_zarr_knows(with_folder: bool, zarr_format: int, tmp_path: Path) -> None:
    path = tmp_path / "v.zarr"
    if zarr_format == 2:
        write_v2(path, VOLUME, filters=[numcodecs.Delta(dtype=VOLUME.dtype)])
    else:
        turned = zarr.codecs.TransposeCodec(order=(2, 0, 1))
        zarr.create_array(path, data=VOLUME, chunks=(4, 5, 6), filters=[turned])
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", *((tmp_path, "v.zarr") if with_folder else (path,)))
    np.testing.assert_array_equal(open_source(packed)[2:9, :, 3:], VOLUME[2:9, :, 3:])


RAW = {"delta": {"id": lzma.FILTER_DELTA, "dist": 2}, "1": {"id": lzma.FILTER_LZMA1}, "2": {"id": lzma.FILTER_LZMA2}}


@pytest.mark.parametrize("steps", [("2",), ("delta", "2"), ("1",), None], ids=str)
def test_lzma_without_a_header(steps: tuple[str, ...] | None, tmp_path: Path) -> None:
    filters = [RAW[step] for step in steps or ()]
    codec = numcodecs.LZMA(lzma.FORMAT_RAW, filters=filters) if steps else numcodecs.LZMA(lzma.FORMAT_ALONE)
    path = write_v2(tmp_path / "v.zarr", VOLUME, compressors=codec)
    np.testing.assert_array_equal(open_source(path)[...], VOLUME)
    document = json.loads((path / ".zarray").read_text())
    (path / ".zarray").write_text(json.dumps({**document, "chunks": [4, 5, 2]}))
    with pytest.raises(UnreadableFileError, match="larger than 320 bytes"):  # no more than a chunk is decoded
        open_source(path)[0, 0, 0]


def test_chunks_that_are_longer_than_the_shape(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        path = tmp_path / f"v{zarr_format}.zarr"
        array = zarr.create_array(path, shape=(3, 5), dtype="i4", chunks=(100, 64), zarr_format=zarr_format)  # type: ignore[arg-type]
        array[...] = np.arange(15).reshape(3, 5)
        np.testing.assert_array_equal(open_source(path)[1:, 2:], np.arange(15).reshape(3, 5)[1:, 2:])


@pytest.mark.parametrize("suffix", [".zarr", ".npy", ".h5"])
def test_a_single_number_is_written_and_read(suffix: str, tmp_path: Path) -> None:
    with create_sink(tmp_path / f"v{suffix}", (), "u2") as sink:
        sink[...] = 7
    assert open_source(tmp_path / f"v{suffix}")[...] == 7
    if suffix == ".zarr":
        assert zarr.open_array(tmp_path / "v.zarr")[...] == 7


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_records_are_refused_when_they_are_opened(zarr_format: Any, tmp_path: Path) -> None:
    records = np.zeros((4, 4), [("a", "<u2"), ("b", "<f4")])
    zarr.create_array(tmp_path / "v.zarr", data=records, zarr_format=zarr_format)
    with pytest.raises(UnreadableFileError, match="only numbers can be read"):
        open_source(tmp_path / "v.zarr")


def test_storage_transformers_are_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "v.zarr", data=VOLUME)
    document = json.loads((tmp_path / "v.zarr" / "zarr.json").read_text())
    document["storage_transformers"] = [{"name": "secret", "configuration": {}}]
    (tmp_path / "v.zarr" / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(UnreadableFileError, match="storage transformers"):
        open_source(tmp_path / "v.zarr")


REFUSED = [
    (".zarr", "longdouble"),
    (".zarr", "clongdouble"),
    (".ome.zarr", "longdouble"),
    (".tif", "longdouble"),
    (".tif", "clongdouble"),
    (".zarr", "datetime64[s]"),
    (".npy", "U3"),
]


@pytest.mark.parametrize(("suffix", "dtype"), REFUSED)
def test_a_dtype_that_a_file_cannot_hold_is_refused_before_any_work(suffix: str, dtype: str, tmp_path: Path) -> None:
    calls: list[int] = []

    def count(block: np.ndarray) -> np.ndarray:
        calls.append(1)
        return block

    for out, kind in ((tmp_path / f"v{suffix}", dtype), ([None, tmp_path / f"v{suffix}"], [None, dtype])):
        with pytest.raises(ParameterError, match=r"cannot hold this dtype: use .* or a \.npy|only numbers"):
            map_tiles(count, VOLUME, out=out, dtype=kind, executor="serial")  # type: ignore[arg-type]
    with pytest.raises(ParameterError):
        create_sink(tmp_path / f"v{suffix}", (2, 3), dtype, ome_zarr_version="0.4")
    assert not calls
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_long_floats_are_kept_where_the_message_says_so(suffix: str, tmp_path: Path) -> None:
    values = VOLUME.astype(np.longdouble) + np.longdouble(1) / 3
    with create_sink(tmp_path / f"v{suffix}", VOLUME.shape, "longdouble") as sink:
        sink[...] = values
    np.testing.assert_array_equal(open_source(tmp_path / f"v{suffix}")[...], values)


def test_too_many_axes_are_refused(tmp_path: Path) -> None:
    for suffix in (".zarr", ".npy", ".h5", ".tif"):
        with pytest.raises(ParameterError, match="at most 17 axes"):
            create_sink(tmp_path / f"v{suffix}", (1,) * 18, "u1")


def test_raw_numbers_may_be_none(tmp_path: Path) -> None:
    with create_sink(tmp_path / "v.bin", (3, 0, 5), "u1") as sink:
        sink[...] = 0
    assert open_source(tmp_path / "v.bin").shape == (3, 0, 5)
    (tmp_path / "v.bin").write_bytes(b"")
    assert open_source(tmp_path / "v.bin", shape=(0, 4), dtype="u2").shape == (0, 4)
    with pytest.raises(TilecoreError, match="need 8"):
        open_source(tmp_path / "v.bin", shape=(1, 4), dtype="u2")


@pytest.mark.parametrize("shards", [None, (64, 128, 64)], ids=["chunks", "shards"])
@pytest.mark.parametrize("codec", ["zstd", "blosc"])
def test_a_whole_chunk_is_decoded_in_its_place(tmp_path: Path, codec: str, shards: tuple[int, ...] | None) -> None:
    """Nothing as large as a chunk is allocated on the way into a given array."""
    shape, box = (64, 128, 128), Box((0, 64, 64), (64, 128, 128))
    volume = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) // 5000
    with create_sink(tmp_path / "v.zarr", shape, np.uint16, chunks=(64, 64, 64), shards=shards, codec=codec) as sink:
        sink[...] = volume
    out = np.empty(box.shape, np.uint16)
    with open_source(tmp_path / "v.zarr") as source:
        source.read_into(box, out)
        tracemalloc.start()
        source.read_into(box, out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    np.testing.assert_array_equal(out, volume[box.slices])
    assert peak < out.nbytes / 2


def test_uncompressed_voxels_are_copied_once(tmp_path: Path) -> None:
    """Each copy of them costs as much as the disk."""
    volume, whole = np.random.default_rng(0).integers(0, 9999, (64, 128, 128), np.uint16), Box.of_shape((64, 128, 128))
    with create_sink(tmp_path / "v.zarr", volume.shape, np.uint16, chunks=volume.shape, codec="none") as sink:
        sink.target[...] = volume
        tracemalloc.start()
        sink[...] = volume
        _, when_written = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    out = np.empty_like(volume)
    with open_source(tmp_path / "v.zarr") as source:
        tracemalloc.start()
        source.read_into(whole, out)
        _, when_read = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    np.testing.assert_array_equal(out, volume)
    assert max(when_written, when_read) < 1.2 * volume.nbytes


@pytest.mark.parametrize("shards", [None, (16, 20, 12)], ids=["chunks", "shards"])
@pytest.mark.parametrize("codec", ["none", "zstd", "blosc", "gzip"])
def test_units_are_written_on_several_threads(
    codec: str, shards: tuple[int, ...] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "_BYTES_PER_THREAD", 1)
    monkeypatch.setitem(machine._limits, "threads", 4)
    volume = np.random.default_rng(0).integers(0, 9999, (35, 41, 30), np.uint16)
    with create_sink(
        tmp_path / "v.zarr", volume.shape, np.uint16, chunks=(8, 10, 6), shards=shards, codec=codec
    ) as sink:
        sink[...] = volume
    np.testing.assert_array_equal(open_source(tmp_path / "v.zarr")[...], volume)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "v.zarr", mode="r")[...], volume)
