"""``tilecore blobs``: table, picture, truth, resuming."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blobs.volumes import textured
from tilecore import Blobs, Box, detect_blobs, read_blobs
from tilecore.cli.main import main
from tilecore.datasets.synthetic import SyntheticNuclei


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    np.save(tmp_path / "volume.npy", textured((12, 40, 44), np.uint16))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: Any) -> int:
    base = ["blobs", "volume.npy", "-q", "--executor", "serial", "--tile-shape", "17"]
    base += ["--min-sigma", "1.2", "--max-sigma", "3.5", "--num-sigma", "3", "--threshold", "0.0001"]
    with pytest.raises(SystemExit) as end:
        main([*base, *map(str, arguments)])
    return int(end.value.code or 0)


@pytest.mark.parametrize("suffix", ["csv", "npy", "xml", "geojson", "parquet"])
def test_every_kind_of_table(folder: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    assert run("-o", f"blobs.{suffix}", "--voxel-size-um", 2, 0.5, 0.5) == 0
    captured = capsys.readouterr()
    assert captured.out == f"blobs.{suffix}\n"
    expected = detect_blobs(
        np.load("volume.npy"), min_sigma=1.2, max_sigma=3.5, num_sigma=3, threshold=0.0001, executor="serial"
    )
    assert f"{len(expected)} blobs in 12 x 40 x 44 voxels" in captured.err
    assert "um" in captured.err
    assert read_blobs(f"blobs.{suffix}").positions.tolist() == expected.positions.tolist()
    assert sorted(path.name for path in folder.iterdir()) == sorted(["volume.npy", f"blobs.{suffix}"])


def test_picture_shows_three_projections(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("-o", "blobs.csv", "--picture", "blobs.png", "--voxel-size-um", 2, 0.5, 0.5) == 0
    from matplotlib.image import imread

    picture = imread(folder / "blobs.png")
    colours = {tuple(np.rint(pixel * 255).astype(int)) for row in picture[:, :, :3] for pixel in row}
    assert (255, 176, 0) in colours  # blobs
    assert len(colours) > 100
    assert picture.shape[0] > 300


def test_picture_of_an_image_and_of_nothing(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    from tilecore.report.projections import draw_blobs

    draw_blobs(np.zeros((30, 40)), Blobs.of(np.empty((0, 3))), folder / "none.png")
    draw_blobs(np.full((3, 30, 40), np.nan), Blobs({"z": [1], "y": [1], "x": [1]}), folder / "all_nan.png")
    assert (folder / "none.png").stat().st_size > 0


def test_truth(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nuclei = SyntheticNuclei((32, 64, 64), seed=2)
    np.save("volume.npy", nuclei.block(Box.of_shape(nuclei.shape)))
    truth = nuclei.nuclei()
    Blobs(dict(zip("zyx", truth.T, strict=False))).to_csv("truth.csv")
    options = ["--min-sigma", 2, "--max-sigma", 3, "--threshold", 0.0005, "--exclude-border", 2]
    assert run("-o", "blobs.csv", "--truth", "truth.csv", "--tolerance-um", 4, *options) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("precision ")
    assert float(line.split()[-1]) > 0.8


def test_detectors_with_parameters(folder: Path) -> None:
    options = ["--detector", "skimage.feature:blob_log", "--halo", 15, "--overlap", 1]
    options += ["--param", "min_sigma=1.2", "--param", "max_sigma=3.5", "--param", "num_sigma=3"]
    assert run("-o", "own.csv", *options, "--param", "threshold=0.0001", "--param", "overlap=2") == 0
    assert run("-o", "log.csv", "--overlap", 1) == 0
    assert np.asarray(read_blobs("own.csv")).tolist() == np.asarray(read_blobs("log.csv")).tolist()


def test_a_run_that_was_killed_goes_on(folder: Path) -> None:
    """The second run computes what is missing, and the table is that of one run."""
    code = (
        "import os, sys; import tilecore.blobs.detectors as d; original = d.find_maxima; done = []\n"
        "def dying(*a):\n"
        "    done.append(1)\n"
        "    if len(done) == 5: os._exit(9)\n"
        "    return original(*a)\n"
        "d.find_maxima = dying\n"
        "from tilecore.cli.main import main; main(sys.argv[1:])"
    )
    arguments = ["blobs", "volume.npy", "-o", "blobs.csv", "-q", "--executor", "serial", "--tile-shape", "17"]
    arguments += ["--min-sigma", "1.2", "--max-sigma", "3.5", "--num-sigma", "3", "--threshold", "0.0001"]
    killed = subprocess.run(
        [sys.executable, "-c", code, *arguments], env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""}
    )
    assert killed.returncode == 9
    assert (folder / "blobs.csv.journal").exists()
    assert run("-o", "blobs.csv", "--resume") == 0
    assert not (folder / "blobs.csv.journal").exists()
    assert run("-o", "whole.csv") == 0
    assert (folder / "blobs.csv").read_text() == (folder / "whole.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "blobs.xlsx"], ".geojson"),
        (["-o", "volume.npy"], "volume.npy"),
        (["-o", "nowhere/blobs.csv"], "no such folder"),
        (["-o", "blobs.csv", "--truth", "missing.csv"], "missing.csv"),
        (["-o", "blobs.csv", "--min-sigma", 0], "min_sigma"),
        (["-o", "blobs.csv", "--mask", "missing.npy"], "missing.npy"),
        (["-o", "blobs.csv", "--detector", "unheard-of"], "unheard-of"),
        (["-o", "blobs.csv", "--param", "radius"], "NAME=VALUE"),
    ],
)
def test_wrong_input_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: Any, message: str
) -> None:
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("tilecore blobs: error:")
    assert error.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["volume.npy"]
