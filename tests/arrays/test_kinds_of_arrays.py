"""Tests of sources of all kinds: each verb reads them by each executor, as it reads an ndarray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.arrays.kinds_of_arrays import KINDS, Sliced, WithDlpack, an_array
from tests.runs import RUNS
from tilecore import (
    ParameterError,
    ParameterTypeError,
    TileError,
    collect_tiles,
    detect_blobs,
    iter_tiles,
    map_tiles,
    open_source,
    reduce_tiles,
)
from tilecore.arrays.access import chunk_lengths

VOLUME = np.random.default_rng(5).integers(0, 1000, (12, 15, 18)).astype(np.uint16)


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with an_array(request.param, VOLUME, tmp_path) as array:
        yield array


def doubled(block: np.ndarray) -> np.ndarray:
    assert type(block) is np.ndarray
    return block.astype(np.int64) * 2


def first_and_total(block: np.ndarray) -> tuple[int, int]:
    return int(block.flat[0]), int(block.sum())


@pytest.mark.parametrize("tile_shape", [(5, 8, 18), None], ids=["given", "planned"])
def test_it_is_mapped(source: Any, run: dict[str, Any], tile_shape: Any) -> None:
    options = {"tile_shape": tile_shape, "halo": 1, "boundary": "reflect"}
    np.testing.assert_array_equal(map_tiles(doubled, source, **options, **run), VOLUME.astype(np.int64) * 2)


@pytest.mark.parametrize("name", ["serial", "fork", "forkserver"])
def test_every_verb_reads_it(source: Any, name: str) -> None:
    options: dict[str, Any] = {"tile_shape": (6, 15, 9), **RUNS[name]}
    expected = collect_tiles(first_and_total, VOLUME, tile_shape=(6, 15, 9), executor="serial")
    assert collect_tiles(first_and_total, source, **options) == expected
    assert sorted(result for _, result in iter_tiles(first_and_total, source, **options)) == sorted(expected)
    assert reduce_tiles(np.sum, np.add, source, **options) == VOLUME.sum()
    beside = map_tiles(np.subtract, [VOLUME.astype(np.int64), source], **options)
    assert not beside.any()


@pytest.mark.parametrize("name", ["serial", "forkserver"])
def test_blobs_are_found_in_it(source: Any, name: str) -> None:
    options: dict[str, Any] = {"min_sigma": 1, "max_sigma": 2, "num_sigma": 2, "threshold": 1e-3, **RUNS[name]}
    expected = np.asarray(detect_blobs(VOLUME, **options))
    assert len(expected) > 0
    np.testing.assert_array_equal(np.asarray(detect_blobs(source, **options)), expected)


@pytest.mark.parametrize("name", ["serial", "forkserver"])
@pytest.mark.parametrize("kind", ["slices", "open file", "dask", "h5py", "tensorstore elsewhere", "xarray"])
def test_its_last_axis_may_be_channels(kind: str, name: str, tmp_path: Path) -> None:
    """One channel of an array is reached as the array is."""
    both = np.stack([VOLUME, VOLUME[::-1]], axis=-1)
    options: dict[str, Any] = {"min_sigma": 1, "max_sigma": 2, "num_sigma": 2, "threshold": 1e-3, **RUNS[name]}
    expected = np.asarray(detect_blobs(both, channel=1, **options))
    assert len(expected) > 0
    with an_array(kind, both, tmp_path) as array:
        np.testing.assert_array_equal(np.asarray(detect_blobs(array, channel=1, **options)), expected)


@pytest.mark.parametrize("name", ["serial", "threads", "forkserver"])
def test_a_lazy_array_is_computed_box_by_box(name: str) -> None:
    """Only what a tile needs is computed, once for each tile that needs it."""
    array = pytest.importorskip("dask.array")
    computed: list[int] = []

    def plane(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        computed.append(block_info[0]["chunk-location"][0])
        return block

    lazy = array.from_array(VOLUME, chunks=(2, 15, 18)).map_blocks(plane, dtype=VOLUME.dtype, meta=VOLUME[:0])
    tiles = iter_tiles(np.sum, lazy, tile_shape=(2, 15, 18), **{**RUNS[name], "workers": 1})
    assert next(tiles)[1] == VOLUME[:2].sum()
    tiles.close()
    assert 1 <= len(computed) < 6 or name != "serial"
    computed.clear()
    assert len(collect_tiles(np.sum, lazy, tile_shape=(2, 15, 18), **RUNS[name])) == 6
    assert sorted(computed) == list(range(6))


@pytest.mark.parametrize("name", ["serial", "forkserver"])
def test_a_box_that_cannot_be_read_fails_its_tile(name: str, tmp_path: Path) -> None:
    with an_array("open file", VOLUME, tmp_path) as reader:
        reader.path.write_bytes(b"")
        with pytest.raises(TileError, match="cannot reshape") as raised:
            collect_tiles(np.sum, reader, tile_shape=(6, 15, 18), retries=1, on_error="finish", **RUNS[name])
    assert [(failure.tile.number, failure.attempts) for failure in raised.value.failures] == [(0, 2), (1, 2)]


class Liar(Sliced):
    """An array whose boxes are not what it says."""

    def __init__(self, change: Any) -> None:
        super().__init__(VOLUME)
        self.change = change

    def __getitem__(self, index: Any) -> np.ndarray:
        box: np.ndarray = self.change(self._volume[index])
        return box


@pytest.mark.parametrize("boundary", [None, "reflect", 0])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda box: box[0], "has the shape"),
        (lambda box: box * 0.5, "have the dtype float64, not uint16"),
        (lambda box: np.ma.masked_greater(box, 10), "lose the mask"),
    ],
    ids=["shape", "dtype", "mask"],
)
def test_boxes_are_what_the_array_says(change: Any, message: str, boundary: Any) -> None:
    for name in ("serial", "forkserver"):
        with pytest.raises(TileError, match=message):
            collect_tiles(np.sum, Liar(change), tile_shape=12, halo=1, boundary=boundary, **RUNS[name])


class OnGpu(WithDlpack):
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


class Unsized(Sliced):
    def __init__(self) -> None:
        super().__init__(VOLUME)
        self.shape = (float("nan"), 15, 18)


class OfNoDtype(Sliced):
    def __init__(self, dtype: Any) -> None:
        super().__init__(VOLUME)
        self.dtype = dtype


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (OnGpu(VOLUME), ParameterTypeError, "OnGpu .*cuda:0.*this computer's memory"),
        (Unsized(), ParameterError, "compute_chunk_sizes"),
        (OfNoDtype("bfloat17"), ParameterTypeError, "bfloat17.*numpy has no such dtype"),
        (OfNoDtype(None), ParameterTypeError, "numpy has no such dtype"),
        (7, ParameterTypeError, "must be an array"),
    ],
    ids=["on a GPU", "unknown length", "strange dtype", "no dtype", "number"],
)
def test_what_is_no_array_is_refused(wrong: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        collect_tiles(np.sum, wrong, tile_shape=6)


def test_what_computes_its_voxels_is_no_output(tmp_path: Path) -> None:
    for kind in ("dask", "xarray of dask"):
        with an_array(kind, VOLUME, tmp_path) as lazy, pytest.raises(ParameterError, match="out is read-only"):
            map_tiles(np.copy, VOLUME, out=lazy, tile_shape=6, executor="serial")
    with pytest.raises(ParameterTypeError, match=r"chunks=.*one length for each axis"):
        map_tiles(np.copy, VOLUME, out=_Kept(), tile_shape=6, executor="serial")


class _Kept(Sliced):
    def __init__(self) -> None:
        super().__init__(VOLUME)

    def __setitem__(self, index: Any, values: Any) -> None:
        raise AssertionError("it must not be written")


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((4, 8, 8), (4, 8, 8)),
        ([4, 8, 8, 2], (4, 8, 8)),
        (((5, 5, 2), (7, 8), (18,)), (5, 8, 18)),
        (((0,), (15,), (18,)), None),
        ((4, 8), None),
        (None, None),
        ("auto", None),
        (True, None),
        (object(), None),
    ],
    ids=lambda value: "object" if type(value) is object else str(value),
)
def test_chunks_of_any_form(chunks: Any, expected: Any) -> None:
    array = Sliced(VOLUME)
    array.chunks = chunks
    assert chunk_lengths(array) == expected


@pytest.mark.parametrize("lazy", [False, True])
def test_labels_tell_axes_and_voxel_size(lazy: bool, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    both = np.stack([VOLUME, VOLUME[::-1]])
    coordinates = {
        name: xarray.Variable(name, 1000 + step * np.arange(length), {"units": "nm"})
        for name, step, length in zip("ZYX", (2000, 500, 500), VOLUME.shape, strict=True)
    }
    labelled = xarray.DataArray(both, dims=("channel", "Z", "Y", "X"), coords=coordinates | {"channel": ["a", "b"]})
    source = labelled.chunk({"Z": 5}) if lazy else labelled
    shapes = collect_tiles(np.shape, source, tile_shape=6, **RUNS["forkserver"])
    assert set(shapes) == {(1, 6, 6, 6), (1, 6, 3, 6)}, "channels are apart, and a tile shape is along z, y, x"
    map_tiles(np.copy, source, out=tmp_path / "out.ome.zarr", **RUNS["forkserver"])
    with open_source(tmp_path / "out.ome.zarr") as written:
        assert (written.axes, written.voxel_size_um) == ("CZYX", pytest.approx((2.0, 0.5, 0.5)))
        assert written.origin_um == pytest.approx((1.0, 1.0, 1.0))
        np.testing.assert_array_equal(written[...], both)
    options: dict[str, Any] = {"max_sigma": 2, "num_sigma": 2, "threshold": 1e-3, "executor": "serial"}
    blobs, same = detect_blobs(source, channel="b", **options), detect_blobs(VOLUME[::-1], **options)
    assert blobs.voxel_size_um == pytest.approx((2.0, 0.5, 0.5))
    assert blobs.origin_um == pytest.approx((1.0, 1.0, 1.0))
    np.testing.assert_array_equal(blobs.positions, same.positions)


@pytest.mark.parametrize(
    ("dims", "coordinates"),
    [
        (("z", "y", "lambda"), {}),
        (("z", "y", "x"), {"z": [0, 1, 5]}),
        (("z", "y", "x"), {"z": [0, -1, -2]}),
    ],
    ids=["other axes", "uneven", "backwards"],
)
def test_labels_that_tell_no_voxel_size(dims: tuple[str, ...], coordinates: dict[str, Any]) -> None:
    xarray = pytest.importorskip("xarray")
    known = {name: xarray.Variable(name, values, {"units": "um"}) for name, values in coordinates.items()}
    known |= {name: xarray.Variable(name, np.arange(15), {"units": "um"}) for name in "yx" if name in dims}
    source = xarray.DataArray(VOLUME[:3, :, :15], dims=dims, coords=known)
    blobs = detect_blobs(source, max_sigma=2, num_sigma=2, threshold=1e-3, executor="serial")
    assert blobs.voxel_size_um is None


@pytest.mark.parametrize("kind", ["__dlpack__", "__array_interface__", "like a tensor", "xarray"])
def test_memory_is_read_where_it_is(kind: str, tmp_path: Path) -> None:
    """What lies in memory is not copied: a function that gets a block of it gets a view."""
    with an_array(kind, VOLUME, tmp_path) as array:
        (same,) = collect_tiles(lambda block: np.shares_memory(block, VOLUME), array, tile_shape=18, executor="serial")
    assert same
