"""Sources in object stores: S3 on loopback, a web server, and the memory of one process."""

from __future__ import annotations

import functools
import http.server
import json
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import fsspec
import numcodecs
import numpy as np
import pytest
import zarr

from tests.objects.server import SECRET
from tilecore import (
    MissingDependencyError,
    MissingFileError,
    ObjectStoreError,
    ParameterError,
    SourceChangedError,
    collect_tiles,
    create_sink,
    map_tiles,
    open_source,
    read_boxes,
)
from tilecore.formats.contents import contents_of
from tilecore.objects.store import ObjectStore

SHAPE = (10, 20, 30)


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, SHAPE, dtype=np.uint16)


def upload(folder: Path, url: str) -> str:
    """Copy all files of a folder below a URL."""
    store = ObjectStore(url)
    for path in folder.rglob("*"):
        if path.is_file():
            store.put(path.relative_to(folder).as_posix(), [path.read_bytes()])
    return url


def write(folder: Path, volume: np.ndarray, name: str = "v.ome.zarr", **options: Any) -> Path:
    with create_sink(folder / name, volume.shape, volume.dtype, voxel_size_um=(2, 1, 1), **options) as sink:
        sink[...] = volume
    return folder / name


LAYOUTS: dict[str, dict[str, Any]] = {
    "v.zarr": {"chunks": (5, 8, 16)},
    "sharded.zarr": {"chunks": (5, 5, 5), "shards": (10, 10, 10)},
    "v.ome.zarr": {"chunks": (5, 8, 16)},
    "old.ome.zarr": {"chunks": (5, 8, 16), "ome_zarr_version": "0.4"},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_bucket_is_read_as_a_folder(name: str, bucket: str, tmp_path: Path, volume: np.ndarray) -> None:
    url = upload(write(tmp_path, volume, name, **LAYOUTS[name]), f"{bucket}/in/{name}")
    with open_source(url) as source, open_source(tmp_path / name) as file:
        assert source.path == url
        np.testing.assert_array_equal(source[...], volume)
        np.testing.assert_array_equal(source[3:7, 2, ::3], volume[3:7, 2, ::3])
        assert (source.info, source.chunks, source.write_units) == (file.info, file.chunks, file.write_units)
        boxes = [np.s_[1:3, 2:9, 0:4], np.s_[2, 3:9, 29]]
        for block, box in zip(read_boxes(source, boxes), boxes, strict=True):
            np.testing.assert_array_equal(block, volume[box])


def test_shards_are_read_in_ranges(bucket: str, tmp_path: Path, volume: np.ndarray) -> None:
    from tilecore.objects.filesystems import filesystem_of

    options = LAYOUTS["sharded.zarr"] | {"codec": "none"}
    url = upload(write(tmp_path, volume, "v.zarr", **options), f"{bucket}/v.zarr")
    files: Any = filesystem_of(url)
    read, plain = [], files.cat_file

    def counted(path: str, start: int | None = None, end: int | None = None) -> bytes:
        content: bytes = plain(path, start=start, end=end)
        read.append((path, len(content)))
        return content

    files.cat_file = counted
    with open_source(url) as source:
        read.clear()
        np.testing.assert_array_equal(source[0, 0, 0], volume[0, 0, 0])
    assert [size for path, size in read if "/c/" in path] == [16 * 8 + 4, 5 * 5 * 5 * 2 + 4]


def test_a_group_and_levels_are_chosen(bucket: str, tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 200, (4, 600, 300), dtype=np.uint8)
    url = upload(write(tmp_path, volume, chunks=(4, 128, 128)), f"{bucket}/v.ome.zarr")
    group = zarr.open_group(tmp_path / "several.zarr", mode="w")
    group.create_array("a/one", data=volume[:2], chunks=(2, 100, 100))
    group.create_array("b", data=volume[:1], chunks=(1, 100, 100))
    several = upload(tmp_path / "several.zarr", f"{bucket}/several.zarr")
    with open_source(url, level=1) as coarse, open_source(tmp_path / "v.ome.zarr", level=1) as file:
        np.testing.assert_array_equal(coarse[...], file[...])
    for place in (f"{several}:/a/one", f"{several}/a/one"):
        with open_source(place) as source:
            np.testing.assert_array_equal(source[...], volume[:2])
    assert [item.path for item in contents_of(several)] == [f"{several}/a/one", f"{several}/b"]


def test_n5_is_read(bucket: str, tmp_path: Path, volume: np.ndarray) -> None:
    folder = tmp_path / "v.n5"
    folder.mkdir()
    attributes = {
        "dimensions": [30, 20, 10],
        "blockSize": [30, 20, 10],
        "dataType": "uint16",
        "compression": {"type": "raw"},
    }
    (folder / "attributes.json").write_text(json.dumps(attributes))
    (folder / "0" / "0").mkdir(parents=True)
    header = b"\0\0\0\3" + b"".join(length.to_bytes(4, "big") for length in (30, 20, 10))
    (folder / "0" / "0" / "0").write_bytes(header + volume.astype(">u2").tobytes())
    with open_source(upload(folder, f"{bucket}/v.n5")) as source:
        np.testing.assert_array_equal(source[...], volume)
    assert [item.path for item in contents_of(f"{bucket}/v.n5")] == [f"{bucket}/v.n5"]


def test_arrays_that_zarr_decodes(bucket: str, tmp_path: Path, volume: np.ndarray) -> None:
    options: dict[str, Any] = {"zarr_format": 2, "filters": [numcodecs.Delta(dtype="<u2")], "order": "F"}
    zarr.create_array(tmp_path / "v.zarr", data=volume, chunks=(5, 10, 10), **options)
    with open_source(upload(tmp_path / "v.zarr", f"{bucket}/v.zarr")) as source:
        assert source._open()._metadata.codec is None
        np.testing.assert_array_equal(source[...], volume)


def test_every_run_reads_a_bucket(run: dict[str, Any], bucket: str, tmp_path: Path, volume: np.ndarray) -> None:
    url = upload(write(tmp_path, volume, chunks=(5, 8, 16)), f"{bucket}/v.ome.zarr")
    result = map_tiles(np.negative, url, tile_shape=(5, 8, 16), **run)
    np.testing.assert_array_equal(result, np.negative(volume))
    assert sum(collect_tiles(lambda block: int(block.sum()), url, tile_shape=(5, 8, 16), **run)) == volume.sum()


def test_every_run_reads_the_memory_of_this_process(run: dict[str, Any], tmp_path: Path, volume: np.ndarray) -> None:
    """Other processes cannot see it, so they are sent its voxels."""
    url = upload(write(tmp_path, volume, chunks=(5, 8, 16)), "memory://reading/v.ome.zarr")
    try:
        result = map_tiles(np.negative, url, tile_shape=(5, 8, 16), **run)
    finally:
        fsspec.filesystem("memory").rm("/reading", recursive=True)
    np.testing.assert_array_equal(result, np.negative(volume))


@pytest.mark.parametrize("name", ["sharded.zarr", "v.ome.zarr"])
def test_a_web_server_is_read(name: str, tmp_path: Path, volume: np.ndarray) -> None:
    """Also one that sends whole files, whatever range it is asked for."""
    write(tmp_path, volume, name, **LAYOUTS[name])

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/{name}"
            with open_source(url) as source:
                np.testing.assert_array_equal(source[...], volume)
                np.testing.assert_array_equal(source[3:7, 2, ::3], volume[3:7, 2, ::3])
            with pytest.raises(MissingFileError, match="there is neither zarr nor N5"):
                open_source(f"{url}-not")
        finally:
            server.shutdown()
            thread.join()


def test_a_file_url_is_a_path(tmp_path: Path, volume: np.ndarray) -> None:
    path = write(tmp_path, volume)
    with open_source(f"file://{path}") as source:
        assert source.path == str(path)


def test_missing_chunks_are_told_by_their_url(bucket: str, tmp_path: Path, volume: np.ndarray) -> None:
    url = upload(write(tmp_path, volume, "v.zarr", chunks=(5, 8, 16)), f"{bucket}/v.zarr")
    ObjectStore(url).remove(["c/0/0/0", "c/none"])
    with open_source(url) as source, pytest.raises(OSError, match=f"{url}/c/0/0/0 is missing"):
        source[...]
    with open_source(url, missing_chunks="fill") as source:
        assert not source[:5, :8, :16].any()
        np.testing.assert_array_equal(source[5:], volume[5:])


def test_a_source_that_changes_is_noticed(bucket: str, tmp_path: Path, volume: np.ndarray) -> None:
    url = upload(write(tmp_path, volume, "v.zarr", chunks=(5, 8, 16)), f"{bucket}/v.zarr")
    store = ObjectStore(url)
    document = store.get("zarr.json") or b""

    def change(block: np.ndarray) -> np.ndarray:
        store.put("zarr.json", [document + b" "])
        return block

    with pytest.raises(SourceChangedError, match=f"{url} was changed while the run read it"):
        map_tiles(change, url, tile_shape=SHAPE, executor="serial")


def test_bad_names_are_told(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="there is neither zarr nor N5"):
        open_source(f"{bucket}/none.zarr")
    with pytest.raises(MissingFileError, match="there is no bucket s3://no-such-bucket; check its name"):
        open_source("s3://no-such-bucket/v.zarr")
    with pytest.raises(ParameterError, match="zarr and N5 folders alone are read from a URL"):
        open_source(f"{bucket}/v.tif")
    with pytest.raises(ParameterError, match="fsspec does not know nostore://"):
        open_source("nostore://bucket/v.zarr")
    with pytest.raises(ParameterError, match="give the URL as text"):
        open_source(Path(f"{bucket}/v.zarr"))
    with pytest.raises(ParameterError, match="raw numbers are not read from a URL"):
        open_source(f"{bucket}/v.zarr", shape=(3, 4), dtype="u1")


def test_a_url_with_credentials_is_refused_without_showing_them() -> None:
    for url in (f"s3://me:{SECRET}@bucket/v.zarr", f"https://host/v.zarr?X-Amz-Signature={SECRET}"):
        with pytest.raises(ParameterError) as caught:
            open_source(url)
        assert SECRET not in str(caught.value)


def test_missing_credentials_are_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ObjectStoreError, match="there are no credentials; set AWS_ACCESS_KEY_ID and") as caught:
        open_source(f"{bucket}/v.zarr")
    assert f"{bucket}/v.zarr" in str(caught.value)


@pytest.mark.parametrize("package", ["fsspec", "s3fs"])
def test_a_missing_package_is_named_with_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILECORE_TEST_OF_PACKAGES", package)  # no connection of another test is used again
    monkeypatch.delitem(sys.modules["fsspec.registry"].__dict__["_registry"], "s3", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingDependencyError, match=rf'needs the package {package}.*pip install "tilecore\[objects\]"'
    ):
        open_source("s3://bucket/v.zarr")


def test_credentials_are_in_no_description(bucket: str, tmp_path: Path, volume: np.ndarray) -> None:
    url = upload(write(tmp_path, volume), f"{bucket}/v.ome.zarr")
    with open_source(url) as source:
        described = [pickle.dumps(source), repr(source).encode(), json.dumps(source.access.content()).encode()]
        assert url in json.dumps(source.access.content())
    assert not any(SECRET.encode() in each for each in described)
