"""The benchmarks run, in their quick form; how fast is for people to judge, on a machine that is idle."""

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
