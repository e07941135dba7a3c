"""Example packages: they are installed as any other, found by the names they registered, and keep the contracts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.blobs.volumes import textured
from tests.faults.harness import HANGS

ROOT = Path(__file__).parents[2]

#: Of each package, how many tests it has at least: those of the contract, and some of its own.
PACKAGES = {"tilecore-spots": 16, "tilecore-mrc": 50, "tilecore-nrrd": 55, "tilecore-nice": 35}


class Installed(NamedTuple):
    """The packages, where Python finds them, and copies of their sources."""

    site: Path
    sources: Path

    def run(self, *arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a module of Python as a user would, who has the packages installed."""
        environment = {"PYTHONPATH": os.pathsep.join(map(str, (self.site, ROOT))), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-m", *map(str, arguments)]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=3 * HANGS, check=False
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    pytest.importorskip("setuptools", minversion="70.1", reason="without it, building needs the package wheel")
    found = Installed(tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("sources"))
    for package in PACKAGES:
        for path in (ROOT / "examples" / package).rglob("*"):
            if path.is_file() and path.suffix in {".cfg", ".toml", ".py"}:
                copy = found.sources / path.relative_to(ROOT / "examples")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    packages = [found.sources / package for package in PACKAGES]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", found.site, *packages], check=True)
    return found


def test_every_example_is_tested() -> None:
    assert sorted(PACKAGES) == sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir())


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_an_example_keeps_its_contract(package: str, installed: Installed) -> None:
    """Its own tests pass, which derive from `tilecore.testing`; without a setting of this repository."""
    arguments = ["pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--import-mode=importlib"]
    result = installed.run(*arguments, folder=installed.sources / package)
    assert result.returncode == 0, result.stdout + result.stderr
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed, result.stdout
    assert int(passed[1]) >= PACKAGES[package]


def test_the_command_line_knows_them_all(installed: Installed, tmp_path: Path) -> None:
    volume = (textured((12, 30, 32)) * 1000).astype(np.uint16)
    np.save(tmp_path / "volume.npy", volume)
    tiles = ["-q", "-j", "2", "--tile-shape", "11"]
    params = ["--param", "radius=3", "--param", "brightness=500"]
    commands = [
        ["convert", "volume.npy", "volume.nrrd", "--executor", "nice", *tiles],
        ["map", "volume.nrrd", "--function", "numpy:sqrt", "-o", "root.npy", *tiles],
        ["blobs", "volume.nrrd", "-o", "spots.csv", "--detector", "bright-spots", *params, *tiles],
    ]
    for command in commands:
        result = installed.run("tilecore", *command, folder=tmp_path)
        assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "root.npy"), np.sqrt(volume))
    table = np.genfromtxt(tmp_path / "spots.csv", delimiter=",", names=True)
    sys.path.insert(0, str(installed.site))
    try:
        from tilecore_spots import bright_spots
    finally:
        sys.path.remove(str(installed.site))
    expected = bright_spots(volume, radius=3, brightness=500)
    found = np.stack([table[name] for name in ("z", "y", "x", "radius", "brightness")], axis=1)
    np.testing.assert_array_equal(found, expected[np.lexsort(expected.T[2::-1])])
