"""Shapes of the chunks and shards of a new file: of a good size for disks, and dividing the tiles to be written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import TypeAlias

__all__ = ["TileSteps", "choose_chunks", "default_shards"]

#: Length of a tile along each axis [voxel]; None where any length fits, as one tile spans the axis or it is chosen.
TileSteps: TypeAlias = tuple[int | None, ...]

# Number of voxels in a chunk, so that files are not too small for a disk.
_CHUNK_VOXELS = 2**20

# Largest number of chunk files; above it, chunks are put into shards.
_MOST_FILES = 1024

# Number of lengths that are tried along an axis.
_CHOICES = 4


def choose_chunks(shape: tuple[int, ...], steps: Sequence[int | None] | None = None) -> tuple[int, ...]:
    """Choose the shape of chunks: about a million voxels in the last three axes, longest along the last.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image [voxel].
    steps : sequence of (int or None), optional
        Lengths that chunks must divide, per axis [voxel]; None where any chunk fits.

    Returns
    -------
    tuple of int
        Of the chunks that divide the steps, those nearest to the usual ones in size and shape.

    Examples
    --------
    >>> choose_chunks((500, 1000, 1000))
    (64, 128, 128)
    >>> choose_chunks((500, 1000, 1000), (None, 192, 200))
    (64, 192, 100)
    """
    usual = _usual_chunks(shape)
    pairs = zip(usual, steps or (None,) * len(shape), strict=True)
    choices = [[length] if step is None else _divisors_near(length, step) for length, step in pairs]

    def distance(chunks: tuple[int, ...]) -> float:
        ratios = [math.log(chunk / length) for chunk, length in zip(chunks, usual, strict=True)]
        return abs(sum(ratios)) + sum(map(abs, ratios))

    return min(product(*choices), key=distance)


def default_shards(
    shape: tuple[int, ...], chunks: tuple[int, ...], steps: Sequence[int | None] | None = None
) -> tuple[int, ...] | None:
    """Default shape of shards: two chunks along each of the last three axes; None if there are few chunks.

    There is one chunk along an axis where two would not divide the step (see `choose_chunks`).
    """
    if math.prod([-(-length // chunk) for length, chunk in zip(shape, chunks, strict=True)]) <= _MOST_FILES:
        return None
    doubled = [1] * (len(shape) - 3) + [2] * min(len(shape), 3)
    return tuple(
        [
            chunk * (times if length > chunk and (step is None or step % (times * chunk) == 0) else 1)
            for chunk, times, length, step in zip(chunks, doubled, shape, steps or (None,) * len(shape), strict=True)
        ]
    )


def _usual_chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) < 3:
        spatial: tuple[int, ...] = (1024,) * len(shape) if len(shape) == 2 else (_CHUNK_VOXELS,) * len(shape)
    else:
        spatial = (1,) * (len(shape) - 3) + (64, 128, 128)
    return tuple([max(1, min(step, length)) for step, length in zip(spatial, shape, strict=True)])


def _divisors_near(length: int, step: int) -> list[int]:
    """Numbers that divide a step, nearest to a length first."""
    small = [number for number in range(1, math.isqrt(step) + 1) if step % number == 0]
    divisors = {*small, *[step // number for number in small]}
    return sorted(divisors, key=lambda number: (abs(math.log(number / length)), number))[:_CHOICES]
