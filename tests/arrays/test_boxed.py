"""Boxes of arrays: cut, put back, padded as numpy would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from tilecore import (
    BoundsError,
    Box,
    ParameterError,
    SharedMemory,
    TilecoreError,
    TileGrid,
    extract_box,
    extract_ghosted_chunk,
    insert_box,
)
from tilecore.arrays.boxed import as_boundary, read_padded
from tilecore.arrays.shared import SharedArray

MODES = ["reflect", "symmetric", "edge", "wrap", "constant", 7]


@given(
    st.tuples(*[st.integers(1, 7)] * 2),
    st.tuples(*[st.tuples(st.integers(0, 16), st.integers(0, 16))] * 2),
    st.tuples(*[st.integers(1, 8)] * 2),
    st.sampled_from(MODES),
)
def test_padded_blocks_equal_numpys_pad_of_the_whole(
    shape: tuple[int, ...], halo: tuple[tuple[int, int], ...], tile_shape: tuple[int, ...], mode: Any
) -> None:
    """Also where the halo is many times as wide as the volume."""
    volume = np.arange(np.prod(shape)).reshape(shape)
    options: Any = {"mode": mode} if isinstance(mode, str) else {"constant_values": mode}
    whole = np.pad(volume, halo, **options)
    origin = [before for before, _ in halo]
    for tile in TileGrid(shape, tile_shape, halo):
        block = read_padded(volume, tile.read, tile.pad, mode)
        np.testing.assert_array_equal(block, whole[tile.write.grown(halo).translated(origin).slices])


def test_unpadded_blocks_are_views() -> None:
    volume = np.zeros((5, 5))
    assert np.shares_memory(read_padded(volume, Box((1, 1), (3, 3)), ((2, 0), (0, 0)), None), volume)
    assert np.shares_memory(read_padded(volume, Box((1, 1), (3, 3)), ((0, 0), (0, 0)), "reflect"), volume)


@pytest.mark.parametrize("boundary", ["mirror", [1], {}, b"edge"])
def test_unknown_boundaries_are_refused(boundary: Any) -> None:
    with pytest.raises(TilecoreError, match="boundary=.*reflect"):
        as_boundary(boundary)


def arrays() -> dict[str, Any]:
    data = np.arange(60.0).reshape(3, 4, 5)
    memory = SharedMemory(data.shape, data.dtype)
    with memory.txn() as array:
        array[...] = data
    chunked = zarr.create_array({}, shape=data.shape, chunks=(2, 2, 2), dtype=data.dtype)
    chunked[...] = data
    return {"ndarray": data, "SharedMemory": memory, "SharedArray": SharedArray.from_array(data), "zarr": chunked}


@pytest.mark.parametrize("kind", ["ndarray", "SharedMemory", "SharedArray", "zarr"])
def test_boxes_come_out_and_go_in(kind: str) -> None:
    array = arrays()[kind]
    expected = np.arange(60.0).reshape(3, 4, 5)
    np.testing.assert_array_equal(extract_box(array, (1, 0, 2), [3, 2, 5]), expected[1:3, 0:2, 2:5])
    assert insert_box(array, np.array([0, 1, 0]), (1, 3, 2), 9) is array
    expected[0:1, 1:3, 0:2] = 9
    np.testing.assert_array_equal(extract_box(array, (0, 0, 0), (3, 4, 5)), expected)


def test_boxes_may_leave_out_the_last_axes() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(extract_box(array, (0, 1), (1, 3)), array[0:1, 1:3])


@pytest.mark.parametrize(
    ("start", "stop"), [((0, 0), (4, 3)), ((-1, 0), (2, 2)), ((3, 0), (4, 1)), ((0, 0, 0), (1, 1, 1)), ((0, 4), (1, 5))]
)
def test_boxes_outside_are_refused(start: Any, stop: Any) -> None:
    array = np.zeros((3, 3))
    with pytest.raises(BoundsError, match="array"):
        extract_box(array, start, stop)
    with pytest.raises(BoundsError, match="array"):
        insert_box(array, start, stop, 1)


def test_crossed_corners_are_refused() -> None:
    with pytest.raises(ParameterError, match="stop"):
        extract_box(np.zeros((3, 3)), (2, 2), (1, 3))


@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 5)] * 3), st.tuples(*[st.integers(0, 4)] * 3))
def test_ghosted_chunks_lie_where_they_say(
    shape: tuple[int, ...], chunks: tuple[int, ...], overlap: tuple[int, ...]
) -> None:
    volume = np.arange(np.prod(shape)).reshape(shape)
    for tile in TileGrid(shape, chunks, overlap):
        ghosted, start, stop = extract_ghosted_chunk(volume, np.array(tile.write.start), chunks, overlap)
        assert (tuple(start), tuple(stop)) == (tile.read.start, tile.read.stop)
        np.testing.assert_array_equal(ghosted, volume[tile.read.slices])


def test_ghosted_chunks_start_inside() -> None:
    with pytest.raises(BoundsError, match="start_coord"):
        extract_ghosted_chunk(np.zeros((4, 4)), (4, 0), (2, 2), 1)
