"""Tests of the names of ``scout.utils``, used as its callers do, with only the import changed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from scipy import ndimage

from tilecore.compat import scout as utils

SEED = {
    "SharedMemory",
    "box_slice_idx",
    "chunk_coordinates",
    "chunk_dims",
    "extract_box",
    "extract_ghosted_chunk",
    "files_in_dir",
    "filter_ghosted_points",
    "filter_points_in_box",
    "insert_box",
    "pmap_chunks",
    "read_voxel_size",
    "tifs_in_dir",
}


# What SCOUT's other modules import from ``scout.utils`` besides.
UNDOCUMENTED = {"read_csv", "read_json", "verbose_print", "write_csv"}


def test_every_name_of_the_seed_is_there() -> None:
    assert set(utils.__all__) == SEED | UNDOCUMENTED
    assert all(hasattr(utils, name) for name in utils.__all__)


def test_chunks_of_an_image() -> None:
    assert utils.chunk_dims((10, 20, 30), (4, 20, 7)) == (3, 1, 5)
    coordinates = utils.chunk_coordinates((10, 20, 30), (4, 20, 7))
    assert coordinates.shape == (15, 3)
    assert coordinates[:2].tolist() == [[0, 0, 0], [0, 0, 7]]
    assert coordinates[-1].tolist() == [8, 0, 28]


def test_boxes_in_and_out() -> None:
    arr = np.arange(60).reshape(3, 4, 5)
    assert arr[utils.box_slice_idx((0, 1, 2), (2, 3, 4))].shape == (2, 2, 2)
    np.testing.assert_array_equal(utils.extract_box(arr, [0, 1, 2], [2, 3, 4]), arr[0:2, 1:3, 2:4])
    utils.insert_box(arr, np.array([0, 1, 2]), np.array([2, 3, 4]), -np.ones((2, 2, 2)))
    assert (arr[0:2, 1:3, 2:4] == -1).all()
    memory = utils.SharedMemory((3, 4, 5), int)
    utils.insert_box(memory, (0, 0, 0), (3, 4, 5), arr)
    np.testing.assert_array_equal(utils.extract_box(memory, (1, 1, 1), (3, 3, 3)), arr[1:3, 1:3, 1:3])


def gaussian_chunk(arr: Any, start_coord: Any, chunks: Any, output: Any, sigma: float, overlap: int) -> None:
    """Filter a chunk with its surroundings, and write the chunk."""
    stop = np.minimum(np.add(start_coord, chunks), arr.shape)
    ghosted, start_ghosted, _ = utils.extract_ghosted_chunk(arr, start_coord, chunks, overlap)
    filtered = ndimage.gaussian_filter(ghosted, sigma, mode="nearest")
    start_local = np.asarray(start_coord) - start_ghosted
    stop_local = start_local + stop - start_coord
    utils.insert_box(output, start_coord, stop, utils.extract_box(filtered, start_local, stop_local))


@pytest.mark.parametrize("kind", ["memory", "zarr"])
def test_filter_with_overlap_equals_the_whole(kind: str, tmp_path: Path) -> None:
    img = np.random.default_rng(0).random((20, 24, 28))
    if kind == "memory":
        source, output = utils.SharedMemory(img.shape, img.dtype), utils.SharedMemory(img.shape, img.dtype)
        with source.txn() as array:
            array[:] = img
    else:
        source = zarr.create_array(tmp_path / "in", data=img, chunks=(8, 8, 8))
        output = zarr.create_array(tmp_path / "out", shape=img.shape, dtype=img.dtype, chunks=(8, 8, 8))
    f = partial(gaussian_chunk, output=output, sigma=1.0, overlap=4)
    utils.pmap_chunks(f, source, (8, 8, 8), 2)
    result = utils.extract_box(output, (0, 0, 0), img.shape)
    np.testing.assert_array_equal(result, ndimage.gaussian_filter(img, 1.0, mode="nearest"))


def detect_chunk(args: Any) -> Any:
    """Find local maxima of a chunk, without those that belong to its neighbours."""
    arr, start_coord, chunks = args
    ghosted, start_ghosted, _ = utils.extract_ghosted_chunk(arr, start_coord, chunks, 2)
    peaks = (ndimage.maximum_filter(ghosted, 3) == ghosted) & (ghosted > 0.9)
    centers = np.argwhere(peaks)
    if len(centers) == 0:
        return None
    local = utils.filter_ghosted_points(start_ghosted, start_coord, centers, chunks, 2)
    return local + start_ghosted


def test_detection_with_overlap_equals_the_whole() -> None:
    img = np.random.default_rng(1).random((18, 20, 22))
    found = utils.pmap_chunks(detect_chunk, img, (8, 8, 8), 2, use_imap=True)
    centers = np.concatenate([each for each in found if each is not None])
    expected = np.argwhere((ndimage.maximum_filter(img, 3) == img) & (img > 0.9))
    assert len(centers) == len(expected)
    assert {tuple(center) for center in centers.tolist()} == {tuple(center) for center in expected.tolist()}


def test_points_in_a_box() -> None:
    points = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2]])
    inside = utils.filter_points_in_box(points, (1, 1, 1), (2, 2, 2))
    np.testing.assert_array_equal(np.ravel(inside), [1, 1, 1])


def test_folders_and_voxel_sizes(tmp_path: Path) -> None:
    for name in ["z10.tif", "z9.TIFF", "z1.tif", "notes.txt"]:
        (tmp_path / name).touch()
    assert utils.files_in_dir(str(tmp_path)) == sorted(["z10.tif", "z9.TIFF", "z1.tif", "notes.txt"])
    paths, names = utils.tifs_in_dir(str(tmp_path))
    assert names == ["z1.tif", "z9.TIFF", "z10.tif"]
    assert paths == [str(tmp_path / name) for name in names]
    (tmp_path / "voxel_size.csv").write_text("2000,650,650\n")
    assert utils.read_voxel_size(str(tmp_path / "voxel_size.csv")) == (2.0, 0.65, 0.65)
    for text in ["", "a,b,c", "2000,-1,5"]:
        (tmp_path / "voxel_size.csv").write_text(text)
        with pytest.raises(ValueError, match=r"voxel_size.csv"):
            utils.read_voxel_size(tmp_path / "voxel_size.csv")
    with pytest.raises(FileNotFoundError):
        utils.tifs_in_dir(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        utils.read_voxel_size(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "names", [["DN", "SOX2", "TBR1"], [], [""], ['one, "two"', "three\nfour", "fünf\u2028six"], ["a", ""]], ids=str
)
def test_lists_of_names_come_back(names: list[str], tmp_path: Path) -> None:
    utils.write_csv(str(tmp_path / "names.csv"), names)
    assert utils.read_csv(str(tmp_path / "names.csv")) == names


def test_lists_that_others_have_written(tmp_path: Path) -> None:
    path = tmp_path / "celltype_names.csv"
    for content in [b"SOX2,TBR1,DN", b"SOX2,TBR1,DN\r\n", b"SOX2\nTBR1\nDN\n", b"\xef\xbb\xbfSOX2,TBR1\r\nDN\r\n"]:
        path.write_bytes(content)
        assert utils.read_csv(path) == ["SOX2", "TBR1", "DN"]
    utils.write_csv(path, np.array([1, 2.5]))
    assert utils.read_csv(path) == ["1.0", "2.5"]
    (tmp_path / "settings.json").write_text('{"names": ["a", null], "n": 2}')
    assert utils.read_json(tmp_path / "settings.json") == {"names": ["a", None], "n": 2}


@pytest.mark.parametrize("data", ["SOX2", b"SOX2", 5, [["a", "b"]], [None], np.ones((2, 2))], ids=str)
def test_no_list_is_refused_and_the_old_file_stays(data: Any, tmp_path: Path) -> None:
    utils.write_csv(tmp_path / "names.csv", ["old"])
    with pytest.raises(TypeError, match="data="):
        utils.write_csv(tmp_path / "names.csv", data)
    assert utils.read_csv(tmp_path / "names.csv") == ["old"]


@pytest.mark.parametrize("read", [utils.read_csv, utils.read_json])
@pytest.mark.parametrize("content", [b'"never closed', b"\xff\xfe\x00", None])
def test_files_that_are_something_else_are_named(read: Any, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileNotFoundError if content is None else ValueError, match=r"file\.txt"):
        read(path)
