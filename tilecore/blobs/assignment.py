"""Assignment of points one to one: as many pairs as possible, then with the smallest distances."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["assigned"]

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]

# Points that are solved together: so many that a call costs little for each, so few that scipy's solver, whose time
# grows with their square, costs little too.
_AT_ONCE = 128
# Fraction of all pairs from which on nearly all points choose among each other, so that to look for groups is in vain.
_DENSE = 0.25


def assigned(first: Floats, second: Floats, farthest: float) -> Indices:
    """Assign points that are near each other: numbers of the points of each pair, shape (n_pairs, 2), sorted.

    Parameters
    ----------
    first, second : ndarray, shape (n, ndim)
        The points.
    farthest : float
        Largest distance of a pair.

    Notes
    -----
    Two points that have no other neighbour are a pair. Groups of points that choose among each other are solved
    exactly, each for itself: what is chosen in one does not change another.
    """
    from scipy.spatial import cKDTree

    near = cKDTree(first).sparse_distance_matrix(cKDTree(second), farthest, output_type="ndarray")
    if not len(near):
        return np.empty((0, 2), dtype=np.intp)
    rows, columns = near["i"], near["j"]
    # From 1 to 2: a sparse matrix has no entries of zero, and the unit must not matter.
    weights = 1 + near["v"] / (near["v"].max() or 1.0)
    if len(first) + len(second) <= _AT_ONCE or len(near) >= _DENSE * len(first) * len(second):
        return _sorted(_solved(rows, columns, weights, (len(first), len(second))))
    is_lone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    found = [np.stack([rows[is_lone], columns[is_lone]], axis=1)]
    rows, columns, weights = rows[~is_lone], columns[~is_lone], weights[~is_lone]
    for group in _groups(rows, columns):
        (mine, mine_from_0), (others, others_from_0) = (_numbered(each[group]) for each in (rows, columns))
        chosen = _solved(mine_from_0, others_from_0, weights[group], (len(mine), len(others)))
        found.append(np.stack([mine[chosen[:, 0]], others[chosen[:, 1]]], axis=1))
    return _sorted(np.concatenate(found))


def _groups(rows: Indices, columns: Indices) -> Iterator[Indices]:
    """Numbers of the pairs of points that choose among each other; several small groups at once."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(rows):
        return
    (mine, starts), (others, ends) = _numbered(rows), _numbered(columns)
    n_points = len(mine) + len(others)
    entries = np.ones(len(rows), dtype=np.int8), (starts, len(mine) + ends)
    n_groups, labels = connected_components(coo_array(entries, shape=(n_points, n_points)), directed=False)
    sizes = np.bincount(labels, minlength=n_groups)
    batches = ((np.cumsum(sizes) - sizes) // _AT_ONCE)[labels[starts]]
    order = np.argsort(batches, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(batches[order])) + 1)


def _solved(rows: Indices, columns: Indices, weights: Floats, shape: tuple[int, int]) -> Indices:
    """Choose pairs without common points: as many as possible, then those with the smallest sum of weights."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    n_rows, n_columns = shape
    if n_rows > n_columns:  # the solver takes longer with more rows
        return _solved(columns, rows, weights, (n_columns, n_rows))[:, ::-1]
    # Each row may also stay alone, in a column of its own, for more than any other choice could save.
    alone, price = np.arange(n_rows), 2.0 * (n_rows + 1)
    entries = np.concatenate([weights, np.full(n_rows, price)])
    places = np.concatenate([rows, alone]), np.concatenate([columns, n_columns + alone])
    graph = coo_array((entries, places), shape=(n_rows, n_columns + n_rows)).tocsr()
    chosen: Indices = np.stack(min_weight_full_bipartite_matching(graph), axis=1).astype(np.intp)
    return chosen[chosen[:, 1] < n_columns]


def _sorted(pairs: Indices) -> Indices:
    return pairs[np.argsort(pairs[:, 0])]


def _numbered(numbers: Indices) -> tuple[Indices, Indices]:
    """Return the different numbers, sorted, and the place of each number among them."""
    if int(numbers.max()) >= 4 * len(numbers):
        return np.unique(numbers, return_inverse=True)
    is_there = np.bincount(numbers) > 0  # faster than to sort them, if there are no large gaps
    return np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[numbers]
