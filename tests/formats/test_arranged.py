"""Sources with their axes in another order, and the letters of axes that nobody names."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tilecore import Box, ParameterError, create_sink, map_tiles, open_source
from tilecore.formats.arranged import arranged
from tilecore.formats.axes import guessed_axes


@given(st.data())
def test_regions_are_those_of_the_moved_array(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple), label="shape")
    values = np.arange(np.prod(shape)).reshape(shape)
    axes = data.draw(st.permutations(range(len(shape))), label="axes")
    n_kept = data.draw(st.integers(0, len(shape)), label="kept")
    order = axes[:n_kept]
    chosen = {axis: data.draw(st.integers(0, shape[axis] - 1)) for axis in axes[n_kept:]}
    expected = values.transpose([*order, *chosen])[(..., *chosen.values())]

    class Lazy:
        """An array that is not in memory, for those who read it."""

        shape, dtype, chunks = values.shape, values.dtype, tuple(range(1, values.ndim + 1))

        def __getitem__(self, index: Any) -> Any:
            return values[index]

    for source in (values, Lazy()):
        moved: Any = arranged(source, order, chosen)
        assert (moved.shape, moved.dtype) == (expected.shape, expected.dtype)
        index = tuple([data.draw(st.one_of(st.slices(n).filter(lambda s: (s.step or 1) > 0))) for n in moved.shape])
        np.testing.assert_array_equal(moved[index], expected[index])
        if isinstance(source, Lazy) and order != list(range(len(shape))):
            assert moved.chunks == tuple(axis + 1 for axis in order)


@pytest.mark.parametrize("suffix", ["npy", "zarr", "tif"])
@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_workers_read_files_in_another_order(tmp_path: Path, suffix: str, executor: str) -> None:
    values = np.random.default_rng(0).integers(0, 999, (3, 8, 20, 30)).astype("u2")
    with create_sink(tmp_path / f"v.{suffix}", values.shape, "u2", axes="CZYX") as sink:
        sink[...] = values
    moved: Any = arranged(open_source(tmp_path / f"v.{suffix}"), [3, 1, 2], {0: 2})
    expected = ndimage.maximum_filter(values[2].transpose(2, 0, 1), 3)
    found = map_tiles(_maximum, moved, halo=1, tile_shape=(12, 8, 9), executor=executor, boundary=None, workers=2)
    np.testing.assert_array_equal(found, expected)
    again = pickle.loads(pickle.dumps(moved))
    np.testing.assert_array_equal(again[1:3, :, 4], moved[1:3, :, 4])
    assert moved.info.axes == "XZY"
    # A journal tells this order from another one.
    other: Any = arranged(open_source(tmp_path / f"v.{suffix}"), [3, 2, 1], {0: 2})
    assert moved.access.content() != other.access.content()


def _maximum(block: np.ndarray) -> np.ndarray:
    return ndimage.maximum_filter(block, 3)


@pytest.mark.parametrize(
    ("shape", "letters"),
    [
        ((), ""),
        ((9,), "X"),
        ((9, 9), "YX"),
        ((2, 9, 9), "ZYX"),
        ((9, 9, 2), "ZYX"),
        ((2, 20, 64, 80), "CZYX"),
        ((20, 64, 80, 2), "ZYXC"),
        ((1, 64, 80, 3), "ZYXC"),
        ((20, 64, 80, 6), "ZYXC"),
        ((6, 64, 80, 6), "CZYX"),
        ((7, 2, 20, 64, 80), "TCZYX"),
        ((7, 20, 64, 80, 2), "TZYXC"),
    ],
)
def test_letters_that_nobody_gave(shape: tuple[int, ...], letters: str) -> None:
    assert guessed_axes(shape) == letters


@pytest.mark.parametrize("shape", [(2, 12, 20, 24), (12, 20, 24, 2)])
def test_the_same_voxels_get_the_same_halo_however_they_come(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random(shape).astype("f4")
    np.save(tmp_path / "v.npy", values)
    zarr.save_array(str(tmp_path / "foreign.zarr"), values)
    tifffile.imwrite(tmp_path / "v.tif", values)
    values.tofile(tmp_path / "v.raw")
    for name in ("own.zarr", "own.h5", "own.npy"):
        map_tiles(np.copy, values, out=tmp_path / name, executor="serial")
    expected = ndimage.maximum_filter(values, 5)
    given: list[Any] = [values, np.load(tmp_path / "v.npy", mmap_mode="r"), tmp_path / "v.npy", tmp_path / "v.tif"]
    given += [tmp_path / name for name in ("foreign.zarr", "own.zarr", "own.h5", "own.npy")]
    given.append(open_source(tmp_path / "v.raw", shape=shape, dtype="f4"))
    for source in given:
        found = map_tiles(_wide_maximum, source, halo=2, tile_shape=7, executor="serial")
        np.testing.assert_array_equal(found, expected, err_msg=str(source)[:80])


def _wide_maximum(block: np.ndarray) -> np.ndarray:
    return ndimage.maximum_filter(block, 5)


def test_named_channels_get_no_halo(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((2, 12, 20, 24)).astype("f4")
    np.save(tmp_path / "v.npy", values)
    found = map_tiles(
        _per_channel, open_source(tmp_path / "v.npy", axes="CZYX"), halo=2, tile_shape=7, executor="serial"
    )
    np.testing.assert_array_equal(found, ndimage.maximum_filter(values, (1, 5, 5, 5)))


def _per_channel(block: np.ndarray) -> np.ndarray:
    assert len(block) == 1
    return ndimage.maximum_filter(block, (1, 5, 5, 5))


@pytest.mark.parametrize("shape", [(100, 20, 64, 80), (2, 20, 64, 80)])
def test_a_guess_says_nothing_against_the_pages_of_a_tiff(tmp_path: Path, shape: tuple[int, ...]) -> None:
    tifffile.imwrite(tmp_path / "v.tif", np.zeros(shape, "u1"))
    source = open_source(tmp_path / "v.tif")
    assert (source.axes, source.info.axes_are_guessed) == ("CZYX", True)


def test_names_of_channels_are_cut_with_them(tmp_path: Path) -> None:
    names = ("red", "green", "blue")
    with create_sink(tmp_path / "v.ome.zarr", (3, 4, 8, 8), "u1", axes="CZYX", channel_names=names) as sink:
        sink[...] = 1
    source = open_source(tmp_path / "v.ome.zarr")
    part = source.cropped(Box((1, 0, 0, 0), (3, 4, 8, 8)))
    assert part.info.channel_names == ("green", "blue")
    assert source.cropped(Box((0, 1, 0, 0), (3, 4, 8, 8))).info.channel_names == names
    map_tiles(np.copy, part, out=tmp_path / "o.ome.zarr", executor="serial")
    assert open_source(tmp_path / "o.ome.zarr").info.channel_names == ("green", "blue")


def test_an_origin_without_a_voxel_size_is_no_reason_to_refuse(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["data"] = np.ones((4, 5, 6), "u1")
        file["data"].attrs["origin_um"] = [1.0, 2.0, 3.0]
        file["data"].attrs["unit"] = ["um", "um", "um"]
    for name in ("o.npy", "o.zarr"):
        assert map_tiles(np.copy, tmp_path / "v.h5", out=tmp_path / name, executor="serial").shape == (4, 5, 6)


def test_a_sink_of_another_shape_is_refused_before_any_work(tmp_path: Path) -> None:
    sink = create_sink(tmp_path / "s.zarr", (4, 5), "u1", overwrite=True)
    sink[...] = 1
    sink.commit()
    for shape in [(4, 5, 6), (4, 6)]:
        with pytest.raises(ParameterError, match="out="):
            map_tiles(np.copy, np.ones(shape, "u1"), out=sink, executor="serial")
