"""Tests of synthetic nuclei: any part equals that part of the whole, and the truth is correct."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tilecore import Box, MissingDependencyError, TileGrid, map_tiles
from tilecore.samples.nuclei import nuclei_path
from tilecore.samples.synthetic import SyntheticNuclei

WHOLE = SyntheticNuclei((40, 70, 90), seed=1)
VOXELS = WHOLE[:, :, :]


@given(st.data())
def test_any_box_is_the_same_as_in_the_whole(data: st.DataObject) -> None:
    starts = [data.draw(st.integers(0, length)) for length in WHOLE.shape]
    stops = [data.draw(st.integers(start, length)) for start, length in zip(starts, WHOLE.shape, strict=True)]
    box = Box(starts, stops)
    np.testing.assert_array_equal(WHOLE.block(box), VOXELS[box.slices])


@pytest.mark.parametrize("workers", [1, 2])
def test_made_tile_by_tile(workers: int) -> None:
    made = map_tiles(lambda block: block, WHOLE, tile_shape=(13, 31, 90), workers=workers, dtype="u2", progress=False)
    np.testing.assert_array_equal(made, VOXELS)


def test_a_larger_volume_continues_a_smaller_one() -> None:
    larger = SyntheticNuclei((80, 70, 90), seed=1)
    np.testing.assert_array_equal(larger[:30, :, :], VOXELS[:30])


def test_the_seed_decides() -> None:
    assert (SyntheticNuclei((16, 32, 32), seed=2)[:, :, :] != SyntheticNuclei((16, 32, 32), seed=3)[:, :, :]).any()
    # The same voxels on every machine and version of numpy.
    digest = hashlib.sha256(SyntheticNuclei((16, 32, 32), seed=0)[:, :, :].tobytes()).hexdigest()
    assert digest[:16] == "39030b36c5a464bc"


def test_nuclei_are_where_the_truth_says() -> None:
    truth = WHOLE.nuclei()
    assert len(truth) > 20
    smooth = ndimage.gaussian_filter(VOXELS.astype(float), 1.5)
    background = np.median(smooth)
    inner = truth[(truth[:, :3] > 6).all(axis=1) & (truth[:, :3] < np.array(WHOLE.shape) - 6).all(axis=1)]
    brightness = ndimage.map_coordinates(smooth, inner[:, :3].T, order=1)
    assert (brightness > background + 100).all()


def test_truth_of_parts_is_the_truth_of_the_whole() -> None:
    parts = np.concatenate([WHOLE.nuclei(tile.write) for tile in TileGrid(WHOLE.shape, (16, 30, 45))])
    assert sorted(parts.tolist()) == sorted(WHOLE.nuclei().tolist())


def test_real_nuclei() -> None:
    import tifffile

    try:
        path = nuclei_path()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    assert tifffile.imread(path).shape == (60, 256, 256)
    assert len(np.unique(tifffile.imread(nuclei_path(labels=True)))) == 21
