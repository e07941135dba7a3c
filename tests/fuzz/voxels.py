"""Random voxels from a seed, and comparison of arrays."""

from __future__ import annotations

import random as randomness
from collections.abc import Sequence
from typing import Any

import numpy as np

DTYPES = ["u1", "<i2", "<f4", "<f8", "<c8", "?", ">i2", ">f4", "<u2", "<i8"]

#: Numbers of floats that arithmetic treats in its own way.
_SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-40, 1.5, -3.25]


def draw_shape(random: randomness.Random, ndim: int, n_voxels: int = 4000) -> tuple[int, ...]:
    """Draw lengths of axes, mostly odd; sometimes 0 and 1."""
    longest = max(2, round(n_voxels ** (1 / ndim)))
    kinds = [
        lambda: 0,
        lambda: 1,
        lambda: random.randint(2, 4),
        lambda: random.randint(1, longest),
        lambda: longest,
    ]
    return tuple([random.choices(kinds, [1, 4, 8, 30, 6])[0]() for _ in range(ndim)])


def voxels(seed: int, shape: Sequence[int], dtype: Any, *, wild: bool = False) -> np.ndarray:
    """Create the voxels of a volume.

    Parameters
    ----------
    seed : int
    shape, dtype
    wild : bool
        Whether all numbers of the dtype may come, NaN too: for what moves voxels and does not compute.
    """
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind == "b":
        return rng.integers(0, 2, shape).astype(kind)
    if kind.kind in "iu":
        low, high = (np.iinfo(kind).min, np.iinfo(kind).max) if wild else (0, 100)
        return rng.integers(low, high, shape, dtype=kind.newbyteorder("="), endpoint=True).astype(kind)
    if wild:
        return rng.choice(_SPECIAL, shape).astype(kind)
    real = rng.integers(-60, 60, shape) / 4 + 0.0
    return (real + 1j * rng.integers(-9, 9, shape) if kind.kind == "c" else real).astype(kind)


def assert_same(found: Any, expected: np.ndarray, what: str, *, dtype: bool = False) -> None:
    """Fail unless two arrays are equal to the last bit; byte order may differ unless `dtype` is true."""
    found = np.asarray(found)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    native = found.dtype.newbyteorder("="), expected.dtype.newbyteorder("=")
    assert native[0] == native[1], f"{what}: dtype {found.dtype}, expected {expected.dtype}"
    assert not dtype or found.dtype == expected.dtype, f"{what}: dtype {found.dtype}, expected {expected.dtype}"
    mine, other = [
        np.ascontiguousarray(each).astype(kind) for each, kind in zip((found, expected), native, strict=True)
    ]
    if mine.tobytes() == other.tobytes():
        return
    size = max(mine.dtype.itemsize, 1)
    differ = (mine.reshape(-1, 1).view(f"V{size}") != other.reshape(-1, 1).view(f"V{size}")).reshape(expected.shape)
    first = tuple(map(int, np.unravel_index(np.argmax(differ), differ.shape)))
    raise AssertionError(
        f"{what}: {differ.sum()} of {differ.size} voxels differ, the first at {first}: "
        f"{mine[first]!r}, expected {other[first]!r}"
    )
