"""Tests of outputs that are also inputs: refused, or written safely if the caller allows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from scipy import ndimage

from tilecore import ParameterError, SharedArray, map_tiles, open_source

SHAPE = (12, 10, 14)
EXECUTORS: list[dict[str, Any]] = [
    {"executor": "serial"},
    {"executor": "threads", "workers": 2},
    {"workers": 2},
    {"workers": 2, "start_method": "fork"},
]


def voxels() -> np.ndarray:
    return np.random.default_rng(0).random(SHAPE)


def plain(folder: Path) -> tuple[Any, Any]:
    array = voxels()
    return array, array


def view(folder: Path) -> tuple[Any, Any]:
    array = np.empty((*SHAPE, 2))
    array[..., 0] = voxels()
    return array[..., 0], array[..., 0]


def shared(folder: Path) -> tuple[Any, Any]:
    array = SharedArray.from_array(voxels())
    return array, array


def shared_by_two_maps(folder: Path) -> tuple[Any, Any]:
    array = SharedArray.from_array(voxels())
    return array.readonly(), array


def mapped_twice(folder: Path) -> tuple[Any, Any]:
    np.save(folder / "v.npy", voxels())
    return np.load(folder / "v.npy", mmap_mode="r"), np.load(folder / "v.npy", mmap_mode="r+")


def hard_link(folder: Path) -> tuple[Any, Any]:
    np.save(folder / "v.npy", voxels())
    os.link(folder / "v.npy", folder / "other.npy")
    return open_source(folder / "other.npy"), np.load(folder / "v.npy", mmap_mode="r+")


def zarr_array(folder: Path) -> tuple[Any, Any]:
    array = zarr.create_array(folder / "v.zarr", shape=SHAPE, chunks=(4, 5, 7), dtype="f8")
    array[...] = voxels()
    return open_source(folder / "v.zarr"), array


def zarr_in_memory(folder: Path) -> tuple[Any, Any]:
    array = zarr.create_array(zarr.storage.MemoryStore(), shape=SHAPE, chunks=(4, 5, 7), dtype="f8")
    array[...] = voxels()
    return array, array


KINDS = [plain, view, shared, shared_by_two_maps, mapped_twice, hard_link, zarr_array, zarr_in_memory]


def smooth(block: np.ndarray) -> np.ndarray:
    result: np.ndarray = ndimage.maximum_filter(block, 3)
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_that_is_a_source_is_refused_before_any_work(kind: Callable[..., Any], tmp_path: Path) -> None:
    source, out = kind(tmp_path)
    before, calls = np.array(out[...]), []
    with pytest.raises(ParameterError, match=r"out shares memory or a file with a source.*inplace=True"):
        map_tiles(lambda block: calls.append(1) or block, source, out=out, tile_shape=(4, 5, 7), executor="serial")
    assert not calls
    np.testing.assert_array_equal(out[...], before)


@pytest.mark.parametrize("run", EXECUTORS)
@pytest.mark.parametrize("halo", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_in_place_is_as_into_another_array(
    kind: Callable[..., Any], halo: int, run: dict[str, Any], tmp_path: Path
) -> None:
    if kind is zarr_in_memory and run["executor" if "executor" in run else "workers"] == 2:
        pytest.skip("an array in memory that is not numpy's stays with its process")
    source, out = kind(tmp_path)
    function = smooth if halo else np.sqrt
    expected = function(voxels())
    names = sorted(os.listdir(tmp_path))
    map_tiles(function, source, out=out, halo=halo, inplace=True, tile_shape=(4, 5, 7), **run)
    np.testing.assert_array_equal(np.asarray(out[...]), expected)
    assert sorted(os.listdir(tmp_path)) == names


def test_a_tile_whose_worker_dies_is_done_once(tmp_path: Path) -> None:
    """Each tile is computed from the voxels before its first attempt."""

    def dies_once(block: np.ndarray, tile: Any) -> np.ndarray:
        mark = tmp_path / f"{tile.number}"
        if not mark.exists():
            mark.touch()
            os._exit(3)
        return block + 1

    array = voxels()
    expected = array + 1
    map_tiles(dies_once, array, out=array, inplace=True, pass_tile=True, tile_shape=(6, 10, 14), workers=2)
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("halo", [0, 1])
def test_a_run_in_place_that_fails_with_a_halo_leaves_the_source(halo: int) -> None:
    def fails(block: np.ndarray) -> np.ndarray:
        raise ValueError("no")

    array = voxels()
    with pytest.raises(RuntimeError, match="no"):
        map_tiles(fails, array, out=array, inplace=True, halo=halo, tile_shape=6, retries=0, executor="serial")
    np.testing.assert_array_equal(array, voxels())


def test_parts_that_overlap_by_half_go_through_a_temporary() -> None:
    array = np.arange(100.0)
    map_tiles(np.negative, array[:-10], out=array[10:], inplace=True, tile_shape=7, executor="serial")
    np.testing.assert_array_equal(array, np.r_[np.arange(10.0), -np.arange(90.0)])


def test_arrays_that_only_lie_side_by_side_are_apart(tmp_path: Path) -> None:
    """Channels of one array, and parts of one file, share no voxel."""
    array = np.zeros((6, 6, 2))
    array[..., 0] = 3
    map_tiles(np.negative, array[..., 0], out=array[..., 1], tile_shape=4, executor="serial")
    assert (array[..., 1] == -3).all()
    np.save(tmp_path / "v.npy", np.ones((8, 4)))
    whole = np.load(tmp_path / "v.npy", mmap_mode="r+")
    map_tiles(np.negative, whole[:4], out=whole[4:], tile_shape=2, workers=2)
    assert (np.load(tmp_path / "v.npy") == [[1] * 4] * 4 + [[-1] * 4] * 4).all()


def test_one_array_as_two_outputs_is_refused() -> None:
    out = np.zeros(8)
    for outs in ([out, out], [out, out[::-1]]):
        with pytest.raises(ParameterError, match="two outputs share memory"):
            map_tiles(lambda block: (block, block), np.ones(8), out=outs, tile_shape=4, executor="serial")
    map_tiles(
        lambda block: (block[::2], -block[::2]),
        np.ones(8),
        scale=0.5,
        out=[out[::2], out[1::2]],
        tile_shape=4,
        executor="serial",
    )
    assert out.tolist() == [1, -1] * 4


def test_an_output_whose_voxels_lie_in_one_place_is_refused() -> None:
    out = np.lib.stride_tricks.as_strided(np.zeros(8), (8, 8), (0, 8))
    with pytest.raises(ParameterError, match="several voxels of the output lie in the same place"):
        map_tiles(np.negative, np.ones((8, 8)), out=out, tile_shape=4, executor="serial")


def test_a_run_in_place_cannot_be_continued(tmp_path: Path) -> None:
    source, out = mapped_twice(tmp_path)
    with pytest.raises(ParameterError, match="needs outputs on disk that are not sources"):
        map_tiles(np.sqrt, source, out=out, inplace=True, journal=tmp_path / "j", executor="serial")
    assert not (tmp_path / "j").exists()


def test_a_file_may_take_the_place_of_its_source(tmp_path: Path) -> None:
    """A file that replaces its source is written elsewhere until it is complete."""
    np.save(tmp_path / "v.npy", voxels())
    map_tiles(smooth, tmp_path / "v.npy", out=tmp_path / "v.npy", overwrite=True, halo=1, tile_shape=5, workers=2)
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), smooth(voxels()))
