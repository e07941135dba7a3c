"""Levels of a pyramid: how many, how large, and how to make each from the next finer one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tilecore.geometry.boxes import Box

__all__ = ["make_here", "mean_of_voxels", "level_factors"]

# Longest axis of the last level's planes [voxel]: they fit on a screen.
_SMALLEST_LENGTH = 256

# Number of voxels that are averaged at once.
_SLAB_VOXELS = 2**20


def level_factors(
    shape: tuple[int, ...], axes: str, voxel_size_um: tuple[float, float, float] | None
) -> list[tuple[int, ...]]:
    """Choose the levels of a pyramid.

    Parameters
    ----------
    shape : tuple of int
        Shape of the finest level [voxel].
    axes : str
        One letter per axis; only z, y and x are made coarser.
    voxel_size_um : tuple of 3 floats, or None
        Voxel size along z, y, x [um]. An axis whose voxels are twice as long as the shortest is not halved yet.

    Returns
    -------
    list of tuple of int
        For each level, the number of voxels of the next finer level in one of its voxels, per axis.
        The first level is all ones.
    """
    sizes = dict(zip("ZYX", voxel_size_um or (1.0, 1.0, 1.0), strict=True))
    levels, lengths = [(1,) * len(shape)], list(shape)
    while (
        max([length for length, axis in zip(lengths, axes, strict=True) if axis in "YX"], default=0) > _SMALLEST_LENGTH
    ):
        # An axis of one voxel cannot get coarser, so the other axes must not wait for it.
        finest = min(sizes[axis] for length, axis in zip(lengths, axes, strict=True) if axis in "YX" and length > 1)
        # The finest axis is always halved, also if twice its length is too large for a number: so the levels end.
        halved = [
            axis in sizes and length > 1 and (sizes[axis] == finest or sizes[axis] < 2 * finest)
            for axis, length in zip(axes, lengths, strict=True)
        ]
        levels.append(tuple([1 + half for half in halved]))
        lengths = [-(-length // factor) for length, factor in zip(lengths, levels[-1], strict=True)]
        for axis, half in zip(axes, halved, strict=True):
            if half:
                sizes[axis] *= 2
    return levels


def mean_of_voxels(block: npt.NDArray[Any], factors: Sequence[int]) -> npt.NDArray[Any]:
    """Average blocks of voxels into coarser voxels; at the end of an axis, over the voxels that exist.

    Parameters
    ----------
    block : ndarray
        Voxels of the finer level.
    factors : sequence of int
        Voxels per coarser voxel, per axis.

    Returns
    -------
    ndarray
        Array of the block's dtype, rounded if that is an integer type; shape ``ceil(n / factor)``.
    """
    shape = tuple([-(-length // factor) for length, factor in zip(block.shape, factors, strict=True)])
    result = np.empty(shape, block.dtype)
    step = max(1, _SLAB_VOXELS // max(1, math.prod(shape[1:])))
    for first in range(0, shape[0], step):  # piece by piece, as sums take more memory than voxels
        slab = block[first * factors[0] : (first + step) * factors[0]]
        with np.errstate(invalid="ignore"):  # the mean of inf and -inf is NaN
            result[first : first + step] = _mean(slab, factors)
    return result


def _mean(block: npt.NDArray[Any], factors: Sequence[int]) -> npt.NDArray[Any]:
    kind, parts, count = block.dtype.kind, _parts(block, factors), _counts(block.shape, factors)
    if kind in "bu" and block.dtype.itemsize <= 2:
        total = np.zeros(count.shape, np.uint32)
        for place, part in parts:
            total[place] += part
        return np.asarray((total + count // 2) // count)
    if kind in "fc" or block.dtype.itemsize < 8:
        mean, is_large = np.zeros(count.shape, np.result_type(block.dtype, np.float64)), block.dtype.itemsize >= 8
        for place, part in parts:
            mean[place] += part / count[place] if is_large else part  # a sum of large numbers could be too large
        if not is_large:
            mean /= count
        return mean if kind in "fc" else np.rint(mean)
    mean, rest = np.zeros((2, *count.shape), block.dtype)
    count = count.astype(block.dtype)
    for place, part in parts:  # so are quotients and rests summed
        mean[place] += part // count[place]
        rest[place] += part % count[place]
    mean += rest // count
    rest = rest % count * 2
    return np.asarray(mean + ((rest > count) | ((rest == count) & (mean % 2 == 1))))  # a half goes to the even number


def _parts(block: npt.NDArray[Any], factors: Sequence[int]) -> Iterator[tuple[tuple[slice, ...], npt.NDArray[Any]]]:
    """Iterate over the voxels that have the same position in their coarser voxel, with the place of these."""
    for offset in product(*map(range, factors)):
        part = block[tuple([slice(first, None, step) for first, step in zip(offset, factors, strict=True)])]
        yield tuple(map(slice, part.shape)), part


def _counts(shape: Sequence[int], factors: Sequence[int]) -> npt.NDArray[np.uint32]:
    """Number of voxels in each coarser voxel; fewer at the end of an axis."""
    counts = np.ones((), np.uint32)
    for length, factor in zip(shape, factors, strict=True):
        along = np.minimum(factor, length - np.arange(0, length, factor)).astype(np.uint32)
        counts = np.multiply.outer(counts, along)
    return counts


class Level(NamedTuple):
    """A level of a pyramid that is still to be made.

    Attributes
    ----------
    finer : array_like
        The next finer level, from which voxels are read.
    coarser : array_like
        The level itself, which is written.
    factors : tuple of int
        Number of voxels of the finer level in one voxel, along each axis.
    """

    finer: Any
    coarser: Any
    factors: tuple[int, ...]


def make_here(level: Level) -> None:
    """Make a level in this process, one write unit at a time."""
    finer, coarser, factors = level
    units = coarser.write_units
    for index in np.ndindex(*[-(-length // unit) for length, unit in zip(coarser.shape, units, strict=True)]):
        start = [number * unit for number, unit in zip(index, units, strict=True)]
        stop = [min(first + unit, length) for first, unit, length in zip(start, units, coarser.shape, strict=True)]
        fine = Box(
            [first * factor for first, factor in zip(start, factors, strict=True)],
            [min(last * factor, length) for last, factor, length in zip(stop, factors, finer.shape, strict=True)],
        )
        coarser[Box(start, stop).slices] = mean_of_voxels(finer[fine.slices], factors)
