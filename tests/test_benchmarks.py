"""Tests of the benchmarks in their quick form; their speed is judged by people on an idle machine."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import find
from benchmarks.measuring import measure, table

NAMES = [
    "convert-memory",
    "convert-npy",
    "convert-ome-zarr",
    "parallel-write",
    "read-region-shards",
    "read-region-tiff",
    "read-region-tiled",
    "read-region-zarr",
]


@pytest.mark.parametrize("name", NAMES)
def test_quick(name: str) -> None:
    result = measure(find()[name](quick=True))
    assert name in table(result)
    assert all(row["median_s"] > 0 for row in result["rows"])
