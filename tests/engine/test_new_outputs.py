"""Tests of new output files: their chunks and shards fit the tiles of the caller, whatever these are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.runs import CancelAfter
from tilecore import AlignmentError, JournalError, RunCancelledError, map_tiles, open_source
from tilecore.formats import chunk_shapes
from tilecore.formats.chunk_shapes import choose_chunks, default_shards
from tilecore.formats.creating import prepare_sink

KINDS = ["o.zarr", "o.ome.zarr", "o.h5", "o.tif", "o.npy", "o.bin"]


def smooth(block: np.ndarray) -> np.ndarray:
    result: np.ndarray = ndimage.maximum_filter(block, 3, mode="constant")
    return result


def check_fit(steps: Sequence[int | None], shape: Sequence[int], units: Sequence[int] | None) -> None:
    for step, length, unit in zip(steps, shape, units or (1,) * len(shape), strict=True):
        assert step is None or step >= length or step % unit == 0, "two tiles have written one unit"


@pytest.fixture
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards for small images, too."""
    monkeypatch.setattr(chunk_shapes, "_MOST_FILES", 3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_tiles_into_any_kind_of_file(tmp_path_factory: pytest.TempPathFactory, few_files: None, data: Any) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 40)] * 3), "shape")
    tile_shape = data.draw(st.tuples(*[st.none() | st.integers(2, 45)] * 3), "tile_shape")
    halo = data.draw(st.integers(1, 3), "halo")
    out = tmp_path_factory.mktemp("outputs") / data.draw(st.sampled_from(KINDS), "kind")
    volume = np.random.default_rng(0).normal(size=shape)
    options: dict[str, Any] = {"halo": halo, "boundary": 0, "executor": "serial", "progress": False}
    written = map_tiles(smooth, volume, tile_shape=tile_shape, out=out, **options)
    np.testing.assert_array_equal(np.asarray(written).reshape(shape), smooth(volume))
    check_fit(tile_shape, shape, open_source(out).write_units)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_chunks_and_shards_divide_the_steps_and_keep_a_good_size(data: Any) -> None:
    n_axes = data.draw(st.integers(1, 5), "n_axes")
    shape = data.draw(st.tuples(*[st.integers(1, 5000)] * n_axes), "shape")
    steps = data.draw(st.tuples(*[st.none() | st.integers(1, 3000)] * n_axes), "steps")
    steps = tuple([step if step is None or step < length else None for step, length in zip(steps, shape, strict=True)])
    usual, chunks = choose_chunks(shape), choose_chunks(shape, steps)
    check_fit(steps, shape, chunks)
    for step, chunk, length in zip(steps, chunks, usual, strict=True):
        assert step is not None or chunk == length
    shards = default_shards(shape, chunks, steps)
    if shards is not None:
        check_fit(steps, shape, shards)
        assert all(shard % chunk == 0 for shard, chunk in zip(shards, chunks, strict=True))


@pytest.mark.parametrize(
    ("shape", "steps", "chunks"),
    [
        ((3000, 3000, 3000), (192, 200, 256), (64, 100, 128)),
        ((3000, 3000, 3000), (None, 1009, None), (64, 1009, 128)),  # a prime number
        ((3000, 3000, 3000), (1009, 1009, 1009), (1, 1009, 1009)),  # a plane of a million voxels, not 1009 ** 3
        ((10**9, 384), (30_000, None), (1000, 384)),
    ],
    ids=str,
)
def test_sizes_of_chunks(shape: tuple[int, ...], steps: tuple[int | None, ...], chunks: tuple[int, ...]) -> None:
    assert choose_chunks(shape, steps) == chunks


@pytest.mark.parametrize("name", ["o.zarr", "o.ome.zarr", "o.h5"])
def test_usual_chunks_stay_where_they_fit(tmp_path: Path, name: str) -> None:
    volume = np.zeros((130, 260, 260), np.uint8)
    map_tiles(np.negative, volume, tile_shape=(128, 256, 128), out=tmp_path / name, executor="serial")
    assert open_source(tmp_path / name).chunks == (64, 128, 128)


@pytest.mark.parametrize("name", ["o.zarr", "o.h5"])
def test_results_of_another_shape(tmp_path: Path, name: str) -> None:
    volume = np.arange(30 * 40 * 50.0).reshape(30, 40, 50)

    def half(block: np.ndarray) -> np.ndarray:
        return np.stack([block[:, ::2].sum(axis=2)] * 2)

    options: dict[str, Any] = {"scale": (1, 0.5, 1), "drop_axis": 2, "new_axis": {0: 2}, "executor": "serial"}
    found = map_tiles(half, volume, tile_shape=(7, 12, 50), out=tmp_path / name, **options)
    np.testing.assert_array_equal(np.asarray(found), half(volume))
    assert open_source(tmp_path / name).chunks == (2, 7, 6)


def test_each_new_file_fits_and_given_chunks_rule(tmp_path: Path) -> None:
    volume = np.arange(4000.0).reshape(20, 20, 10)

    def both(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return block + 1, block + 2

    def sink() -> Any:
        return prepare_sink(tmp_path / "b.zarr", volume.shape, chunks=(5, 5, 5), overwrite=True)

    names: list[Any] = [tmp_path / "a.zarr", sink()]
    first, second = map_tiles(both, volume, out=names, tile_shape=(10, 5, None), overwrite=True, executor="serial")
    np.testing.assert_array_equal(np.asarray(first), volume + 1)
    np.testing.assert_array_equal(np.asarray(second), volume + 2)
    assert open_source(tmp_path / "b.zarr").chunks == (5, 5, 5)
    with pytest.raises(AlignmentError, match=r"use \(5, 5, 10\) or \(10, 10, 10\), or an output whose chunks"):
        map_tiles(np.copy, volume, out=sink(), tile_shape=(7, 7, 10), executor="serial")


def test_chunks_divide_given_shards(tmp_path: Path) -> None:
    sink = prepare_sink(tmp_path / "o.zarr", (500, 500, 500), shards=(100, 200, 300))
    assert all(shard % chunk == 0 for shard, chunk in zip((100, 200, 300), sink.chunks, strict=True))  # type: ignore[attr-defined]
    assert min(sink.chunks) >= 50  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["o.zarr", "o.ome.zarr", "o.h5"])
def test_a_run_is_continued_in_the_chunks_that_it_has_begun(tmp_path: Path, name: str) -> None:
    """Whoever leaves the tiles to tilecore the second time gets those of the first time, and its chunks."""
    volume, out = np.random.default_rng(0).normal(size=(40, 40, 40)), tmp_path / name
    begun: dict[str, Any] = {"out": out, "executor": "serial", "progress": False, "halo": 1, "boundary": 0}
    with pytest.raises(RunCancelledError):
        map_tiles(smooth, volume, tile_shape=12, cancel=CancelAfter(9), **begun)
    with pytest.raises(JournalError, match="tile_shape"):
        map_tiles(smooth, volume, tile_shape=20, resume=True, **begun)
    found = map_tiles(smooth, volume, resume=True, **begun)
    np.testing.assert_array_equal(np.asarray(found), smooth(volume))
    assert open_source(out).write_units == (12, 12, 12)
