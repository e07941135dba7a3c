"""Tests of `med_baseline`, against sorted windows of Python's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from tilecore import map_tiles
from tilecore.compat.minian import med_baseline
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.filters.exact_values import Numbers

KINDS = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]


def by_hand(series: npt.NDArray[Any], wnd: int) -> npt.NDArray[Any]:
    """The middle one of each window, of the series mirrored at its ends; with an even window the upper middle."""
    padded = np.pad(series, (wnd // 2, wnd - 1 - wnd // 2), "symmetric").tolist()
    result = []
    for at, number in enumerate(series.tolist()):
        window = sorted(padded[at : at + wnd])
        middle = window[len(window) // 2]
        above = number - middle if number > middle else type(number)(0)
        result.append(above if series.dtype.kind in "fb" else min(above, np.iinfo(series.dtype).max))
    return np.array(result).astype(series.dtype)


@st.composite
def series_of_numbers(draw: st.DrawFn) -> npt.NDArray[Any]:
    kind = np.dtype(draw(st.sampled_from(KINDS)))
    if kind.kind == "f":
        few: st.SearchStrategy[Any] = st.sampled_from([-2.0, 0.0, 0.5, 1.0, 3.0, 8.0])
    elif kind.kind == "b":
        few = st.booleans()
    else:
        few = st.integers(int(np.iinfo(kind).min), int(np.iinfo(kind).max)) | st.integers(0, 3)
    return np.array(draw(st.lists(few, min_size=1, max_size=20)), dtype=kind)


@given(series_of_numbers(), st.integers(1, 25))
def test_medians_are_those_of_sorted_windows(series: npt.NDArray[Any], wnd: int) -> None:
    before = series.copy()
    above = med_baseline(series, wnd)
    assert above.dtype == series.dtype
    np.testing.assert_array_equal(above, by_hand(series, wnd))
    np.testing.assert_array_equal(series, before)


@pytest.mark.parametrize("size", [3, 4, (2, 5)])
def test_several_axes_are_those_of_scipy(size: int | tuple[int, ...]) -> None:
    image = np.random.default_rng(0).normal(size=(12, 15))
    expected = np.clip(image - median_filter(image, size=size), 0, None)
    np.testing.assert_array_equal(med_baseline(image, size), expected)


def test_unsigned_numbers_do_not_go_round() -> None:
    assert med_baseline(np.array([9, 1, 9, 9], np.uint8), 3).tolist() == [0, 0, 0, 0]
    assert med_baseline(np.array([-128, -128, 127, -128], np.int8), 3).tolist() == [0, 0, 127, 0]


def test_nan_is_where_the_window_holds_nan() -> None:
    series = np.array([1.0, 2.0, np.nan, 4.0, 9.0, 5.0, 5.0])
    expected = [0.0, np.nan, np.nan, np.nan, 4.0, 0.0, 0.0]
    np.testing.assert_array_equal(med_baseline(series, 3), expected)


@pytest.mark.parametrize("wnd", [1, 4, 5, 40])
def test_batches_give_what_the_whole_gives(wnd: int) -> None:
    series = np.random.default_rng(1).integers(0, 1000, 100).astype(np.uint16)
    tiled = map_tiles(med_baseline, series, tile_shape=13, kwargs={"wnd": wnd}, executor="serial")
    np.testing.assert_array_equal(tiled, med_baseline(series, wnd))


def test_an_empty_series_stays_empty() -> None:
    assert med_baseline(np.zeros(0, np.int16), 3).dtype == np.int16


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(ParameterError, match="wnd=0"):
        med_baseline(np.zeros(3), 0)
    with pytest.raises(ParameterTypeError, match="wnd="):
        med_baseline(np.zeros(3), 2.5)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="2 numbers"):
        med_baseline(np.zeros((3, 3)), (3,))
    with pytest.raises(ParameterTypeError, match="a="):
        med_baseline(np.zeros(3, complex), 3)


def test_the_type_is_that_of_numbers() -> None:
    found: Numbers = med_baseline([1, 5, 1], 3)
    assert found.tolist() == [0, 4, 0]
