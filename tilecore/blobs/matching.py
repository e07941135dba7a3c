"""Matching of two tables of blobs: a one-to-one assignment of blobs that are the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilecore.blobs.assignment import assigned
from tilecore.blobs.columns import Table
from tilecore.blobs.placing import are_comparable
from tilecore.errors import ParameterError

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

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
    Blobs of different times are no pair, if both tables have a column ``t``; nor are those of different channels, if
    both tables have several.

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
    if not isinstance(tolerance_um, (int, float, np.integer, np.floating)) or not tolerance_um >= 0:
        raise ParameterError.of("tolerance_um", tolerance_um, "must be a number, at least zero")
    first, second = _comparable(blobs, truth)
    pairs = _pairs_in_groups(first, second, _groups(blobs, truth), tolerance_um)
    distances = np.linalg.norm(first[pairs[:, 0]] - second[pairs[:, 1]], axis=1)
    return Matching(pairs, distances, len(first), len(second))


def usual_tolerance(blobs: Table, truth: Table) -> float:
    """Tolerance if none is given: the median radius of the blobs, or 5 if they have none [um or voxel]."""
    if not len(blobs) or "radius" not in blobs.columns:
        return 5.0
    size = blobs.voxel_size_um or truth.voxel_size_um or (1.0,)
    return float(np.median(blobs["radius"]) * np.prod(size) ** (1 / len(size)))


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


def _groups(blobs: Table, truth: Table) -> tuple[Indices, Indices]:
    """Number the groups of blobs that may match, for the rows of both tables."""
    both = (blobs, truth)
    names = ["t"] if all("t" in each.columns for each in both) else []
    names += ["channel"] if all(len(np.unique(each["channel"])) > 1 for each in both) else []
    rows = [np.stack([each[name] for name in names] or [np.zeros(len(each))], axis=1) for each in both]
    numbers = np.unique(np.concatenate(rows), axis=0, return_inverse=True)[1].reshape(-1)
    return numbers[: len(blobs)], numbers[len(blobs) :]


def _pairs_in_groups(first: Floats, second: Floats, groups: tuple[Indices, Indices], tolerance: float) -> Indices:
    """Rows of both tables that match, group by group, in the order of the first table."""
    found = [np.empty((0, 2), dtype=np.intp)]
    for group in np.intersect1d(*groups):
        rows, others = (np.flatnonzero(each == group) for each in groups)
        pairs = assigned(first[rows], second[others], tolerance)
        found.append(np.stack([rows[pairs[:, 0]], others[pairs[:, 1]]], axis=1))
    pairs = np.concatenate(found)
    return pairs[np.argsort(pairs[:, 0], kind="stable")]


def _comparable(blobs: Table, other: Table) -> list[Floats]:
    """Return the positions of both tables in the same unit."""
    if not all(np.isfinite(each.positions).all() for each in (blobs, other)):
        raise ParameterError.of("blobs", (blobs, other), "positions must be numbers, not NaN or infinite")
    if blobs.ndim != other.ndim:
        raise ParameterError.of("blobs", (blobs.ndim, other.ndim), "both tables must have the same axes")
    if are_comparable(blobs, other.voxel_size_um, other.origin_um):
        return [blobs.positions_um, other.positions_um]
    sizes = [each.voxel_size_um for each in (blobs, other) if each.voxel_size_um is not None]
    if len(sizes) > 1 and not np.allclose(sizes[0], sizes[1], rtol=1e-6, atol=0):  # files have fewer digits
        raise ParameterError.of(
            "voxel_size_um", sizes[1], f"that of the other table is {sizes[0]}: it must be the same"
        )
    size = np.asarray(sizes[0] if sizes else 1.0)  # both tables are then of the same volume
    return [blobs.positions * size, other.positions * size]


def _told(part: float) -> str:
    return "undefined" if math.isnan(part) else f"{part:.4f}"
