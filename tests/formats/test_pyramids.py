"""Tests of the levels of a pyramid: their number is right and finite."""

from __future__ import annotations

import json
import math
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tilecore import Box, ParameterError, UnreadableFileError, create_sink, detect_blobs, map_tiles, open_source
from tilecore.formats.pyramids import level_factors, mean_of_voxels


@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ((1, 1000), [(1, 1), (1, 2), (1, 2)]),
        ((1000, 1), [(1, 1), (2, 1), (2, 1)]),
        ((3, 600), [(1, 1), (2, 2), (2, 2)]),
    ],
)
def test_an_axis_of_one_voxel_keeps_no_other_waiting(shape: tuple[int, ...], factors: list[tuple[int, ...]]) -> None:
    assert level_factors(shape, "YX", None) == factors


@given(st.tuples(*[st.integers(1, 10**6)] * 3), st.tuples(*[st.floats(1e-3, 1e3)] * 3))
def test_levels_come_to_an_end(shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]) -> None:
    levels = level_factors(shape, "ZYX", voxel_size_um)
    assert len(levels) <= 1 + sum(math.ceil(math.log2(length)) for length in shape)
    assert all(max(factors) == 2 for factors in levels[1:])


#: Lengths of few and of many voxels, and sizes up to the limits of float64.
LENGTHS, SIZES = st.one_of(st.integers(0, 3), st.integers(0, 10**12)), st.floats(5e-324, 1.7e308)


@given(st.data(), st.integers(2, 5), st.one_of(st.none(), st.tuples(SIZES, SIZES, SIZES)))
def test_levels_of_any_shape_come_to_an_end(
    data: Any, ndim: int, voxel_size_um: tuple[float, float, float] | None
) -> None:
    shape = data.draw(st.tuples(*[LENGTHS] * ndim))
    levels = level_factors(shape, "TCZYX"[-ndim:], voxel_size_um)
    assert len(levels) <= 1 + 3 * 40
    last = shape
    for factors in levels:
        last = tuple([-(-length // factor) for length, factor in zip(last, factors, strict=True)])
    assert max(last[-2:]) <= 256
    assert last[: max(0, ndim - 3)] == shape[: max(0, ndim - 3)]


@pytest.mark.parametrize("shape", [(1, 1000), (1, 1, 1000), (20000, 30), (1000, 1, 1), (3, 20000, 1)])
def test_every_level_of_a_long_image_is_written(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "v.ome.zarr"
    volume = np.arange(math.prod(shape), dtype="u4").reshape(shape)
    with create_sink(path, shape, "u4") as sink:
        sink[...] = volume
    levels = open_source(path).info.levels
    assert max(levels[-1][-2:]) <= 256
    for number, level in enumerate(levels):
        found = open_source(path, level=number)[...]
        assert found.shape == level
        assert found.min() >= volume.min() and found.max() <= volume.max()


DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


@given(st.data(), st.sampled_from(DTYPES), st.tuples(*[st.integers(1, 2)] * 3))
def test_a_mean_is_that_of_exact_numbers(data: Any, dtype: str, factors: tuple[int, ...]) -> None:
    finite = {} if dtype[0] in "?ui" else {"allow_nan": False, "allow_infinity": False}
    block = data.draw(arrays(dtype, st.tuples(*[st.integers(1, 4)] * 3), elements=finite))
    means = mean_of_voxels(block, factors)
    assert means.dtype == block.dtype
    for index in np.ndindex(means.shape):
        voxels = block[tuple([slice(at * step, (at + 1) * step) for at, step in zip(index, factors, strict=True)])]
        exact = sum(map(Fraction, voxels.ravel().tolist()), Fraction(0)) / voxels.size
        if dtype[0] in "?ui":
            assert abs(int(means[index]) - exact) <= Fraction(1, 2)
        else:
            limits = np.finfo(dtype)
            error = 4 * float(limits.eps) * float(abs(voxels).max()) + float(limits.smallest_subnormal)
            assert abs(Fraction(float(means[index])) - exact) <= Fraction(error)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("u8", 2**64 - 1), ("i8", 2**63 - 1), ("i8", -(2**63)), ("u8", 2**53 + 1), ("f8", 1.7e308), ("f4", 3.4e38)],
)
def test_equal_voxels_have_their_own_value_at_each_level(dtype: str, value: float, tmp_path: Path) -> None:
    with create_sink(tmp_path / "v.ome.zarr", (2, 301, 300), dtype) as sink:
        sink[...] = np.full((2, 301, 300), value, dtype)
    level = open_source(tmp_path / "v.ome.zarr", level=1)[...]
    if dtype[0] == "f":
        np.testing.assert_allclose(level, value, rtol=1e-15 if dtype == "f8" else 1e-7)
    else:
        assert np.unique(level).tolist() == [value]


@pytest.mark.parametrize("shape", [(1, 1000), (1, 1, 1000)])
def test_a_single_line_is_written_with_its_levels(shape: tuple[int, ...], tmp_path: Path) -> None:
    line = np.arange(1000, dtype="u2").reshape(shape)
    path = tmp_path / "line.ome.zarr"
    map_tiles(np.copy, line, out=path, executor="serial", tile_shape=shape)
    levels = [open_source(path, level=level) for level in range(3)]
    assert [level.shape[-1] for level in levels] == [1000, 500, 250]
    np.testing.assert_array_equal(levels[0][(slice(None),) * len(shape)], line)


def test_a_level_tells_where_its_first_voxel_lies(tmp_path: Path) -> None:
    path, size = tmp_path / "v.ome.zarr", (2.0, 0.5, 0.5)
    with create_sink(path, (4, 600, 520), "u1", axes="ZYX", voxel_size_um=size) as sink:
        sink[...] = np.zeros((4, 600, 520), "u1")
    assert open_source(path).origin_um == (0, 0, 0)
    assert open_source(path, level=1).origin_um == (0, 0.25, 0.25)
    assert open_source(path, level=2).origin_um == (0, 0.75, 0.75)
    part = open_source(path, level=1).cropped(Box((1, 10, 20), (3, 30, 30)))
    assert part.origin_um == (2, 10.25, 20.25)
    assert part.cropped(Box((1, 2, 0), (2, 3, 3))).origin_um == (4, 12.25, 20.25)
    assert pickle.loads(pickle.dumps(part)).origin_um == part.origin_um


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_translations_of_an_image_and_of_a_level_are_added(version: str, tmp_path: Path) -> None:
    path, name = tmp_path / "v.ome.zarr", "zarr.json" if version == "0.5" else ".zattrs"
    options: dict[str, Any] = {"axes": "CYX", "voxel_size_um": (1, 0.5, 0.5), "ome_zarr_version": version}
    with create_sink(path, (2, 600, 600), "u1", **options) as sink:
        sink[...] = np.zeros((2, 600, 600), "u1")
    document = json.loads((path / name).read_text())
    multiscale = (document["attributes"]["ome"] if version == "0.5" else document)["multiscales"][0]
    multiscale["coordinateTransformations"] = [
        {"type": "scale", "scale": [1, 2, 2]},
        {"type": "translation", "translation": [0, -100, 3000]},
    ]
    for axis in multiscale["axes"][1:]:
        axis["unit"] = "nanometer"
    (path / name).write_text(json.dumps(document))
    source = open_source(path, level=1, channel=1)
    assert source.voxel_size_um == pytest.approx((1, 0.002, 0.002))
    assert source.origin_um == pytest.approx((0, -0.1 + 0.0005, 3 + 0.0005))
    multiscale["coordinateTransformations"][1]["translation"] = [0, math.nan, 0]
    (path / name).write_text(json.dumps(document))
    with pytest.raises(UnreadableFileError, match="translation"):
        open_source(path)


def test_levels_of_n5_and_tiff_tell_their_size_and_where_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "v.n5"
    path.mkdir()
    group: dict[str, Any] = {"pixelResolution": {"unit": "nm", "dimensions": [500, 500, 2000]}}
    (path / "attributes.json").write_text(json.dumps(group))
    array = {"dimensions": [8, 8, 2], "blockSize": [8, 8, 2], "dataType": "uint8", "compression": {"type": "raw"}}
    for level in range(3):
        (path / f"s{level}").mkdir()
        factors = {"downsamplingFactors": [4, 4, 1]} if level == 2 else {}
        (path / f"s{level}" / "attributes.json").write_text(json.dumps(array | factors))
    assert open_source(path).voxel_size_um == (2, 0.5, 0.5)
    assert open_source(path, level=1).voxel_size_um is None  # the group's size is that of the finest level
    coarse = open_source(path, level=2)
    assert (coarse.voxel_size_um, coarse.origin_um) == ((2, 2, 2), (0, 0.75, 0.75))
    (path / "attributes.json").write_text(json.dumps(group | {"scales": [[1, 1, 1], [2, 2, 1]]}))
    middle = open_source(path, level=1)
    assert (middle.voxel_size_um, middle.origin_um) == ((2, 1, 1), (0, 0.25, 0.25))
    plane = np.zeros((64, 64), "u1")
    with tifffile.TiffWriter(tmp_path / "v.ome.tif", ome=True) as tif:
        size = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        tif.write(plane, subifds=1, metadata=size)
        tif.write(plane[::2, ::2], subfiletype=1)
    assert open_source(tmp_path / "v.ome.tif", level=1).origin_um == (0, 0.25, 0.25)


def test_blobs_of_each_level_and_part_lie_at_the_same_micrometres(tmp_path: Path) -> None:
    centre = (40, 301, 163)
    distance = sum(((at - middle) / 6) ** 2 for at, middle in zip(np.ogrid[:80, :600, :300], centre, strict=True))
    volume = (200 * np.exp(-distance / 2)).astype("u1")
    path = tmp_path / "v.ome.zarr"
    with create_sink(path, volume.shape, "u1", axes="ZYX", voxel_size_um=(1, 1, 1)) as sink:
        sink[...] = volume
    run: dict[str, Any] = {"diameter_um": (18, 24), "threshold": 0.05, "num_sigma": 3, "executor": "serial"}
    fine = detect_blobs(open_source(path), **run)
    coarse = detect_blobs(open_source(path, level=1), **run)
    part = detect_blobs(open_source(path).cropped(Box((10, 250, 100), (70, 350, 220))), **run)
    assert len(fine) == len(coarse) == len(part) == 1
    np.testing.assert_allclose(fine.positions_um, [centre])
    assert abs(coarse.positions_um - centre).max() <= 0.5  # a whole voxel is 2 um
    np.testing.assert_array_equal(part.positions_um, fine.positions_um)
    assert len(part.match(fine, 0).pairs) == 1
    both = detect_blobs(open_source(path).cropped(Box((10, 250, 100), (70, 350, 220))), voxel_size_um=1, **run)
    np.testing.assert_array_equal(both.positions_um, both.positions)  # a size of the caller's own tells no place


@pytest.mark.parametrize("name", ["v.ome.zarr", "v.zarr", "v.h5"])
def test_outputs_keep_where_the_first_voxel_lies(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"axes": "ZYX", "voxel_size_um": (2, 0.5, 0.5), "origin_um": (-10, 0, 1234.5)}
    with create_sink(tmp_path / f"in-{name}", (4, 600, 520), "u1", **options) as sink:
        sink[...] = np.zeros((4, 600, 520), "u1")
    source = open_source(tmp_path / f"in-{name}")
    assert source.origin_um == (-10, 0, 1234.5)
    part = source.cropped(Box((1, 10, 20), (3, 50, 60)))
    assert map_tiles(np.copy, part, out=tmp_path / name, executor="serial").origin_um == (-8, 5, 1244.5)  # type: ignore[attr-defined]
    half = map_tiles(
        lambda block: block[:, ::2, ::2], part, out=tmp_path / f"half-{name}", scale=(1, 0.5, 0.5), executor="serial"
    )
    assert half.origin_um == (-8, 5.25, 1244.75)  # type: ignore[attr-defined]
    with pytest.raises(ParameterError, match="origin_um"):
        create_sink(tmp_path / f"b-{name}", (2, 2), "u1", origin_um=(1, 2, 3))
    with pytest.raises(ParameterError, match="origin_um"):
        create_sink(tmp_path / f"b-{name}", (2, 2), "u1", voxel_size_um=(1, 1, 1), origin_um=(1, math.nan, 3))
