"""Tests of the command ``tilecore``: files are written, errors are one line, and no file is incomplete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.cli.commands import one_line_of, run
from tilecore.cli.main import SUBCOMMANDS
from tilecore.samples.synthetic import SyntheticNuclei

SIZES = ["--min-sigma", "2", "--max-sigma", "4"]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume.npy"
    np.save(path, SyntheticNuclei((24, 48, 48), seed=3)[:, :, :])
    return path


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_synthetic_sample_with_its_truth(tmp_path: Path, suffix: str) -> None:
    output, truth = tmp_path / f"volume{suffix}", tmp_path / "truth.csv"
    common = ["sample", "synthetic", "--shape", 20, 40, 50, "--seed", 5, "-q", "-j", 2, "--tile-shape", 16]
    assert run(*common, "-o", output, "--truth", truth) == 0
    expected = SyntheticNuclei((20, 40, 50), seed=5)
    made = np.load(output) if suffix == ".npy" else tifffile.imread(output)
    np.testing.assert_array_equal(made, expected[:, :, :])
    table = np.loadtxt(truth, delimiter=",", skiprows=1)
    np.testing.assert_allclose(table, expected.nuclei(), atol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([output.name, "truth.csv"])


def test_an_interrupted_sample_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block, calls = SyntheticNuclei.block, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return block(*arguments)

    monkeypatch.setattr(SyntheticNuclei, "block", interrupted)
    output = tmp_path / "volume.npy"
    command = ["sample", "synthetic", "--shape", 16, 64, 64, "-o", output, "--tile-shape", 16, "-q"]
    assert run(*command, "--executor", "serial") == 130
    assert capsys.readouterr().err == "tilecore sample: interrupted; --resume continues from there\n"
    assert run(*command, "--executor", "serial", "--resume") == 0
    assert len(calls) == 4 + 16 - 3
    np.testing.assert_array_equal(np.load(output), SyntheticNuclei((16, 64, 64))[:, :, :])
    assert [path.name for path in tmp_path.iterdir()] == ["volume.npy"]


def test_blobs_and_picture(tmp_path: Path, volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, picture = tmp_path / "blobs.csv", tmp_path / "blobs.png"
    common = ["--min-sigma", 2, "--max-sigma", 4, "--num-sigma", 3, "--threshold", 0.0005, "-q", "-j", 2]
    assert run("blobs", volume, "-o", table, "--picture", picture, *common) == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == [str(table), str(picture)]
    header, *rows = table.read_text().splitlines()
    assert header.startswith("z,y,x")
    assert rows
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_outputs_are_refused_or_replaced(tmp_path: Path, volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "blobs.csv"
    table.write_text("precious")
    common = ["blobs", volume, "-o", table, *SIZES, "-q", "--executor", "serial"]
    one_line_of(capsys, run(*common), "blobs.csv", "overwrite")
    assert table.read_text() == "precious"
    assert run(*common, "--overwrite") == 0
    assert table.read_text().startswith("z,y,x")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["blobs", "{tmp}/nowhere.tif", "-o", "{tmp}/b.csv", *SIZES], ["nowhere.tif", "no such file"]),
        (["blobs", "{volume}", "-o", "{tmp}/nowhere/b.csv"], ["nowhere", "folder"]),
        (["blobs", "{tmp}/image.jpg", "-o", "{tmp}/b.csv", *SIZES], ["image.jpg"]),
        (["blobs", "{tmp}/damaged.tif", "-o", "{tmp}/b.csv", *SIZES], ["damaged.tif"]),
        (["blobs", "{tmp}/damaged.npy", "-o", "{tmp}/b.csv", *SIZES], ["damaged.npy"]),
        (["blobs", "{volume}", "-o", "{tmp}/b.csv", "--min-sigma", "9", "--max-sigma", "6"], ["--min-sigma", "9"]),
        (["blobs", "{volume}", "-o", "{tmp}/b.csv", *SIZES, "-j", "0"], ["workers", "0"]),
        (["blobs", "{volume}", "-o", "{tmp}/b.csv", *SIZES, "--max-memory", "lots"], ["--max-memory 'lots'"]),
        (["blobs", "{volume}", "-o", "{tmp}/b.csv", *SIZES, "--tile-shape", "8", "8"], ["--tile-shape", "8"]),
        (["blobs", "{volume}", "-o", "{tmp}/b.csv", *SIZES, "--tile-shape", "0"], ["--tile-shape", "0"]),
        (["sample", "nuclei", "-o", "{tmp}/nuclei.png"], ["--output", "nuclei.png", ".tif"]),
        (["view", "{volume}", "-o", "{tmp}/picture.xyz"], ["--output", "picture.xyz", "suffix"]),
        (["sample", "synthetic", "--shape", "8", "-8", "8", "-o", "{tmp}/s.npy"], ["shape", "-8"]),
    ],
)
def test_bad_input(
    tmp_path: Path, volume: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "image.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "damaged.tif").write_bytes(b"II*\0 and then nothing")
    (tmp_path / "damaged.npy").write_bytes(b"\x93NUMPY\x01\x00")
    before = sorted(path.name for path in tmp_path.iterdir())
    code = run(*[argument.format(tmp=tmp_path, volume=volume) for argument in arguments])
    one_line_of(capsys, code, *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_unknown_arguments_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nonsense") == 2
    assert run("blobs") == 2
    assert run() == 2
    capsys.readouterr()


@pytest.mark.parametrize("subcommand", [[], *[[name] for name in SUBCOMMANDS]])
def test_help_needs_no_numpy(subcommand: list[str]) -> None:
    code = (
        "import sys; from tilecore.cli.main import main\n"
        f"try: main({[*subcommand, '--help']})\n"
        "finally: print('numpy' in sys.modules, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert result.stderr.strip() == "False"
    assert "usage: tilecore" in result.stdout


def test_the_installed_command_shows_a_bar_and_no_noise(tmp_path: Path, volume: Path) -> None:
    command = [str(Path(sys.executable).with_name("tilecore")), "blobs", str(volume), "-o", str(tmp_path / "blobs.csv")]
    result = subprocess.run(
        [*command, "--min-sigma", "2", "--max-sigma", "3", "-j", "2"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert "blobs in" in result.stderr
