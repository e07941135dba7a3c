"""Tests of `merge_blobs`: the table of all sub-ROIs' blobs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tilecore import TilecoreError, merge_blobs


def rois(*entries: Any) -> np.ndarray:
    array = np.empty((1, 1, len(entries)), dtype=object)
    for index, entry in enumerate(entries):
        array[0, 0, index] = entry
    return array


@pytest.mark.parametrize("empty", [None, np.empty((0, 4)), [], np.array([]), 0 * np.empty((0, 3))])
def test_empty_entries_are_no_blobs(empty: Any) -> None:
    assert merge_blobs(rois(empty, empty)) is None
    merged = merge_blobs(rois(empty, [[1.0, 2.0, 3.0, 4.0]]))
    assert merged is not None
    assert merged.tolist() == [[1, 2, 3, 4, 0, 0, 1]]


@pytest.mark.parametrize(
    ("entries", "words"), [([np.zeros(3)], "table"), ([np.zeros((1, 3)), np.zeros((1, 4))], "same number of columns")]
)
def test_what_is_no_table_is_refused(entries: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        merge_blobs(rois(*entries))
    assert isinstance(caught.value, TilecoreError)
