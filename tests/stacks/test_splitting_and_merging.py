"""Tests of MagellanMapper's splitting and merging: a split stack is merged to the same stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from tilecore import (
    TilecoreError,
    get_split_stack_total_shape,
    merge_split_stack,
    merge_split_stack2,
    stack_splitter,
)

triples = st.tuples(*[st.integers(1, 7)] * 3)
overlaps = st.one_of(st.none(), st.integers(0, 4), st.tuples(*[st.integers(0, 4)] * 3))


def cut(stack: np.ndarray, slices: np.ndarray) -> np.ndarray:
    sub_rois = np.empty_like(slices)
    for index, each in np.ndenumerate(slices):
        sub_rois[index] = stack[each]
    return sub_rois


@given(shape=triples, max_pixels=triples, overlap=overlaps, extra=st.sampled_from([(), (2,)]))
def test_what_was_split_is_merged(shape: Any, max_pixels: Any, overlap: Any, extra: Any) -> None:
    stack = np.arange(np.prod(shape + extra), dtype="u4").reshape(shape + extra)
    slices, offsets = stack_splitter(stack.shape, max_pixels, overlap)
    assert slices.shape == tuple(-(-length // step) for length, step in zip(shape, max_pixels, strict=True))
    sub_rois = cut(stack, slices)
    for index, each in np.ndenumerate(slices):
        assert [axis.start for axis in each] == offsets[index].tolist()
    np.testing.assert_array_equal(merge_split_stack(sub_rois, max_pixels, overlap), stack)
    np.testing.assert_array_equal(get_split_stack_total_shape(sub_rois, overlap), stack.shape)
    output = np.zeros((1, *stack.shape), dtype=stack.dtype)
    assert merge_split_stack2(sub_rois, overlap, 1, output) is output
    np.testing.assert_array_equal(output[0], stack)


def test_overlap_reaches_into_the_next_sub_roi_only() -> None:
    slices, _ = stack_splitter((1, 1, 10), (1, 1, 4), (0, 0, 3))
    assert [each[2] for each in slices[0, 0]] == [slice(0, 7), slice(4, 10), slice(8, 10)]


@pytest.mark.parametrize("size", [30, 120])
@pytest.mark.parametrize("kind", ["memmap", "open_memmap", "zarr", "ndarray"])
def test_merging_straight_into_files(tmp_path: Path, kind: str, size: int) -> None:
    stack = np.random.default_rng(0).integers(0, 2**16, (size, size, size + 3), dtype=np.uint16)
    slices, _ = stack_splitter(stack.shape, (16, 20, 24), (3, 0, 5))
    path = tmp_path / "merged"
    output: Any = {
        "memmap": lambda: np.memmap(path, dtype=stack.dtype, mode="w+", shape=stack.shape),
        "open_memmap": lambda: np.lib.format.open_memmap(path, mode="w+", dtype=stack.dtype, shape=stack.shape),
        "zarr": lambda: zarr.create_array(path, shape=stack.shape, dtype=stack.dtype, chunks=(10, 50, 50)),
        "ndarray": lambda: np.zeros_like(stack),
    }[kind]()
    merge_split_stack2(cut(stack, slices), (3, 0, 5), 0, output)
    np.testing.assert_array_equal(np.asarray(output[:]), stack)


def test_sub_rois_that_were_rescaled() -> None:
    stack = np.random.default_rng(0).random((12, 12, 12))
    sub_rois = cut(stack, stack_splitter(stack.shape, (4, 4, 4))[0])
    for index, sub_roi in np.ndenumerate(sub_rois):
        sub_rois[index] = np.repeat(sub_roi, 2, axis=2)[::2]
    shape = get_split_stack_total_shape(sub_rois)
    assert shape.tolist() == [6, 12, 24]
    merged = merge_split_stack2(sub_rois, None, 0, np.zeros(shape))
    np.testing.assert_array_equal(merged, np.repeat(stack, 2, axis=2)[::2])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (((4, 4), (2, 2, 2)), ValueError, "shape"),
        (((4, 4, 4), (2, 2)), ValueError, "max_pixels"),
        (((4, 4, 4), (2, 0, 2)), ValueError, "max_pixels"),
        (((4, 4, 4), (2, -1, 2)), ValueError, "max_pixels"),
        (((4, 4, 4), (2, 2, 2), (1, 1)), ValueError, "overlap"),
        (((4, 4, 4), (2, 2, 2), -1), ValueError, "overlap"),
        (((4, 4, 4), (2, 2, 2), (1, 1, 0.5)), TypeError, "overlap"),
        (((4, 4, 4), (2, 2, 2), "ab"), TypeError, "overlap"),
    ],
)
def test_bad_splits(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        stack_splitter(*arguments)
    assert isinstance(caught.value, TilecoreError)


def test_bad_merges() -> None:
    stack = np.zeros((4, 4, 4))
    sub_rois = cut(stack, stack_splitter(stack.shape, (2, 2, 2), 1)[0])
    with pytest.raises(ValueError, match="output"):
        merge_split_stack2(sub_rois, 1, 0, np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="output"):
        merge_split_stack2(sub_rois, 1, 1, stack)
    with pytest.raises(ValueError, match="sub_rois"):
        merge_split_stack(sub_rois[0], (2, 2, 2), 1)
    sub_rois[1, 1, 1] = np.zeros((2, 2, 1))
    with pytest.raises(ValueError, match=r"sub_rois.*\(2, 2, 2\) voxels"):
        merge_split_stack(sub_rois, (2, 2, 2), 1)
