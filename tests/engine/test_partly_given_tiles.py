"""Tests of tile shapes that are given along some axes, and chosen along the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runs import CancelAfter
from tilecore import AlignmentError, JournalError, ParameterError, RunCancelledError, Tile, collect_tiles, map_tiles
from tilecore.formats.creating import create_sink


def shapes(tile_shape: Any, volume: np.ndarray, **options: Any) -> set[tuple[int, ...]]:
    def shape_of(block: np.ndarray, tile: Tile) -> tuple[int, ...]:
        return tile.write.shape

    return set(collect_tiles(shape_of, volume, tile_shape=tile_shape, pass_tile=True, executor="serial", **options))


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.integers(1, 12)] * 3),
    st.tuples(*[st.one_of(st.none(), st.integers(1, 14))] * 3),
    st.integers(0, 3),
)
def test_given_lengths_are_kept_and_the_result_is_that_of_the_whole(
    shape: tuple[int, ...], tile_shape: tuple[int | None, ...], halo: int
) -> None:
    volume = np.random.default_rng(0).integers(0, 100, shape)
    for found in shapes(tile_shape, volume):
        for length, asked, whole in zip(found, tile_shape, shape, strict=True):
            assert asked is None or length == min(asked, whole) or length == whole % asked
    run: dict[str, Any] = {"tile_shape": tile_shape, "halo": halo, "executor": "serial"}
    np.testing.assert_array_equal(map_tiles(np.negative, volume, **run), -volume)


def test_a_whole_axis_is_not_cut() -> None:
    found = shapes((None, 385), np.zeros((4000, 385), np.int16), max_memory="3MB")
    assert len(found) > 0
    assert {channels for _, channels in found} == {385}


def test_axes_of_time_and_channel_may_be_left_out(tmp_path: Path) -> None:
    with create_sink(tmp_path / "image.zarr", (2, 3, 6, 8, 10), "uint8", axes="TCZYX", chunks=(1, 1, 3, 4, 5)) as sink:
        sink[...] = 1
    found = shapes((None, 4, None), tmp_path / "image.zarr")  # type: ignore[arg-type]
    assert {each[:2] for each in found} == {(1, 1)}
    assert {each[3] for each in found} == {4}


@pytest.mark.parametrize("tile_shape", [(None, 0), (None, -1), (None, 1.5), (None,), (None, 2, 2), (None, "2")])
def test_wrong_shapes_are_refused(tile_shape: Any) -> None:
    with pytest.raises((ParameterError, TypeError), match="tile_shape"):
        map_tiles(np.negative, np.zeros((4, 4)), tile_shape=tile_shape)


def test_a_given_length_that_cuts_a_chunk_of_the_output_is_refused(tmp_path: Path) -> None:
    with create_sink(tmp_path / "out.zarr", (8, 8), "uint8", chunks=(4, 4)) as sink:
        with pytest.raises(AlignmentError):
            map_tiles(np.negative, np.zeros((8, 8), np.uint8), out=sink, tile_shape=(None, 3))
        map_tiles(np.negative, np.ones((8, 8), np.uint8), out=sink, tile_shape=(None, 4), executor="serial")
        assert (sink[...] == 255).all()


def test_a_run_is_continued_with_its_tiles_if_the_given_lengths_are_the_same(tmp_path: Path) -> None:
    volume, out = np.arange(400.0).reshape(20, 20), tmp_path / "out.npy"
    begun: dict[str, Any] = {"out": out, "executor": "serial", "progress": False}
    with pytest.raises(RunCancelledError):
        map_tiles(np.negative, volume, tile_shape=(2, 20), cancel=CancelAfter(6), **begun)
    with pytest.raises(JournalError, match="tile_shape"):
        map_tiles(np.negative, volume, tile_shape=(None, 10), resume=True, **begun)
    np.testing.assert_array_equal(map_tiles(np.negative, volume, tile_shape=(None, 20), resume=True, **begun), -volume)
