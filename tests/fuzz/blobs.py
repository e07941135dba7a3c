"""Fuzzer of `detect_blobs`, compared with scikit-image on the whole volume."""

from __future__ import annotations

import random as randomness
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.blobs import volumes
from tests.fuzz import sources
from tests.fuzz.runs import draw_run
from tests.fuzz.voxels import assert_same
from tilecore import detect_blobs

DTYPES = ["u1", "<u2", ">u2", "<f4", ">f4", "<f8"]


@dataclass(frozen=True)
class Case:
    """Random parameters of one blob search."""

    shape: tuple[int, ...]
    dtype: str
    source: str
    detector: str
    scales: dict[str, Any]
    tile_shape: tuple[int, ...] | None
    run: dict[str, Any]
    detail: int


def draw(random: randomness.Random) -> Case:
    """Draw a random case."""
    ndim, dtype = random.choice([2, 3, 3]), random.choice(DTYPES)
    shape = tuple([random.randint(1, 40 if ndim == 2 else 18) for _ in range(ndim)])
    low, detector = round(random.uniform(0.6, 2.5), 3), random.choice(["log", "dog"])
    scales = {"min_sigma": low, "max_sigma": round(low * random.uniform(1, 2.5), 3), "num_sigma": random.randint(1, 4)}
    if detector == "log":
        scales["log_scale"] = random.random() < 0.3
    return Case(
        shape=shape,
        dtype=dtype,
        source=sources.draw_kind(random, shape, dtype),
        detector=detector,
        scales=scales,
        tile_shape=None if random.random() < 0.2 else tuple([random.randint(3, n + 3) for n in shape]),
        run=draw_run(random),
        detail=random.getrandbits(32),
    )


def check(case: Case) -> None:
    """Detect blobs, and compare them with scikit-image's."""
    values = volumes.textured(case.shape, np.dtype(case.dtype), case.detail)
    parameters = {"threshold": volumes.threshold_for(values), **case.scales}
    expected = volumes.of_scikit_image(values.astype(values.dtype.newbyteorder("=")), case.detector, **parameters)
    chosen: dict[str, Any] = {"detector": case.detector, "overlap": 1, **parameters}
    with tempfile.TemporaryDirectory() as folder:
        source = sources.make_source(case.source, values, Path(folder), randomness.Random(case.detail))
        found = detect_blobs(source.given, tile_shape=case.tile_shape, **chosen, **case.run)
        assert_same(source.read(), values, "the source, afterwards")
    if np.ptp(values):
        volumes.assert_same(found, expected)
    assert found == detect_blobs(values, tile_shape=case.shape, executor="serial", **chosen), (
        "other rows than of one tile"
    )
