"""Matching of two tables of blobs: a one-to-one assignment of blobs that are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilecore.blobs.columns import Table
from tilecore.errors import ParameterError

__all__ = ["Matching", "colocalize", "match_blobs"]


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
        """Fraction of the first table's blobs that have a partner in the second; 1 if the first is empty."""
        return len(self.pairs) / self.n_first if self.n_first else 1.0

    @property
    def recall(self) -> float:
        """Fraction of the second table's blobs that have a partner in the first; 1 if the second is empty."""
        return len(self.pairs) / self.n_second if self.n_second else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 if both tables are empty."""
        total = self.n_first + self.n_second
        return 2 * len(self.pairs) / total if total else 1.0

    def __len__(self) -> int:
        return len(self.pairs)

    def __str__(self) -> str:
        return f"precision {self.precision:.4f}, recall {self.recall:.4f}, F1 {self.f1:.4f}"


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

    Examples
    --------
    >>> from tilecore import Blobs
    >>> found, truth = (Blobs({"z": [1, 9], "y": [1, 9], "x": x}) for x in ([1, 9], [2, 20]))
    >>> print(match_blobs(found, truth, tolerance_um=3))
    precision 0.5000, recall 0.5000, F1 0.5000
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching
    from scipy.spatial import cKDTree

    if not tolerance_um >= 0:
        raise ParameterError.of("tolerance_um", tolerance_um, "must be at least zero")
    first, second = _comparable(blobs, truth)
    near = cKDTree(first).sparse_distance_matrix(cKDTree(second), tolerance_um, output_type="ndarray")
    # A blob of the first table may also stay alone, at a price larger than any sum of distances.
    n_first, n_second = len(first), len(second)
    alone = np.arange(n_first)
    price = (n_first + 1) * (tolerance_um + 1)
    weights = np.concatenate([near["v"] + 1, np.full(n_first, price)])
    rows, columns = np.concatenate([near["i"], alone]), np.concatenate([near["j"], n_second + alone])
    graph = coo_array((weights, (rows, columns)), shape=(n_first, n_second + n_first)).tocsr()
    pairs = np.stack(min_weight_full_bipartite_matching(graph), axis=1) if n_first else np.empty((0, 2), np.intp)
    pairs = pairs[pairs[:, 1] < n_second].astype(np.intp)
    distances = np.linalg.norm(first[pairs[:, 0]] - second[pairs[:, 1]], axis=1)
    return Matching(pairs, distances, n_first, n_second)


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


def _comparable(blobs: Table, other: Table) -> list[npt.NDArray[np.float64]]:
    """Return the positions of both tables in the same unit."""
    if blobs.ndim != other.ndim:
        raise ParameterError.of("blobs", (blobs.ndim, other.ndim), "both tables must have the same axes")
    sizes = {each.voxel_size_um for each in (blobs, other)} - {None}
    if len(sizes) > 1:
        raise ParameterError.of("voxel_size_um", sizes, "both tables must have the same voxel size")
    size = np.asarray(sizes.pop() if sizes else 1.0)
    return [blobs.positions * size, other.positions * size]
