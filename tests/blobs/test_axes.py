"""Blobs of sources with their axes in any order, named or not: positions are always z, y, x."""

from __future__ import annotations

import logging
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blobs.volumes import of_tilecore, textured
from tilecore import Blobs, ParameterError, create_sink, detect_blobs, open_source

SHAPE = (14, 30, 44)
SIZE_UM = (3.0, 1.0, 0.5)


def moved(volume: np.ndarray, axes: str) -> np.ndarray:
    """A volume, z, y, x, with its axes in another order."""
    return np.ascontiguousarray(volume.transpose(["ZYX".index(letter) for letter in axes]))


@pytest.mark.parametrize("axes", ["".join(each) for each in permutations("ZYX")])
@pytest.mark.parametrize("suffix", ["npy", "zarr", "h5", "array"])
def test_every_order_gives_the_same_table(tmp_path: Path, axes: str, suffix: str) -> None:
    volume = textured(SHAPE).astype("f4")
    expected = of_tilecore(volume, voxel_size_um=SIZE_UM, exclude_border=(1, 2, 3), tile_shape=(8, 14, 20))
    assert len(expected) > 10
    source: Any = moved(volume, axes)
    if suffix == "npy":
        np.save(tmp_path / "v.npy", source)
        source = open_source(tmp_path / "v.npy", axes=axes)
    elif suffix != "array":
        with create_sink(tmp_path / f"v.{suffix}", source.shape, "f4", axes=axes, voxel_size_um=SIZE_UM) as sink:
            sink[...] = source
        source = open_source(tmp_path / f"v.{suffix}")
    options: dict[str, Any] = {"executor": "processes" if axes == "YXZ" else "serial"}
    options |= {"axes": axes} if suffix == "array" else {}
    found = of_tilecore(source, voxel_size_um=SIZE_UM, exclude_border=(1, 2, 3), tile_shape=(8, 14, 20), **options)
    assert (found, found.shape, found.voxel_size_um) == (expected, SHAPE, SIZE_UM)
    assert np.array_equal(found["tile_z"], expected["tile_z"])


def test_a_mask_has_its_own_axes_or_those_of_the_source(tmp_path: Path) -> None:
    volume = textured((24, 24, 24)).astype("f4")  # all orders have the same shape
    mask = np.zeros(volume.shape, dtype=bool)
    mask[:12, :16, :] = True
    expected = of_tilecore(volume, mask=mask)
    assert 0 < len(expected) < len(of_tilecore(volume))
    np.save(tmp_path / "mask.npy", moved(mask, "XYZ").astype("u1"))
    with create_sink(tmp_path / "mask.zarr", mask.shape, "u1", axes="YZX") as sink:
        sink[...] = moved(mask, "YZX")
    given = moved(volume, "XYZ")
    for other in (moved(mask, "XYZ"), tmp_path / "mask.npy", tmp_path / "mask.zarr"):
        assert of_tilecore(given, axes="XYZ", mask=other) == expected


def test_sigmas_of_each_axis_are_z_y_x() -> None:
    volume = textured(SHAPE)
    sigmas = {"min_sigma": (1, 2, 2), "max_sigma": (2, 3, 3), "num_sigma": 2}
    expected = detect_blobs(volume, threshold=0.01, executor="serial", **sigmas)
    found = detect_blobs(moved(volume, "XZY"), axes="XZY", threshold=0.01, executor="serial", **sigmas)
    assert len(expected) > 0
    assert found == expected


@pytest.mark.parametrize(("place", "letters"), [(0, "CZYX"), (3, "ZYXC")])
def test_unnamed_channels_are_guessed_alike_however_they_come(
    tmp_path: Path, place: int, letters: str, caplog: pytest.LogCaptureFixture
) -> None:
    volume = textured(SHAPE).astype("f4")
    both = np.stack([volume, np.roll(volume, 3, axis=1)], axis=place)
    np.save(tmp_path / "v.npy", both)
    with create_sink(tmp_path / "v.zarr", both.shape, "f4") as sink:
        sink[...] = both
    with create_sink(tmp_path / "v.h5", both.shape, "f4") as sink:
        sink[...] = both
    expected = of_tilecore(volume, threshold=0.02)
    assert len(expected) > 5
    for source in (both, tmp_path / "v.npy", tmp_path / "v.zarr", tmp_path / "v.h5"):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = of_tilecore(source, threshold=0.02)
        assert f"taken for {letters}" in caplog.text
        assert found.axes_guess == letters
        assert f"axes taken for {letters}" in repr(found)
        assert np.array_equal(found.filter(channel=(0, 0)), expected)
        caplog.clear()
        told = of_tilecore(source, axes=letters, threshold=0.02)
        assert (told, told.axes_guess, caplog.text) == (found, None, "")


def test_a_guess_is_in_the_files_of_a_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    blobs = Blobs({"z": [1], "y": [2], "x": [3]}, axes_guess="ZYXC")
    blobs.to_parquet(tmp_path / "b.parquet")
    assert parquet.read_schema(tmp_path / "b.parquet").metadata[b"axes_guess"] == b"ZYXC"
    blobs.to_geojson(tmp_path / "b.geojson")
    assert '"axes_guess": "ZYXC"' in (tmp_path / "b.geojson").read_text()
    assert blobs[:1].axes_guess == "ZYXC"


@pytest.mark.parametrize("axes", ["ZY", "ZYY", "ZYXX", 3])
def test_axes_that_do_not_fit(axes: Any) -> None:
    with pytest.raises(ParameterError, match="axes"):
        of_tilecore(textured(SHAPE), axes=axes)
