"""Chunks that a box touches, in a regular grid of chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np

from tilecore.errors import UnreadableFileError
from tilecore.geometry.boxes import Box

__all__ = ["LARGEST_CHUNK_BYTES", "check_chunk_size", "count_touched", "touched"]

#: Largest chunk that is accepted [byte]. A file that declares a larger one is damaged, or made to exhaust the memory.
LARGEST_CHUNK_BYTES = 2**31


def touched(
    box: Box, chunks: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
    """Iterate over the chunks that a box touches.

    Yields
    ------
    index : tuple of int
        Index of the chunk, per axis.
    in_box, in_chunk : tuple of slice
        Position of the common voxels, in the box and in the chunk.
    """
    axes = []
    for first, last, step in zip(box.start, box.stop, chunks, strict=True):
        spans = []
        for number in range(first // step, -(-last // step)):
            low, high = max(first, number * step), min(last, (number + 1) * step)
            begin = number * step
            spans.append((number, slice(low - first, high - first), slice(low - begin, high - begin)))
        axes.append(spans)
    for chunk in product(*axes):
        yield (
            tuple([number for number, _, _ in chunk]),
            tuple([span for _, span, _ in chunk]),
            tuple([span for _, _, span in chunk]),
        )


def count_touched(box: Box, chunks: tuple[int, ...]) -> int:
    """Count the chunks that a box with voxels touches."""
    spans = zip(box.start, box.stop, chunks, strict=True)
    return math.prod([-(-last // step) - first // step for first, last, step in spans])


def check_chunk_size(chunks: tuple[int, ...], dtype: np.dtype[np.generic], name: str) -> None:
    """Refuse chunks that are too large for memory.

    Raises
    ------
    UnreadableFileError
        If a chunk is larger than `LARGEST_CHUNK_BYTES`.
    """
    if math.prod(chunks) * dtype.itemsize > LARGEST_CHUNK_BYTES:
        raise UnreadableFileError(f"{name} declares chunks of {chunks} voxels: over 2 GiB each, so it must be damaged")
