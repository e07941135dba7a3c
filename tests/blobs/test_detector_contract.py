"""Every kind of detector keeps the contract: tilecore's, scikit-image's as a function, and simple ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import maximum_filter
from skimage.feature import blob_log

from tests.blobs.volumes import SCALES, of_scikit_image, textured
from tilecore import declare
from tilecore.testing import DetectorContract


class TestLog(DetectorContract):
    detector = "log"
    options = {**SCALES, "threshold": 0.03}  # noqa: RUF012

    def volume(self) -> Any:
        return textured((12, 30, 32))

    def whole(self, volume: Any) -> Any:
        return of_scikit_image(volume, str(self.detector))


class TestDog(TestLog):
    detector = "dog"


class TestDoh(TestLog):
    detector = "doh"
    options = {"min_sigma": 2, "max_sigma": 7, "num_sigma": 3, "threshold": 1e-3}  # noqa: RUF012

    def volume(self) -> Any:
        return textured((80, 90))

    def whole(self, volume: Any) -> Any:
        return of_scikit_image(volume, "doh", **self.options)


class TestFunctionOfScikitImage(DetectorContract):
    detector = staticmethod(lambda block, **params: blob_log(block, overlap=2, **params))
    params = {"min_sigma": 1.2, "max_sigma": 3, "num_sigma": 3, "threshold": 0.03}  # noqa: RUF012
    halo = 13

    def volume(self) -> Any:
        return textured((12, 30, 32))


@declare(halo=2, columns=("brightness", "edge"))
def peaks(block: Any) -> Any:
    places = np.argwhere((block == maximum_filter(block, 5)) & (block > 300))
    return np.column_stack([places, block[tuple(places.T)], np.zeros(len(places))])


@declare(halo=2, boundary="reflect", columns=("brightness",))
def peaks_in_padded_blocks(block: Any) -> Any:
    found = peaks(block)[:, :4]
    return found[(found[:, :3] >= 2).all(axis=1) & (found[:, :3] < np.subtract(block.shape, 2)).all(axis=1)]


class TestPeaks(DetectorContract):
    detector = f"{__name__}:peaks"


class TestPeaksInPaddedBlocks(DetectorContract):
    detector = staticmethod(peaks_in_padded_blocks)


class TestPeaksInAnImage(DetectorContract):
    detector = staticmethod(peaks)

    def volume(self) -> Any:
        return super().volume()[6]


def test_a_halo_that_is_too_small_breaks_the_contract() -> None:
    class Short(DetectorContract):
        detector = staticmethod(peaks)
        halo = 1

    with pytest.raises(AssertionError, match="is its halo large enough"):
        Short().test_tiles_give_what_the_whole_volume_gives(7)


def test_columns_that_are_not_there_break_the_contract() -> None:
    class Lacking(DetectorContract):
        detector = staticmethod(declare(halo=2, columns=("a", "b", "c"))(lambda block: peaks(block)[:, :5]))

    with pytest.raises(AssertionError, match="a column for each that is declared"):
        Lacking().test_columns_are_those_that_it_declares()


def test_what_differs_from_call_to_call_breaks_the_contract() -> None:
    generator = np.random.default_rng(0)

    def fickle(block: Any) -> Any:
        found = peaks(block)
        return np.column_stack([found[:, :3], generator.random(len(found))])

    class Fickle(DetectorContract):
        detector = staticmethod(fickle)
        halo = 2

    with pytest.raises(AssertionError, match="the same volume must give the same table"):
        Fickle().test_twice_is_the_same()


def test_a_detector_that_finds_something_in_nothing_breaks_the_contract() -> None:
    class Eager(DetectorContract):
        detector = staticmethod(lambda block: np.argwhere(block == block.max()))
        halo = 2

    with pytest.raises(AssertionError, match="a volume of zeros must have no blob"):
        Eager().test_a_volume_without_blobs_gives_an_empty_table_with_all_columns()
