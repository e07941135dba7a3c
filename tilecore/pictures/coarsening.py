"""Coarse images: every n-th voxel of a volume that is too large to be drawn, or read, as a whole."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.arrays.access import chunk_lengths

__all__ = ["coarse_steps", "every"]

# Voxels that are read at a time [byte].
_PIECE_BYTES = 2**26


def coarse_steps(shape: tuple[int, ...], itemsize: int, most_bytes: int) -> tuple[int, ...]:
    """Choose a step along each axis, a power of two, so that what is left takes at most so many bytes.

    The longest axes are halved first, so that the picture stays as fine as it can.
    """
    steps = [1] * len(shape)
    while (left := _lengths(shape, steps)) and math.prod(left) * itemsize > most_bytes and max(left) > 1:
        steps[left.index(max(left))] *= 2
    return tuple(steps)


def every(source: ReadableArray, steps: tuple[int, ...]) -> npt.NDArray[Any]:
    """Read every n-th voxel along each axis, in pieces of whole chunks that take little memory."""
    shape, dtype = tuple(map(int, source.shape)), np.dtype(source.dtype)
    result = np.empty(_lengths(shape, steps), dtype)
    lengths = [max(1, length // step) for length, step in zip(_piece(source, shape, dtype), steps, strict=True)]
    firsts = [range(0, whole, length) for whole, length in zip(result.shape, lengths, strict=True)]
    for first in itertools.product(*firsts):
        part = tuple(
            [slice(at, min(at + length, n)) for at, length, n in zip(first, lengths, result.shape, strict=True)]
        )
        read = [
            slice(each.start * step, (each.stop - 1) * step + 1, step) for each, step in zip(part, steps, strict=True)
        ]
        result[part] = source[tuple(read)]
    return result


def _lengths(shape: tuple[int, ...], steps: list[int] | tuple[int, ...]) -> list[int]:
    return [-(-length // step) for length, step in zip(shape, steps, strict=True)]


def _piece(source: ReadableArray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[int]:
    """Shape of a piece: chunks, as many as fit, first along the last axis [voxel]."""
    chunks = chunk_lengths(source) or (1,) * len(shape)
    lengths = [min(chunk, whole) for chunk, whole in zip(chunks, shape, strict=True)]
    for axis in reversed(range(len(shape))):
        fit = max(1, _PIECE_BYTES // (math.prod(lengths) * dtype.itemsize))
        lengths[axis] = min(shape[axis], lengths[axis] * fit)
    return lengths
