"""The detector keeps tilecore's contract: run ``pytest`` once the package is installed."""

from tilecore.testing import DetectorContract


class TestBrightSpots(DetectorContract):
    detector = "bright-spots"
    params = {"radius": 3, "brightness": 500}


class TestSmallSpots(DetectorContract):
    detector = "tilecore_spots:bright_spots"
    params = {"radius": 1, "brightness": 700}
