"""Tests of pruning: largest first, close blobs merged, and independent of the order of rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import blob_log

from tests.blobs.volumes import of_tilecore, textured, threshold_for
from tilecore import Blobs, ParameterError, prune_blobs, prune_close


@st.composite
def tables(draw: st.DrawFn, per_axis: bool = False) -> tuple[npt.NDArray[np.float64], int]:
    """Strategy for crowded blobs: positions and sigmas; the sigmas of all axes grow together."""
    ndim = draw(st.sampled_from([2, 3]))
    n_blobs = draw(st.integers(0, 25))
    numbers = np.random.default_rng(draw(st.integers(0, 10**6)))
    positions = numbers.integers(0, 12, (n_blobs, ndim)).astype(float)
    sigmas = numbers.choice([1.0, 1.5, 2.0, 4.0], (n_blobs, 1))
    if per_axis:
        sigmas = sigmas * np.array([0.5, 1.0, 2.0])[-ndim:] + np.array([0.3, 0.0, 0.1])[-ndim:]
    if draw(st.booleans()):
        sigmas = sigmas + numbers.uniform(0, 0.4, (n_blobs, 1))  # as many sizes as blobs
    return np.concatenate([positions, sigmas], axis=1), ndim


def shared(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], ndim: int) -> float:
    """Compute the overlap of two blobs by formulas of geometry, one pair at a time."""
    large, small = sorted((first, second), key=lambda row: -row[-1])
    distance = math.sqrt((((large[:ndim] - small[:ndim]) / (large[ndim:] * math.sqrt(ndim))) ** 2).sum())
    radius = small[-1] / large[-1]
    if distance > (1 + radius) * (1 - 1e-12):  # where discs touch, the angles below are of rounding errors
        return 0.0
    if distance <= 1 - radius:
        return 1.0
    if ndim == 3:
        height = (1 + radius - distance) ** 2
        volume = (
            math.pi * height * (distance**2 + 2 * distance * (1 + radius) - 3 * (1 - radius) ** 2) / (12 * distance)
        )
        return volume / (4 / 3 * math.pi * radius**3)
    first_angle = math.acos((distance**2 + 1 - radius**2) / (2 * distance))
    second_angle = math.acos((distance**2 + radius**2 - 1) / (2 * distance * radius))
    kite = distance * math.sin(first_angle)
    return (first_angle + radius**2 * second_angle - kite) / (math.pi * radius**2)


@given(table=st.one_of(tables(), tables(per_axis=True)), overlap=st.sampled_from([0.0, 0.2, 0.5, 0.9]))
@settings(max_examples=150)
def test_the_largest_of_those_that_overlap_stay(table: Any, overlap: float) -> None:
    """A blob stays if and only if it does not overlap a kept one that comes before it."""
    rows, ndim = table
    blobs = Blobs.of(rows, ndim=ndim)
    kept = prune_blobs(blobs, overlap)
    assert prune_blobs(kept, overlap) == kept
    survivors: list[npt.NDArray[np.float64]] = []
    ordered = np.asarray(blobs)
    for row in ordered[np.argsort(-ordered[:, -1], kind="stable")]:
        if all(shared(row, each, ndim) <= overlap + 1e-12 for each in survivors):
            survivors.append(row)
    expected = np.array(survivors).reshape(-1, rows.shape[1])
    np.testing.assert_array_equal(np.asarray(kept), expected[np.lexsort(expected.T[::-1])])


def test_blobs_that_touch_share_nothing() -> None:
    """Blobs that touch share nothing, although rounding makes distance and radii differ."""
    rows = np.array([[7.0, 10.0, 2.0], [10.0, 7.0, 1.0]])
    assert shared(*rows, 2) == 0
    assert len(prune_blobs(Blobs.of(rows), 0.0)) == 2


@given(table=tables(), seed=st.integers(0, 99), overlap=st.floats(0, 1))
def test_order_of_rows_is_no_matter(table: Any, seed: int, overlap: float) -> None:
    rows, ndim = table
    shuffled = np.random.default_rng(seed).permutation(rows)
    assert prune_blobs(Blobs.of(rows, ndim=ndim), overlap) == prune_blobs(Blobs.of(shuffled, ndim=ndim), overlap)


def test_of_one_size_the_highest_response_stays() -> None:
    blobs = Blobs({"z": [5, 5], "y": [5, 5], "x": [5, 6], "sigma": [2, 2], "response": [0.1, 0.2]})
    assert prune_blobs(blobs)["x"].tolist() == [6]


def test_where_no_blob_touches_two_others_scikit_image_prunes_alike() -> None:
    numbers = np.random.default_rng(3)
    corners = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3) * 30.0 + 15
    volume = np.zeros((90, 90, 90), dtype=np.float32)
    volume[tuple(corners.astype(int).T)] = numbers.uniform(1, 2, len(corners))
    parameters = {"min_sigma": 1, "max_sigma": 3, "num_sigma": 3, "threshold": 0.01}
    theirs = blob_log(volume, overlap=0.5, **parameters)
    assert sorted(map(tuple, theirs)) == sorted(map(tuple, np.asarray(of_tilecore(volume, overlap=0.5, **parameters))))


def test_channels_do_not_see_each_other() -> None:
    blobs = Blobs({"z": [5, 5], "y": [5, 5], "x": [5, 5], "sigma": [2, 3], "channel": [0, 1]})
    assert len(prune_blobs(blobs, 0)) == len(prune_close(blobs, 3)) == 2


def test_tables_of_none_and_of_one() -> None:
    for n_blobs in (0, 1):
        blobs = Blobs.of(np.ones((n_blobs, 4)))
        assert prune_blobs(blobs) == blobs == prune_close(blobs, 1) == prune_close(blobs, 1, average=True)


@given(table=tables(), seed=st.integers(0, 99), tolerance=st.integers(0, 4))
def test_close_blobs_leave_the_first(table: Any, seed: int, tolerance: int) -> None:
    """The result equals that of a loop over the sorted table, for any order of rows."""
    rows, ndim = table
    box = np.arange(ndim) + tolerance
    blobs = Blobs.of(np.random.default_rng(seed).permutation(rows), ndim=ndim)
    kept: list[Any] = []
    for row in np.asarray(blobs):
        if not any((abs(row[:ndim] - each[:ndim]) <= box).all() for each in kept):
            kept.append(row)
    np.testing.assert_array_equal(np.asarray(prune_close(blobs, box)), np.array(kept).reshape(-1, ndim + 1))


def test_average_of_close_blobs() -> None:
    blobs = Blobs({"z": [5, 5, 5, 9], "y": [5, 5, 5, 5], "x": [4, 5, 9, 5], "sigma": [1, 2, 3, 4]})
    averaged = prune_close(blobs, (1, 1, 1), average=True)
    assert averaged.positions.tolist() == [[5, 5, 4.5], [5, 5, 9], [9, 5, 5]]
    assert averaged["sigma"].tolist() == [1, 3, 4]


def test_detection_prunes_the_whole_table() -> None:
    """Blobs on both sides of a tile's edge are pruned like others."""
    volume = textured((12, 30, 32))
    everywhere = of_tilecore(volume, overlap=1, threshold=threshold_for(volume))
    for tile_shape in (volume.shape, (5, 7, 9)):
        assert of_tilecore(volume, overlap=0.2, tile_shape=tile_shape) == prune_blobs(everywhere, 0.2)


@pytest.mark.parametrize("overlap", [-0.1, 1.1, float("nan")])
def test_overlap_is_a_part(overlap: float) -> None:
    with pytest.raises(ParameterError, match="overlap"):
        prune_blobs(Blobs.of(np.ones((2, 4))), overlap)


def test_what_is_needed() -> None:
    with pytest.raises(ParameterError, match="sigma"):
        prune_blobs(Blobs({"z": [1], "y": [1], "x": [1]}))
    with pytest.raises(ParameterError, match="tolerance_zyx"):
        prune_close(Blobs.of(np.ones((2, 4))), (1, 2))
    with pytest.raises(ParameterError, match="tolerance_zyx"):
        prune_close(Blobs.of(np.ones((2, 4))), -1)


@pytest.mark.parametrize("ndim", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_blobs_that_only_touch_share_nothing(ndim: int) -> None:
    """Blobs that touch share nothing at any position, although rounding differs there."""
    steps = {2: [(5, 5), (1, 7), (7, -1)], 3: [(5, 5, 5), (1, 5, 7), (-7, 1, 5)]}[ndim]
    for step in steps:
        for corner in np.ndindex((12,) * ndim):
            for sigmas in [(4.0, 1.0), (3.0, 2.0), (2.5, 2.5), (3.5, 1.5)]:
                rows = np.array([[*corner, sigmas[0]], [*np.add(corner, step), sigmas[1]]])
                assert len(prune_blobs(Blobs.of(rows, ndim=ndim), 0.0)) == 2
