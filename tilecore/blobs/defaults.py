"""Defaults of `detect_blobs`, in Python and on the command line: those of scikit-image's detectors."""

from __future__ import annotations

__all__ = ["LARGEST_SIGMA", "NUM_SIGMA", "OVERLAP", "SIGMA_RATIO", "THRESHOLD"]

NUM_SIGMA = 10
SIGMA_RATIO = 1.6
OVERLAP = 0.5
#: By detector.
LARGEST_SIGMA = {"log": 50, "dog": 50, "doh": 30}
THRESHOLD = {"log": 0.2, "dog": 0.5, "doh": 0.01}
