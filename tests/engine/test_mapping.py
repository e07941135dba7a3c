"""Tests of `map_tiles` and law 3: the tiled result equals the result on the whole volume, bit for bit."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import tilecore
from tests.runs import RUNS
from tilecore import (
    AlignmentError,
    ParameterError,
    ParameterTypeError,
    SharedArray,
    SharedMemory,
    Tile,
    TilecoreError,
    TileError,
    collect_tiles,
    map_tiles,
    open_source,
)
from tilecore.arrays import access
from tilecore.engine import outputs
from tilecore.engine.casting import CastError
from tilecore.engine.supply import slot_feeder
from tilecore.executors.processes.executor import ProcessExecutor
from tilecore.executors.serial import SerialExecutor


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).random((20, 31, 42)).astype(np.float32)


def smooth(block: np.ndarray) -> np.ndarray:
    result: np.ndarray = ndimage.gaussian_filter(block, 1.0)
    return result


@pytest.mark.parametrize("tile_shape", [7, (20, 31, 42), (1, 50, 9), None])
def test_a_filter_gives_what_it_gives_on_the_whole(tile_shape: Any, run: dict[str, Any], volume: np.ndarray) -> None:
    np.testing.assert_array_equal(map_tiles(smooth, volume, tile_shape=tile_shape, halo=4, **run), smooth(volume))


@settings(max_examples=60)
@given(
    st.tuples(*[st.integers(0, 9)] * 2),
    st.tuples(*[st.integers(1, 11)] * 2),
    st.tuples(*[st.tuples(st.integers(0, 6), st.integers(0, 6))] * 2),
    st.sampled_from([None, "reflect", "symmetric", "edge", "wrap", "constant", 3]),
    st.sampled_from(["serial", "threads"]),
)
def test_any_geometry(
    shape: tuple[int, ...], tile_shape: tuple[int, ...], halo: Any, boundary: Any, executor: str
) -> None:
    """Results are equal for tiles of any shape, for a function that sums over exactly the halo's reach."""
    volume = np.random.default_rng(0).integers(0, 9, shape)

    def total(block: np.ndarray, tile: Tile) -> np.ndarray:
        grown = tile.read if boundary is None else tile.write.grown(halo)
        padded = np.pad(
            block,
            [
                (a - b, c - d)
                for a, b, c, d in zip(
                    grown.start, tile.write.grown(halo).start, tile.write.grown(halo).stop, grown.stop, strict=True
                )
            ],
        )
        windows = np.lib.stride_tricks.sliding_window_view(padded, [b + a + 1 for b, a in halo])
        result: np.ndarray = windows.sum(axis=(-2, -1))
        return result

    result = map_tiles(
        total, volume, tile_shape=tile_shape, halo=halo, boundary=boundary, pass_tile=True, executor=executor
    )
    if 0 in shape:
        assert result.shape == shape
        return
    options: Any = {"mode": boundary} if isinstance(boundary, str) else {"constant_values": boundary or 0}
    padded = np.pad(volume, halo, **options)
    expected = np.lib.stride_tricks.sliding_window_view(padded, [b + a + 1 for b, a in halo]).sum(axis=(-2, -1))
    np.testing.assert_array_equal(result, expected)


def sources_of(volume: np.ndarray, tmp_path: Path) -> dict[str, Any]:
    np.save(tmp_path / "volume.npy", volume)
    memory = SharedMemory(volume.shape, volume.dtype)
    with memory.txn() as array:
        array[...] = volume
    on_disk = zarr.create_array(tmp_path / "volume.zarr", shape=volume.shape, chunks=(8, 8, 8), dtype=volume.dtype)
    on_disk[...] = volume
    in_memory = zarr.create_array({}, shape=volume.shape, chunks=(8, 8, 8), dtype=volume.dtype)
    in_memory[...] = volume
    padded = np.zeros((25, 40, 50), dtype=volume.dtype)
    padded[3:23, 4:35, 5:47] = volume
    return {
        "ndarray": volume,
        "strided": padded[3:23, 4:35, 5:47],
        "fortran": np.asfortranarray(volume),
        "SharedArray": SharedArray.from_array(volume),
        "SharedMemory": memory,
        "view of shared": SharedArray.from_array(padded).view()[3:23, 4:35, 5:47],
        "memmap": np.load(tmp_path / "volume.npy", mmap_mode="r"),
        "view of memmap": np.load(tmp_path / "volume.npy", mmap_mode="r+")[:],
        "path": tmp_path / "volume.npy",
        "zarr": on_disk,
        "zarr in memory": in_memory,
    }


@pytest.mark.parametrize(
    "kind",
    sources_of(np.zeros((20, 31, 42)), Path("/tmp"))
    if False
    else [
        "ndarray",
        "strided",
        "fortran",
        "SharedArray",
        "SharedMemory",
        "view of shared",
        "memmap",
        "view of memmap",
        "path",
        "zarr",
        "zarr in memory",
    ],
)
@pytest.mark.parametrize("name", ["serial", "fork", "forkserver"])
def test_sources_of_every_kind(kind: str, name: str, volume: np.ndarray, tmp_path: Path) -> None:
    source = sources_of(volume, tmp_path)[kind]
    result = map_tiles(smooth, source, tile_shape=(9, 16, 50), halo=4, **RUNS[name])
    np.testing.assert_array_equal(result, smooth(volume))


@pytest.mark.parametrize(
    "kind", ["ndarray", "strided", "fortran", "SharedArray", "SharedMemory", "memmap", "zarr", "zarr in memory", "path"]
)
@pytest.mark.parametrize("name", ["serial", "threads", "fork", "forkserver"])
def test_sinks_of_every_kind(kind: str, name: str, volume: np.ndarray, tmp_path: Path) -> None:
    shape, dtype = volume.shape, volume.dtype
    out: Any = {
        "ndarray": lambda: np.zeros(shape, dtype),
        "strided": lambda: np.zeros((22, 35, 50), dtype)[1:21, 2:33, 4:46],
        "fortran": lambda: np.zeros(shape, dtype, order="F"),
        "SharedArray": lambda: SharedArray(shape, dtype),
        "SharedMemory": lambda: SharedMemory(shape, dtype),
        "memmap": lambda: np.lib.format.open_memmap(tmp_path / "o.npy", "w+", dtype, shape),
        "zarr": lambda: zarr.create_array(tmp_path / "o.zarr", shape=shape, chunks=(4, 8, 50), dtype=dtype),
        "zarr in memory": lambda: zarr.create_array({}, shape=shape, chunks=(4, 8, 50), dtype=dtype),
        "path": lambda: tmp_path / "out.npy",
    }[kind]()
    result = map_tiles(smooth, volume, tile_shape=(8, 16, 50), halo=4, out=out, **RUNS[name])
    np.testing.assert_array_equal(result[...], smooth(volume))
    if kind == "path":
        np.testing.assert_array_equal(np.load(out), smooth(volume))
        assert sorted(os.listdir(tmp_path)) == ["out.npy"]
    elif isinstance(out, SharedMemory):
        assert np.shares_memory(result, out.shared().view())
    elif isinstance(out, SharedArray):
        assert np.shares_memory(result, out.view())
    else:
        assert result is out


def test_what_lies_around_a_strided_output_is_not_touched(volume: np.ndarray) -> None:
    whole = np.full((22, 35, 50), -1, volume.dtype)
    map_tiles(smooth, volume, tile_shape=8, halo=4, out=whole[1:21, 2:33, 4:46], workers=2)
    whole[1:21, 2:33, 4:46] = -1
    assert (whole == -1).all()


def test_several_sources_and_outputs(run: dict[str, Any], volume: np.ndarray) -> None:
    labels = np.arange(volume.size, dtype=np.int32).reshape(volume.shape)
    total, larger = map_tiles(lambda a, b: (a + b, a > 0.5), [volume, labels], tile_shape=11, **run)
    np.testing.assert_array_equal(total, volume + labels)
    np.testing.assert_array_equal(larger, volume > 0.5)
    assert larger.dtype == bool


def test_several_given_outputs(volume: np.ndarray) -> None:
    outs = (np.zeros(volume.shape, np.float64), SharedArray(volume.shape, np.uint8))
    result = map_tiles(lambda a: (a, (9 * a).astype(int)), volume, tile_shape=11, out=outs, workers=2)
    assert result[0] is outs[0]
    np.testing.assert_array_equal(outs[0], volume)
    np.testing.assert_array_equal(outs[1], (9 * volume).astype(int))


def test_a_source_may_have_fewer_or_more_axes(volume: np.ndarray) -> None:
    colors = np.stack([volume, 2 * volume], axis=-1)
    result = map_tiles(lambda a, c: a + c[..., 1], [volume, colors], tile_shape=11, workers=2)
    np.testing.assert_array_equal(result, 3 * volume)
    result = map_tiles(lambda c, a: c + a[..., None], [colors, volume], tile_shape=(7, 7, 50, 2), workers=2)
    np.testing.assert_array_equal(result, colors + volume[..., None])


@pytest.mark.parametrize("tile_shape", [8, None, (4, 31, 42)])
def test_other_resolutions(tile_shape: Any, run: dict[str, Any], volume: np.ndarray) -> None:
    half = map_tiles(lambda b: b[::2, ::2, ::2], volume, tile_shape=tile_shape and 8, scale=0.5, halo=2, **run)
    np.testing.assert_array_equal(half, volume[::2, ::2, ::2])
    double = map_tiles(lambda b: b.repeat(2, 0).repeat(3, 1), volume, tile_shape=tile_shape, scale=(2, 3, 1), **run)
    np.testing.assert_array_equal(double, volume.repeat(2, 0).repeat(3, 1))


def test_axes_dropped_and_added(run: dict[str, Any], volume: np.ndarray) -> None:
    projection = map_tiles(lambda b: b.max(axis=0), volume, drop_axis=0, tile_shape=(20, 8, 8), **run)
    np.testing.assert_array_equal(projection, volume.max(axis=0))
    projection = map_tiles(lambda b: b.max(axis=1), volume, drop_axis=-2, **run)
    np.testing.assert_array_equal(projection, volume.max(axis=1))
    stacked = map_tiles(lambda b: np.stack([b, -b]), volume, new_axis={0: 2}, halo=3, tile_shape=9, **run)
    np.testing.assert_array_equal(stacked, np.stack([volume, -volume]))


def test_the_dtype_is_that_of_the_first_result_or_as_asked(volume: np.ndarray) -> None:
    assert map_tiles(lambda b: b > 0.5, volume, tile_shape=10, workers=2).dtype == bool
    assert map_tiles(lambda b: 2 * b, volume, tile_shape=10, dtype="f8", workers=2).dtype == np.float64


@pytest.mark.parametrize("bad", [np.nan, np.inf, 300.0, -1.0])
def test_values_that_do_not_fit_the_dtype_are_refused(bad: float, volume: np.ndarray) -> None:
    volume[10, 10, 10] = bad
    with pytest.raises(TileError, match=r"tile \(1, 1, 1\).*do not fit into dtype uint8"):
        map_tiles(lambda b: b, volume, tile_shape=10, dtype="u1", executor="serial")
    volume[10, 10, 10] = 255.9
    assert map_tiles(lambda b: b, volume, tile_shape=10, dtype="u1", executor="serial")[10, 10, 10] == 255


def test_blocks_are_readonly_unless_asked(run: dict[str, Any], volume: np.ndarray) -> None:
    def clear(block: np.ndarray) -> np.ndarray:
        block[...] = 0
        return block

    with pytest.raises(TileError, match="read-only view of the source.*copy=True"):
        map_tiles(clear, volume, tile_shape=20, **run)
    before = volume.copy()
    assert not map_tiles(clear, volume, tile_shape=20, copy=True, **run).any()
    np.testing.assert_array_equal(volume, before)


def test_functions_of_any_kind(run: dict[str, Any], volume: np.ndarray) -> None:
    factor = 3

    class Scale:
        def __call__(self, block: np.ndarray) -> np.ndarray:
            return factor * block

    np.testing.assert_array_equal(map_tiles(Scale(), volume, tile_shape=20, **run), 3 * volume)
    np.testing.assert_array_equal(map_tiles(np.sqrt, volume, tile_shape=20, **run), np.sqrt(volume))


def test_arrays_in_a_closure_are_shared_and_not_copied_for_each_tile(volume: np.ndarray) -> None:
    table = np.arange(10**6, dtype=np.float64)
    result = map_tiles(lambda b: b + table[5], volume, tile_shape=10, workers=2)
    np.testing.assert_array_equal(result, volume + table[5])


def test_the_tile_is_passed_when_asked(run: dict[str, Any], volume: np.ndarray) -> None:
    def number(block: np.ndarray, tile: Tile, offset: int) -> np.ndarray:
        return np.full(tile.write.shape, tile.number + offset)

    result = map_tiles(number, volume, tile_shape=(20, 31, 21), halo=2, pass_tile=True, kwargs={"offset": 5}, **run)
    assert (np.unique(result[..., :21]), np.unique(result[..., 21:])) == ([5], [6])


@pytest.mark.parametrize("shape", [(0, 5, 5), (5, 0, 5), (0,)])
def test_an_empty_volume_gives_an_empty_result_and_starts_nobody(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessExecutor, "start", lambda *_: pytest.fail("started"))
    result = map_tiles(np.sqrt, np.zeros(shape, np.float32), halo=2)
    assert (result.shape, result.dtype) == (shape, np.float32)
    assert map_tiles(np.sqrt, np.zeros(shape), dtype="u1", scale=2).shape == tuple(2 * length for length in shape)


def test_a_single_voxel_and_no_axis() -> None:
    assert map_tiles(np.sqrt, np.full((1, 1, 1), 4.0), halo=5).tolist() == [[[2.0]]]
    assert map_tiles(np.sqrt, np.array(9.0), executor="serial") == 3.0


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"tile_shape": 0}, ParameterError, "tile_shape"),
        ({"tile_shape": (1, 2)}, ParameterError, "tile_shape"),
        ({"tile_shape": 1.5}, ParameterTypeError, "tile_shape"),
        ({"halo": -1}, ParameterError, "halo"),
        ({"boundary": "mirror"}, ParameterError, "boundary"),
        ({"out": np.zeros((2, 2, 2))}, ParameterError, r"out=\(2, 2, 2\).*\(20, 31, 42\)"),
        ({"out": 5}, ParameterTypeError, "out"),
        ({"out": [None, None], "dtype": ["u1", "u1", "u1"]}, ParameterError, "dtype"),
        ({"executor": "magic"}, ParameterError, "executor"),
        ({"workers": 0}, ParameterError, "workers"),
        ({"retries": -1}, ParameterError, "retries"),
        ({"on_error": "ignore"}, ParameterError, "on_error"),
        ({"timeout": 0}, ParameterError, "timeout"),
        ({"max_memory": "huge"}, ParameterError, "max_memory"),
        ({"scale": 0.7}, ParameterError, "scale"),
        ({"resume": True}, ParameterError, "resume"),
        ({"wrokers": 2}, ParameterTypeError, "no parameter 'wrokers'; did you mean workers"),
    ],
)
def test_wrong_parameters_are_named(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        map_tiles(np.sqrt, np.zeros((20, 31, 42)), **{"executor": "serial", **arguments})


@pytest.mark.parametrize("source", [5, "volume", [], np.array([object()]), None])
def test_wrong_sources_are_refused(source: Any) -> None:
    with pytest.raises(tilecore.TilecoreError):
        map_tiles(np.sqrt, source, executor="serial")


def test_sources_that_do_not_agree_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"source=\(3, 5\).*\(3, 4\)"):
        map_tiles(np.add, [np.zeros((3, 4)), np.zeros((3, 5))], executor="serial")


@pytest.mark.parametrize("result", [np.zeros((3, 3, 3)), np.zeros(5), 7])
def test_results_of_a_wrong_shape_name_the_tile(result: Any) -> None:
    with pytest.raises(TileError, match=r"tile \(0, 0, 0\).*returned an array of shape.*is needed"):
        map_tiles(lambda block: result, np.zeros((20, 20, 20)), tile_shape=10, executor="serial")


def test_a_number_of_results_that_does_not_fit_names_the_tile() -> None:
    with pytest.raises(TileError, match="returned 2 results"):
        map_tiles(lambda b: (b, b), np.zeros((4, 4)), tile_shape=2, out=np.zeros((4, 4)), executor="serial")


def test_tiles_that_share_a_storage_unit_are_refused(tmp_path: Path, volume: np.ndarray) -> None:
    out = zarr.create_array(
        tmp_path / "o.zarr", shape=volume.shape, chunks=(4, 4, 4), shards=(8, 8, 8), dtype=volume.dtype
    )
    with pytest.raises(AlignmentError, match=r"\(8, 8, 8\) voxels.*use \(8, 8, 8\) or \(16, 16, 16\)"):
        map_tiles(smooth, volume, tile_shape=12, out=out)
    for tile_shape in (8, (16, 31, 42), None):
        map_tiles(smooth, volume, tile_shape=tile_shape, halo=4, out=out, workers=2)
        np.testing.assert_array_equal(out[...], smooth(volume))


def test_units_of_the_output_count_in_voxels_of_the_volume(tmp_path: Path) -> None:
    out = zarr.create_array(tmp_path / "o.zarr", shape=(32,), chunks=(8,), dtype="f8")
    with pytest.raises(AlignmentError, match=r"\(16,\)"):
        map_tiles(lambda b: b[::2], np.arange(64.0), tile_shape=8, scale=0.5, out=out)
    map_tiles(lambda b: b[::2], np.arange(64.0), tile_shape=16, scale=0.5, out=out, workers=2)
    np.testing.assert_array_equal(out[...], np.arange(0, 64.0, 2))


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a system on which processes cannot access each other's memory."""
    monkeypatch.setattr(access, "is_reachable_by_workers", lambda: False)


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize("boundary", [None, "wrap"])
@pytest.mark.parametrize("tile_shape", [7, None])
def test_without_remote_memory_blocks_pass_through_slots(boundary: Any, tile_shape: Any, volume: np.ndarray) -> None:
    expected = map_tiles(smooth, volume, tile_shape=tile_shape, halo=4, boundary=boundary, executor="serial")
    for method in ("forkserver", "fork"):
        result = map_tiles(
            smooth, volume, tile_shape=tile_shape, halo=4, boundary=boundary, workers=2, start_method=method
        )
        np.testing.assert_array_equal(result, expected)


@pytest.mark.usefixtures("unreachable")
def test_slots_are_few_and_used_again(volume: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    kind = slot_feeder.SlotArray
    monkeypatch.setattr(slot_feeder, "SlotArray", lambda *a: made.append(kind(*a)) or made[-1])
    colors = np.stack([volume, volume], axis=-1)
    result = map_tiles(lambda a, c: a + c[..., 0], [volume, colors], tile_shape=5, halo=1, workers=2)
    np.testing.assert_array_equal(result, 2 * volume)
    assert [slots.n_slots for slots in made] == [6, 6]


def test_an_executor_of_ones_own(volume: np.ndarray) -> None:
    np.testing.assert_array_equal(map_tiles(smooth, volume, halo=4, executor=SerialExecutor()), smooth(volume))


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_tiles_of_different_dtypes_are_refused_whichever_comes_first(executor: str) -> None:
    def uneven(block: np.ndarray, tile: Tile) -> np.ndarray:
        time.sleep(0.1 * (tile.number == 0))
        return block if tile.number == 0 else np.zeros(block.shape, "u1")

    volume = np.full((4, 8, 8), 1000.5)
    run: dict[str, Any] = {"tile_shape": (2, 8, 8), "pass_tile": True, "workers": 2, "executor": executor}
    with pytest.raises((TileError, CastError), match="dtype uint8.*has float64|dtype float64.*has uint8"):
        map_tiles(uneven, volume, **run)
    result = map_tiles(uneven, volume, dtype="f8", **run)
    assert (result[:2] == 1000.5).all()
    assert (result[2:] == 0).all()


def test_outputs_are_made_for_what_the_pilot_returned_and_no_voxel_is_sent_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers know the outputs before the first tile, so that no result is sent to the parent."""
    written: list[Tile] = []
    write = outputs.Outputs.write
    monkeypatch.setattr(
        outputs.Outputs, "write", lambda self, tile, values: (written.append(tile), write(self, tile, values))
    )
    volume = np.random.default_rng(0).random((64, 64, 64))
    result, signs = map_tiles(lambda block: (np.float32(block), block > 0.5), volume, workers=2)
    assert (result.dtype, signs.dtype) == (np.float32, bool)
    np.testing.assert_array_equal(result, volume.astype("f4"))
    assert not written
    map_tiles(np.float32, volume, tile_shape=32, workers=2)
    assert 0 < len(written) <= 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": 3}, "function=3"),
        ({"function": lambda block: None}, "returned NoneType"),
        ({"function": lambda block: np.ma.masked_greater(block, 0)}, "returned MaskedArray"),
        ({"source": np.ma.masked_greater(np.zeros((4, 4)), 0)}, "its mask"),
        ({"dtype": "foo"}, "dtype='foo'"),
        ({"new_axis": 0}, "new_axis=0"),
        ({"new_axis": [0]}, "new_axis="),
        ({"callbacks": print}, "callbacks="),
        ({"out": ["a.npy", "./a.npy"]}, "each output needs its own file"),
    ],
)
def test_what_makes_no_map_is_told(arguments: dict[str, Any], message: str) -> None:
    run: dict[str, Any] = {"function": np.sqrt, "source": np.zeros((4, 4)), "executor": "serial", "tile_shape": 2}
    with pytest.raises((ValueError, TypeError, TileError), match=message) as caught:
        map_tiles(**{**run, **arguments})
    assert isinstance(caught.value, TilecoreError)


@pytest.mark.parametrize("executor", [3, SerialExecutor, object()])
def test_what_is_no_executor_is_refused(executor: Any, volume: np.ndarray) -> None:
    with pytest.raises(ParameterTypeError, match="executor=.*one of serial, threads, processes"):
        map_tiles(np.sqrt, volume, executor=executor)


@pytest.mark.parametrize(
    "option", [{"workers": 2}, {"timeout": 3}, {"start_method": "fork"}, {"threads_per_worker": 2}]
)
def test_what_an_executor_of_ones_own_would_ignore_is_refused(option: dict[str, Any], volume: np.ndarray) -> None:
    with pytest.raises(ParameterError, match=f"{next(iter(option))}=.*made already"):
        map_tiles(np.sqrt, volume, executor=SerialExecutor(), **option)


def test_a_recording_has_its_context_along_time(tmp_path: Path) -> None:
    """Time is not cut into single positions if an image has no axis of space."""
    recording = np.random.default_rng(0).normal(size=(60, 16)).astype("f4")
    np.save(tmp_path / "r.npy", recording)
    source, seen = open_source(tmp_path / "r.npy", axes="TC"), []

    def spread(block: np.ndarray) -> np.ndarray:
        seen.append(block.shape)
        return ndimage.maximum_filter(block, (5, 1))

    result = map_tiles(spread, source, halo=(2, 0), tile_shape=(20, 16), executor="serial")
    np.testing.assert_array_equal(result, ndimage.maximum_filter(recording, (5, 1)))
    assert seen == [(22, 16), (24, 16), (22, 16)]
    assert len(collect_tiles(np.sum, source, executor="serial")) < 60


def test_sources_with_the_same_axes_in_another_order_are_refused(tmp_path: Path) -> None:
    cube = np.arange(6**3).reshape(6, 6, 6)  # its shape does not tell the axes apart
    np.save(tmp_path / "v.npy", cube)
    volume, turned = (open_source(tmp_path / "v.npy", axes=axes) for axes in ("ZYX", "XYZ"))
    with pytest.raises(ParameterError, match="'XYZ'.*first source has the axes ZYX"):
        map_tiles(np.add, [volume, turned], executor="serial")
    for other in (volume, cube, tmp_path / "v.npy", open_source(tmp_path / "v.npy", axes="TYX")):
        assert np.array_equal(map_tiles(np.add, [volume, other], executor="serial"), 2 * cube)
