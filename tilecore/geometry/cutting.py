"""How a volume may be cut: the tile lengths along each axis, and how long a run takes with each tile shape."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilecore.geometry.costs import TileCosts

__all__ = ["CutAxis", "TileShapes"]

# Cores of one machine run at different speeds by so much; what the fastest worker waits for in the end
# is this part of the run, or half a tile if that is less.
_UNEVENNESS = 0.05

# Tiles that leave the processor's caches are slower, the more so the larger they are.
_CACHE_BYTES = 2**25
_CACHE_PENALTY = 0.02

# Each voxel of a column, along the first axis, lies in another page, where what is between two of them fills one;
# of more than so many the processor loses track, the more so the longer the column is.
_COLUMN_VOXELS = 128
_COLUMN_PENALTY = 0.03
_PAGE_VOXELS = 2**10

# How much longer it takes to move a voxel where a tile is not one piece of memory: long copies go past the
# processor's caches, and need not read what they overwrite.
_SCATTERED_SECONDS = 0.25e-9

# Reading and decompressing one voxel of a chunked source.
_DECODING_SECONDS = 4e-9


@dataclass(frozen=True)
class CutAxis:
    """One axis of the volume, and the tile lengths worth trying along it.

    Attributes
    ----------
    length : int
        Of the volume [voxel].
    halo : (int, int)
        Context before and after a tile [voxel].
    unit, chunk : int
        Of the sink and of the source [voxel].
    whole, single : bool
        Whether the axis must not be cut, or be cut into single units.
    """

    length: int
    halo: tuple[int, int]
    unit: int
    chunk: int
    whole: bool
    single: bool = False

    def candidates(self) -> list[int]:
        """Tile lengths that cut the axis into 1, 2, 3, ... equal parts, in whole units."""
        if self.single:
            return [self.unit]
        n_units = -(-self.length // self.unit)
        counts: Iterable[int] = [1] if self.whole else _counts(n_units)
        return sorted({min(-(-n_units // count) * self.unit, n_units * self.unit) for count in counts})

    def count(self, step: int) -> int:
        """Tiles along the axis."""
        return -(-self.length // step)

    def largest_read(self, step: int) -> int:
        """Length of the longest read box."""
        return min(self.length, step + sum(self.halo))

    def total_read(self, step: int) -> int:
        """Length of all read boxes together: the axis, and at each border between tiles two halos, clipped."""
        before, after = self.halo
        n_borders = self.count(step) - 1
        last = self.length - n_borders * step
        return self.length + _sum_clipped(before, step, step, n_borders) + _sum_clipped(after, last, step, n_borders)

    def total_decoded(self, step: int) -> int:
        """As `total_read`, in whole chunks of the source."""
        cut = 0 if step % self.chunk == 0 and not any(self.halo) else self.chunk - 1
        return self.total_read(step) + 2 * cut * self.count(step)


def _sum_clipped(limit: int, first: int, step: int, n_terms: int) -> int:
    """Sum of min(limit, first + k * step) for k = 0 .. n_terms - 1."""
    n_below = min(max(-((first - limit) // step), 0), n_terms)
    return n_below * first + step * n_below * (n_below - 1) // 2 + (n_terms - n_below) * limit


def _counts(n_units: int) -> list[int]:
    """Into how many parts to try to cut an axis: every number at first, then eight for each doubling."""
    counts = list(range(1, min(n_units, 16) + 1))
    while counts[-1] < n_units:
        counts.append(min(n_units, counts[-1] + max(1, 2 ** (counts[-1].bit_length() - 4))))
    return counts


class TileShapes:
    """Tables over all tile shapes worth trying.

    Attributes
    ----------
    n_tiles, voxels : ndarray
        How many tiles there are, and how many voxels the largest one reads.
    """

    def __init__(self, axes: list[CutAxis]) -> None:
        self._axes, self._steps = axes, [axis.candidates() for axis in axes]
        self._counts, self._reads = self._table("count"), self._table("total_read")
        self._lengths = self._table("largest_read")
        self.n_tiles, self.voxels = _product(self._counts), _product(self._lengths)

    def _table(self, value: str) -> list[npt.NDArray[np.float64]]:
        """One array per axis, shaped so that their product is a table over all tile shapes."""
        columns = [
            [getattr(axis, value)(step) for step in each] for axis, each in zip(self._axes, self._steps, strict=True)
        ]
        return list(
            np.meshgrid(*[np.array(column, dtype=np.float64) for column in columns], indexing="ij", sparse=True)
        )

    def tile_shape(self, position: int) -> tuple[int, ...]:
        """The tile shape at a place in the tables."""
        places = np.unravel_index(position, self.n_tiles.shape)
        return tuple(each[place] for each, place in zip(self._steps, places, strict=True))

    def seconds(self, costs: TileCosts, n_workers: int) -> npt.NDArray[np.float64]:
        """How long the run takes with each tile shape."""
        n_tiles = self.n_tiles
        seconds = _product(self._reads) * costs.seconds_per_voxel
        seconds = seconds * (1 + _CACHE_PENALTY * _doublings(self.voxels * costs.bytes_per_voxel, _CACHE_BYTES))
        if math.prod([axis.length for axis in self._axes[1:]]) >= _PAGE_VOXELS:
            seconds = seconds * (1 + _COLUMN_PENALTY * _doublings(self._lengths[0], _COLUMN_VOXELS))
        seconds = seconds + _rows(self._counts, self._reads) * costs.seconds_per_row
        seconds = seconds + _product(self._reads) * _SCATTERED_SECONDS * (_product(self._counts[1:]) > 1)
        if any(axis.chunk > 1 for axis in self._axes):
            seconds = seconds + _product(self._table("total_decoded")) * _DECODING_SECONDS
        seconds = seconds + n_tiles * costs.seconds_per_tile
        seconds = seconds * np.ceil(n_tiles / n_workers) / n_tiles  # the last round may not need every worker
        if n_workers > 1:
            seconds = seconds + np.minimum(_UNEVENNESS * seconds, seconds / n_tiles * n_workers / 2)
        return seconds


def _doublings(amount: npt.NDArray[np.float64], start: float) -> npt.NDArray[np.float64]:
    """How often `start` has been doubled to reach an amount."""
    return np.asarray(np.log2(np.maximum(amount / start, 1)))


def _product(factors: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    product: npt.NDArray[np.float64] = np.ones(())
    for factor in factors:
        product = product * factor
    return product


def _rows(counts: list[npt.NDArray[np.float64]], reads: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Rows of contiguous voxels that all tiles read: axes that are not cut make one row with the axis before."""
    rows: npt.NDArray[np.float64] = np.ones(())
    uncut: npt.NDArray[np.bool_] = np.ones((), dtype=bool)
    for count, read in zip(reversed(counts), reversed(reads), strict=True):
        rows = rows * np.where(uncut, count, read)
        uncut = uncut & (count == 1)
    return rows
