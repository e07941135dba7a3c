"""Tests of SCOUT's functions for chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore import TileGrid, chunk_coordinates, chunk_dims, extract_ghosted_chunk, filter_ghosted_points
from tilecore.errors import BoundsError, ParameterError

shapes = st.tuples(*[st.integers(1, 12)] * 3)


def test_chunk_dims_rounds_up() -> None:
    assert chunk_dims((10, 10), (4, 5)) == (3, 2)
    assert chunk_dims(np.array([1, 9]), [5, 3]) == (1, 3)
    assert chunk_dims((0, 5), (2, 2)) == (0, 3)


def test_chunk_coordinates_run_through_the_last_axis_first() -> None:
    expected = [[0, 0], [0, 3], [2, 0], [2, 3], [4, 0], [4, 3]]
    coordinates = chunk_coordinates((5, 6), (2, 3))
    assert coordinates.tolist() == expected
    assert coordinates.dtype.kind == "i"


@given(shapes, shapes)
def test_chunk_coordinates_are_as_many_as_chunk_dims(shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    coordinates = chunk_coordinates(shape, chunks)
    assert len(coordinates) == np.prod(chunk_dims(shape, chunks))
    assert (coordinates % chunks == 0).all()
    assert (coordinates < shape).all()


@given(shapes, shapes, st.integers(0, 6), st.integers(0, 2**32))
def test_each_point_is_owned_by_one_chunk(
    shape: tuple[int, ...], chunks: tuple[int, ...], overlap: int, seed: int
) -> None:
    """Points that several chunks find occur once after filtering, also near the edges."""
    points = np.random.default_rng(seed).integers(0, shape, (10, 3))
    volume = np.zeros(shape)
    found = []
    for start in chunk_coordinates(shape, chunks):
        _, low, high = extract_ghosted_chunk(volume, start, chunks, overlap)
        seen = points[((points >= low) & (points < high)).all(axis=1)]
        found.append(filter_ghosted_points(low, start, seen - low, chunks, overlap) + low)
    owned = np.concatenate(found)
    np.testing.assert_array_equal(np.sort(owned.view("i8,i8,i8"), axis=0), np.sort(points.view("i8,i8,i8"), axis=0))


def test_filter_ghosted_points_keeps_further_columns() -> None:
    points = np.array([[1.0, 1, 1, 9], [3, 3, 3, 8]])
    kept = filter_ghosted_points((2, 2, 2), (4, 4, 4), points, (4, 4, 4), 2)
    np.testing.assert_array_equal(kept, points[1:])


def test_filter_ghosted_points_refuses_other_axes() -> None:
    with pytest.raises(ParameterError, match="centers_local"):
        filter_ghosted_points((0, 0, 0), (0, 0, 0), np.zeros((3, 2)), (2, 2, 2), 1)
    with pytest.raises(ParameterError, match="start_ghosted"):
        filter_ghosted_points((0, 0), (0, 0, 0), np.zeros((3, 3)), (2, 2, 2), 1)


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
