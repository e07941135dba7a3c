"""Tests of damaged or wrong files, and full or forbidden folders: a clear error, and never wrong voxels."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from tests.formats import test_sources as kinds
from tilecore import (
    MemoryBudgetError,
    MissingDependencyError,
    MissingFileError,
    ParameterError,
    TilecoreError,
    TileError,
    UnreadableFileError,
    collect_tiles,
    map_tiles,
    open_source,
)
from tilecore.testing.readers import volume

VOLUME = volume()


def read_all(path: Path | str, **options: Any) -> np.ndarray:
    with open_source(path, **options) as source:
        return source[...]


def write_tiff(path: Path, **options: Any) -> Path:
    tifffile.imwrite(path, VOLUME, metadata={"axes": "ZYX"}, **options)
    return path


LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "bigtiff": {"bigtiff": True, "byteorder": ">"},
    "tiles": {"tile": (16, 16)},
    "deflate": {"tile": (16, 16), "compression": "zlib"},
    "strips": {"rowsperstrip": 5, "compression": "zlib"},
    "imagej": {"imagej": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fraction", [0.03, 0.3, 0.6, 0.9, 0.999])
def test_truncated_tiff(tmp_path: Path, layout: str, fraction: float) -> None:
    path = write_tiff(tmp_path / "v.tif", **LAYOUTS[layout])
    size = path.stat().st_size
    os.truncate(path, int(size * fraction))
    try:
        found = read_all(path)
    except TilecoreError as error:
        assert "v.tif" in str(error)
    else:  # only what stands behind the voxels is missing
        np.testing.assert_array_equal(found, VOLUME)
        assert fraction > 0.9


def test_truncated_tiff_where_tifffile_is_silenced(tmp_path: Path) -> None:
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        for layout in LAYOUTS:
            test_truncated_tiff(tmp_path, layout, 0.5)
        assert logger.level == logging.CRITICAL
    finally:
        logger.setLevel(level)


@pytest.mark.parametrize("planes", [False, True])
def test_one_error_and_no_log(tmp_path: Path, planes: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The error contains tifffile's log of the damage; other users of tifffile still get the log."""
    path = tmp_path / "z1.tif"
    tifffile.imwrite(path, VOLUME[0] if planes else VOLUME, photometric="minisblack", compression="zlib")
    os.truncate(path, path.stat().st_size * 3 // 10)
    with caplog.at_level("INFO"), pytest.raises(UnreadableFileError, match=r"z1\.tif"):
        open_source(tmp_path if planes else path)
    assert not caplog.records
    with caplog.at_level("INFO"):
        logging.getLogger("tifffile").error("of somebody else")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("layout", ["deflate", "strips"])
def test_damaged_bytes_in_a_compressed_tiff(tmp_path: Path, layout: str) -> None:
    path = write_tiff(tmp_path / "v.tif", **LAYOUTS[layout])
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[5].dataoffsets[1]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 12)
    with open_source(path) as source:
        np.testing.assert_array_equal(source[:5], VOLUME[:5])
        with pytest.raises(UnreadableFileError, match="tile 1 cannot be decoded"):
            source[5]
        with pytest.raises(TileError, match="cannot be decoded"):
            collect_tiles(np.sum, source, tile_shape=6, executor="serial")


def test_a_segment_that_is_shorter_than_it_says(tmp_path: Path) -> None:
    """A compressed stream that ends early is an error; some programs decode it silently."""
    path = write_tiff(tmp_path / "v.tif", rowsperstrip=41, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages[3].tags["StripByteCounts"]
        count, place = tif.pages[3].databytecounts[0], tag.valueoffset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(struct.pack("<I" if tag.dtype == 4 else "<H", count // 2))
    with open_source(path) as source, pytest.raises(UnreadableFileError, match="strip or tile 0"):
        source[3]


def test_a_missing_segment(tmp_path: Path) -> None:
    path = tmp_path / "v.tif"

    def tiles() -> Any:
        for number in range(12):
            yield None if number == 7 else np.full((16, 16), number, np.uint16)

    tifffile.imwrite(path, tiles(), shape=(48, 64), dtype="u2", tile=(16, 16), compression="zlib")
    with pytest.raises(UnreadableFileError, match="missing_chunks"):
        open_source(path)
    found = read_all(path, missing_chunks="fill")
    assert (found[16:32, 48:] == 0).all()
    assert (found[32:] > 7).all()


@pytest.mark.parametrize("damage", ["lost", "odd shape", "odd dtype", "odd name", "cut", "empty", "stack"])
def test_odd_planes_are_named(tmp_path: Path, damage: str) -> None:
    for z, plane in enumerate(VOLUME):
        tifffile.imwrite(tmp_path / f"z{z}.tif", plane, compression="zlib")
    odd = tmp_path / "z10.tif"
    deeds: dict[str, Callable[[], Any]] = {
        "lost": odd.unlink,
        "odd shape": lambda: tifffile.imwrite(odd, VOLUME[0, :-1]),
        "odd dtype": lambda: tifffile.imwrite(odd, VOLUME[0].astype("f4")),
        "odd name": lambda: odd.rename(tmp_path / "copy of z10.tif"),
        "cut": lambda: os.truncate(odd, odd.stat().st_size - 400),
        "empty": lambda: odd.write_bytes(b""),
        "stack": lambda: tifffile.imwrite(odd, VOLUME[:2], photometric="minisblack"),
    }
    deeds[damage]()
    with pytest.raises(UnreadableFileError, match="z10"):
        read_all(tmp_path)


def test_a_plane_that_goes_while_it_is_read(tmp_path: Path) -> None:
    for z, plane in enumerate(VOLUME):
        tifffile.imwrite(tmp_path / f"z{z}.tif", plane)
    with open_source(tmp_path) as source:
        (tmp_path / "z4.tif").unlink()
        with pytest.raises(TilecoreError, match="z4"):
            source[...]


def test_a_part_of_an_ome_tiff_that_is_not_there(tmp_path: Path) -> None:
    path, _ = kinds.TestOmeTiffInSeveralFiles().write(tmp_path, VOLUME)
    (tmp_path / "z5.ome.tif").unlink()
    with pytest.raises(UnreadableFileError, match="plane"):
        open_source(path)
    found = read_all(path, missing_chunks="fill")
    np.testing.assert_array_equal(found[4], VOLUME[4])
    assert not found[5].any()


def test_an_ome_tiff_that_leads_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path, _ = kinds.TestOmeTiffInSeveralFiles().write(tmp_path / "in", VOLUME)
    content = path.read_bytes().replace(b'"z5.ome.tif"', b'"../.ome.tif"'[:12] + b'"')
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="leads out|cannot be read"):
        open_source(path)


def write_zarr(path: Path, **options: Any) -> Path:
    zarr.create_array(path, data=VOLUME, **{"chunks": (4, 16, 16), **options})
    return path


ZARRS: dict[str, dict[str, Any]] = {
    "chunks": {},
    "plain": {"compressors": None},
    "shards": {"shards": (8, 32, 32)},
    "by zarr": {"filters": [zarr.codecs.TransposeCodec(order=(2, 1, 0))]},
}


@pytest.mark.parametrize("layout", ZARRS)
@pytest.mark.parametrize("damage", ["lost", "short", "empty", "bytes", "long"])
def test_damaged_chunks(tmp_path: Path, layout: str, damage: str) -> None:
    path = write_zarr(tmp_path / "v.zarr", **ZARRS[layout])
    chunk = path / "c" / "1" / "1" / "0"
    content = chunk.read_bytes()
    middle = len(content) // 2
    damaged = {
        "lost": None,
        "short": content[:-7],
        "empty": b"",
        "bytes": content[:-8] + bytes(8) if layout == "shards" else b"\xff" * 20 + content[20:],
        "long": content + b"\0" * middle,
    }[damage]
    if damaged is None:
        chunk.unlink()
    else:
        chunk.write_bytes(damaged)
    if (damage, layout) in {("bytes", "plain"), ("bytes", "by zarr"), ("long", "by zarr")}:
        return  # without a checksum nobody can tell, and trailing bytes are zarr's to judge
    expected = "cannot be read as a zarr" if layout == "by zarr" and damage != "lost" else "c/1/1/0"
    with open_source(path) as source:
        start = 8 if layout == "shards" else 4
        np.testing.assert_array_equal(source[:start], VOLUME[:start])
        with pytest.raises(UnreadableFileError, match=expected):
            source[...]
    if damage == "lost":
        found = read_all(path, missing_chunks="fill")
        assert not found[start, 33 if layout == "shards" else 17, 0]
        np.testing.assert_array_equal(found[:start], VOLUME[:start])


def test_our_own_chunks_are_checked_whatever_the_codec(tmp_path: Path) -> None:
    from tilecore import create_sink

    for codec in ("none", "zstd", "gzip", "blosc"):
        path = tmp_path / f"{codec}.zarr"
        with create_sink(path, VOLUME.shape, "u2", codec=codec) as sink:
            sink[...] = VOLUME
        chunk = path / "c" / "0" / "0" / "0"
        content = bytearray(chunk.read_bytes())
        content[len(content) // 2] ^= 16
        chunk.write_bytes(content)
        with pytest.raises(UnreadableFileError, match="c/0/0/0"):
            read_all(path)


def test_chunks_that_a_shard_leaves_out_on_purpose(tmp_path: Path) -> None:
    sparse = VOLUME.copy()
    sparse[:, :16, :16] = 0
    path = write_zarr(tmp_path / "v.zarr", shards=(12, 48, 64), chunks=(4, 16, 16))
    zarr.open_array(path)[:, :16, :16] = 0
    np.testing.assert_array_equal(read_all(path), sparse)


def test_a_chunk_that_decodes_to_more_than_it_should(tmp_path: Path) -> None:
    import numcodecs

    path = write_zarr(tmp_path / "v.zarr")
    bomb = numcodecs.Zstd(1).encode(np.zeros(2**24, np.uint8))
    (path / "c" / "0" / "0" / "0").write_bytes(bomb)
    with pytest.raises(UnreadableFileError, match="16777216 bytes instead of"):
        read_all(path)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        {"data_type": "string"},
        {"data_type": {"name": "structured", "configuration": {"fields": []}}},
        {"data_type": "uint99"},
        {"shape": [2**40]},
        {"shape": [-1, 4, 4]},
        {"shape": ["a", 4, 4]},
        {"shape": [2**40, 2**40, 2**40]},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**20, 2**20, 2**20]}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 4, 4]}}},
        {"chunk_grid": {"name": "rectilinear"}},
        {"codecs": []},
        {"codecs": None},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "../"}}},
        {"node_type": "nothing"},
        {"fill_value": "twelve"},
    ],
    ids=str,
)
def test_wrong_metadata(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write_zarr(tmp_path / "v.zarr")
    edit(path / "zarr.json", lambda document: document.update(change))
    with pytest.raises(TilecoreError, match=r"v\.zarr"):
        read_all(path)


def test_shapes_that_no_memory_holds(tmp_path: Path) -> None:
    """An image of 2^40 voxels may be real: it opens, and is read by region."""
    path = write_zarr(tmp_path / "v.zarr")
    edit(path / "zarr.json", lambda document: document.update(shape=[2**20, 2**10, 2**10]))
    with open_source(path) as source:
        np.testing.assert_array_equal(source[:4, :16, :16], VOLUME[:4, :16, :16])
        with pytest.raises(MemoryBudgetError, match="read smaller regions"):
            source[...]
        with pytest.raises(MemoryBudgetError, match="read smaller regions"):
            np.asarray(source)
    np.save(tmp_path / "v.npy", VOLUME)
    content = (tmp_path / "v.npy").read_bytes().replace(b"(12, 41, 53), }     ", b"(1099511627776,), } ")
    (tmp_path / "v.npy").write_bytes(content)
    with pytest.raises(UnreadableFileError, match="cut off"):
        open_source(tmp_path / "v.npy")
    (tmp_path / "v.raw").write_bytes(bytes(100))
    with pytest.raises(UnreadableFileError, match="100 bytes"):
        open_source(tmp_path / "v.raw", shape=(2**40,), dtype="u1")


@pytest.mark.parametrize("codec", ["pickle", "json2", "msgpack2", "vlen-utf8", "categorize"])
def test_codecs_that_make_objects_are_refused(tmp_path: Path, codec: str) -> None:
    array = zarr.create_array(tmp_path / "v.zarr", shape=(4, 4), dtype="u2", chunks=(4, 4), zarr_format=2)
    array[...] = 1
    edit(tmp_path / "v.zarr" / ".zarray", lambda document: document.update(filters=[{"id": codec}]))
    with pytest.raises(UnreadableFileError, match=f"{codec}.*refused"):
        open_source(tmp_path / "v.zarr")
    edit(tmp_path / "v.zarr" / ".zarray", lambda document: document.update(dtype="|O", filters=None))
    with pytest.raises(UnreadableFileError, match="only numbers"):
        open_source(tmp_path / "v.zarr")


def test_a_codec_of_another_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = zarr.create_array(tmp_path / "v.zarr", shape=(4, 4), dtype="u2", chunks=(4, 4), zarr_format=2)
    array[...] = 1
    edit(tmp_path / "v.zarr" / ".zarray", lambda document: document.update(compressor={"id": "imagecodecs_jpegxl"}))
    monkeypatch.setitem(sys.modules, "imagecodecs.numcodecs", None)
    with pytest.raises(MissingDependencyError, match=r"tilecore\[codecs\]"):
        open_source(tmp_path / "v.zarr")


def told_without_imagecodecs(path: Path, region: str = "") -> str:
    """What is told of a missing package where a file is opened, or a region of it is read, without imagecodecs."""
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "import tilecore\n"
        f"try: tilecore.open_source({str(path)!r}){region}\n"
        "except tilecore.MissingDependencyError as error: print(error)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_a_tiff_codec_of_another_package_names_the_extra(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="it writes the file")
    write_tiff(tmp_path / "v.tif", compression="lzw")
    assert "tilecore[codecs]" in told_without_imagecodecs(tmp_path / "v.tif", "[0]")


@pytest.mark.parametrize("name", ["../outside", "/etc", "a/../../outside", "", ".", 7])
def test_levels_outside_of_the_image(tmp_path: Path, name: Any) -> None:
    kinds.write_ome_zarr(tmp_path / "v.ome.zarr", VOLUME)
    write_zarr(tmp_path / "outside")

    def point(document: dict[str, Any]) -> None:
        document["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = name

    edit(tmp_path / "v.ome.zarr" / "zarr.json", point)
    with pytest.raises(UnreadableFileError):
        open_source(tmp_path / "v.ome.zarr")


@pytest.mark.parametrize("place", ["c", "c/1", "c/1/1/0", "zarr.json"])
def test_links_that_leave_the_image(tmp_path: Path, place: str) -> None:
    path = write_zarr(tmp_path / "v.zarr")
    (tmp_path / "outside").mkdir()
    moved = tmp_path / "outside" / "moved"
    shutil.move(path / place, moved)
    (path / place).symlink_to(moved)
    with pytest.raises(UnreadableFileError, match="leads out"):
        read_all(path)
    linked = tmp_path / "linked.zarr"  # the image itself may be a link
    (path / place).unlink()
    shutil.move(moved, path / place)
    linked.symlink_to(path)
    np.testing.assert_array_equal(read_all(linked), VOLUME)


def test_a_plane_that_leaves_its_folder(tmp_path: Path) -> None:
    (tmp_path / "planes").mkdir()
    for z in range(3):
        tifffile.imwrite(tmp_path / "planes" / f"z{z}.tif", VOLUME[z])
    tifffile.imwrite(tmp_path / "secret.tif", VOLUME[3])
    (tmp_path / "planes" / "z3.tif").symlink_to(tmp_path / "secret.tif")
    with pytest.raises(UnreadableFileError, match="leads out"):
        open_source(tmp_path / "planes")


def test_an_image_of_the_future(tmp_path: Path) -> None:
    kinds.write_ome_zarr(tmp_path / "v.ome.zarr", VOLUME)
    edit(tmp_path / "v.ome.zarr" / "zarr.json", lambda document: document["attributes"]["ome"].update(version="0.6"))
    with pytest.raises(UnreadableFileError, match=r"OME-Zarr 0\.6; versions up to 0\.5"):
        open_source(tmp_path / "v.ome.zarr")


def test_damaged_zip_files(tmp_path: Path) -> None:
    write_zarr(tmp_path / "v.zarr")
    path = Path(shutil.make_archive(str(tmp_path / "v.zarr"), "zip", tmp_path / "v.zarr"))
    np.testing.assert_array_equal(read_all(path), VOLUME)
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("c/1/1/0").header_offset
    with path.open("r+b") as file:
        file.seek(offset + 60)
        file.write(b"\0" * 30)
    with pytest.raises(UnreadableFileError, match="c/1/1/0"):
        read_all(path)
    os.truncate(path, path.stat().st_size - 300)
    with pytest.raises(UnreadableFileError, match="cut off"):
        open_source(path)


@pytest.mark.parametrize("damage", ["lost", "short", "header", "grown", "dtype"])
def test_damaged_n5(tmp_path: Path, damage: str) -> None:
    path, _ = kinds.TestN5().write(tmp_path, VOLUME)
    block = path / "s0" / "1" / "1" / "1"
    content = block.read_bytes()
    if damage == "lost":
        block.unlink()
    elif damage == "dtype":
        edit(path / "s0" / "attributes.json", lambda document: document.update(dataType="object"))
    else:
        block.write_bytes(
            {
                "short": content[:-9],
                "header": b"\0\1" + content[2:],
                "grown": content[:4] + b"\0\0\xff\xff" + content[8:],
            }[damage]
        )
    with pytest.raises(UnreadableFileError, match="1/1/1|only numbers"):
        read_all(path)
    if damage == "lost":
        assert not read_all(path, missing_chunks="fill")[5, 17, 17]


@pytest.mark.parametrize("damage", ["cut", "bytes", "object", "outside", "several", "absent"])
def test_damaged_hdf5(tmp_path: Path, damage: str) -> None:
    h5py = pytest.importorskip("h5py", reason="HDF5 is optional")
    path, name = tmp_path / "v.h5", "data"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=VOLUME, chunks=(5, 16, 16), compression="gzip", fletcher32=True)
        offset = file["data"].id.get_chunk_info(3).byte_offset
        if damage == "object":
            file.create_dataset("text", data=np.array([["a", "b"]], dtype=object), dtype=h5py.string_dtype())
            name = "text"
        if damage == "outside":
            file["link"] = h5py.ExternalLink("../other.h5", "/data")
            name = "link"
        if damage == "several":
            file["more"], name = VOLUME, ""
    if damage == "cut":
        os.truncate(path, path.stat().st_size // 2)
    if damage == "bytes":
        with path.open("r+b") as raw:
            raw.seek(offset + 10)
            raw.write(b"\xff" * 8)
    with pytest.raises(TilecoreError, match=r"v\.h5|leads out"):
        read_all(f"{path}:/{'nothing' if damage == 'absent' else name}" if name else path)


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".zarr", ".h5", ".n5", ".zip", ".raw", ".ome.tif"])
def test_empty_and_foreign_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    path.write_bytes(b"")
    with pytest.raises(UnreadableFileError, match="zero bytes"):
        open_source(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(300))
    with pytest.raises(TilecoreError):
        open_source(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(TilecoreError):
        open_source(path)


def test_a_wrong_suffix_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VOLUME)
    (tmp_path / "v.npy").rename(tmp_path / "v.tif")
    with pytest.raises(UnreadableFileError, match="begins like a file of kind npy"):
        open_source(tmp_path / "v.tif")
    with pytest.raises(ParameterError, match=r"\.foo|known ones"):
        shutil.copy(tmp_path / "v.tif", tmp_path / "v.foo")
        open_source(tmp_path / "v.foo")


def test_objects_in_npy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "r.npy", np.zeros(3, [("a", "u1"), ("b", "f4")]))
    for name in ("o.npy", "r.npy"):
        with pytest.raises(UnreadableFileError, match="only numbers"):
            open_source(tmp_path / name)


def test_a_file_that_changes_after_it_was_opened(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "v.tif", compression="zlib")
    source = open_source(path)
    tifffile.imwrite(path, VOLUME[:, ::-1], compression="zlib")
    with pytest.raises(UnreadableFileError, match="has changed"):
        source[0]


FORBIDDEN = """
import os, sys
import numpy as np
import tilecore
folder = sys.argv[1]
import mmap, google_crc32c, numcodecs, numcodecs.blosc, tifffile, zipfile
from tilecore.formats import npy
from tilecore.formats.zarr import ome_sink as ome_zarr_sink
from tilecore.formats.tiff import reader as tiff
from tilecore.formats.tiff import sink as tiff_sink
from tilecore.formats.zarr import reader as zarr_source
os.seteuid(65534)
for deed in (
    lambda: tilecore.open_source(folder + "/secret.npy"),
    lambda: tilecore.open_source(folder + "/secret.tif"),
    lambda: tilecore.open_source(folder + "/secret.zarr"),
    *[lambda suffix=suffix: tilecore.create_sink(folder + "/out" + suffix, (4, 4, 4), "u1")
      for suffix in (".npy", ".tif", ".zarr", ".ome.zarr")],
):
    try:
        deed()
    except tilecore.TilecoreError as error:
        assert folder in str(error), error
        print(type(error).__name__)
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody with fewer rights")
def test_unreadable_and_read_only_places() -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        np.save(folder / "secret.npy", VOLUME)
        write_tiff(folder / "secret.tif")
        write_zarr(folder / "secret.zarr")
        for name in ("secret.npy", "secret.tif", "secret.zarr/zarr.json"):
            (folder / name).chmod(0o600)
        folder.chmod(0o755)
        found = subprocess.run(
            [sys.executable, "-c", FORBIDDEN, folder], capture_output=True, text=True, cwd=os.getcwd()
        )
        assert found.stdout.split() == ["UnreadableFileError"] * 3 + ["UnwritableFileError"] * 4, found.stderr
    finally:
        shutil.rmtree(folder)


def test_nothing_is_written_for_a_source_that_cannot_be_read(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "v.zarr")
    (path / "c" / "1" / "1" / "0").unlink()
    with pytest.raises(TileError, match="is missing"):
        map_tiles(np.copy, path, out=tmp_path / "out.npy", tile_shape=12 * 64, retries=0, workers=2)
    assert not (tmp_path / "out.npy").exists()
    with pytest.raises(MissingFileError):
        map_tiles(np.copy, tmp_path / "none.tif", out=tmp_path / "out.npy")


@pytest.mark.parametrize("name", ["v.npy", "v.tif", "v"])
def test_files_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_bytes(b"voxels")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(UnreadableFileError, match=f"{name} cannot be read: Permission denied"):
        open_source(tmp_path / name)


def test_a_missing_codec_is_told_when_the_file_is_opened(tmp_path: Path) -> None:
    """Not by the first tile that needs it; and with what brings it."""
    pytest.importorskip("imagecodecs", reason="it writes the files")
    write_tiff(tmp_path / "v.tif", compression="lzw")
    (tmp_path / "planes").mkdir()
    for z in range(2):
        tifffile.imwrite(tmp_path / "planes" / f"z{z}.tif", VOLUME[z], compression="lzw")
    for place in ("v.tif", "planes"):
        told = told_without_imagecodecs(tmp_path / place)
        assert "compressed with LZW" in told
        assert 'pip install "tilecore[codecs]"' in told


@pytest.mark.parametrize(
    ("codec", "remedy"),
    [
        ("imagecodecs_jpegxl", r'pip install "tilecore\[codecs\]"'),
        ("numcodecs.imagecodecs_jpegxl", r'pip install "tilecore\[codecs\]"'),
        ("numcodecs.zfpy", r'pip install "numcodecs\[zfpy\]"'),
        ("codec_of_mine", "no installed package has this codec"),
        ("numcodecs.codec_of_mine", "no installed package has this codec"),
    ],
)
@pytest.mark.parametrize("is_sharded", [False, True])
def test_a_codec_that_zarr_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, remedy: str, is_sharded: bool
) -> None:
    pytest.importorskip("numcodecs")
    if "zfpy" in codec and importlib.util.find_spec("zfpy"):
        pytest.skip("this codec is here")
    monkeypatch.setitem(sys.modules, "imagecodecs.numcodecs", None)
    shards = (4, 4) if is_sharded else None
    zarr.create_array(tmp_path / "v.zarr", shape=(4, 4), dtype="u2", chunks=(2, 2), shards=shards)

    def change(document: dict[str, Any]) -> None:
        codecs = document["codecs"][0]["configuration"]["codecs"] if is_sharded else document["codecs"]
        codecs[1:] = [{"name": codec, "configuration": {}}]

    edit(tmp_path / "v.zarr" / "zarr.json", change)
    with pytest.raises(MissingDependencyError, match=remedy):
        open_source(tmp_path / "v.zarr")


def test_a_filter_that_hdf5_lacks(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("hdf5plugin", reason="it writes the file")
    import hdf5plugin

    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("v", data=np.zeros((8, 8), "u2"), chunks=(4, 4), **hdf5plugin.Zstd())
    open_source(tmp_path / "v.h5")
    code = (
        "import sys; sys.modules['hdf5plugin'] = None\n"
        "import tilecore\n"
        f"try: tilecore.open_source({str(tmp_path / 'v.h5')!r})\n"
        "except tilecore.MissingDependencyError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'needs the package hdf5plugin: pip install "tilecore[hdf5]"' in found.stdout
