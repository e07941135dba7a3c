"""Matching of two tables of blobs: a one-to-one assignment of blobs that are the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilecore.blobs.assignment import assigned
from tilecore.blobs.columns import Table
from tilecore.errors import ParameterError

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

__all__ = ["Matching", "colocalize", "match_blobs", "usual_tolerance"]


@dataclass(frozen=True)
class Matching:
    """Pairs of matching blobs; each blob is in at most one pair.

    Attributes
    ----------
    pairs : ndarray of int, shape (n_pairs, 2)
        Row numbers of each pair, in the first and in the second table.
    distances_um : ndarray of float, shape (n_pairs,)
        Distance of each pair [um]; in voxels if the voxel size is not known.
    n_first, n_second : int
        Number of blobs in each table.
    """

    pairs: npt.NDArray[np.intp]
    distances_um: npt.NDArray[np.float64]
    n_first: int
    n_second: int

    @property
    def precision(self) -> float:
        """Fraction of the first table's blobs that have a partner in the second; NaN if the first is empty."""
        return len(self.pairs) / self.n_first if self.n_first else math.nan

    @property
    def recall(self) -> float:
        """Fraction of the second table's blobs that have a partner in the first; NaN if the second is empty."""
        return len(self.pairs) / self.n_second if self.n_second else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 2 * pairs / blobs of both tables; NaN if both are empty."""
        total = self.n_first + self.n_second
        return 2 * len(self.pairs) / total if total else math.nan

    def __len__(self) -> int:
        return len(self.pairs)

    def __str__(self) -> str:
        parts = {"precision": self.precision, "recall": self.recall, "F1": self.f1}
        return ", ".join(f"{name} {_told(value)}" for name, value in parts.items())


def match_blobs(blobs: Table, truth: Table, tolerance_um: float) -> Matching:
    """Assign the blobs of two tables one to one: as many pairs as possible, then with the smallest distances.

    Parameters
    ----------
    blobs, truth : Blobs
        The tables to compare.
    tolerance_um : float
        Largest distance of a pair [um]; in voxels if neither table has a voxel size.

    Returns
    -------
    Matching
        The pairs; precision, recall and F1 are those of `blobs`, if `truth` is correct.

    Raises
    ------
    ParameterError
        If the tolerance is negative, or the tables have different axes or voxel sizes.

    Notes
    -----
    Blobs of different times are no pair, if both tables have a column ``t``.

    If both tables tell where their volumes begin (`Blobs.origin_um`), their positions in micrometres are compared, so
    they may be of different parts of one image, or of different levels. Otherwise both are taken as tables of the same
    volume.

    Examples
    --------
    >>> from tilecore import Blobs
    >>> found, truth = (Blobs({"z": [1, 9], "y": [1, 9], "x": x}) for x in ([1, 9], [2, 20]))
    >>> print(match_blobs(found, truth, tolerance_um=3))
    precision 0.5000, recall 0.5000, F1 0.5000
    """
    if not tolerance_um >= 0:
        raise ParameterError.of("tolerance_um", tolerance_um, "must be at least zero")
    first, second = _comparable(blobs, truth)
    if "t" in blobs.columns and "t" in truth.columns:
        pairs = _pairs_of_each_time(first, second, blobs["t"], truth["t"], tolerance_um)
    else:
        pairs = assigned(first, second, tolerance_um)
    distances = np.linalg.norm(first[pairs[:, 0]] - second[pairs[:, 1]], axis=1)
    return Matching(pairs, distances, len(first), len(second))


def usual_tolerance(blobs: Table) -> float:
    """Tolerance if none is given: the median radius of the blobs, or 5 if they have none [um or voxel]."""
    radius = "radius_um" if "radius_um" in blobs.columns else "radius"
    return float(np.median(blobs[radius])) if len(blobs) and radius in blobs.columns else 5.0


def colocalize(blobs_a: Table, blobs_b: Table, tolerance_um: float) -> Matching:
    """Find the blobs of two channels that lie at the same place.

    Parameters
    ----------
    blobs_a, blobs_b : Blobs
        Tables such as ``blobs.filter(channel=(0, 0))`` and ``blobs.filter(channel=(1, 1))``.
    tolerance_um : float
        Largest distance of a pair [um]; in voxels if the voxel size is not known.

    Returns
    -------
    Matching
        One-to-one pairs: as many as possible, then with the smallest distances; ``len`` is their number.

    Raises
    ------
    ParameterError
        As for `match_blobs`.

    References
    ----------
    .. [1] Name and meaning from MagellanMapper's colocalization of blobs.
    """
    return match_blobs(blobs_a, blobs_b, tolerance_um)


def _pairs_of_each_time(
    first: Floats, second: Floats, first_times: Times, second_times: Times, tolerance: float
) -> npt.NDArray[np.intp]:
    """Rows of both tables that match, time by time, in the order of the first table."""
    found = [np.empty((0, 2), dtype=np.intp)]
    for time in np.intersect1d(first_times, second_times):
        rows, others = np.flatnonzero(first_times == time), np.flatnonzero(second_times == time)
        pairs = assigned(first[rows], second[others], tolerance)
        found.append(np.stack([rows[pairs[:, 0]], others[pairs[:, 1]]], axis=1))
    pairs = np.concatenate(found)
    return pairs[np.argsort(pairs[:, 0], kind="stable")]


def _comparable(blobs: Table, other: Table) -> list[Floats]:
    """Return the positions of both tables in the same unit."""
    if blobs.ndim != other.ndim:
        raise ParameterError.of("blobs", (blobs.ndim, other.ndim), "both tables must have the same axes")
    if all(each.voxel_size_um is not None and each.origin_um is not None for each in (blobs, other)):
        return [blobs.positions_um, other.positions_um]
    sizes = {each.voxel_size_um for each in (blobs, other)} - {None}
    if len(sizes) > 1:
        raise ParameterError.of("voxel_size_um", sizes, "both tables must have the same voxel size")
    size = np.asarray(sizes.pop() if sizes else 1.0)  # both tables are then of the same volume
    return [blobs.positions * size, other.positions * size]


def _told(part: float) -> str:
    return "undefined" if math.isnan(part) else f"{part:.4f}"
