"""Tests of exactness: `detect_blobs` finds the blobs that scikit-image finds in the whole volume."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import blob_dog, blob_doh, blob_log

from tests.blobs.volumes import assert_same, of_scikit_image, of_tilecore, textured
from tilecore import detect_blobs
from tilecore.blobs.defaults import LARGEST_SIGMA, THRESHOLD

DTYPES = [np.uint8, np.uint16, np.int16, np.uint32, np.float16, np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("detector", ["log", "dog"])
def test_whole_volume(dtype: Any, detector: str) -> None:
    for shape in ((20, 31, 37), (90, 70), (1, 33, 40), (3, 4, 5), (1, 1, 30), (40, 1)):
        volume = textured(shape, dtype)
        expected = of_scikit_image(volume, detector)
        assert len(expected) > 0 or min(shape) == 1
        assert_same(of_tilecore(volume, detector), expected)


@pytest.mark.parametrize("log_scale", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_determinant_of_hessian(dtype: Any, log_scale: bool) -> None:
    image = textured((80, 90), dtype)
    parameters = {
        "min_sigma": 2,
        "max_sigma": 7,
        "threshold": 1e-3 if dtype != np.uint16 else 1e-9,
        "log_scale": log_scale,
    }
    expected = of_scikit_image(image, "doh", **parameters)
    assert len(expected) > 5
    blobs = of_tilecore(image, "doh", **parameters)
    assert_same(blobs, expected)
    assert of_tilecore(image, "doh", tile_shape=37, **parameters) == blobs


@settings(max_examples=25)
@given(
    shape=st.tuples(st.integers(1, 14), st.integers(1, 24), st.integers(1, 28)),
    tile_shape=st.tuples(st.integers(1, 15), st.integers(3, 24), st.integers(3, 24)),
    detector=st.sampled_from(["log", "dog"]),
    dtype=st.sampled_from([np.uint16, np.float32, np.float64]),
    low=st.floats(0.6, 2.5),
    ratio=st.floats(1, 3),
    n_scales=st.integers(1, 4),
    log_scale=st.booleans(),
)
def test_any_tiles_and_scales(
    shape: Any, tile_shape: Any, detector: str, dtype: Any, low: float, ratio: float, n_scales: int, log_scale: bool
) -> None:
    """Results equal scikit-image's, and those of a single tile row for row, with responses."""
    volume = textured(shape, dtype, seed=sum(shape))
    scales: dict[str, Any] = {"min_sigma": low, "max_sigma": low * ratio, "num_sigma": n_scales}
    if detector == "log":
        scales["log_scale"] = log_scale
    expected = of_scikit_image(volume, detector, **scales)
    blobs = of_tilecore(volume, detector, tile_shape=tile_shape, **scales)
    if np.ptp(volume):
        assert_same(blobs, expected)
    assert blobs == of_tilecore(volume, detector, tile_shape=shape, **scales)


@settings(max_examples=25)
@given(
    data=st.data(),
    tile_shape=st.tuples(st.integers(2, 12), st.integers(3, 16), st.integers(3, 16)),
    detector=st.sampled_from(["log", "dog"]),
    dtype=st.sampled_from([np.uint8, np.float32, np.float64]),
    threshold=st.sampled_from([0.05, 1e-3, 0.0]),
)
def test_ties_and_plateaus(data: st.DataObject, tile_shape: Any, detector: str, dtype: Any, threshold: float) -> None:
    """Each of several voxels with equal responses (symmetry, repetition, saturation) is a blob, as in scikit-image."""
    cell = np.array(data.draw(st.lists(st.integers(0, 3), min_size=8, max_size=8))).reshape(2, 2, 2)
    stretch, repeats = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    volume = np.tile(cell, (2, repeats, repeats)).repeat(stretch, 0).repeat(stretch, 1).repeat(stretch, 2)
    volume = volume.astype(dtype) * (60 if dtype == np.uint8 else dtype(0.25))
    if data.draw(st.booleans()):
        volume = volume + volume[::-1, ::-1, ::-1]
    scales: dict[str, Any] = {"min_sigma": 1, "max_sigma": 2, "threshold": threshold}
    blobs = of_tilecore(volume, detector, tile_shape=tile_shape, **scales)
    if np.ptp(volume) == 0:
        assert len(blobs) == 0
    else:
        assert_same(blobs, of_scikit_image(volume, detector, **scales))


@pytest.mark.parametrize("detector", ["log", "dog"])
@pytest.mark.parametrize("sigmas", [((1, 2, 3), (2, 3, 4)), (1, (2, 3, 4)), ((1.5, 1, 1), 4.0)])
def test_a_sigma_for_each_axis(detector: str, sigmas: Any) -> None:
    volume = textured((16, 30, 34))
    scales = {"min_sigma": sigmas[0], "max_sigma": sigmas[1]}
    blobs = of_tilecore(volume, detector, tile_shape=13, **scales)
    assert {"sigma_z", "sigma_y", "sigma_x"} < set(blobs.columns)
    assert_same(blobs, of_scikit_image(volume, detector, **scales))


@pytest.mark.parametrize("exclude_border", [False, 2, (0, 5, 3)])
@pytest.mark.parametrize("detector", ["log", "dog"])
def test_border(detector: str, exclude_border: Any) -> None:
    volume = textured((12, 25, 28))
    expected = of_scikit_image(volume, detector, exclude_border=exclude_border)
    assert_same(of_tilecore(volume, detector, tile_shape=9, exclude_border=exclude_border), expected)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("detector", ["log", "dog"])
def test_threshold_relative_to_the_whole_volume(detector: str, dtype: Any) -> None:
    """A relative threshold refers to the whole volume, not to a tile."""
    volume = textured((14, 30, 33), dtype)
    volume[:, :15] = volume[:, :15] // 2 if volume.dtype.kind != "f" else volume[:, :15] / 2
    for threshold, relative in ((None, 0.3), (0.05, 0.1), (0.001, 0.5), (None, None)):
        given_as = {"threshold": threshold, "threshold_rel": relative}
        expected = of_scikit_image(volume, detector, **given_as)
        assert_same(of_tilecore(volume, detector, tile_shape=11, **given_as), expected)


@pytest.mark.parametrize("detector", ["log", "dog", "doh"])
def test_a_relative_threshold_alone_is_not_capped_by_the_default(detector: str) -> None:
    """The default threshold is meant for images that fill the range from 0 to 1."""
    image = textured((80, 90)) / 1000
    scales: dict[str, Any] = {"min_sigma": 2, "max_sigma": 5, "overlap": 1, "executor": "serial", "detector": detector}
    alone = detect_blobs(image, threshold_rel=0.1, **scales)
    assert len(alone) > 5
    assert alone == detect_blobs(image, threshold=None, threshold_rel=0.1, **scales)
    assert len(detect_blobs(image, threshold=THRESHOLD[detector], threshold_rel=0.1, **scales)) == 0
    assert len(detect_blobs(image, **scales)) == 0


@pytest.mark.parametrize("detector", ["log", "dog", "doh"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_the_largest_response_is_told_also_if_nothing_is_found(detector: str, dtype: Any) -> None:
    image = textured((60, 70), dtype)
    image = image + 1000 if np.dtype(dtype).kind == "f" else image
    scales: dict[str, Any] = {"min_sigma": 2, "max_sigma": 4, "overlap": 1, "executor": "serial", "detector": detector}
    found = detect_blobs(image, threshold=None, threshold_rel=0.1, **scales)
    highest = found["response"].max()
    nothing = detect_blobs(image, threshold=2 * highest, tile_shape=None if detector == "doh" else 25, **scales)
    assert len(nothing) == 0
    assert nothing.largest_response == pytest.approx(highest, rel=1e-3)
    assert found.largest_response == pytest.approx(highest, rel=1e-3)
    assert f"the largest response is {nothing.largest_response:.4g}" in repr(nothing)
    assert detect_blobs(np.full_like(image, 3), threshold=0.1, **scales).largest_response is None


@pytest.mark.parametrize("offset", [30, 1e3, 1e5, 1e7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("detector", ["log", "dog"])
def test_large_offsets(offset: float, dtype: Any, detector: str) -> None:
    """A background much brighter than the blobs has a response of its own, as kernels are cut; it differs by scale."""
    volume = (textured((12, 30, 32)) + offset).astype(dtype)
    blobs = of_tilecore(volume, detector, tile_shape=9)
    assert_same(blobs, of_scikit_image(volume, detector))


def test_outliers() -> None:
    """Decisions are made with exact responses if single precision tells little."""
    volume = textured((10, 24, 24))
    for changed in (volume * 1e-30, volume * 1e30, np.where(volume == volume.max(), 1e9, volume)):
        threshold = 0.03 * float(np.ptp(changed))
        blobs = of_tilecore(changed, threshold=threshold, tile_shape=9)
        assert_same(blobs, of_scikit_image(changed, threshold=threshold))


def test_sigmas_larger_than_the_volume() -> None:
    volume = textured((4, 9, 11))
    scales = {"min_sigma": 2, "max_sigma": 30, "num_sigma": 4, "threshold": 1e-4}
    assert_same(of_tilecore(volume, tile_shape=5, **scales), of_scikit_image(volume, **scales))


@pytest.mark.parametrize("detector", ["log", "dog", "doh"])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan, np.inf])
def test_constant_volumes_have_no_blobs(detector: str, value: float) -> None:
    volume = np.full((20, 20) if detector == "doh" else (7, 11, 13), value)
    for threshold in (0.2, 1e-6, None):
        assert len(of_tilecore(volume, detector, threshold=threshold, tile_shape=6)) == 0
        if np.isfinite(value):
            assert len(of_tilecore(volume.astype(np.uint8), detector, threshold=threshold, tile_shape=6)) == 0


@pytest.mark.parametrize("detector", ["log", "dog"])
@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite(detector: str, hole: float) -> None:
    """Voxels that are not finite make no blob, and change nothing beyond the kernels' reach."""
    volume = textured((12, 40, 44))
    holed = volume.copy()
    holed[5, 20, 22] = holed[0, 3, 4] = hole
    scales = {"min_sigma": 1, "max_sigma": 2, "num_sigma": 2, "threshold": 0.02}
    blobs = of_tilecore(holed, detector, tile_shape=(5, 17, 19), **scales)
    assert blobs == of_tilecore(holed, detector, tile_shape=volume.shape, **scales)
    places = blobs.positions
    far = np.minimum(*[np.abs(places - at).max(axis=1) for at in ((5, 20, 22), (0, 3, 4))])
    reach = np.array([int(4 * sigma * (1.6 if detector == "dog" else 1) + 0.5) for sigma in blobs["sigma"]])
    assert (far > reach).all()
    whole = of_tilecore(np.where(np.isfinite(holed), holed, 0.5), detector, **scales)
    away = np.minimum(*[np.abs(whole.positions - at).max(axis=1) for at in ((5, 20, 22), (0, 3, 4))]) > 14
    assert away.any()
    np.testing.assert_array_equal(np.asarray(whole)[away], np.asarray(blobs)[far > 14])


def test_mask_chooses_and_changes_nothing() -> None:
    volume = textured((12, 30, 32))
    mask = np.zeros(volume.shape, dtype=np.uint8)
    mask[:, 4:20, 3:25] = 7
    everywhere = of_tilecore(volume)
    expected = everywhere[mask[tuple(everywhere.positions.astype(int).T)] > 0]
    assert 0 < len(expected) < len(everywhere)
    assert of_tilecore(volume, mask=mask, tile_shape=(5, 8, 9)) == expected


def test_response_is_that_of_the_filter() -> None:
    from scipy.ndimage import gaussian_laplace

    volume = textured((12, 30, 32))
    blobs = of_tilecore(volume)
    for row in range(0, len(blobs), 5):
        sigma = blobs["sigma"][row]
        exact = -gaussian_laplace(volume, sigma)[tuple(blobs.positions[row].astype(int))] * sigma**2
        assert blobs["response"][row] == pytest.approx(exact, rel=2**-14)


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
@pytest.mark.parametrize("detector", ["log", "dog"])
def test_executors_and_workers(executor: str, detector: str) -> None:
    volume = textured((16, 40, 44), np.uint16)
    alone = of_tilecore(volume, detector, overlap=0.3, tile_shape=volume.shape)
    for tile_shape in (None, (7, 19, 23)):
        run: dict[str, Any] = {"executor": executor, "tile_shape": tile_shape, "overlap": 0.3}
        assert of_tilecore(volume, detector, workers=2, **run) == alone
    assert len(alone) < len(of_tilecore(volume, detector))


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
def test_start_methods(start_method: str) -> None:
    volume = textured((16, 40, 44), np.uint16)
    blobs = of_tilecore(volume, executor="processes", start_method=start_method, workers=2, tile_shape=15)
    assert blobs == of_tilecore(volume)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("detector", ["log", "dog"])
def test_larger_volumes(dtype: Any, detector: str) -> None:
    volume = textured((60, 130, 140), dtype)
    scales = {"min_sigma": 1.5, "max_sigma": 6, "num_sigma": 5}
    expected = of_scikit_image(volume, detector, **scales)
    assert len(expected) > 1000
    for tile_shape in ((60, 64, 70), (31, 130, 29), (17, 19, 23)):
        assert_same(of_tilecore(volume, detector, tile_shape=tile_shape, **scales), expected)


def test_no_warning_and_no_blob_in_nothing() -> None:
    blobs = detect_blobs(np.empty((0, 5, 5)), executor="serial")
    assert len(blobs) == 0
    assert {"z", "sigma", "radius", "response", "channel", "tile_z"} < set(blobs.columns)


@pytest.mark.parametrize("detector", ["log", "dog", "doh"])
def test_defaults_are_those_of_scikit_image(detector: str) -> None:
    """The defaults of a scikit-image detector and those of tilecore find the same blobs, before they are pruned."""
    function = {"log": blob_log, "dog": blob_dog, "doh": blob_doh}[detector]
    theirs = inspect.signature(function).parameters
    ours = inspect.signature(detect_blobs).parameters
    for name in ("min_sigma", "num_sigma", "sigma_ratio", "overlap", "log_scale", "exclude_border", "threshold_rel"):
        if name in theirs:
            assert ours[name].default == theirs[name].default, name
    assert (LARGEST_SIGMA[detector], THRESHOLD[detector]) == (theirs["max_sigma"].default, theirs["threshold"].default)
    image = np.zeros((120, 130))
    rows, columns = np.indices(image.shape)
    for row, column, sigma in ((30, 40, 3), (80, 30, 6), (60, 95, 11)):
        image += 4 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))
    found = detect_blobs(
        image, detector=detector, overlap=1, executor="serial"
    )  # which of two close ones stays differs
    expected = function(image, overlap=2)
    assert len(expected)
    np.testing.assert_array_equal(np.asarray(found)[np.lexsort(np.asarray(found).T)], expected[np.lexsort(expected.T)])
