"""Tests of coarse images: which voxels are left, and how much is read at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tilecore import open_source
from tilecore.pictures import coarsening
from tilecore.pictures.coarsening import coarse_steps, every

VOLUME = np.random.default_rng(0).integers(0, 60_000, (13, 40, 57)).astype(np.uint16)


@pytest.mark.parametrize("piece_bytes", [1, 3000, 2**26])
@pytest.mark.parametrize("steps", [(1, 1, 1), (1, 4, 2), (16, 1, 64), (2, 2, 2)])
def test_every_nth_voxel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: Any, piece_bytes: int) -> None:
    monkeypatch.setattr(coarsening, "_PIECE_BYTES", piece_bytes)
    zarr.create_array(tmp_path / "v.zarr", data=VOLUME, chunks=(4, 16, 16))
    expected = VOLUME[:: steps[0], :: steps[1], :: steps[2]]
    np.testing.assert_array_equal(every(VOLUME, steps), expected)
    np.testing.assert_array_equal(every(open_source(tmp_path / "v.zarr"), steps), expected)


def test_chunks_of_several_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    dask_array = pytest.importorskip("dask.array")
    monkeypatch.setattr(coarsening, "_PIECE_BYTES", 3000)
    lazy = dask_array.from_array(VOLUME, chunks=(4, (30, 10), 57))
    np.testing.assert_array_equal(every(lazy, (2, 4, 2)), VOLUME[::2, ::4, ::2])


@pytest.mark.parametrize(
    ("shape", "most", "expected"),
    [
        ((10, 100, 100), 10**6, (1, 1, 1)),
        ((10, 100, 100), 50_000, (1, 2, 1)),
        ((10, 100, 100), 25_000, (1, 2, 2)),
        ((1000, 10, 10), 10_000, (16, 1, 1)),
        ((3, 3), 1, (4, 4)),
        ((), 1, ()),
        ((0, 5), 1, (1, 1)),
    ],
)
def test_steps_keep_within_the_limit(shape: tuple[int, ...], most: int, expected: tuple[int, ...]) -> None:
    assert coarse_steps(shape, 1, most) == expected
