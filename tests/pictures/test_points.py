"""Tests of pictures: one or several channels, few or many blobs, and volumes that cannot be drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.cli.commands import one_line_of, run
from tilecore import Blobs, ParameterError, create_sink, read_blobs
from tilecore.pictures.points import draw_blobs
from tilecore.pictures.projections import Planes, brightest_of, max_projection
from tilecore.pictures.traces import draw_traces
from tilecore.samples.synthetic import SyntheticNuclei

pytest.importorskip("matplotlib")

ORANGE, PINK, WHITE = (255, 176, 0), (255, 79, 195), (255, 255, 255)
VOLUME = SyntheticNuclei((24, 48, 64), seed=3)[:, :, :]
AT_THREE = {"z": [3.0], "y": [3.0], "x": [3.0]}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "volume.npy", VOLUME)
    monkeypatch.chdir(tmp_path)


def pixels(path: str = "picture.png") -> npt.NDArray[np.int_]:
    from matplotlib.image import imread

    return np.rint(imread(path)[:, :, :3] * 255).astype(int)


def part_of(colour: tuple[int, int, int], picture: npt.NDArray[np.int_]) -> float:
    return float((picture == colour).all(axis=2).mean())


def blobs_at(n_blobs: int, shape: tuple[int, ...], **columns: Any) -> Blobs:
    positions = np.random.default_rng(0).random((n_blobs, len(shape))) * (np.array(shape) - 1)
    return Blobs(dict(zip("zyx"[-len(shape) :], positions.T, strict=True)) | {"sigma": np.full(n_blobs, 2.0)} | columns)


def commanded(*arguments: Any) -> int:
    scales = ["--min-sigma", 2, "--max-sigma", 3, "--num-sigma", 2, "--threshold", 0.0005]
    return run("blobs", "volume.npy", "-o", "blobs.csv", "-q", "--executor", "serial", *scales, *arguments)


def test_three_projections() -> None:
    assert commanded("--picture", "picture.png", "--voxel-size-um", 2, 0.5, 0.5) == 0
    picture = pixels()
    assert part_of(ORANGE, picture) > 0
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    assert len(picture) > 300


def test_an_image_and_nothing() -> None:
    draw_blobs(np.zeros((30, 40)), Blobs.of(np.empty((0, 3))), "none.png")
    draw_blobs(np.full((3, 30, 40), np.nan), Blobs({"z": [1], "y": [1], "x": [1]}), "all_nan.png")
    assert Path("none.png").stat().st_size > 0


def test_channels_have_colours_of_their_own() -> None:
    np.save("volume.npy", np.stack([VOLUME, VOLUME[:, ::-1] // 4]))
    assert commanded("--axes", "CZYX", "--picture", "picture.png") == 0
    assert part_of(ORANGE, pixels()) > 0
    assert part_of(PINK, pixels()) > 0
    volume = np.zeros((1, 20, 20))
    blobs = blobs_at(3, volume.shape, channel=np.full(3, 1))
    draw_blobs({0: volume, 1: volume}, blobs, "picture.png")
    colours = pixels()[200:]  # below the legend
    assert part_of(PINK, colours) > 0
    assert part_of(ORANGE, colours) == 0
    draw_blobs({1: volume}, blobs, "picture.png")
    assert part_of(ORANGE, pixels()) > 0


def test_channels_have_contrasts_of_their_own() -> None:
    first, second = np.zeros((10, 10), dtype=np.uint16), np.zeros((10, 10), dtype=np.uint8)
    first[2, 2:5], second[7, 7:9] = 60000, 3
    expected = np.zeros((10, 10))
    expected[2, 2:5] = expected[7, 7:9] = 1
    np.testing.assert_array_equal(brightest_of([first, second]), expected)
    np.testing.assert_array_equal(brightest_of([first > 0]), first > 0)


@pytest.mark.parametrize("dtype", [bool, np.float16, np.int8, np.uint64])
def test_every_kind_of_number(dtype: Any) -> None:
    np.save("volume.npy", (VOLUME > 300).astype(dtype))
    assert commanded("--picture", "picture.png") == 0
    assert part_of(WHITE, pixels()) > 0.05


def test_crowds_are_thinned_to_the_planes_around_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "text", lambda self, x, y, text, **style: notes.append(text))
    shape = (100, 200, 200)
    draw_blobs(np.zeros(shape, dtype=np.uint8), blobs_at(10000, shape), "picture.png")
    assert 0.02 < part_of(ORANGE, pixels()) < 0.15
    assert "Planes around the middle alone, as all 10000 blobs would hide the image: z 4" in notes[0]
    draw_blobs(np.zeros(shape, dtype=np.uint8), blobs_at(100, shape), "picture.png")
    assert notes[1] == ""


@pytest.mark.parametrize("shape", [(200, 200), (1, 200, 200)])
def test_crowds_that_cannot_be_thinned_have_finer_lines(shape: tuple[int, ...]) -> None:
    draw_blobs(np.zeros(shape), blobs_at(3000, shape), "picture.png")
    assert 5 < pixels().mean() < 35  # with lines of the usual width, more than 40


GREEN = (47, 224, 125)
BLUE = (74, 168, 255)


def notes_of(monkeypatch: pytest.MonkeyPatch, source: Any, blobs: Blobs, **options: Any) -> str:
    from matplotlib.figure import Figure

    notes: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(Figure, "text", lambda self, x, y, text, **style: notes.append(text))
        draw_blobs(source, blobs, "picture.png", **options)
    return notes[0]


def test_thin_volumes_have_room_for_their_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, five planes would be 20 pixels of a picture of more than a thousand."""
    shape = (5, 300, 300)
    volume = np.zeros(shape, dtype=np.uint8)
    volume[:, :, 60:] = 1
    blobs = Blobs({"z": [2], "y": [1], "x": [1], "sigma": [0.3]}, voxel_size_um=(1, 1, 1), shape=shape)
    assert "Drawn longer than it is: z " in notes_of(monkeypatch, volume, blobs)
    picture = pixels()
    assert (picture[-60] == WHITE).all(axis=1).mean() > 0.5  # a row within the panel at the bottom
    assert "Drawn longer" not in notes_of(monkeypatch, VOLUME, Blobs.of(np.empty((0, 4))))


def test_lines_between_tiles_never_hide_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = np.zeros((40, 100, 100), dtype=np.uint8)
    edges = [[20], [50], list(range(2, 100, 2))]
    blobs = Blobs(dict.fromkeys("zyx", 1.0), shape=volume.shape, tile_edges=edges)
    assert notes_of(monkeypatch, volume, blobs) == "Without the lines between tiles along x, which are too close"
    few = Blobs(dict.fromkeys("zyx", 1.0), shape=volume.shape, tile_edges=[[20], [50], [50]])
    assert notes_of(monkeypatch, volume, few) == ""


def test_hits_misses_and_false_ones_look_different() -> None:
    volume = np.zeros((9, 60, 60), dtype=np.uint8)
    places = {"hit": (4.0, 10.0, 30.0), "false": (4.0, 30.0, 30.0), "missed": (4.0, 50.0, 30.0)}

    def table(*names: str) -> Blobs:
        rows = np.array([places[name] for name in names]).reshape(-1, 3)
        return Blobs(dict(zip("zyx", rows.T, strict=True)) | {"sigma": np.full(len(rows), 2)}, shape=volume.shape)

    for found, true, colours in (
        (["hit", "false"], ["hit", "missed"], {ORANGE, PINK, GREEN}),
        (["hit"], ["hit"], {ORANGE}),
        (["false"], [], {PINK}),
        ([], ["missed"], {GREEN}),
    ):
        blobs, truth = table(*found), table(*true)
        draw_blobs(volume, blobs, "picture.png", truth=truth, pairs=blobs.match(truth, 2).pairs)
        picture = pixels()[:, :800]  # the legend, at the right, has all colours
        assert {each for each in (ORANGE, PINK, GREEN) if part_of(each, picture) > 0} == colours
        legend = pixels()[:250, 800:]
        assert all(part_of(each, legend) > 0 for each in (ORANGE, PINK, GREEN))


def test_the_command_draws_the_truth() -> None:
    truth = SyntheticNuclei((24, 48, 64), seed=3).nuclei()
    Blobs(dict(zip("zyx", truth.T, strict=False))).to_csv("truth.csv")
    assert commanded("--picture", "picture.png", "--truth", "truth.csv", "--tolerance-um", 1) == 0
    assert part_of(GREEN, pixels()) > 0


def test_the_picture_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    blobs = blobs_at(5, VOLUME.shape)
    for source in (VOLUME, "volume.npy", None):
        assert isinstance(blobs.picture(source, "picture.png", truth=blobs[:3]), Figure)
        assert part_of(ORANGE, pixels()) > 0
        assert part_of(PINK, pixels()) > 0
    with pytest.raises(ParameterError, match="suffix"):
        blobs.picture(VOLUME, "picture.xyz")
    assert isinstance(blobs_at(0, (20, 20)).picture(), Figure)


def test_planes_are_those_of_the_volume() -> None:
    for axis in range(3):
        expected = VOLUME.take(range(5, 9), axis=axis).max(axis=axis)
        np.testing.assert_array_equal(max_projection(Planes(VOLUME, axis, 5, 9), axis), expected)


def test_a_scale_bar_is_no_shorter_than_a_voxel() -> None:
    draw_blobs(np.zeros((1, 1, 1)), Blobs.of(np.empty((0, 4))), "picture.png")
    assert part_of(WHITE, pixels()) == 0
    draw_blobs(np.zeros((1, 6, 6)), Blobs.of(np.empty((0, 4))), "picture.png")
    assert part_of(WHITE, pixels()) > 0


def test_what_cannot_be_drawn_is_refused_before_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    one_line_of(capsys, commanded("--picture", "picture.xyz"), "--picture 'picture.xyz'", ".png")
    np.save("volume.npy", VOLUME[:0])
    one_line_of(capsys, commanded("--picture", "picture.png"), "--picture 'picture.png'", "(0, 48, 64)", "no voxels")
    assert [path.name for path in Path().iterdir()] == ["volume.npy"]
    with pytest.raises(ParameterError, match="no voxels"):
        draw_blobs(np.zeros((0, 3, 3)), Blobs.of(np.empty((0, 4))), "picture.png")


def test_without_matplotlib_it_is_said_before_the_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.backends.backend_agg", None)
    one_line_of(capsys, commanded("--picture", "picture.png"), "tilecore[plot]")
    assert not Path("blobs.csv").exists()


def legend_of(monkeypatch: pytest.MonkeyPatch, draw: Any) -> list[str]:
    """Names in the legend of a picture."""
    from matplotlib.axes import Axes

    legends: list[list[str]] = []
    with monkeypatch.context() as patch:
        patch.setattr(Axes, "legend", lambda self, handles, labels, **style: legends.append(labels))
        draw()
    return legends[0]


def test_the_truth_of_another_part_is_drawn_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole image begins elsewhere than its part, and a coarser level has larger voxels."""
    part: dict[str, Any] = {"voxel_size_um": (1, 1, 1), "origin_um": (0, 100, 200), "shape": (9, 60, 60)}
    blobs = Blobs({"z": [4.0], "y": [10.0], "x": [30.0], "sigma": [2.0]}, **part)
    places = np.array([[4.0, 130.5, 230.5], [4.0, 20.5, 20.5], [4.0, 20.5, 20.5], [4.0, 110.5, 230.5]])
    columns = dict(zip("zyx", (places / [1, 2, 2] - [0, 0.25, 0.25]).T, strict=True))
    coarse: dict[str, Any] = {"voxel_size_um": (1, 2, 2), "origin_um": (0, 0.5, 0.5)}
    truth = Blobs(columns | {"sigma_z": [3.0] * 4, "sigma_y": [1.5] * 4, "sigma_x": [1.5] * 4}, **coarse)
    legend = legend_of(monkeypatch, lambda: blobs.picture(np.zeros((9, 60, 60)), "moved.png", truth=truth))
    assert legend == ["1 hits", "0 false", "1 missed, 2 outside"]
    here = Blobs({"z": [4.0, 4.0], "y": [10.5, 30.5], "x": [30.5, 30.5], "sigma": [3.0, 3.0]}, **part)
    blobs.picture(np.zeros((9, 60, 60)), "moved.png", truth=truth)
    blobs.picture(np.zeros((9, 60, 60)), "here.png", truth=here)
    np.testing.assert_array_equal(pixels("moved.png")[:, :800], pixels("here.png")[:, :800])


def test_the_command_draws_the_truth_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The truth is that of the whole image; the picture shows a part, in which it has other positions."""
    from tilecore.pictures import points

    options = {"axes": "ZYX", "voxel_size_um": (1, 1, 1), "origin_um": (0, 10, 20)}
    part = VOLUME[:, 10:, 20:]
    with create_sink("part.h5", part.shape, part.dtype, **options) as sink:
        sink[...] = part
    assert commanded("--voxel-size-um", 1, 1, 1) == 0
    whole = read_blobs("blobs.csv")
    truths: list[Any] = []

    def draw(volumes: Any, blobs: Any, path: Path, *, truth: Any, pairs: Any) -> None:
        truths.append(truth)
        path.write_bytes(b"picture")

    monkeypatch.setattr(points, "draw_blobs", draw)
    scales = ["--min-sigma", 2, "--max-sigma", 3, "--num-sigma", 2, "--threshold", 0.0005]
    outputs = ["-o", "part.csv", "--picture", "p.png", "--truth", "blobs.csv"]
    assert run("blobs", "part.h5", "-q", "--executor", "serial", *scales, *outputs) == 0
    np.testing.assert_allclose(truths[0].positions, whole.positions - [0, 10, 20], atol=1e-9)


@pytest.mark.parametrize("source", [VOLUME[0], VOLUME[:5], VOLUME[:, ::2, ::2]])
def test_a_volume_that_is_not_that_of_the_blobs_is_refused(source: Any) -> None:
    """Such as another level of a pyramid: there the blobs would be drawn at wrong places."""
    blobs = Blobs(AT_THREE, shape=VOLUME.shape)
    with pytest.raises(ParameterError, match=r"source=.* another volume, of \(24, 48, 64\)"):
        blobs.picture(source)
    with pytest.raises(ParameterError, match="another volume, of 3 axes"):
        Blobs(AT_THREE).picture(VOLUME[0])


def test_a_picture_of_axes_in_another_order_and_of_one_time() -> None:
    blobs = Blobs(AT_THREE, shape=VOLUME.shape)
    blobs.picture(VOLUME, "zyx.png")
    blobs.picture(VOLUME.transpose(2, 1, 0), "xyz.png", axes="XYZ")
    blobs.picture(np.stack([VOLUME[::-1], VOLUME]), "time.png", axes="TZYX", time=1)
    for path in ("xyz.png", "time.png"):
        np.testing.assert_array_equal(pixels(path), pixels("zyx.png"))
    of_time = Blobs({"z": [3.0], "y": [3.0], "x": [3.0], "t": [1]}, shape=VOLUME.shape)
    of_time.picture(np.stack([VOLUME[::-1], VOLUME]), "time.png", axes="TZYX")
    np.testing.assert_array_equal(pixels("time.png"), pixels("zyx.png"))
    with pytest.raises(ParameterError, match="time=0: the blobs are of time point 1"):
        of_time.picture(np.stack([VOLUME[::-1], VOLUME]), axes="TZYX", time=0)


def test_the_truth_of_other_times_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = Blobs({"z": [3, 5], "y": [3, 5], "x": [3, 5], "t": [1, 2]})
    blobs = Blobs({**AT_THREE, "t": [1]})
    assert legend_of(monkeypatch, lambda: blobs.picture(truth=truth)) == ["1 hits", "0 false", "0 missed"]


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"complex64.*numpy\.abs"):
        draw_blobs(VOLUME.astype(np.complex64), Blobs.of(np.empty((0, 4))), "picture.png")
    with pytest.raises(ParameterError, match=r"complex128.*numpy\.abs"):
        draw_traces(np.zeros((9, 2), complex), [0], 0, 9, "picture.png")
