"""Tests of the subcommands ``tilecore map`` and ``tilecore plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.commands import one_line_of, run
from tilecore.blobs import search
from tilecore.bytesize import parse_bytes
from tilecore.cli.main import main
from tilecore.engine import pilot
from tilecore.geometry import planning
from tilecore.samples.synthetic import SyntheticNuclei

VOLUME = SyntheticNuclei((24, 48, 48), seed=3)[:, :, :]
MODULE = """
from scipy.ndimage import gaussian_filter

def smooth(block, sigma=2):
    return gaussian_filter(block, sigma, mode="reflect")

def smooth_and_say_so(block, sigma=2):
    return smooth(block, sigma)

smooth_and_say_so.halo = lambda sigma=2: int(4 * sigma + 0.5)
smooth_and_say_so.dtype = "f4"

def fail(block):
    raise ValueError("not this one")

number = 7
"""
BROKEN = {"unparsable": "def f(:", "raising": "raise RuntimeError('not today')", "exiting": "import sys; sys.exit(3)"}


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "volume.npy", VOLUME)
    (tmp_path / "functions_of_mine.py").write_text(MODULE)
    for name, text in BROKEN.items():
        (tmp_path / f"{name}_module.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # put back what the command adds


def expected(sigma: float) -> Any:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(VOLUME, sigma, mode="reflect")


def test_a_function_that_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    common = ["volume.npy", "--function", "functions_of_mine:smooth_and_say_so", "--kwargs", '{"sigma": 1}']
    assert run("map", *common, "-q", "-j", 2, "-o", "out.npy", "--tile-shape", 12) == 0
    np.testing.assert_array_equal(np.load("out.npy"), expected(1).astype("f4"))
    assert run("map", *common, "-q", "-j", 2, "-o", "wide.npy", "--tile-shape", 12, "--out-dtype", "f8") == 0
    np.testing.assert_array_equal(np.load("wide.npy"), expected(1).astype("f8"))
    plan = {}
    for halo in ([], ["--halo", 4], ["--halo", 0]):
        capsys.readouterr()
        assert run("plan", *common, "-j", 1, "--max-memory", "1MB", *halo) == 0
        plan[tuple(halo)] = capsys.readouterr().out
    assert plan[()] == plan["--halo", 4] != plan["--halo", 0]


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_function_of_ones_own(executor: str, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["map", "volume.npy", "--function", "functions_of_mine:smooth", "-q", "-j", 2, "--executor", executor]
    code = run(*common, "--halo", 4, "-o", "out.npy", "--kwargs", '{"sigma": 1}', "--tile-shape", 16)
    assert (code, capsys.readouterr().out) == (0, "out.npy\n")
    np.testing.assert_array_equal(np.load("out.npy"), expected(1))
    assert run(*common, "--halo", 12, 8, 8, "-o", "out.npy", "--overwrite", "--out-dtype", "float32") == 0
    np.testing.assert_array_equal(np.load("out.npy"), expected(2).astype("f4"))
    assert sorted(path.name for path in Path().glob("out*")) == ["out.npy"]


def test_boundaries_are_filled() -> None:
    common = ["map", "volume.npy", "--function", "functions_of_mine:smooth", "-q", "--executor", "serial"]
    assert run(*common, "--halo", 8, "--boundary", "symmetric", "-o", "out.npy", "--tile-shape", 16) == 0
    np.testing.assert_array_equal(np.load("out.npy"), expected(2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--function", "nowhere_at_all:smooth"], ["nowhere_at_all:smooth"]),
        (["--function", "functions_of_mine:smoth"], ["functions_of_mine:smoth", "smoth"]),
        (["--function", "unparsable_module:f"], ["unparsable_module:f", "SyntaxError"]),
        (["--function", "raising_module:f"], ["raising_module:f", "RuntimeError: not today"]),
        (["--function", "exiting_module:f"], ["exiting_module:f", "SystemExit: 3"]),
        (["--function", "functions_of_mine"], ["--function 'functions_of_mine'", "must have the form MODULE:NAME"]),
        (["--function", "functions_of_mine:number"], ["functions_of_mine:number", "function", "int"]),
        (["--function", "functions_of_mine:smooth", "--out-dtype", "foo"], ["--out-dtype 'foo'", "uint16"]),
        (["--function", "functions_of_mine:smooth", "--out-dtype", "object"], ["--out-dtype 'object'"]),
        (["--function", "functions_of_mine:smooth", "--dtype", "foo"], ["--dtype 'foo'"]),
        (["--function", "functions_of_mine:smooth", "--kwargs", "sigma=2"], ["kwargs", "JSON"]),
        (["--function", "functions_of_mine:smooth", "--kwargs", "[2]"], ["kwargs", "object"]),
        (["--function", "functions_of_mine:smooth", "--halo", "1", "2"], ["halo", "3 in all"]),
        (["--function", "functions_of_mine:smooth", "--boundary", "mirror"], ["boundary", "mirror"]),
    ],
)
def test_bad_input(arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in Path().iterdir() if path.name != "__pycache__")
    one_line_of(capsys, run("map", "volume.npy", "-o", "out.npy", "-q", "--executor", "serial", *arguments), *words)
    assert sorted(path.name for path in Path().iterdir() if path.name != "__pycache__") == before


def test_failures_end_with_1_and_leave_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    common = ["map", "volume.npy", "--function", "functions_of_mine:fail", "-q", "--retries", 0]
    assert run(*common, "-o", "out.npy", "--executor", "serial") == 1
    assert "not this one" in capsys.readouterr().err
    assert not list(Path().glob("out*"))


def test_the_plan_fits_and_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "volume.npy", "--halo", 4, "--max-memory", "1MB", "-j", 2, "--write-units", 8, 16, 16) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines["volume"] == "24 x 48 x 48 voxels, uint16"
    assert lines["alignment"] == "to 8 x 16 x 16 voxels"
    assert "% more voxels read" in lines["halo"]
    assert "per worker" in lines["memory"]
    tile_shape = [int(length) for length in lines["tiles"].rpartition(" of ")[2].removesuffix(" voxels").split(" x ")]
    assert all(step % unit == 0 for step, unit in zip(tile_shape, (8, 16, 16), strict=True))
    one_line_of(capsys, run("plan", "volume.npy", "--halo", 4, "--max-memory", "1kB"), "--max-memory", "1000 B")


def test_the_plan_is_that_of_a_run_along_time_and_channel(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("movie.npy", np.zeros((2, 3, 12, 20, 20), dtype=np.uint8))
    common = ["--axes", "TCZYX", "--halo", 4]
    assert run("plan", "movie.npy", *common, "--write-units", 4, 10, 10, "-j", 1) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert " of 1 x 1 x " in lines["tiles"]
    assert lines["alignment"] == "to 1 x 1 x 4 x 10 x 10 voxels"
    assert run("plan", "movie.npy", "--axes", "TCZYX", "--halo", 0, 0, 4, 4, 4) == 0


@pytest.mark.parametrize("needed", ["0", "-1", "nan", "inf"])
def test_a_voxel_needs_some_memory(needed: str, capsys: pytest.CaptureFixture[str]) -> None:
    one_line_of(capsys, run("plan", "volume.npy", f"--bytes-per-voxel={needed}"), "--bytes-per-voxel", "more than 0")


def test_a_bound_on_memory_means_the_same_in_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text gives the same memory limit for all workers together, in every subcommand."""
    plans: list[Any] = []
    choose = planning.plan_tiles

    def noted(*args: Any, **options: Any) -> Any:
        plans.append(parse_bytes(options["max_memory"], "max_memory"))
        return choose(*args, **options)

    for module in (planning, pilot, search):
        monkeypatch.setattr(module, "plan_tiles", noted)
    common = ["--max-memory", "200MB", "-j", 2]
    alone = ["-q", "--executor", "serial"]
    for command in (
        ["plan", "volume.npy"],
        ["map", "volume.npy", "--function", "functions_of_mine:smooth", "-o", "mapped.npy", *alone],
        ["convert", "volume.npy", "converted.npy", *alone],
        ["sample", "synthetic", "--shape", 24, 48, 48, "-o", "sample.npy", *alone],
        ["blobs", "volume.npy", "-o", "blobs.csv", "--min-sigma", 1, "--max-sigma", 2, *alone],
    ):
        plans.clear()
        assert run(*command, *common) == 0
        assert set(plans) == {200_000_000}, command


def test_the_help_on_memory_is_one_text(capsys: pytest.CaptureFixture[str]) -> None:
    texts = set()
    for command in (["plan"], ["map"], ["convert"], ["sample", "synthetic"], ["blobs"]):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        words = " ".join(capsys.readouterr().out.split())
        texts.add(words[words.rindex("--max-memory SIZE") + 2 :].split(" --")[0])
    assert len(texts) == 1
    assert "all workers together" in texts.pop()


def test_a_halo_that_was_forgotten_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong result must not come without a word; a caller who says 0 hears nothing."""
    map_it = ["map", "volume.npy", "--function", "scipy.ndimage:gaussian_filter", "--executor", "serial", "--overwrite"]
    map_it += ["--kwargs", '{"sigma": 1}', "-o", "o.npy"]
    assert run(*map_it) == 0
    assert "no --halo was given" in capsys.readouterr().err
    assert run(*map_it, "--halo", 0) == 0
    assert "halo" not in capsys.readouterr().err
