"""What a type checker says of a user's script is true of what the script does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.typing.script import script

SCRIPT = Path(__file__).with_name("script.py")
ROOT = Path(__file__).parents[2]


def test_script_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value is of the type that the script asserts."""
    monkeypatch.chdir(tmp_path)
    script()
    assert {path.name for path in tmp_path.iterdir()} == {
        "copy.npy",
        "second.npy",
        "smooth.npy",
        "smooth.zarr",
        "movie.zarr",
    }


@pytest.mark.slow
def test_mypy_infers_what_the_script_asserts() -> None:
    """Where mypy is installed (``make lint`` looks at the script, too)."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", str(SCRIPT)]
    found = subprocess.run(command, cwd=ROOT, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
