"""Random regions of a source, compared with those of an array."""

from __future__ import annotations

import random as randomness
from typing import Any

import numpy as np

from tests.fuzz.voxels import assert_same


def draw_index(random: randomness.Random, shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    """Draw an index: mostly a box, sometimes with whole numbers and steps."""
    parts: list[int | slice] = []
    for length in shape:
        first, last = sorted(random.randint(0, length) for _ in range(2))
        kind = random.choice(["box", "box", "box", "all", "one", "step"])
        if kind == "one" and length:
            parts.append(random.randrange(-length, length))
        else:
            parts.append(slice(None) if kind == "all" else slice(first, last, 2 if kind == "step" else None))
    return tuple(parts)


def check_regions(source: Any, expected: np.ndarray, seed: int, n_regions: int = 6) -> None:
    """Fail unless the source tells its own shape and dtype, and its regions are those of the array."""
    random = randomness.Random(seed)
    assert source.shape == expected.shape, f"shape {source.shape}, expected {expected.shape}"
    assert source.dtype.newbyteorder("=") == expected.dtype.newbyteorder("="), f"dtype {source.dtype}"
    assert len(source.axes) == expected.ndim, f"axes {source.axes} of {expected.ndim}"
    assert_same(source[...], expected, "whole")
    for _ in range(n_regions):
        index = draw_index(random, expected.shape)
        found = source[index]
        assert_same(found, np.asarray(expected[index]), f"region {index}")
        if np.ndim(found):  # numpy's single numbers have the system's byte order
            assert found.dtype == source.dtype, f"region {index} has {found.dtype}, the source {source.dtype}"
