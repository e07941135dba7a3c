"""Tests of `local_extreme`, against a loop over all voxels with Python's numbers."""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tilecore import map_tiles
from tilecore.compat.minian import local_extreme
from tilecore.errors import ParameterError, ParameterTypeError

KINDS = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g"]
KINDS_OF_EXTREMES: list[Literal["max", "min"]] = ["max", "min"]


def by_hand(fm: npt.NDArray[Any], k: npt.NDArray[Any], etype: str, diff: float) -> npt.NDArray[np.uint8]:
    """Look at each voxel's window in turn; whole numbers are Python's, so nothing is rounded or goes round."""
    found = np.zeros(fm.shape, np.uint8)
    cells = [np.subtract(cell, [length // 2 for length in k.shape]) for cell in np.argwhere(k)]
    plain: Any = np.longdouble if fm.dtype.kind == "f" else int
    for place in np.ndindex(fm.shape):
        seen = [tuple(place + cell) for cell in cells]
        inside = [each for each in seen if all(0 <= at < n for at, n in zip(each, fm.shape, strict=True))]
        window = [plain(fm[each]) for each in inside if not np.isnan(fm[each])]
        if not window or np.isnan(fm[place]):
            continue
        high, low = max(window), min(window)
        apart = 0 if high == low else high - low
        found[place] = plain(fm[place]) == (high if etype == "max" else low) and apart > diff
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    ndim = draw(st.integers(1, 4))
    kind = np.dtype(draw(st.sampled_from(KINDS)))
    shape = draw(st.tuples(*[st.integers(1, 5 if ndim > 2 else 9)] * ndim))
    if kind.kind == "f":
        few: st.SearchStrategy[Any] = st.sampled_from([-np.inf, -2.0, 0.0, 0.5, 1.0, 3.0, np.inf, np.nan])
    elif kind.kind == "b":
        few = st.booleans()
    else:
        ends = np.iinfo(kind)
        few = st.sampled_from([ends.min, ends.min + 1, 0, 1, 2, ends.max - 1, ends.max])
    fm = np.array(draw(st.lists(few, min_size=math.prod(shape), max_size=math.prod(shape))), dtype=kind).reshape(shape)
    k = draw(hnp.arrays(np.int8, st.tuples(*[st.integers(1, 4)] * ndim), elements=st.integers(-1, 1)).filter(np.any))
    return fm, k


@given(cases(), st.sampled_from(KINDS_OF_EXTREMES), st.sampled_from([0, -1, 1, 1.5, 2**53 + 1, 2.0**64, -math.inf]))
def test_extremes_are_those_of_a_loop(case: Any, etype: Literal["max", "min"], diff: float) -> None:
    """All kinds of numbers, lopsided and hollow windows, one to four axes."""
    found = local_extreme(*case, etype, diff)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, by_hand(*case, etype, diff))


def test_neighbours_beyond_2_to_the_53_are_told_apart() -> None:
    large = np.array([2**63, 2**63 + 1, 2**63, 2**64 - 1, 2**64 - 2], np.uint64)
    assert local_extreme(large, np.ones(3)).tolist() == [0, 1, 0, 1, 0]
    assert local_extreme(large, np.ones(3), diff=1).tolist() == [0, 0, 0, 1, 0]
    assert (
        local_extreme(large.astype(np.int64) - 5, np.ones(3), "min").tolist()
        == by_hand(large.astype(np.int64) - 5, np.ones(3), "min", 0).tolist()
    )


def test_a_window_may_leave_out_its_centre_and_lie_to_one_side() -> None:
    ramp = np.arange(5.0)
    assert local_extreme(ramp, np.array([1, 0, 0])).tolist() == [0] * 5  # one voxel does not differ from itself
    assert local_extreme(ramp, np.array([1, 1, 0])).tolist() == [0, 1, 1, 1, 1]
    assert local_extreme(ramp, np.array([0, 1, 1]), "min").tolist() == [1, 1, 1, 1, 0]


def test_the_input_is_not_changed_and_may_be_empty() -> None:
    given_numbers = np.array([1.0, np.nan, 2.0])
    local_extreme(given_numbers, np.ones(3))
    np.testing.assert_array_equal(given_numbers, [1.0, np.nan, 2.0])
    assert local_extreme(np.zeros((0, 3)), np.ones((3, 3))).shape == (0, 3)


@pytest.mark.parametrize("etype", KINDS_OF_EXTREMES)
def test_tiles_give_what_the_whole_gives(etype: Literal["max", "min"]) -> None:
    volume = np.random.default_rng(1).integers(0, 9, (7, 20, 19))
    k = np.ones((2, 3, 4))
    k[0, 0] = 0
    options = {"k": k, "etype": etype, "diff": 2}
    whole = local_extreme(volume, **options)  # type: ignore[arg-type]
    tiled = map_tiles(local_extreme, volume, tile_shape=(3, 6, 5), kwargs=options, executor="serial")
    np.testing.assert_array_equal(tiled, whole)
    assert 0 < whole.sum() < whole.size


def test_wrong_parameters_are_named() -> None:
    image = np.zeros((3, 3))
    with pytest.raises(ParameterError, match="etype='most'"):
        local_extreme(image, np.ones((3, 3)), "most")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="2 axes"):
        local_extreme(image, np.ones(3))
    with pytest.raises(ParameterError, match="no cell"):
        local_extreme(image, np.zeros((3, 3)))
    for wrong in (np.zeros(3, complex), ["a"], 3):
        with pytest.raises(ParameterTypeError, match="fm="):
            local_extreme(wrong, np.ones(3))  # type: ignore[arg-type]


def test_weights_of_a_window_do_not_count() -> None:
    image = np.random.default_rng(2).random((9, 8))
    for shape in itertools.product((1, 2, 3), repeat=2):
        weights = np.random.default_rng(3).integers(1, 9, shape)
        np.testing.assert_array_equal(local_extreme(image, weights), local_extreme(image, np.ones(shape)))
