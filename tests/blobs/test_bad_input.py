"""Tests of wrong input to `detect_blobs`: what is refused, with which message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.blobs.volumes import of_tilecore, textured
from tilecore import ParameterError, ParameterTypeError, detect_blobs, halo_for

VOLUME = textured((6, 9, 10))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_sigma": 0}, "min_sigma=0"),
        ({"min_sigma": -1}, "min_sigma=-1"),
        ({"max_sigma": float("nan")}, "max_sigma=nan"),
        ({"max_sigma": float("inf")}, "max_sigma=inf"),
        ({"min_sigma": 5, "max_sigma": 2}, "min_sigma=5"),
        ({"min_sigma": (1, 2), "max_sigma": 3}, r"min_sigma=\(1, 2\)"),
        ({"min_sigma": (1, 4, 1), "max_sigma": 3}, "max_sigma=3"),
        ({"num_sigma": 0}, "num_sigma=0"),
        ({"detector": "dog", "sigma_ratio": 1}, "sigma_ratio=1"),
        ({"detector": "doh"}, "two axes"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"threshold_rel": float("nan")}, "threshold_rel=nan"),
        ({"overlap": 1.5}, "overlap=1.5"),
        ({"exclude_border": -1}, "exclude_border"),
        ({"exclude_border": (1, 2)}, "exclude_border"),
        ({"mask": np.ones((6, 9, 11))}, r"mask=\(6, 9, 11\).*\(6, 9, 10\)"),
        ({"diameter_um": 8}, "voxel_size_um"),
        ({"diameter_um": -8, "voxel_size_um": 1}, "diameter_um=-8"),
        ({"diameter_um": (1, 2, 3), "voxel_size_um": 1}, "diameter_um"),
        ({"diameter_um": (9, 2), "voxel_size_um": 1}, "min_sigma"),
        ({"voxel_size_um": (1, 2)}, "voxel_size_um"),
        ({"voxel_size_um": 0}, "voxel_size_um=0"),
        ({"channel": 10}, "channel=10"),
        ({"channel": -1}, "channel=-1"),
        ({"params": {"radius": 3}}, "params=.*'log' does not use it"),
        ({"detector": "dog", "halo": 3}, "halo=3: detector 'dog' does not use it"),
        ({"detector": len, "halo": 3, "diameter_um": 4, "voxel_size_um": 1}, "diameter_um=4: .*own does not use it"),
        ({"detector": ":name", "halo": 3}, "detector=':name': must have the form MODULE:NAME"),
    ],
)
def test_values_that_are_not_allowed(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        detect_blobs(VOLUME, executor="serial", **parameters)


@pytest.mark.parametrize("parameters", [{"min_sigma": "two"}, {"channel": 0.5}, {"colour": 3}])
def test_wrong_types(parameters: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError):
        detect_blobs(VOLUME, executor="serial", **parameters)


@pytest.mark.parametrize("detector", ["log", len])
def test_complex_voxels_are_refused_at_once(detector: Any) -> None:
    with pytest.raises(ParameterTypeError, match="source='complex64': voxels must be real"):
        detect_blobs(VOLUME.astype(np.complex64), detector=detector, executor="serial")


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 2, 2, 2)])
def test_neither_image_nor_volume(shape: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match="two or three axes"):
        detect_blobs(np.zeros(shape), executor="serial")


def test_diameters_give_sigmas() -> None:
    blobs = detect_blobs(
        VOLUME, diameter_um=(4, 8), voxel_size_um=(2, 1, 1), num_sigma=2, threshold=1e-3, overlap=1, executor="serial"
    )
    assert set(np.round(blobs["sigma_x"] * 2 * np.sqrt(3), 6)) <= {4.0, 8.0}
    assert np.array_equal(blobs["sigma_x"], blobs["sigma_z"] * 2)
    assert set(np.round(blobs["radius_um"], 6)) <= {2.0, 4.0}
    same = detect_blobs(VOLUME, diameter_um=8, voxel_size_um=1, num_sigma=3, threshold=1e-3, executor="serial")
    assert "sigma" in same.columns


def test_halo_is_the_reach_of_the_largest_kernel() -> None:
    assert halo_for("log", min_sigma=1, max_sigma=(1, 2, 3)) == (5, 9, 13)
    assert halo_for("dog", min_sigma=1, max_sigma=2, sigma_ratio=2, ndim=2) == (17, 17)
    with pytest.raises(ParameterError, match="detector"):
        halo_for("doh")  # type: ignore[arg-type]


def test_borders_and_numbers_of_other_types() -> None:
    volume = textured((12, 20, 20))
    for border in ([1, 2, 3], np.array([1, 2, 3])):
        assert of_tilecore(volume, exclude_border=border) == of_tilecore(volume, exclude_border=(1, 2, 3))
    with pytest.raises(ParameterError, match="threshold="):
        of_tilecore(volume, threshold="0.1")
    with pytest.raises(ParameterError, match="diameter_um="):
        detect_blobs(volume, detector=np.argwhere, diameter_um=np.array([2, 6]), halo=0)  # type: ignore[arg-type]
