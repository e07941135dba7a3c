"""Tests of matching: as many pairs as possible, then the nearest, as the full assignment finds them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import linear_sum_assignment

from tilecore import Blobs, ParameterError, match_blobs

Points = npt.NDArray[np.float64]


def blobs_at(points: Points) -> Blobs:
    return Blobs(dict(zip("zyx"[-points.shape[1] :], points.T, strict=True)))


def best(first: Points, second: Points, tolerance: float) -> tuple[int, float]:
    """Number of pairs and sum of distances of the full assignment; what is too far has a price above all."""
    distances = np.linalg.norm(first[:, None] - second[None], axis=2)
    price = 4 * (len(first) + 1) * (tolerance + 1)
    costs = np.where(distances <= tolerance, distances, price)
    chosen = costs[linear_sum_assignment(costs)]
    return int((chosen < price).sum()), float(chosen[chosen < price].sum())


def assert_best(first: Points, second: Points, tolerance: float) -> int:
    tables = blobs_at(first), blobs_at(second)
    matching = match_blobs(*tables, tolerance)
    n_pairs, total = best(tables[0].positions, tables[1].positions, tolerance)
    assert len(matching) == n_pairs
    assert matching.distances_um.sum() == pytest.approx(total, rel=1e-9, abs=1e-9)
    assert (matching.distances_um <= tolerance).all()
    assert len(set(matching.pairs[:, 0])) == len(set(matching.pairs[:, 1])) == n_pairs
    assert (np.diff(matching.pairs[:, 0]) > 0).all()
    return n_pairs


@pytest.mark.parametrize("seed", range(10))
def test_it_is_the_best_assignment(seed: int) -> None:
    """A hundred cases each: on a grid, so with ties and duplicates, or not; nothing, little or all within reach."""
    numbers = np.random.default_rng(seed)
    n_pairs = 0
    for _ in range(100):
        ndim, edge, is_grid = numbers.choice([2, 3]), numbers.choice([2, 6, 30]), numbers.random() < 0.5
        first, second = (numbers.random((numbers.integers(0, 40), ndim)) * edge for _ in range(2))
        if is_grid:
            first, second = np.floor(first), np.floor(second)
        if numbers.random() < 0.3:
            second = np.concatenate([first[::2] + numbers.choice([0, 1e-9, 0.5]), second])
        n_pairs += assert_best(first, second, float(numbers.choice([0, 1, 1.5, 4, 100])))
    assert n_pairs > 500


@pytest.mark.parametrize("step", [1.0, 0.9])
def test_chains_and_crowds(step: float) -> None:
    """Groups larger than those that are solved together, and groups beside each other."""
    along, apart = np.array([0, 0, step]), np.array([0, 0, 10])
    chain = np.arange(300)[:, None] * 2 * along
    assert assert_best(chain, chain[:-1] + along, 1.05) == 299
    numbers = np.random.default_rng(0)
    crowds = np.concatenate([numbers.random((30, 3)) + number * apart for number in range(8)])
    others = np.concatenate([numbers.random((20 + number, 3)) + number * apart for number in range(8)])
    assert_best(crowds, others, 0.4 * step)
    assert_best(others, crowds, 5.0)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_unit_does_not_matter(unit: float) -> None:
    numbers = np.random.default_rng(1)
    first, second = (numbers.random((200, 3)) * 10 for _ in range(2))
    expected = match_blobs(blobs_at(first), blobs_at(second), 1.5)
    assert match_blobs(blobs_at(first * unit), blobs_at(second * unit), 1.5 * unit).pairs.tolist() == (
        expected.pairs.tolist()
    )


def test_no_limit() -> None:
    first, second = np.array([[0.0, 0], [5, 5]]), np.array([[5.0, 6], [900, 0], [1, 0]])
    assert match_blobs(blobs_at(first), blobs_at(second), math.inf).distances_um.tolist() == [1, 1]


def test_precision_recall_and_f1() -> None:
    found = Blobs({"z": [0, 5, 9], "y": [0, 5, 9], "x": [0, 5, 9]}, voxel_size_um=0.5)
    truth = Blobs({"z": [0, 5], "y": [0, 5], "x": [1, 5]})
    matching = found.match(truth, tolerance_um=0.5)
    assert (matching.precision, matching.recall, matching.f1) == (2 / 3, 1.0, 0.8)
    assert str(matching) == "precision 0.6667, recall 1.0000, F1 0.8000"
    assert found.match(truth, tolerance_um=0.4).pairs.tolist() == [[1, 1]]
    with pytest.raises(ParameterError, match="voxel_size_um"):
        found.match(Blobs({"z": [0], "y": [0], "x": [0]}, voxel_size_um=1), 1)
    with pytest.raises(ParameterError, match="tolerance_um"):
        found.match(truth, -1)


@pytest.mark.parametrize(
    ("n_found", "n_true", "told"),
    [
        (0, 0, "precision undefined, recall undefined, F1 undefined"),
        (0, 3, "precision undefined, recall 0.0000, F1 0.0000"),
        (3, 0, "precision 0.0000, recall undefined, F1 0.0000"),
    ],
)
def test_what_is_undefined_is_not_called_perfect(n_found: int, n_true: int, told: str) -> None:
    matching = match_blobs(blobs_at(np.zeros((n_found, 3))), blobs_at(np.zeros((n_true, 3))), 1.0)
    assert str(matching) == told
    parts: list[Any] = [matching.precision, matching.recall, matching.f1]
    assert [math.isnan(part) for part in parts] == ["undefined" in part for part in told.split(", ")]
