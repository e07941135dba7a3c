"""Tests of boxes of arrays: cut out, inserted, and points inside."""

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
    SharedArray,
    SharedMemory,
    box_slice_idx,
    extract_box,
    filter_points_in_box,
    insert_box,
)


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


def test_box_slice_idx_cuts_like_slices() -> None:
    array = np.arange(60).reshape(5, 12)
    np.testing.assert_array_equal(array[box_slice_idx(np.array([1, 2]), [3, 5])], array[1:3, 2:5])


def test_box_slice_idx_refuses_what_numpy_would_wrap() -> None:
    with pytest.raises(BoundsError, match="negative"):
        box_slice_idx((-1, 0), (2, 2))


@given(st.lists(st.tuples(*[st.floats(-5, 15)] * 3), max_size=30))
def test_filter_points_keeps_those_inside(points: list[tuple[float, ...]]) -> None:
    table = np.array(points, dtype=float).reshape(-1, 3)
    box = Box((0, 2, 4), (10, 8, 9))
    kept, rows = filter_points_in_box(table, box.start, box.stop, return_idx=True)
    assert rows.tolist() == [row for row, point in enumerate(points) if box.contains(point)]
    np.testing.assert_array_equal(kept, table[rows])
    np.testing.assert_array_equal(filter_points_in_box(table, box.start, box.stop), kept)


def test_filter_points_keeps_further_columns() -> None:
    table = np.array([[1, 1, 1, 7.0], [9, 9, 9, 8.0]])
    np.testing.assert_array_equal(filter_points_in_box(table, (0, 0, 0), (5, 5, 5)), table[:1])


def test_filter_points_refuses_too_few_columns() -> None:
    with pytest.raises(ParameterError, match="coords"):
        filter_points_in_box(np.zeros((4, 2)), (0, 0, 0), (1, 1, 1))
