"""Tests of the table of blobs and of its files."""

from __future__ import annotations

import json
import pickle
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.blobs.volumes import of_tilecore, textured
from tilecore import (
    Blobs,
    Box,
    MissingDependencyError,
    MissingFileError,
    ParameterError,
    UnreadableFileError,
    colocalize,
    create_sink,
    open_source,
    read_blobs,
    write_blobs,
)
from tilecore.blobs.matching import usual_tolerance

WRITTEN = [
    ("csv", "to_csv"),
    ("parquet", "to_parquet"),
    ("npy", "to_npy"),
    ("csv", "to_napari"),
    ("xml", "to_cellfinder_xml"),
    ("geojson", "to_geojson"),
]


def some(n_blobs: int, ndim: int = 3, per_axis: bool = False, **options: Any) -> Blobs:
    numbers = np.random.default_rng(n_blobs)
    axes = "zyx"[-ndim:]
    columns: dict[str, Any] = {axis: numbers.integers(0, 50, n_blobs) for axis in axes}
    columns |= {f"sigma_{axis}" if per_axis else "sigma": numbers.uniform(1, 3, n_blobs) for axis in axes}
    columns |= {"response": numbers.random(n_blobs), "channel": numbers.integers(0, 3, n_blobs)}
    return Blobs(columns | {f"tile_{axis}": numbers.integers(0, 3, n_blobs) for axis in axes}, **options)


@pytest.mark.parametrize("n_blobs", [0, 1, 40])
@pytest.mark.parametrize(("suffix", "method"), WRITTEN)
def test_files_give_back_what_was_written(tmp_path: Path, suffix: str, method: str, n_blobs: int) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"blobs.{suffix}"
    for ndim, per_axis, size in product((2, 3), (False, True), (None, (0.7, 0.31, 0.29))):
        blobs = some(n_blobs, ndim, per_axis, voxel_size_um=None if size is None else size[-ndim:])
        getattr(blobs, method)(path)
        read = read_blobs(path)
        assert list(tmp_path.iterdir()) == [path]
        if suffix == "xml":  # holds positions, of three axes, and that they are cells
            assert read.positions[:, -ndim:].tolist() == blobs.positions.tolist()
            assert read["type"].tolist() == [2] * n_blobs
            continue
        assert read == blobs
        assert read.table.dtype == blobs.table.dtype
        assert read_blobs(path, voxel_size_um=2).voxel_size_um == (2.0,) * ndim
        if n_blobs == 40:
            assert read.voxel_size_um == blobs.voxel_size_um
            assert read.origin_um == (None if size is None else (0.0,) * ndim)


@pytest.mark.parametrize("suffix", ["csv", "npy", "geojson"])
@pytest.mark.parametrize("origin", [(1000.25, -7.5, 0.15), (0, 2.6, 0)])
def test_a_file_tells_where_the_volume_begins(tmp_path: Path, suffix: str, origin: tuple[float, ...]) -> None:
    blobs = some(30, voxel_size_um=(2, 0.5, 0.3), origin_um=origin)
    np.testing.assert_allclose(blobs["y_um"], blobs["y"] * 0.5 + origin[1])
    np.testing.assert_array_equal(
        blobs.filter(z=(10, None)).positions_um[:, 0], [z for z in blobs["z_um"] if z >= 20 + origin[0]]
    )
    write_blobs(blobs, tmp_path / f"b.{suffix}")
    read = read_blobs(tmp_path / f"b.{suffix}")
    assert read.voxel_size_um == pytest.approx((2, 0.5, 0.3), rel=1e-9)
    assert read.origin_um == pytest.approx(origin, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(read.positions_um, blobs.positions_um, rtol=1e-9)


def test_one_blob_tells_its_size_only_if_the_volume_begins_at_zero(tmp_path: Path) -> None:
    for origin, expected in (((0, 0, 0), (2, 0.5, 0.3)), ((1, 0, 0), None)):
        one = Blobs({"z": [3], "y": [4], "x": [5], "sigma": [2]}, voxel_size_um=(2, 0.5, 0.3), origin_um=origin)
        write_blobs(one, tmp_path / "b.csv")
        assert read_blobs(tmp_path / "b.csv").voxel_size_um == expected


def test_tables_are_matched_by_micrometres_only_if_both_tell_where_they_begin() -> None:
    whole = Blobs({"z": [10], "y": [10], "x": [10]}, voxel_size_um=(2, 1, 1), origin_um=(0, 0, 0))
    part = Blobs({"z": [3], "y": [10], "x": [10]}, voxel_size_um=(2, 1, 1), origin_um=(14, 0, 0))
    by_hand = Blobs({"z": [3], "y": [10], "x": [10]}, voxel_size_um=(2, 1, 1))
    assert len(whole.match(part, 0).pairs) == len(part.match(by_hand, 0).pairs) == 1
    assert len(whole.match(by_hand, 1).pairs) == 0
    np.testing.assert_array_equal(part.density(5).sum(), by_hand.density(5).sum())
    with pytest.raises(ParameterError, match="origin_um"):
        Blobs({"z": [3], "y": [10], "x": [10]}, voxel_size_um=1, origin_um=(1, 2))


def test_what_was_detected_goes_round(tmp_path: Path) -> None:
    blobs = of_tilecore(textured((12, 30, 32)), voxel_size_um=(2, 0.5, 0.5), tile_shape=13)
    for suffix in ("csv", "npy", "geojson"):
        write_blobs(blobs, tmp_path / f"blobs.{suffix}")
        read = read_blobs(tmp_path / f"blobs.{suffix}")
        assert read == blobs
        assert read["z_um"].tolist() == blobs["z_um"].tolist()
        assert read.counts_per_tile() == blobs.counts_per_tile()


def test_files_are_what_others_read(tmp_path: Path) -> None:
    blobs = Blobs({"z": [1], "y": [2], "x": [3], "sigma": [2]}, voxel_size_um=0.5)
    blobs.to_csv(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "z_um,y_um,x_um,radius_um,z,y,x,sigma,radius,channel"
    blobs.to_napari(tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text().startswith("index,axis-0,axis-1,axis-2,z_um,y_um,")
    blobs.to_cellfinder_xml(tmp_path / "c.xml")
    (marker,) = ET.parse(tmp_path / "c.xml").getroot().iter("Marker")
    assert {each.tag: each.text for each in marker} == {"MarkerX": "3", "MarkerY": "2", "MarkerZ": "1"}
    blobs.to_geojson(tmp_path / "d.geojson")
    (feature,) = json.loads((tmp_path / "d.geojson").read_text())["features"]
    assert feature["geometry"] == {"type": "Point", "coordinates": [3.0, 2.0, 1.0]}
    assert feature["properties"]["sigma"] == 2


def test_columns_of_any_name_come_back(tmp_path: Path) -> None:
    """Also those that napari's files have, and those with characters that mean something in a CSV file."""
    names = ["index", "axis-0", "axis-3", "a,b", 'a"b', " a ", "a b", "#", "type", "axis-1 ", "a\nb"]
    for ndim in (2, 3):
        axes = {axis: np.arange(4.0) for axis in "zyx"[-ndim:]}
        numbers = {name: np.arange(4) + 10.0 * number for number, name in enumerate(names)}
        blobs = Blobs(axes | numbers, voxel_size_um=(0.5,) * ndim)
        for method, suffix in (("to_csv", "csv"), ("to_napari", "csv"), ("to_npy", "npy"), ("to_geojson", "geojson")):
            getattr(blobs, method)(tmp_path / f"blobs.{suffix}")
            read = read_blobs(tmp_path / f"blobs.{suffix}")
            assert read == blobs, method
            assert read.voxel_size_um == blobs.voxel_size_um


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("index,axis-0,axis-1,axis-2,class\n0,1.0,2.0,3.0,7\n", {"z": [1], "y": [2], "x": [3], "class": [7]}),
        ("index,axis-0,axis-1\n0,1.0,2.0\n", {"y": [1], "x": [2]}),
        ("axis-0,axis-1,index\n1.0,2.0,5\n", {"y": [1], "x": [2], "index": [5]}),
        ("z, y, x, index\n1,2,3,4\n", {"z": [1], "y": [2], "x": [3], "index": [4]}),
        ("index,y,x\n4,2,3\n", {"y": [2], "x": [3], "index": [4]}),
    ],
)
def test_csv_files_of_others(tmp_path: Path, content: str, expected: Any) -> None:
    (tmp_path / "a.csv").write_text(content)
    assert read_blobs(tmp_path / "a.csv") == Blobs(expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("index,axis-0,axis-1,axis-2,axis-3\n0,1,2,3,4\n", "4 axes"),
        ("index,axis-0,axis-1,x\n0,1,2,3\n", "same name"),
        ("z,y,x,x\n1,2,3,4\n", "same name"),
    ],
)
def test_csv_files_that_could_be_misread(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UnreadableFileError, match=message):
        read_blobs(tmp_path / "a.csv")


def test_every_type_of_marker_is_read(tmp_path: Path) -> None:
    """Cellfinder's detection writes candidates, of type 1; its classification cells, of type 2."""
    blobs = Blobs({"z": [1, 2, 3], "y": [4, 5, 6], "x": [7, 8, 9], "type": [1, 2, 5]})
    blobs.to_cellfinder_xml(tmp_path / "a.xml")
    kinds = ET.parse(tmp_path / "a.xml").getroot().iter("Marker_Type")
    assert [(kind.findtext("Type"), len(kind.findall("Marker"))) for kind in kinds] == [("1", 1), ("2", 1), ("5", 1)]
    assert read_blobs(tmp_path / "a.xml") == blobs
    with pytest.raises(ParameterError, match="whole numbers"):
        Blobs({"y": [1], "x": [1], "type": [0.5]}).to_cellfinder_xml(tmp_path / "b.xml")
    assert not (tmp_path / "b.xml").exists()


def test_arrays_as_scikit_image_gives_them(tmp_path: Path) -> None:
    rows = np.array([[1.0, 2, 3, 1.5], [4, 5, 6, 2]])
    np.save(tmp_path / "a.npy", rows)
    assert read_blobs(tmp_path / "a.npy") == Blobs.of(rows)
    assert np.asarray(Blobs.of(rows)).tolist() == rows.tolist()
    assert Blobs.of(np.ones((2, 3))).ndim == Blobs.of(np.ones((2, 4)), ndim=2).ndim == 2
    assert Blobs.of(np.ones((1, 6)))["radius"].tolist() == [pytest.approx(np.sqrt(3))]
    with pytest.raises(ParameterError, match="array"):
        Blobs.of(np.ones((2, 5)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"z,y,x\n1,2\n"),
        ("a.csv", b"a,b\n1,2\n"),
        ("a.csv", b"z,y,x\n1,2,three\n"),
        ("a.csv", b""),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.npy", b"not an array"),
        ("a.parquet", b"PAR1 or not"),
        ("a.xml", b"<cells>"),
        ("a.xml", b"<cells></cells>"),
        ("a.geojson", b"{"),
        ("a.geojson", b"[]"),
        ("a.geojson", b'{"features": [{"geometry": null}]}'),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, content: bytes) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=name):
        read_blobs(path)


def test_unknown_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="nowhere"):
        read_blobs(tmp_path / "nowhere.csv")
    (tmp_path / "blobs.xlsx").touch()
    with pytest.raises(ParameterError, match=r"\.geojson"):
        read_blobs(tmp_path / "blobs.xlsx")
    with pytest.raises(ParameterError, match=r"\.geojson"):
        write_blobs(some(1), tmp_path / "blobs.txt")


def test_a_notebook_shows_the_first_rows() -> None:
    shown = some(12, voxel_size_um=0.5)._repr_html_()
    assert shown.count("<tr>") == 1 + 10
    assert "&lt;12 blobs" in shown
    assert shown.index("<th>z_um</th>") < shown.index("<th>z</th>")
    assert "and 2 more" in shown
    assert "more" not in some(0)._repr_html_()
    assert "<b>" not in Blobs({"y": [1], "x": [1], "<b>": [1]})._repr_html_()


def test_pandas_gets_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=dict))  # type: ignore[arg-type]
    blobs = some(12, voxel_size_um=(2, 1, 1))
    frame = blobs.to_pandas()
    assert tuple(frame) == blobs.columns
    assert frame["z_um"].tolist() == (2 * blobs["z"]).tolist()
    monkeypatch.setitem(sys.modules, "pandas", None)  # type: ignore[arg-type]
    with pytest.raises(MissingDependencyError, match="pip install pandas"):
        blobs.to_pandas()


def test_pandas_itself_takes_them() -> None:
    pytest.importorskip("pandas")
    frame = some(5, voxel_size_um=2).to_pandas()
    assert len(frame) == 5
    assert next(iter(frame.columns)) == "z_um"


@given(n_blobs=st.integers(0, 30), seed=st.integers(0, 99))
def test_rows_are_sorted_whatever_their_order(n_blobs: int, seed: int) -> None:
    blobs = some(n_blobs)
    order = np.random.default_rng(seed).permutation(n_blobs)
    shuffled = Blobs({name: blobs[name][order] for name in blobs.columns})
    assert shuffled == blobs
    assert pickle.loads(pickle.dumps(blobs)) == blobs
    places = list(zip(*[blobs[axis].tolist() for axis in "zyx"], strict=True))
    assert places == sorted(places)


def test_equality_is_about_what_was_found() -> None:
    blobs = some(20)
    moved = Blobs({name: blobs[name] for name in blobs.columns} | {"tile_z": np.zeros(20, int)})
    assert blobs == moved
    assert blobs != blobs[1:]
    assert blobs != Blobs({name: blobs[name] for name in blobs.columns} | {"response": np.zeros(20)})
    assert blobs != "blobs"


def test_filter_box_and_counts() -> None:
    blobs = some(40, voxel_size_um=(2, 1, 1), shape=(50, 50, 50))
    kept = blobs.filter(z_um=(20, 60), response=(0.5, None))
    assert len(kept) == int(((blobs["z"] >= 10) & (blobs["z"] <= 30) & (blobs["response"] >= 0.5)).sum())
    assert kept.voxel_size_um == blobs.voxel_size_um
    box = Box((0, 10, 0), (25, 50, 50))
    assert blobs.in_box(box) == blobs.in_box((box.start, box.stop)) == blobs.filter(z=(0, 24), y=(10, None))
    assert sum(blobs.counts_per_tile().values()) == 40
    with pytest.raises(ParameterError, match="the columns are z_um, y_um, x_um, radius_um, z, y, x"):
        blobs.filter(size=(1, 2))
    with pytest.raises(ParameterError, match="tiles"):
        Blobs.of(np.ones((1, 4))).counts_per_tile()


def test_density() -> None:
    blobs = Blobs({"z": [0, 0, 9], "y": [0, 1, 9], "x": [0, 2, 4]}, voxel_size_um=(1, 1, 2), shape=(10, 10, 5))
    density = blobs.density(4.0)
    assert density.shape == (3, 3, 3)
    assert density[0, 0, 0] == pytest.approx(1 / 64)
    assert density[2, 2, 2] == pytest.approx(1 / 8)
    assert Blobs.of(np.empty((0, 4))).density(5).tolist() == [[[0.0]]]
    with pytest.raises(ParameterError, match="bin_um"):
        blobs.density(0)


@pytest.mark.parametrize("n_cubes", [1, 3, 7, 23])
@pytest.mark.parametrize("size", [0.1, 0.29, 0.7, 1.0, 1.3])
@pytest.mark.parametrize("n_voxels", [1, 3])
def test_density_counts_each_blob_in_its_cube(n_cubes: int, size: float, n_voxels: int) -> None:
    """Cubes of whole voxels: rounding neither adds a cube without volume, nor moves a blob to its neighbour."""
    length = n_cubes * n_voxels
    places = np.arange(length)
    blobs = Blobs({"y": np.zeros(length), "x": places}, voxel_size_um=size, shape=(n_voxels, length))
    density = blobs.density(size * n_voxels)
    assert density.shape == (1, n_cubes)
    np.testing.assert_allclose(density, n_voxels / (size * n_voxels) ** 2)


def test_density_counts_blobs_at_the_edges_and_leaves_out_those_outside() -> None:
    blobs = Blobs({"y": [-0.4, 3.4, 9, -3], "x": [0, 3.4, 0, 0]}, shape=(4, 4))
    assert blobs.density(2).tolist() == [[0.25, 0], [0, 0.25]]
    assert np.isfinite(Blobs({"y": [1], "x": [1]}, shape=(0, 4)).density(2)).all()


def test_two_channels() -> None:
    volume = textured((12, 30, 32))
    both = np.stack([volume, np.roll(volume, 1, axis=1)], axis=-1)
    blobs = of_tilecore(both, tile_shape=14)
    first, second = (blobs.filter(channel=(number, number)) for number in (0, 1))
    assert first == of_tilecore(volume) == of_tilecore(both, channel=0)
    assert len(second) > 0
    pairs = colocalize(first, second, tolerance_um=1.0)
    assert len(pairs) > 0.7 * len(first)


def test_times_and_channels_of_a_file(tmp_path: Path) -> None:
    volume = textured((12, 30, 32)).astype("f4")
    frames = np.stack([np.stack([np.roll(volume, time + 2 * channel, 1) for channel in (0, 1)]) for time in (0, 1)])
    with create_sink(tmp_path / "v.ome.zarr", frames.shape, "f4", axes="TCZYX", channel_names=["red", "green"]) as sink:
        sink[...] = frames
    source = open_source(tmp_path / "v.ome.zarr")
    both = of_tilecore(source, time=1)
    opened = open_source(tmp_path / "v.ome.zarr", channel="green", time=1)
    assert of_tilecore(opened) == of_tilecore(opened, channel=1) == both.filter(channel=(1, 1))
    with pytest.raises(ParameterError, match="channel=0.*no channels but 1"):
        of_tilecore(opened, channel=0)
    for number, name in enumerate(["red", "green"]):
        expected = of_tilecore(frames[1, number])
        assert len(expected) > 0
        assert np.array_equal(both.filter(channel=(number, number)), expected)
        assert np.array_equal(of_tilecore(source, time=1, channel=name), expected)
    for options, message in [
        ({"time": 2}, "time=2"),
        ({"time": 0, "channel": "blue"}, "'blue'.*red"),
        ({"time": 0, "channel": 2}, "channel=2"),
    ]:
        with pytest.raises(ParameterError, match=message):
            of_tilecore(source, **options)
    with pytest.raises(ParameterError, match="no times"):
        of_tilecore(volume, time=1)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"z": [1], "x": [1]}, "'y'"),
        ({"z": [1], "y": [1], "x": [1, 2]}, "one value for each"),
        ({"z": [1], "y": [1], "x": ["a"]}, "numbers"),
        ({"z": [[1]], "y": [[1]], "x": [[1]]}, "one value for each"),
        ({"z": [1], "y": [1], "x": [1], "z_um": [2]}, "z_um is computed: leave it out, and pass voxel_size_um"),
    ],
)
def test_columns_that_make_no_table(columns: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Blobs(columns)


@pytest.mark.parametrize("size", [0, -1, (1, 2), (1, 2, float("nan"))])
def test_voxel_sizes_that_are_none(size: Any) -> None:
    with pytest.raises(ParameterError, match="voxel_size_um"):
        some(2, voxel_size_um=size)


def test_the_usual_tolerance_is_in_the_unit_of_the_distances() -> None:
    plain = some(12)
    large = Blobs(plain.moved(plain.positions + 0.5).table, voxel_size_um=10)
    for first, second in [(plain, large), (large, plain), (large, large)]:
        assert usual_tolerance(first, second) == pytest.approx(10 * np.median(plain["radius"]))
    assert usual_tolerance(plain, plain) == np.median(plain["radius"])


def test_blobs_of_different_channels_are_no_pair_where_both_tables_have_several() -> None:
    columns = {"z": [1, 1], "y": [1, 1], "x": [1, 1]}
    blobs, turned = Blobs(columns | {"channel": [0, 1]}), Blobs(columns | {"channel": [1, 0]})
    assert blobs.match(turned, 1).pairs.tolist() == [[0, 0], [1, 1]]
    assert blobs.match(Blobs(columns | {"channel": [0, 2]}), 1).pairs.tolist() == [[0, 0]]
    first, second = (blobs.filter(channel=(number, number)) for number in (0, 1))
    assert len(colocalize(first, second, 1)) == 1


@pytest.mark.parametrize("suffix", ["csv", "npy", "geojson"])
def test_a_table_matches_itself_after_it_was_written(tmp_path: Path, suffix: str) -> None:
    blobs = Blobs(some(30).table, voxel_size_um=(1, 1 / 3, 1 / 7))
    write_blobs(blobs, tmp_path / f"b.{suffix}")
    assert blobs.match(read_blobs(tmp_path / f"b.{suffix}"), 1).f1 == 1


def test_what_spreadsheets_and_pandas_write_is_read(tmp_path: Path) -> None:
    (tmp_path / "marked.csv").write_text("\ufeffz,y,x\n1,2,3\n", encoding="utf-8")
    (tmp_path / "numbered.csv").write_text(",z,y,x\n0,1,2,3\n")
    for name in ("marked.csv", "numbered.csv"):
        assert read_blobs(tmp_path / name).positions.tolist() == [[1, 2, 3]]
    (tmp_path / "other.csv").write_text("Z,Y,X\n1,2,3\n")
    with pytest.raises(UnreadableFileError, match="a column 'y' is needed"):
        read_blobs(tmp_path / "other.csv")


def test_micrometres_that_do_not_fit_tell_no_voxel_size(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("z,y,x,z_um,y_um,x_um\n0,1,1,0,3.33,1\n1,2,5,1,900,5\n2,3,7,2,10,7\n")
    assert read_blobs(tmp_path / "b.csv").voxel_size_um is None
    (tmp_path / "falling.csv").write_text("z,y,x,z_um,y_um,x_um\n1,1,1,9,1,1\n2,2,2,8,2,2\n")
    assert read_blobs(tmp_path / "falling.csv").voxel_size_um is None


def test_blobs_of_one_plane_keep_their_voxel_size(tmp_path: Path) -> None:
    columns = {"z": [0, 0, 0], "y": [1, 5, 9], "x": [2, 8, 4], "sigma": [1, 2, 3]}
    blobs = Blobs(columns, voxel_size_um=(2, 0.5, 0.25), origin_um=(7, 0, 1))
    write_blobs(blobs, tmp_path / "b.csv")
    found = read_blobs(tmp_path / "b.csv")
    assert found.voxel_size_um == pytest.approx((2, 0.5, 0.25))
    assert found.origin_um == pytest.approx((7, 0, 1))


@pytest.mark.parametrize(("tolerance", "places"), [("a", [1.0]), (1.0, [np.nan]), (1.0, [np.inf])])
def test_tables_that_cannot_be_matched(tolerance: Any, places: list[float]) -> None:
    blobs = Blobs({"z": places, "y": places, "x": places})
    with pytest.raises(ParameterError, match="number"):
        blobs.match(blobs, tolerance)
