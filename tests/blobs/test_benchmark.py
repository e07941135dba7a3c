"""Test of the blob benchmark in its quick form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_quick_form() -> None:
    pytest.importorskip("dask")
    names = ["blobs", "blobs-dog", "blobs-own", "blobs-pruning", "blobs-wide"]
    command = [sys.executable, "-m", "benchmarks", "--quick", *names]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    for name in names:
        assert f"\n{name}: " in result.stdout
    assert "peak memory" in result.stdout
    assert "F1" in result.stdout
