"""Candidate tile shapes of a volume: the tile lengths along each axis, and the run's time with each shape."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tilecore.geometry.costs import TileCosts
from tilecore.geometry.decoding import AxisUnits, Frontier

__all__ = ["CutAxis", "TileShapes"]

# Difference in speed between the cores of one machine: at the end the fastest worker waits for this part of the
# run, or for half a tile if that is less.
_UNEVENNESS = 0.05

# Cache size of the processor [byte]: tiles that are larger are slower, by this part for each doubling.
_CACHE_BYTES = 2**25
_CACHE_PENALTY = 0.02

# Longest fast column along the first axis, if each of its voxels lies in another page of memory: the processor
# can follow only so many pages, so longer columns are slower, by this part for each doubling.
_COLUMN_VOXELS = 128
_COLUMN_PENALTY = 0.03
_PAGE_VOXELS = 2**10

# Neighbours along an axis that lie so many voxels apart in memory, or a multiple, are whole pages apart: they compete
# for the same few lines of the processor's cache, so functions that look along this axis are slower, by this part.
_ALIASED_VOXELS = 2**9
_ALIASED_PENALTY = 0.2

# Extra time to move one voxel of a tile that is not one piece of memory [s]: long copies do not pass through the
# processor's caches, and need not read the memory that they overwrite.
_SCATTERED_SECONDS = 0.25e-9


# Time to pass chunks on from tile to tile, relative to that of decoding.
_PASSING_ON = 0.1


@dataclass(frozen=True)
class CutAxis:
    """One axis of the volume, with the tile lengths that are tried along it.

    Attributes
    ----------
    length : int
        Length of the axis [voxel].
    halo : (int, int)
        Context before and after a tile [voxel].
    unit, chunk : int
        Write unit of the sink, and chunk of the source, along this axis [voxel].
    whole, single : bool
        Whether the axis must not be cut, or must be cut into single units.
    padded : bool
        Whether blocks have their halo beyond the volume's edges, too.
    """

    length: int
    halo: tuple[int, int]
    unit: int
    chunk: int
    whole: bool
    single: bool = False
    padded: bool = False

    def candidates(self) -> list[int]:
        """Tile lengths that cut the axis into 1, 2, 3, ... equal parts, in whole units."""
        if self.single:
            return [self.unit]
        n_units = -(-self.length // self.unit)
        counts: Iterable[int] = [1] if self.whole else _counts(n_units)
        return sorted({min(-(-n_units // count) * self.unit, n_units * self.unit) for count in counts})

    def count(self, step: int) -> int:
        """Number of tiles along the axis."""
        return -(-self.length // step)

    def largest_read(self, step: int) -> int:
        """Length of the longest block [voxel]."""
        longest = min(step, self.length) + sum(self.halo)
        return longest if self.padded else min(self.length, longest)

    def total_read(self, step: int) -> int:
        """Total length of all blocks [voxel]: the axis, and two halos at each border between tiles, clipped."""
        before, after = self.halo
        if self.padded:
            return self.length + self.count(step) * (before + after)
        n_borders = self.count(step) - 1
        last = self.length - n_borders * step
        return self.length + _sum_clipped(before, step, step, n_borders) + _sum_clipped(after, last, step, n_borders)


def _sum_clipped(limit: int, first: int, step: int, n_terms: int) -> int:
    """Sum of min(limit, first + k * step) for k = 0 .. n_terms - 1."""
    n_below = min(max(-((first - limit) // step), 0), n_terms)
    return n_below * first + step * n_below * (n_below - 1) // 2 + (n_terms - n_below) * limit


def _counts(n_units: int) -> list[int]:
    """Numbers of parts into which an axis may be cut: all up to 16, then eight for each doubling."""
    counts = list(range(1, min(n_units, 16) + 1))
    while counts[-1] < n_units:
        counts.append(min(n_units, counts[-1] + max(1, 2 ** (counts[-1].bit_length() - 4))))
    return counts


class TileShapes:
    """Tables over all tile shapes that are tried.

    Attributes
    ----------
    n_tiles, voxels : ndarray
        Number of tiles, and number of voxels of the largest read box, for each tile shape.
    """

    def __init__(self, axes: list[CutAxis]) -> None:
        self._axes, self._steps = axes, [axis.candidates() for axis in axes]
        self._counts, self._reads = self._table("count"), self._table("total_read")
        self._lengths = self._table("largest_read")
        self.n_tiles, self.voxels = _product(self._counts), _product(self._lengths)

    @cached_property
    def _units(self) -> list[AxisUnits]:
        """Chunks of the source along each axis, as tiles of each shape read them."""
        return [
            AxisUnits.table(axis.length, axis.chunk, steps, axis.halo).along(number, len(self._axes))
            for number, (axis, steps) in enumerate(zip(self._axes, self._steps, strict=True))
        ]

    def _table(self, value: str) -> list[npt.NDArray[np.float64]]:
        """Arrays, one per axis, shaped so that their product is a table over all tile shapes."""
        columns = [
            [getattr(axis, value)(step) for step in each] for axis, each in zip(self._axes, self._steps, strict=True)
        ]
        return list(
            np.meshgrid(*[np.array(column, dtype=np.float64) for column in columns], indexing="ij", sparse=True)
        )

    def tile_shape(self, position: int) -> tuple[int, ...]:
        """Tile shape at a flat position in the tables."""
        places = np.unravel_index(position, self.n_tiles.shape)
        return tuple(each[place] for each, place in zip(self._steps, places, strict=True))

    def decodes(self, kept_voxels: npt.NDArray[np.float64], n_at_once: int) -> npt.NDArray[np.float64]:
        """How often a chunk is decoded with each tile shape, where so many voxels can be kept for other tiles.

        The axis along which the smallest part of the volume has to be kept is the outermost: a long one, or one along
        which tiles share no chunks, such as time. What it takes to pass chunks on is added.
        """
        least_kept_first = sorted(self._units, key=lambda units: float(np.mean(units.kept)) / units.length)
        frontier = Frontier.of(least_kept_first, n_at_once)
        decodes = frontier.decodes_within(kept_voxels) + _PASSING_ON * (np.asarray(frontier.voxels[0]) > 0)
        return np.broadcast_to(decodes, self.n_tiles.shape)

    def seconds(
        self, costs: TileCosts, n_workers: int, decodes: npt.NDArray[np.float64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Time of the run with each tile shape [s]; `decodes` tells how often a chunk of the source is decoded."""
        n_tiles, total_read = self.n_tiles, _product(self._reads)
        # The tables are large: every array that is not made anew is time that a short run has not.
        seconds = _doublings(self.voxels * costs.bytes_per_voxel, _CACHE_BYTES)
        seconds *= _CACHE_PENALTY
        seconds += 1
        seconds *= total_read * costs.seconds_per_voxel
        if math.prod([axis.length for axis in self._axes[1:]]) >= _PAGE_VOXELS:
            seconds *= 1 + _COLUMN_PENALTY * _doublings(self._lengths[0], _COLUMN_VOXELS)
        for number, axis in enumerate(self._axes[:-1]):
            if any(axis.halo):
                seconds *= 1 + _ALIASED_PENALTY * (_product(self._lengths[number + 1 :]) % _ALIASED_VOXELS == 0)
        seconds += _rows(self._counts, self._reads) * costs.seconds_per_row
        total_read *= _SCATTERED_SECONDS
        total_read *= _product(self._counts[1:]) > 1
        seconds += total_read
        if decodes is not None:
            seconds += decodes * (math.prod([axis.length for axis in self._axes]) * costs.seconds_per_decoded_voxel)
        seconds += n_tiles * costs.seconds_per_tile
        rounds = n_tiles / n_workers
        seconds *= np.ceil(rounds) / n_tiles  # the last round may not use every worker
        if n_workers > 1:
            seconds += np.minimum(_UNEVENNESS * seconds, seconds / rounds / 2)
        return seconds


def _doublings(amount: npt.NDArray[np.float64], start: float) -> npt.NDArray[np.float64]:
    """Number of times that `start` must be doubled to reach an amount."""
    times = np.asarray(amount / start)
    np.maximum(times, 1, out=times)
    return np.log2(times, out=times)


def _product(factors: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    product: npt.NDArray[np.float64] = np.ones(())
    for factor in factors:
        product = product * factor
    return product


def _rows(counts: list[npt.NDArray[np.float64]], reads: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Number of rows of contiguous voxels that all tiles read; an axis that is not cut joins the axis before it."""
    rows: npt.NDArray[np.float64] = np.ones(())
    uncut: npt.NDArray[np.bool_] = np.ones((), dtype=bool)
    for count, read in zip(reversed(counts), reversed(reads), strict=True):
        rows = rows * np.where(uncut, count, read)
        uncut = uncut & (count == 1)
    return rows
