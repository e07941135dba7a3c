"""How often the units of a source are decoded, and how much memory they take, for an order of tiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.geometry.unit_grid import UnitGrid

__all__ = ["AxisUnits", "Frontier", "orders_of"]

#: A number for one tile shape, or a table of numbers for many.
Numbers: TypeAlias = float | npt.NDArray[np.float64]

# Number of tiles at each end of an axis that stand for all between them.
_SAMPLE = 256

# Number of axes up to which all orders are tried; with more, only the outermost axis is chosen.
_MOST_AXES = 4


@dataclass(frozen=True)
class AxisUnits:
    """Units along one axis, as tiles read them; each number may be a table over tile shapes.

    Attributes
    ----------
    length : float
        Length of the axis [voxel].
    read : Numbers
        Largest length that a tile decodes, in whole units [voxel].
    step : Numbers
        Length of a tile [voxel].
    kept : Numbers
        Largest length, at the border of two tiles, of what was decoded for the first and is read by later ones [voxel].
    kept_whole : Numbers
        The same in whole units [voxel].
    visits : Numbers
        How many tiles read a unit, on average.
    """

    length: float
    read: Numbers
    step: Numbers
    kept: Numbers
    kept_whole: Numbers
    visits: Numbers

    @classmethod
    def of(cls, length: int, unit: int, step: int, halo: tuple[int, int], offset: int = 0) -> AxisUnits:
        """Count the units along an axis for tiles of one length; the first unit begins `offset` voxels before it."""
        count = -(-length // step)
        places = np.arange(count) if count <= 2 * _SAMPLE else np.r_[:_SAMPLE, count - _SAMPLE : count]
        starts = places * step
        first = np.maximum(starts - halo[0], 0)
        stop = np.minimum(np.minimum(starts + step, length) + halo[1], length)
        first_unit, last_unit = (first + offset) // unit, -(-(stop + offset) // unit)
        whole_first = np.maximum(first_unit * unit - offset, 0)
        whole_stop = np.minimum(last_unit * unit - offset, length)
        shared = np.where(np.diff(places) == 1, np.maximum(whole_stop[:-1] - first[1:], 0), 0)
        whole = np.where(shared > 0, whole_stop[:-1] - whole_first[1:], 0)
        return cls(
            length,
            float((whole_stop - whole_first).max()),
            step,
            float(shared.max(initial=0)),
            float(whole.max(initial=0)),
            float((last_unit - first_unit).mean() * count / -(-(length + offset) // unit)),
        )

    @classmethod
    def table(cls, length: int, unit: int, steps: Iterable[int], halo: tuple[int, int]) -> AxisUnits:
        """Count the units along an axis for tiles of several lengths, into arrays."""
        several = [cls.of(length, unit, min(step, length), halo) for step in steps]
        names = ("read", "step", "kept", "kept_whole", "visits")
        return cls(length, *[np.array([getattr(each, name) for each in several], np.float64) for name in names])

    def along(self, axis: int, ndim: int) -> AxisUnits:
        """The same numbers as arrays of so many axes, so that those of several axes make one table."""
        shape = tuple([-1 if number == axis else 1 for number in range(ndim)])
        columns = (self.read, self.step, self.kept, self.kept_whole, self.visits)
        return AxisUnits(self.length, *[np.reshape(column, shape) for column in columns])

    @classmethod
    def of_grid(cls, units: UnitGrid) -> list[AxisUnits]:
        """Count the units along each axis that a grid of tiles and a source share."""
        grid = units.grid
        axes = zip(grid.shape, units.unit, grid.tile_shape, grid.halo, units.offset, strict=False)
        return [cls.of(length, unit, min(step, length), halo, offset) for length, unit, step, halo, offset in axes]


@dataclass(frozen=True)
class Frontier:
    """What has to be kept between tiles that follow each other in an order, on several levels.

    On level k, units are kept as long as tiles at one place of the k outermost axes need them, and are decoded again
    for other tiles. So on level 0 each unit is decoded once; on the last level nothing is kept. Each number may be a
    table over tile shapes.

    Attributes
    ----------
    voxels : tuple of Numbers
        Largest number of voxels that are kept at once, on each level.
    decodes : tuple of Numbers
        How often a unit is decoded, on each level.
    """

    voxels: tuple[Numbers, ...]
    decodes: tuple[Numbers, ...]

    @classmethod
    def of(cls, axes: Sequence[AxisUnits], n_at_once: int = 1) -> Frontier:
        """Reckon the frontier for axes from the outermost to the innermost, and for so many tiles at once."""
        decodes: list[Numbers] = [1.0]
        for axis in axes:
            decodes.append(decodes[-1] * axis.visits)
        voxels: list[Numbers] = [0.0]
        for number in reversed(range(len(axes))):
            axis, inner = axes[number], axes[number + 1 :]
            kept = axis.kept if number == 0 else axis.kept_whole
            outside = _product([each.read for each in axes[:number]])
            if not inner:  # the borders on both sides of the tiles that are read now
                several = np.minimum(axis.read + (n_at_once - 1) * axis.step, axis.length)
                voxels.append(np.minimum(several, (n_at_once + 1) * kept) * outside)
                continue
            layer = _product([each.length for each in inner])
            other_border = np.minimum(kept, axis.read - kept) * _product([each.read for each in inner])
            needed = (kept * layer + other_border) * outside + voxels[-1] * (1 - kept / axis.read)
            voxels.append(np.minimum(needed, axis.length * layer * outside))
        return cls(tuple(reversed(voxels)), tuple(decodes))

    def decodes_within(self, capacity: Numbers) -> Numbers:
        """How often a unit is decoded, on average, if so many voxels can be kept."""
        found = self.decodes[-1]
        levels = list(zip(self.voxels, self.decodes, strict=True))
        for (less, decodes), (more, fewer_decodes) in pairwise(reversed(levels)):
            # Levels may need the same: then the one with fewer decodes counts.
            part = np.where(capacity >= more, 1, (capacity - less) / np.maximum(more - less, 1))
            found = np.where(capacity >= less, decodes + (fewer_decodes - decodes) * part, found)
        return found


def _product(factors: Iterable[Numbers]) -> Numbers:
    product: Numbers = 1.0
    for factor in factors:
        product = product * factor
    return product


def orders_of(n_axes: int) -> Iterable[tuple[int, ...]]:
    """Orders of axes that are worth trying, from the outermost to the innermost; that of the numbers comes first."""
    axes = tuple(range(n_axes))
    if n_axes <= _MOST_AXES:
        return permutations(axes)
    return [(axis, *axes[:axis], *axes[axis + 1 :]) for axis in axes]
