"""Tests of detectors by others: found by name, run tile by tile, refused if they return wrong tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage.feature import blob_log

from tests.blobs.volumes import of_tilecore, textured
from tilecore import ParameterError, ParameterTypeError, TileError, declare, detect_blobs


def brightest(block: Any, n_spots: int = 3) -> Any:
    """Detector that reads only its block."""
    flat = np.argsort(block.ravel(), kind="stable")[-n_spots:]
    return np.column_stack([*np.unravel_index(flat, block.shape), np.full(n_spots, 1.0)])


def log(block: Any, **params: Any) -> Any:
    return blob_log(block, overlap=2, **params)


@pytest.fixture
def volume() -> Any:
    return textured((12, 30, 32))


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
@pytest.mark.parametrize("tile_shape", [(5, 13, 32), 9])
def test_plain_scikit_image_in_tiles_is_exact(volume: Any, executor: str, tile_shape: Any) -> None:
    params = {"min_sigma": 1.2, "max_sigma": 3.5, "num_sigma": 3, "threshold": 0.03}
    blobs = detect_blobs(
        volume, detector=log, params=params, halo=15, overlap=1, tile_shape=tile_shape, executor=executor, workers=2
    )
    np.testing.assert_array_equal(np.asarray(blobs), np.asarray(of_tilecore(volume)))
    assert blobs.columns[:5] == ("z", "y", "x", "sigma", "radius")


def test_by_module_and_name(volume: Any) -> None:
    blobs = detect_blobs(volume, detector=f"{__name__}:brightest", halo=0, overlap=1, tile_shape=16, executor="serial")
    assert len(blobs) == 3 * 4
    assert blobs.counts_per_tile() == {(0, y, x): 3 for y in (0, 1) for x in (0, 1)}


@pytest.mark.parametrize(
    ("garbage", "message"),
    [
        (lambda block: np.ones((2, 2)), r"shape \(2, 2\)"),
        (lambda block: np.ones(4), r"shape \(4,\)"),
        (lambda block: [[1, 2, float("nan")]], "finite"),
        (lambda block: [[1, 2, 99]], "lie in the block"),
        (lambda block: [[-1, 2, 3]], "lie in the block"),
        (lambda block: "nothing", "table of numbers"),
        (lambda block: None, "shape|table"),
        (lambda block: np.nonzero(block > block.max() / 2), r"a tuple of 3 arrays, as np\.nonzero does.*np\.argwhere"),
        (lambda block: np.nonzero(block > block.max()), "a tuple of 3 arrays"),
    ],
)
def test_garbage_names_the_tile_and_the_detector(volume: Any, garbage: Any, message: str) -> None:
    garbage.__name__ = "my_detector"
    with pytest.raises(TileError, match=message) as error:
        detect_blobs(volume, detector=garbage, halo=0, tile_shape=16, executor="serial", retries=0)
    assert "my_detector" in str(error.value)
    assert "tile (0, 0, 0)" in str(error.value)


def test_points_between_voxels_have_one_owner() -> None:
    """A position between voxels belongs to the tile of its nearest voxel; none is lost at the volume's edge."""
    points = np.array([[-0.4, 0.2, 3.49], [3.5, 3.51, 7.4], [3.49, 3.5, 0]])

    def fixed(block: Any, tile_starts: Any = None) -> Any:
        return points

    blobs = detect_blobs(np.zeros((8, 8, 8)), detector=fixed, halo=8, tile_shape=4, executor="serial")
    np.testing.assert_array_equal(blobs.positions, points[np.lexsort(points.T[::-1])])


def test_no_result_is_an_empty_table_with_its_columns(volume: Any) -> None:
    def nothing(block: Any) -> Any:
        return np.empty((0, 5))

    nothing.columns = ("sigma", "score")  # type: ignore[attr-defined]
    blobs = detect_blobs(volume, detector=nothing, halo=0, executor="serial")
    assert len(blobs) == 0
    assert {"z", "sigma", "score", "radius", "channel"} < set(blobs.columns)


def test_what_a_detector_must_say(volume: Any) -> None:
    with pytest.raises(ParameterError, match="halo"):
        detect_blobs(volume, detector=brightest)
    with pytest.raises(ParameterError, match=r"tilecore\.detectors"):
        detect_blobs(volume, detector="no-such-detector", halo=1)
    with pytest.raises(ImportError, match="no_such_module"):
        detect_blobs(volume, detector="no_such_module:name", halo=1)
    with pytest.raises(ParameterTypeError, match="function"):
        detect_blobs(volume, detector="math:pi", halo=1)


@pytest.mark.parametrize("name", ["z", "x", "channel", "tile_y", "y_um", "radius_um"])
def test_columns_that_tilecore_fills_are_not_overwritten(volume: Any, name: str) -> None:
    spots = declare(halo=0, columns=("brightness", name))(lambda block: np.ones((1, 5)))
    with pytest.raises(ParameterError, match=f"{name} is there already; choose another name"):
        detect_blobs(volume, detector=spots, executor="serial")
    with pytest.raises(ParameterError, match="brightness is there already"):
        detect_blobs(volume, detector=declare(halo=0, columns=["brightness"] * 2)(spots), executor="serial")


def test_parameters_that_a_detector_does_not_take_are_refused_before_the_work(volume: Any) -> None:
    @declare(halo=lambda radius: radius)
    def spots(block: Any, radius: int) -> Any:
        return np.argwhere(block == block.max())

    for params in ({"radius": 2, "colour": 3}, {"colour": 3}, {}):
        for halo in (None, 2):
            with pytest.raises(ParameterError, match=r"params=.*the detector is spots\(block.*radius"):
                detect_blobs(volume, detector=spots, params=params, halo=halo, executor="serial")
    assert len(detect_blobs(volume, detector=spots, params={"radius": 2}, executor="serial")) >= 1


def test_a_halo_that_is_given_is_not_computed(volume: Any) -> None:
    def unknown(**params: Any) -> int:
        raise TypeError("this function knows no parameters")

    @declare(halo=unknown)
    def spots(block: Any, radius: int) -> Any:
        return np.argwhere(block == block.max())

    with pytest.raises(ParameterError, match="the halo that .*spots declares cannot be computed"):
        detect_blobs(volume, detector=spots, params={"radius": 2}, executor="serial")
    assert len(detect_blobs(volume, detector=spots, params={"radius": 2}, halo=2, executor="serial")) >= 1


class Spots:
    @staticmethod
    def brightest(block: Any) -> Any:
        return np.argwhere(block == block.max())


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_by_module_class_and_method(volume: Any, executor: str) -> None:
    found = detect_blobs(volume, detector=f"{__name__}:Spots.brightest", halo=0, executor=executor, workers=1)
    assert len(found) >= 1


def test_an_empty_result_has_the_columns_of_a_full_one(volume: Any) -> None:
    """Pipelines look columns up by name, also on a day on which nothing is found."""

    def spots(block: np.ndarray, least: float) -> np.ndarray:
        found = np.argwhere(block > least)
        return np.column_stack([found, np.ones(len(found))])

    options: dict[str, Any] = {"halo": 0, "tile_shape": 11, "executor": "serial", "overlap": 1}
    full = detect_blobs(volume, detector=spots, params={"least": float(np.median(volume))}, **options)
    empty = detect_blobs(volume, detector=spots, params={"least": float(volume.max())}, **options)
    assert len(full) and not len(empty)
    assert empty.columns == full.columns
