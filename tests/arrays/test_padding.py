"""Tests of padding: blocks are padded as numpy pads the whole volume."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore import Box, TilecoreError, TileGrid
from tilecore.arrays.padding import as_boundary, read_padded

MODES = ["reflect", "symmetric", "edge", "wrap", "constant", 7]


@given(
    st.tuples(*[st.integers(1, 7)] * 2),
    st.tuples(*[st.tuples(st.integers(0, 16), st.integers(0, 16))] * 2),
    st.tuples(*[st.integers(1, 8)] * 2),
    st.sampled_from(MODES),
)
def test_padded_blocks_equal_numpys_pad_of_the_whole(
    shape: tuple[int, ...], halo: tuple[tuple[int, int], ...], tile_shape: tuple[int, ...], mode: Any
) -> None:
    """Blocks equal numpy's padding also if the halo is many times as wide as the volume."""
    volume = np.arange(np.prod(shape)).reshape(shape)
    options: Any = {"mode": mode} if isinstance(mode, str) else {"constant_values": mode}
    whole = np.pad(volume, halo, **options)
    origin = [before for before, _ in halo]
    for tile in TileGrid(shape, tile_shape, halo):
        block = read_padded(volume, tile.read, tile.pad, mode)
        np.testing.assert_array_equal(block, whole[tile.write.grown(halo).translated(origin).slices])


def test_unpadded_blocks_are_views() -> None:
    volume = np.zeros((5, 5))
    assert np.shares_memory(read_padded(volume, Box((1, 1), (3, 3)), ((2, 0), (0, 0)), None), volume)
    assert np.shares_memory(read_padded(volume, Box((1, 1), (3, 3)), ((0, 0), (0, 0)), "reflect"), volume)


@pytest.mark.parametrize("boundary", ["mirror", [1], {}, b"edge"])
def test_unknown_boundaries_are_refused(boundary: Any) -> None:
    with pytest.raises(TilecoreError, match="boundary=.*reflect"):
        as_boundary(boundary)
