"""Pruning: removes blobs that overlap or lie close together, and keeps one of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tilecore.blobs.columns import groups_of
from tilecore.blobs.table import Blobs
from tilecore.errors import ParameterError

__all__ = ["prune_blobs", "prune_close"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

# Largest number of groups of blob sizes in the search for close pairs.
_MOST_GROUPS = 16
_PAIRS_AT_ONCE = 2**20


def prune_blobs(blobs: Blobs, overlap: float = 0.5) -> Blobs:
    """Remove blobs that share too much of their volume with a larger one.

    Blobs are visited from the largest to the smallest, those of the same size from the highest response
    to the lowest, then in the table's order. A blob is removed if it shares more than the allowed
    fraction of its volume with one that was kept.

    Parameters
    ----------
    blobs : Blobs
        Blobs with sigma.
    overlap : float
        Allowed overlap, from 0 (none) to 1 (any).

    Returns
    -------
    Blobs
        The table without the removed blobs.

    Raises
    ------
    ParameterError
        If the blobs have no sigma, or `overlap` is not from 0 to 1.

    Notes
    -----
    The overlap is that of `skimage.feature.blob_log`: of balls (in an image: discs) whose radius is
    sigma * sqrt(number of axes), after the axes are divided by the sigmas of the larger
    blob. In scikit-image the result depends on the order of rows; here it does not. Blobs
    of different channels, or of different times, are never compared.

    Examples
    --------
    >>> blobs = Blobs({"z": [5, 5, 5], "y": [5, 5, 5], "x": [5, 6, 30], "sigma": [3, 2, 2]})
    >>> prune_blobs(blobs)["x"].tolist()
    [5.0, 30.0]
    """
    if not 0 <= overlap <= 1:
        raise ParameterError.of("overlap", overlap, "must be from 0 to 1")
    sigmas = blobs.sigmas
    if sigmas.shape[1] == 0:
        raise ParameterError.of("blobs", blobs, "a column sigma is needed to compute the overlap")
    if overlap == 1 or len(blobs) < 2:
        return blobs
    responses = blobs["response"] if "response" in blobs.columns else np.zeros(len(blobs))
    order = np.lexsort([np.arange(len(blobs)), -responses, -sigmas[:, -1]])
    positions, sizes = blobs.positions[order], sigmas[order]
    groups = groups_of(blobs)[order]
    pairs = [_overlapping(positions, sizes, np.flatnonzero(groups == each), overlap) for each in np.unique(groups)]
    kept: Blobs = blobs[np.sort(order[_survivors(len(blobs), np.concatenate(pairs))])]
    return kept


def prune_close(blobs: Blobs, tolerance_zyx: float | Sequence[float], average: bool = False) -> Blobs:
    """Remove blobs that lie close to an earlier one in the table's order.

    Parameters
    ----------
    blobs : Blobs
        The table.
    tolerance_zyx : float or sequence of float
        Largest distance, along each axis, of blobs that count as the same [voxel].
    average : bool
        Whether to move the blob that stays to the mean position of itself and the removed ones.

    Returns
    -------
    Blobs
        The table without the removed blobs. Blobs of different channels or times are never compared.

    Raises
    ------
    ParameterError
        If a tolerance is negative, or their number is not that of the axes.

    References
    ----------
    The box tolerance in MagellanMapper's stack pruning.

    Examples
    --------
    >>> blobs = Blobs({"z": [5, 5, 5], "y": [5, 5, 5], "x": [5, 6, 9]})
    >>> prune_close(blobs, (1, 2, 2), average=True)["x"].tolist()
    [5.5, 9.0]
    """
    from scipy.spatial import cKDTree

    tolerance = np.asarray(tolerance_zyx, dtype=np.float64)
    if tolerance.shape not in ((), (blobs.ndim,)) or not (tolerance >= 0).all():
        raise ParameterError.of("tolerance_zyx", tolerance_zyx, f"one number or {blobs.ndim}, at least zero")
    # Groups are moved apart, so that they are never close; the tree's box is a little larger than the tolerance.
    points = np.column_stack([blobs.positions / np.maximum(tolerance, 1e-6), 4 * groups_of(blobs)])
    pairs = cKDTree(points).query_pairs(1 + 1e-6, p=np.inf, output_type="ndarray") if len(blobs) else _NO_PAIRS
    away = np.abs(blobs.positions[pairs[:, 0]] - blobs.positions[pairs[:, 1]])
    pairs = pairs[(away <= tolerance).all(axis=1)]
    stays = _survivors(len(blobs), pairs)
    kept: Blobs = blobs[stays]
    if not average:
        return kept
    positions = _averaged(blobs.positions, pairs, stays)[stays]
    return kept.moved(positions)


_NO_PAIRS: Indices = np.empty((0, 2), dtype=np.intp)


def _overlapping(positions: Floats, sigmas: Floats, rows: Indices, overlap: float) -> Indices:
    """Pairs of rows that overlap too much, the larger blob first."""
    positions, sigmas = positions[rows], sigmas[rows]
    found = [_NO_PAIRS]
    for pairs in _near(positions, sigmas):
        for first in range(0, len(pairs), _PAIRS_AT_ONCE):
            part = pairs[first : first + _PAIRS_AT_ONCE]
            found.append(part[_overlaps(positions, sigmas, part) > overlap])
    return rows[np.concatenate(found)]


def _near(positions: Floats, sigmas: Floats) -> Iterator[Indices]:
    """Pairs of rows close enough to overlap, the larger first; rows are sorted by size and searched in groups."""
    from scipy.spatial import cKDTree

    starts = np.flatnonzero(np.diff(sigmas[:, -1], prepend=np.inf))
    if len(starts) > _MOST_GROUPS:
        starts = np.unique(np.linspace(0, len(sigmas), _MOST_GROUPS, endpoint=False).astype(np.intp))
    stops = np.append(starts[1:], len(sigmas))
    shape = sigmas[0] / sigmas[0, -1]
    trees = [cKDTree(positions[start:stop] / shape) for start, stop in zip(starts, stops, strict=True)]
    reaches = (sigmas / shape).max(axis=1) * math.sqrt(positions.shape[1])
    for large, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        reach, smallest = reaches[start:stop].max(), sigmas[stop - 1, -1]
        pairs = trees[large].query_pairs(2 * reach, output_type="ndarray") + start
        yield np.sort(pairs, axis=1)
        for small in range(large + 1, len(starts)):
            ratio = sigmas[starts[small], -1] / smallest
            near = trees[large].sparse_distance_matrix(trees[small], reach * (1 + ratio), output_type="ndarray")
            yield np.stack([near["i"] + start, near["j"] + starts[small]], axis=1)


def _overlaps(positions: Floats, sigmas: Floats, pairs: Indices) -> Floats:
    """Fraction of the smaller ball or disc that lies in the larger one."""
    ndim = positions.shape[1]
    large, small = pairs.T
    scale = sigmas[large] * math.sqrt(ndim)
    distance = np.sqrt((((positions[small] - positions[large]) / scale) ** 2).sum(axis=1))
    ratio = sigmas[small, -1] / sigmas[large, -1]
    shared = (_disc_overlap if ndim == 2 else _ball_overlap)(np.maximum(distance, 1e-300), ratio)
    # If two only touch, the shared volume is a rounding error.
    shared = np.where(distance > (1 + ratio) * (1 - 1e-12), 0.0, shared)
    return np.where(distance <= 1 - ratio, 1.0, shared)


def _ball_overlap(distance: Floats, radius: Floats) -> Floats:
    """Fraction of a ball inside a ball of radius 1: two caps."""
    with np.errstate(over="ignore", invalid="ignore"):
        caps = (1 + radius - distance) ** 2 * (
            distance**2 + 2 * distance * (1 + radius) - 3 * (1 + radius**2) + 6 * radius
        )
        part: Floats = caps / (16 * distance * radius**3)
    return part


def _disc_overlap(distance: Floats, radius: Floats) -> Floats:
    """Fraction of a disc inside a disc of radius 1: two segments."""
    with np.errstate(over="ignore", invalid="ignore"):
        first = np.arccos(np.clip((distance**2 + 1 - radius**2) / (2 * distance), -1, 1))
        second = np.arccos(np.clip((distance**2 + radius**2 - 1) / (2 * distance * radius), -1, 1))
        edges = (1 + radius - distance) * (distance - radius + 1) * (distance + radius - 1) * (1 + radius + distance)
        part: Floats = (first + radius**2 * second - 0.5 * np.sqrt(np.abs(edges))) / (math.pi * radius**2)
    return part


def _survivors(n_rows: int, pairs: Indices) -> Indices:
    """Rows that stay: each row in turn removes the later ones that it is paired with, unless it was removed itself."""
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    kept = bytearray(b"\1") * n_rows
    for first, second in pairs.tolist():
        if kept[first]:
            kept[second] = 0
    return np.flatnonzero(np.frombuffer(kept, dtype=np.uint8))


def _averaged(positions: Floats, pairs: Indices, stays: Indices) -> Floats:
    """Positions; those of rows that stay are averaged with the removed rows, each counted for its first partner."""
    kept = np.zeros(len(positions), dtype=bool)
    kept[stays] = True
    owner = np.arange(len(positions))
    due = pairs[kept[pairs[:, 0]]]
    due = due[np.lexsort(due.T)][::-1]  # if a row has several partners, the first is written last
    owner[due[:, 1]] = due[:, 0]
    counts = np.bincount(owner, minlength=len(positions))
    sums = [np.bincount(owner, weights=column, minlength=len(positions)) for column in positions.T]
    averaged: Floats = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
    return averaged
