"""Tests of the subcommand ``tilecore blobs``: table, picture, truth, and resuming."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blobs.volumes import textured
from tests.cli.commands import one_line_of
from tilecore import Blobs, Box, TileGrid, detect_blobs, read_blobs
from tilecore.blobs.channels import channels_of
from tilecore.blobs.detectors import ScaleSpaceDetector
from tilecore.blobs.journals import journals_of
from tilecore.cli.main import main
from tilecore.engine.journal import Journal
from tilecore.samples.synthetic import SyntheticNuclei

SCALES = ["--min-sigma", "1.2", "--max-sigma", "3.5", "--num-sigma", "3", "--threshold", "0.0001"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    np.save(tmp_path / "volume.npy", textured((12, 40, 44), np.uint16))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: Any) -> int:
    return run_plainly(*SCALES, *arguments)


def run_plainly(*arguments: Any) -> int:
    base = ["blobs", "volume.npy", "-q", "--executor", "serial", "--tile-shape", "17"]
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
    assert captured.err.startswith(f"{len(expected)} blobs in 24 x 20 x 22 um (12 x 40 x 44 voxels), ")
    assert captured.err.endswith(" um\n")
    assert read_blobs(f"blobs.{suffix}").positions.tolist() == expected.positions.tolist()
    assert sorted(path.name for path in folder.iterdir()) == sorted(["volume.npy", f"blobs.{suffix}"])


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--truth", "nope.csv"], ["--truth 'nope.csv'", "no such file"]),
        (["--mask", "nope.npy"], ["--mask 'nope.npy'", "no such file"]),
        (["--truth", "flat.csv"], ["--truth 'flat.csv'", "2 axes", "3"]),
        (["--truth", "truth.csv", "--tolerance-um", "-3"], ["--tolerance-um -3.0"]),
        (["--truth", "truth.csv", "--tolerance-um", "nan"], ["--tolerance-um nan"]),
        (["--tolerance-um", "3"], ["--tolerance-um 3.0", "--truth"]),
        (["--truth", "sized.csv", "--voxel-size-um", "1"], ["(2.0, 2.0, 2.0)", "(1.0, 1.0, 1.0)"]),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused_before_the_search(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    Path("flat.csv").write_text("y,x\n16,24\n")
    Blobs({"z": [4, 8], "y": [16, 9], "x": [24, 30]}, voxel_size_um=2).to_csv("sized.csv")
    Path("truth.csv").write_text("z,y,x\n4,16,24\n")
    one_line_of(capsys, run("-o", "blobs.csv", *arguments), *words)
    assert not Path("blobs.csv").exists()


def test_the_truth_of_the_channel_that_is_searched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = np.load("volume.npy")
    np.save("volume.npy", np.stack([volume, volume[::-1]]))
    options = ["--axes", "CZYX", "--tolerance-um", 0.1]
    assert run("-o", "both.csv", "--axes", "CZYX") == 0
    capsys.readouterr()
    assert run("-o", "one.csv", *options, "--channel", 1, "--truth", "both.csv") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "precision 1.0000, recall 1.0000, F1 1.0000"


def test_an_image_without_voxels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("volume.npy", np.zeros((0, 20, 30), np.uint16))
    assert run("-o", "blobs.csv") == 0
    assert "no blob can be there: the image, of shape (0, 20, 30), has no voxels" in capsys.readouterr().err


def test_detectors_with_parameters(folder: Path) -> None:
    options = ["--detector", "skimage.feature:blob_log", "--halo", 15, "--overlap", 1]
    options += ["--param", "min_sigma=1.2", "--param", "max_sigma=3.5", "--param", "num_sigma=3"]
    assert run_plainly("-o", "own.csv", *options, "--param", "threshold=0.0001", "--param", "overlap=2") == 0
    assert run("-o", "log.csv", "--overlap", 1) == 0
    assert np.asarray(read_blobs("own.csv")).tolist() == np.asarray(read_blobs("log.csv")).tolist()


def test_a_run_that_was_killed_goes_on(folder: Path) -> None:
    """A second run computes only what is missing, and the table equals that of a single run."""
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


@pytest.mark.parametrize("name", ["b.csv", "b[1].csv", "b*.csv"])
def test_only_its_own_journals_are_removed(folder: Path, name: str) -> None:
    """Files of others stay, even if their names begin like the journal's or match it as a pattern."""
    for left in (f"{name}.journal", f"{name}.journal.extremes"):
        with Journal(left, {"run": "killed"}) as journal:
            journal.begin(TileGrid((4,), 2))
    strangers = [f"{name}.journal-notes", f"{name}.journal.txt", f"{name}.journal.channel7", "b1.csv.journal", "bx.csv"]
    for stranger in strangers:
        Path(stranger).write_text("mine")
    assert run("-o", name, "--threshold-rel", 0.01) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted([*strangers, "volume.npy", name])
    assert {Path(stranger).read_text() for stranger in strangers} == {"mine"}


def test_the_journals_of_all_channels_are_removed(folder: Path) -> None:
    volume = np.load("volume.npy")
    np.save("volume.npy", np.stack([volume, volume], axis=-1))
    assert run("-o", "b.csv", "--threshold-rel", 0.01) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["b.csv", "volume.npy"]
    assert [path.name for path in journals_of("b.csv.journal", channels_of(np.load("volume.npy"), None))] == [
        f"b.csv.journal.channel{channel}{extremes}" for channel in (0, 1) for extremes in ("", ".extremes")
    ]


def test_a_run_that_replaces_an_older_table_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--overwrite and --resume work together: one is about the older table, the other about finished tiles."""
    assert run("-o", "whole.csv") == 0
    (folder / "blobs.csv").write_text("old")
    find = ScaleSpaceDetector.find
    calls: list[int] = []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return find(*arguments)

    monkeypatch.setattr(ScaleSpaceDetector, "find", interrupted)
    assert run("-o", "blobs.csv", "--overwrite") == 130
    assert run("-o", "blobs.csv", "--resume") == 2
    assert (folder / "blobs.csv").read_text() == "old"
    assert run("-o", "blobs.csv", "--resume", "--overwrite") == 0
    assert len(calls) == 5 + 9 - 4
    assert (folder / "blobs.csv").read_text() == (folder / "whole.csv").read_text()


def test_detectors_in_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # put back what the command adds
    text = "import numpy as np\ndef spots(block, least):\n    return np.argwhere(block > least)\nspots.halo = 0\n"
    (folder / "detectors_of_mine.py").write_text(text)
    options = ["-o", "own.csv", "--detector", "detectors_of_mine:spots", "--param", "least=150"]
    assert run_plainly(*options, "--executor", "processes", "-j", 2) == 0
    assert len(read_blobs("own.csv")) == (np.load("volume.npy") > 150).sum()


def test_nothing_found_says_what_was_sought(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scales = ["--min-sigma", 2, "--max-sigma", 3]
    assert run_plainly("-o", "none.csv", "--threshold", 0.7, *scales) == 0
    error = capsys.readouterr().err
    assert "0 blobs in 12 x 40 x 44 voxels" in error
    assert "--threshold 0.7; integers are scaled to 0..1 as skimage.util.img_as_float does" in error
    largest = float(error.partition("the largest response is ")[2].partition(",")[0])
    assert run_plainly("-o", "some.csv", "--threshold", 0.99 * largest, *scales) == 0
    assert len(read_blobs("some.csv")) > 0
    capsys.readouterr()
    np.save("volume.npy", textured((4, 8, 8), np.float32))
    assert run_plainly("-o", "none.csv", "--overwrite", "--threshold-rel", 1.5, *scales) == 0
    assert "blobs have one above --threshold-rel 1.5; float32 voxels are taken" in capsys.readouterr().err
    assert run_plainly("-o", "none.csv", "--overwrite", "--threshold", 5, "--threshold-rel", 0.5, *scales) == 0
    assert "one above --threshold 5 and --threshold-rel 0.5;" in capsys.readouterr().err
    np.save("volume.npy", np.zeros((4, 8, 8), dtype=np.float32))
    assert run_plainly("-o", "none.csv", "--overwrite", "--threshold-rel", 0.5, *scales) == 0
    assert "all voxels that were searched have the same value" in capsys.readouterr().err


def test_the_default_threshold_does_not_cap_a_relative_one(folder: Path) -> None:
    scales = ["--min-sigma", 1.2, "--max-sigma", 3.5, "--num-sigma", 3]
    assert run_plainly("-o", "rel.csv", "--threshold-rel", 0.1, *scales) == 0
    assert run_plainly("-o", "both.csv", "--threshold-rel", 0.1, "--threshold", 1e-9, *scales) == 0
    assert read_blobs("rel.csv") == read_blobs("both.csv")
    assert len(read_blobs("rel.csv")) > 10


def test_the_number_of_the_channel_is_that_of_the_file(folder: Path) -> None:
    volume = np.load("volume.npy")
    np.save("volume.npy", np.stack([volume[::-1], volume]))
    assert run("-o", "all.csv", "--axes", "CZYX", "--overlap", 1) == 0
    assert run("-o", "one.csv", "--axes", "CZYX", "--channel", 1, "--overlap", 1) == 0
    one = read_blobs("one.csv")
    assert set(one["channel"]) == {1}
    assert one == read_blobs("all.csv").filter(channel=(1, 1))


def test_an_empty_truth_gives_no_perfect_score(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("truth.csv").write_text("z,y,x\n")
    assert run("-o", "blobs.csv", "--truth", "truth.csv") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "precision 0.0000, recall undefined, F1 0.0000"
    assert run("-o", "none.csv", "--threshold", 5, "--truth", "blobs.csv") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "precision undefined, recall 0.0000, F1 0.0000"


def test_summary_counts_channels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = np.load("volume.npy")
    np.save("volume.npy", np.stack([volume, volume[::-1]]))
    assert run("-o", "blobs.csv", "--axes", "CZYX") == 0
    assert "blobs in 2 channels of 12 x 40 x 44 voxels" in capsys.readouterr().err


def test_help_shows_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plainly("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for default in ("(default: 10)", "(default: 1.6)", "(default: 0.2, of dog 0.5, of doh 0.01)", "(default: 0.5)"):
        assert default in text


@pytest.mark.parametrize("given", [[], ["--min-sigma", 2], ["--max-sigma", 6], ["--detector", "dog", "--max-sigma", 6]])
def test_the_size_of_what_is_sought_is_not_guessed(
    folder: Path, capsys: pytest.CaptureFixture[str], given: list[Any]
) -> None:
    assert run_plainly("-o", "blobs.csv", *given) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--diameter-um 6 10" in error
    assert "--min-sigma 2 --max-sigma 5" in error
    assert [path.name for path in folder.iterdir()] == ["volume.npy"]


@pytest.mark.parametrize("detector", ["unheard-of", "numpy:pi"])
def test_wrong_detectors_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str], detector: str) -> None:
    assert run_plainly("-o", "blobs.csv", "--detector", detector, "--halo", 1) == 2
    assert f"--detector '{detector}'" in capsys.readouterr().err
    assert run_plainly("-o", "blobs.csv", "--detector", detector, "--halo", 1, "--param", "radius") == 2
    assert "NAME=VALUE" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["volume.npy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "blobs.xlsx"], ".geojson"),
        (["-o", "volume.npy"], "volume.npy"),
        (["-o", "nowhere/blobs.csv"], "no such folder"),
        (["-o", "blobs.csv", "--truth", "missing.csv"], "missing.csv"),
        (["-o", "blobs.csv", "--min-sigma", 0], "--min-sigma"),
        (["-o", "blobs.csv", "--mask", "missing.npy"], "missing.npy"),
        (["-o", "blobs.csv", "--param", "radius=3"], "--param ['radius=3']: detector 'log' does not use it"),
        (["-o", "blobs.csv", "--halo", 3], "halo"),
        (["-o", "blobs.csv", "--detector", "dog"], "--num-sigma"),
        (["-o", "blobs.csv", "--sigma-ratio", 2], "--sigma-ratio"),
        (["-o", "blobs.csv", "--diameter-um", 5, "--voxel-size-um", 1], "--max-sigma 3.5: the sigmas follow"),
        (["-o", "blobs.csv", "--detector", "numpy:argwhere", "--halo", 1], "detector 'numpy:argwhere' does not use"),
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
