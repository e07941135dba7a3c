"""Tests of ``tilecore view`` on images: what is drawn, at which level, with which points; and what is a recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from tests.cli.commands import one_line_of, run
from tests.recordings.files import made, write
from tilecore import Blobs, create_sink, open_source
from tilecore.cli import view
from tilecore.formats import pyramids
from tilecore.pictures import points

pytest.importorskip("matplotlib")

VOLUME = np.random.default_rng(0).integers(0, 1000, (8, 32, 48)).astype(np.uint16)
ORANGE = (255, 176, 0)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Drawn:
    """What `draw_blobs` was called with."""

    def __init__(self) -> None:
        self.volumes: list[npt.NDArray[Any]] = []
        self.points: Any = None
        self.voxel: Any = None

    def __call__(self, volumes: Mapping[int, Any], blobs: Any, path: Path, *, drawn_voxel: Any) -> None:
        self.volumes, self.points, self.voxel = [np.array(each[...]) for each in volumes.values()], blobs, drawn_voxel
        path.write_bytes(b"picture")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    drawn = Drawn()
    monkeypatch.setattr(points, "draw_blobs", drawn)
    return drawn


def pyramid(path: str = "v.ome.zarr", **options: Any) -> None:
    given = {"axes": "ZYX", "voxel_size_um": (2, 0.5, 0.5), **options}
    with create_sink(path, VOLUME.shape, "u2", **given) as sink:
        sink[...] = VOLUME


@pytest.mark.parametrize("name", ["v.npy", "v.tif", "flat.tif", "colours.tif", "v.ome.zarr"])
def test_a_picture_of_any_image(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "v.npy":
        np.save(name, VOLUME)
    elif name == "v.ome.zarr":
        pyramid()
    else:
        data = {"v.tif": VOLUME, "flat.tif": VOLUME[0]}.get(name)
        colours = np.random.default_rng(1).integers(0, 255, (20, 30, 3)).astype(np.uint8)
        tifffile.imwrite(name, colours if data is None else data, photometric="rgb" if data is None else "minisblack")
    assert run("view", name, "-o", "p.png") == 0
    assert capsys.readouterr() == ("p.png\n", "")
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")


def test_points_lie_over_the_picture() -> None:
    from matplotlib.image import imread

    np.save("v.npy", VOLUME)
    Path("points.csv").write_text("z,y,x\n4,16,24\n")
    assert run("view", "v.npy", "-o", "p.png", "--points", "points.csv") == 0
    picture = np.rint(imread("p.png")[:, :, :3] * 255).astype(int)
    assert (picture == ORANGE).all(axis=2).any()


def test_a_coarser_level_where_the_finest_is_too_large(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pyramids, "_SMALLEST_LENGTH", 16)
    pyramid(chunks=(4, 8, 8))
    levels = open_source("v.ome.zarr").info.levels
    assert len(levels) > 1
    Blobs({"z": [4.0], "y": [15.5], "x": [7.5], "sigma": [2.0]}).to_csv("points.csv")
    monkeypatch.setattr(view, "_MOST_BYTES", VOLUME.nbytes - 1)
    assert run("view", "v.ome.zarr", "-o", "p.png", "--points", "points.csv") == 0
    coarse = open_source("v.ome.zarr", level=1)
    np.testing.assert_array_equal(drawn.volumes[0], coarse[...])
    assert f"level 1 of {len(levels)}" in capsys.readouterr().err
    factors = np.array(VOLUME.shape) / coarse.shape
    np.testing.assert_allclose(drawn.points.positions, [(np.array([4.0, 15.5, 7.5]) + 0.5) / factors - 0.5])
    np.testing.assert_allclose(drawn.points.sigmas, [2 / factors])
    assert drawn.points.voxel_size_um == coarse.voxel_size_um
    assert run("view", "v.ome.zarr", "-o", "p.png", "--overwrite", "--level", 0) == 0


def test_some_voxels_where_there_is_no_coarser_level(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("v.npy", VOLUME)
    Path("points.csv").write_text("z,y,x\n4,16,24\n")
    monkeypatch.setattr(view, "_MOST_BYTES", VOLUME.nbytes // 4)
    assert run("view", "v.npy", "-o", "p.png", "--points", "points.csv") == 0
    np.testing.assert_array_equal(drawn.volumes[0], VOLUME[:, ::2, ::2])
    assert drawn.voxel == [1, 2, 2]
    np.testing.assert_allclose(drawn.points.positions, [[4, 8, 12]])
    assert capsys.readouterr().err == "tilecore view: drawn is one voxel of 1 x 2 x 2\n"


def test_times_and_channels(drawn: Drawn, capsys: pytest.CaptureFixture[str]) -> None:
    with create_sink("v.ome.tif", (3, 2, *VOLUME.shape), "u2", axes="TCZYX", channel_names=("a", "b")) as sink:
        for time in range(3):
            sink[time, 0], sink[time, 1] = VOLUME + time, VOLUME[::-1] + time
    assert run("view", "v.ome.tif", "-o", "p.png") == 0
    assert capsys.readouterr().err == "tilecore view: drawn is time point 0 of 3\n"
    np.testing.assert_array_equal(drawn.volumes, [VOLUME, VOLUME[::-1]])
    assert run("view", "v.ome.tif", "-o", "p.png", "--overwrite", "--time", 2, "--channel", "b") == 0
    np.testing.assert_array_equal(drawn.volumes, [VOLUME[::-1] + 2])
    assert capsys.readouterr().err == ""


def test_raw_numbers_are_an_image_if_they_have_a_shape(drawn: Drawn) -> None:
    VOLUME.tofile("v.raw")
    assert run("view", "v.raw", "--shape", "8,32,48", "--dtype", "u2", "-o", "p.png") == 0
    np.testing.assert_array_equal(drawn.volumes, [VOLUME])


def test_a_described_recording_is_a_recording(drawn: Drawn) -> None:
    write(Path("raw.bin"), made(1000, 4))
    Path("raw.yaml").write_text("dtype: int16\nn_channels: 4\ndata_order: samples\n")
    assert run("view", "raw.bin", "-o", "p.png") == 0
    assert drawn.points is None
    np.save("rec.npy", made(1000, 4))
    assert run("view", "rec.npy", "--rate", 1000, "-o", "q.png") == 0
    assert drawn.points is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.tif"], ["nowhere.tif"]),
        (["v.npy", "--points", "nowhere.csv"], ["--points 'nowhere.csv'", "no such file"]),
        (["v.npy", "--points", "flat.csv"], ["points", "2 axes", "3"]),
        (["v.npy", "--rate", "3", "--level", "1"], ["level", "rate"]),
        (["v.npy", "--level", "1"], ["level"]),
        (["v.npy", "--channel", "1"], ["channel"]),
        (["empty.npy"], ["no voxels"]),
        (["complex.npy"], ["complex128", "numpy.abs"]),
        (["v.npy", "-o", "v.npy"], ["v.npy"]),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], arguments: list[Any], words: list[str]) -> None:
    np.save("v.npy", VOLUME)
    np.save("empty.npy", VOLUME[:0])
    np.save("complex.npy", VOLUME.astype(complex))
    Path("flat.csv").write_text("y,x\n16,24\n")
    before = sorted(Path().iterdir())
    output = [] if "-o" in arguments else ["-o", "p.png"]
    one_line_of(capsys, run("view", *arguments, *output), *words)
    assert sorted(Path().iterdir()) == before


def test_points_of_the_whole_image_over_a_part_of_it(drawn: Drawn, capsys: pytest.CaptureFixture[str]) -> None:
    """They are moved as far as the part begins, and those outside of it are left out."""
    whole = {"z": [4.0, 4.0, 4.0], "y": [15.0, 15.0, 2.0], "x": [20.0, 47.0, 20.0], "sigma": [2.0, 2.0, 2.0]}
    Blobs(whole, voxel_size_um=(2, 0.5, 0.5), origin_um=(0, 0, 0)).to_csv("points.csv")
    with create_sink(
        "part.h5", (8, 20, 30), "u2", axes="ZYX", voxel_size_um=(2, 0.5, 0.5), origin_um=(0, 5, 5)
    ) as sink:
        sink[...] = VOLUME[:, 10:30, 10:40]
    assert run("view", "part.h5", "-o", "p.png", "--points", "points.csv") == 0
    np.testing.assert_allclose(drawn.points.positions, [[4, 5, 10]])
    np.testing.assert_allclose(drawn.points.sigmas, [[2, 2, 2]])
    assert "1 of 3 points" in capsys.readouterr().err


def test_points_of_a_coarser_level(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of level 1 is drawn over level 0 and over level 1, and over every n-th voxel of these."""
    monkeypatch.setattr(pyramids, "_SMALLEST_LENGTH", 16)
    pyramid(chunks=(4, 8, 8))
    finest, coarse = open_source("v.ome.zarr"), open_source("v.ome.zarr", level=1)
    factors = np.divide(coarse.voxel_size_um, finest.voxel_size_um)
    assert factors.max() > 1
    columns = {"z": [2.0, 3.0], "y": [5.0, 3.0], "x": [6.0, 4.0], "sigma": [1.0, 1.0]}
    table = Blobs(columns, voxel_size_um=coarse.voxel_size_um, origin_um=coarse.origin_um)
    table.to_csv("points.csv")
    fine = (table.positions + 0.5) * factors - 0.5
    for level, most, expected, scale in (
        (1, 2**29, table.positions, np.ones(3)),
        (0, 2**29, fine, factors),
        (0, VOLUME.nbytes // 2, fine / [1, 1, 2], factors / [1, 1, 2]),
    ):
        monkeypatch.setattr(view, "_MOST_BYTES", most)
        arguments = ["--level", level, "--points", "points.csv", "--overwrite"]
        assert run("view", "v.ome.zarr", "-o", "p.png", *arguments) == 0
        np.testing.assert_allclose(drawn.points.positions, expected)
        np.testing.assert_allclose(drawn.points.sigmas, [scale, scale])


def test_points_of_the_channel_that_is_shown(drawn: Drawn) -> None:
    np.save("v.npy", np.stack([VOLUME, VOLUME]))
    Path("points.csv").write_text("z,y,x,channel\n1,2,3,0\n4,16,24,1\n")
    Path("single.csv").write_text("z,y,x\n1,2,3\n")
    chosen = ["--axes", "CZYX", "--channel", 1, "-o", "p.png", "--overwrite"]
    assert run("view", "v.npy", *chosen, "--points", "points.csv") == 0
    np.testing.assert_array_equal(drawn.points.positions, [[4, 16, 24]])
    assert run("view", "v.npy", *chosen, "--points", "single.csv") == 0
    assert len(drawn.points) == 1
    assert run("view", "v.npy", "--axes", "CZYX", "-o", "p.png", "--overwrite", "--points", "points.csv") == 0
    assert len(drawn.points) == 2
