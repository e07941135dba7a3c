"""Blobs of sources with their axes in any order, named or not: positions are always z, y, x."""

from __future__ import annotations

import logging
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blobs.volumes import of_tilecore, textured
from tilecore import (
    Blobs,
    ParameterError,
    create_sink,
    detect_blobs,
    open_source,
    prune_blobs,
    prune_close,
    read_blobs,
    write_blobs,
)

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


def frames(order: str) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    """A movie of two channels with its axes in some order, and its volumes by time and channel."""
    volume = textured(SHAPE).astype("f4")
    volumes = [[np.roll(volume, 3 * time + 7 * channel, axis=1) for channel in range(2)] for time in range(3)]
    return np.asarray(volumes).transpose(["TCZYX".index(letter) for letter in order]), volumes


@pytest.mark.parametrize("order", ["TCZYX", "TZCYX", "XTYCZ"])
def test_blobs_over_time_have_a_column_of_time(tmp_path: Path, order: str) -> None:
    movie, volumes = frames(order)
    with create_sink(tmp_path / "v.zarr", movie.shape, "f4", axes=order) as sink:
        sink[...] = movie
    journal = tmp_path / "journal"
    found = of_tilecore(open_source(tmp_path / "v.zarr"), threshold=0.02, overlap=0.5, journal=journal)
    assert found["t"].dtype == np.int64
    assert (np.diff(found["t"]) >= 0).all()
    assert len(list(tmp_path.glob("journal.*"))) == 6
    for time, channel in product(range(3), range(2)):
        expected = of_tilecore(volumes[time][channel], threshold=0.02, overlap=0.5)
        assert len(expected) > 5
        part = found.filter(t=(time, time), channel=(channel, channel))
        assert np.array_equal(part, expected)
    one = of_tilecore(tmp_path / "v.zarr", threshold=0.02, overlap=0.5, time=1, channel=1)
    assert one == found.filter(t=(1, 1), channel=(1, 1))
    opened = open_source(tmp_path / "v.zarr", time=1, channel=1)
    assert of_tilecore(opened, threshold=0.02, overlap=0.5) == one


def test_blobs_of_different_times_are_not_compared(tmp_path: Path) -> None:
    places = {"z": [5, 5, 5], "y": [5, 5, 5], "x": [5, 5, 9], "sigma": [2, 2, 2]}
    first = Blobs(places | {"t": [0, 1, 1]})
    assert len(prune_blobs(first)) == 3
    assert len(prune_close(first, 1)) == 3
    later = Blobs(places | {"t": [2, 1, 0]})
    assert first.match(later, 1).pairs.tolist() == [[1, 1]]
    assert first.match(later, 5).pairs.tolist() == [[0, 0], [1, 1]]
    for suffix in ("csv", "npy", "geojson"):
        write_blobs(first, tmp_path / f"b.{suffix}")
        assert read_blobs(tmp_path / f"b.{suffix}") == first


def test_a_picture_shows_one_time(tmp_path: Path) -> None:
    movie, _ = frames("TCZYX")
    blobs = of_tilecore(movie, axes="TCZYX", threshold=0.02)
    with pytest.raises(ParameterError, match=r"filter\(t="):
        blobs.picture()
    blobs.filter(t=(2, 2)).picture(open_source(_saved(tmp_path, movie), axes="TCZYX"), tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_size > 10_000


def _saved(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "v.npy", array)
    return folder / "v.npy"


def test_the_voxel_size_is_that_of_the_axes_that_there_are(tmp_path: Path) -> None:
    plane = textured((40, 30))
    with create_sink(tmp_path / "v.zarr", plane.shape, "f8", axes="ZX", voxel_size_um=SIZE_UM) as sink:
        sink[...] = plane
    assert of_tilecore(open_source(tmp_path / "v.zarr")).voxel_size_um == (3.0, 0.5)


def test_a_mask_of_another_order_is_told_as_it_is_in_its_file() -> None:
    with pytest.raises(ParameterError, match=r"mask=\(14, 30, 44\): along z, y, x .*\(14, 30, 44\); its axes .* XYZ"):
        of_tilecore(moved(textured(SHAPE), "XYZ"), axes="XYZ", mask=np.ones(SHAPE))


@pytest.mark.parametrize("dims", [("z", "y", "x"), ("X", "Z", "C", "Y")])
def test_tiles_are_given_by_the_names_of_axes(dims: tuple[str, ...]) -> None:
    xarray = pytest.importorskip("xarray")
    volume = np.zeros((20, 24, 28), np.float32)
    volume[5, 6, 7] = volume[14, 17, 20] = 1
    whole = xarray.DataArray(volume, dims=("z", "y", "x"))
    for name in "ZYX":
        whole = whole.rename({name.lower(): name}) if name in dims else whole
    source = (whole.expand_dims("C") if "C" in dims else whole).transpose(*dims)
    options: Any = {"min_sigma": 1, "max_sigma": 2, "num_sigma": 2, "threshold": 0.05, "executor": "serial"}
    named = detect_blobs(source, tile_shape={"z": 10, "Y": -1}, **options)
    numbered = detect_blobs(source, tile_shape=(10, 24, None), **options)
    np.testing.assert_array_equal(np.asarray(named), np.asarray(numbered))
    assert len(named) == 2 and set(named["tile_z"]) == {0, 1} and set(named["tile_y"]) == {0}
    with pytest.raises(ParameterError, match="tile_shape='frame': there is no such dimension; there are z, y, x"):
        detect_blobs(source, tile_shape={"frame": 3}, **options)


def test_the_halo_is_given_by_the_names_of_axes() -> None:
    seen: list[tuple[int, ...]] = []

    def detector(block: np.ndarray) -> np.ndarray:
        seen.append(block.shape)
        return np.empty((0, 3))

    detect_blobs(np.zeros((8, 8, 8)), detector=detector, halo={"y": 1}, tile_shape={"z": 4, "y": 4}, executor="serial")
    assert {shape[:2] for shape in seen} == {(4, 5)}
