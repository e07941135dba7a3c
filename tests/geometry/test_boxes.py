"""Tests of boxes: half-open integer intervals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore.errors import ParameterError, ParameterTypeError, TilecoreError
from tilecore.geometry import Box

coordinates = st.integers(-50, 50)


@st.composite
def boxes(draw: st.DrawFn, ndim: int = 3) -> Box:
    start = draw(st.lists(coordinates, min_size=ndim, max_size=ndim))
    lengths = draw(st.lists(st.integers(0, 20), min_size=ndim, max_size=ndim))
    return Box(start, [first + length for first, length in zip(start, lengths, strict=True)])


def voxels(box: Box) -> set[tuple[int, ...]]:
    return {tuple(index) for index in np.argwhere(np.ones(box.shape)) + np.array(box.start)}


@given(boxes(2), boxes(2))
def test_intersection_holds_the_voxels_of_both(a: Box, b: Box) -> None:
    shared = a.intersection(b)
    assert shared.size == len(voxels(a) & voxels(b))
    if shared.size:
        assert voxels(shared) == voxels(a) & voxels(b)
        assert a.contains(shared)
        assert b.contains(shared)


@given(boxes(), st.integers(0, 5), st.integers(0, 5))
def test_grown_adds_the_halo_on_each_side(box: Box, before: int, after: int) -> None:
    grown = box.grown([(before, after)] * 3)
    assert grown.shape == tuple(length + before + after for length in box.shape)
    assert grown.contains(box)


@given(boxes(), st.lists(coordinates, min_size=3, max_size=3))
def test_translated_keeps_the_shape_and_comes_back(box: Box, offset: list[int]) -> None:
    moved = box.translated(offset)
    assert moved.shape == box.shape
    assert moved.translated([-step for step in offset]) == box


@given(boxes(2))
def test_size_and_slices_agree_with_numpy(box: Box) -> None:
    inside = box.clipped((30, 30))
    assert np.zeros((30, 30))[inside.slices].size == inside.size
    assert Box.from_slices(inside.slices) == inside


@given(boxes(2))
def test_contains_points_as_half_open_intervals(box: Box) -> None:
    assert box.contains(box.start) == (box.size > 0)
    assert not box.contains(box.stop)


def test_boxes_are_values() -> None:
    box = Box((0, 1), (2, 3))
    assert box == Box(np.array([0, 1]), [2, 3])
    assert hash(box) == hash(Box((0, 1), (2, 3)))
    assert pickle.loads(pickle.dumps(box)) == box
    with pytest.raises(AttributeError):
        box.start = (5, 5)  # type: ignore[misc]


def test_size_does_not_overflow() -> None:
    assert Box.of_shape((2**40, 2**40)).size == 2**80


@pytest.mark.parametrize(
    ("start", "stop", "error"),
    [
        ((0, 0), (1,), ParameterError),
        ((3,), (2,), ParameterError),
        ((0.5,), (2,), ParameterTypeError),
        (("a",), (2,), ParameterTypeError),
        ("ab", "cd", ParameterTypeError),
        (3, 4, ParameterTypeError),
    ],
)
def test_wrong_corners_are_refused(start: object, stop: object, error: type[TilecoreError]) -> None:
    with pytest.raises(error, match=r"start|stop"):
        Box(start, stop)  # type: ignore[arg-type]


def test_boxes_of_other_axes_are_refused() -> None:
    with pytest.raises(ParameterError, match="2 axes"):
        Box((0, 0), (1, 1)).intersection(Box((0,), (1,)))
    with pytest.raises(ParameterError, match="coordinates"):
        Box((0, 0), (1, 1)).contains((1,))
