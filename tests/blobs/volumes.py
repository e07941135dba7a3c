"""Volumes with blobs for tests, and the blobs that scikit-image finds in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import blob_dog, blob_doh, blob_log

from tilecore import Blobs, detect_blobs

SCALES: dict[str, Any] = {"min_sigma": 1.2, "max_sigma": 3.5, "num_sigma": 3}


def textured(shape: tuple[int, ...], dtype: Any = np.float64, seed: int = 0) -> npt.NDArray[Any]:
    """Create smooth noise from 0 to 1, or integers up to 200."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.2)
    noise = (noise - noise.min()) / max(float(np.ptp(noise)), 1e-9)
    return (noise if np.dtype(dtype).kind == "f" else 200 * noise).astype(dtype)


def threshold_for(volume: npt.NDArray[Any]) -> float:
    """Choose a threshold, in the scaled image, that leaves a medium number of blobs."""
    if volume.dtype.kind == "f":
        return 0.03
    return 0.03 * 200 / np.iinfo(volume.dtype).max


def of_scikit_image(volume: npt.NDArray[Any], detector: str = "log", **parameters: Any) -> npt.NDArray[np.float64]:
    """Find blobs in the whole volume with scikit-image, before pruning, sorted."""
    # An overlap of one is not quite none: the area of equal discs in the same place rounds to more than one.
    parameters = {"overlap": 2, "threshold": threshold_for(volume), **SCALES, **parameters}
    if detector == "dog":
        parameters.pop("num_sigma")
    function = {"log": blob_log, "dog": blob_dog, "doh": blob_doh}[detector]
    found = np.asarray(function(volume, **parameters), dtype=np.float64)
    return found[np.lexsort(found.T[::-1])]


def of_tilecore(volume: Any, detector: str = "log", **parameters: Any) -> Blobs:
    """Find the same blobs with tilecore, from tiles."""
    parameters = {"overlap": 1, "executor": "serial", **SCALES, **parameters}
    if "threshold" not in parameters:
        parameters["threshold"] = threshold_for(volume)
    return detect_blobs(volume, detector=detector, **parameters)


def assert_same(blobs: Blobs, expected: npt.NDArray[np.float64]) -> None:
    """Check that positions and sigmas are equal to the last bit."""
    found = np.asarray(blobs)
    if len(expected) == 0:
        assert len(found) == 0
    else:
        np.testing.assert_array_equal(found, expected)
