"""Tests of the benchmarks against spikeinterface, with a stand-in that has its names."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import find
from benchmarks.bench_spikeinterface import SCRIPT, VARIABLE, Rival
from benchmarks.measuring import measure, timed
from benchmarks.turns import turns

ROOT = Path(__file__).parents[2]
NAMES = ["recordings-copy-si", "recordings-filter-si"]

PACKAGE = """
import time

__version__ = "0.105.stand-in"

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
"""

CORE = """
import os
import numpy as np

def read_binary(path, sampling_frequency, num_channels, dtype):
    return np.fromfile(path, dtype).reshape(-1, num_channels)

def write_binary_recording(traces, target, add_file_extension, progress_bar, **job):
    print("what it prints is no answer")
"""

PREPROCESSING = """
import numpy as np
from scipy.signal import butter, sosfiltfilt

def bandpass_filter(traces, freq_min, freq_max, filter_order, margin_ms, dtype):
    sections = butter(filter_order, [freq_min, freq_max], "bandpass", fs=30_000, output="sos")
    margin, filtered = margin_ms * 30, np.empty(traces.shape, dtype)
    for first in range(0, len(traces), 3000):
        low, stop = max(first - margin, 0), min(first + 3000, len(traces))
        around = sosfiltfilt(sections, traces[low : stop + margin], axis=0)
        filtered[first:stop] = around[first - low : stop - low]
    return filtered
"""

WRONG = "traces = traces.copy(); traces[4000, 7] += traces.max()"
BY_CHILD = """
    from spikeinterface import burn
    if os.fork() == 0:
        burn(0.3)
        os._exit(0)
    os.wait()
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes an interpreter whose spikeinterface is a stand-in: with statements at its import, and when it writes."""

    def make(at_import: str = "", when_it_writes: str = "") -> str:
        package = tmp_path / "spikeinterface"
        package.mkdir()
        (package / "__init__.py").write_text(f"{PACKAGE}\n{at_import}\n")
        (package / "core.py").write_text(f"{CORE}\n    {when_it_writes}\n    traces.tofile(target)\n")
        (package / "preprocessing.py").write_text(PREPROCESSING)
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        monkeypatch.setenv(VARIABLE, str(python))
        return str(python)

    return make


def _copying(tmp_path: Path) -> dict[str, Any]:
    source = tmp_path / "raw.bin"
    source.write_bytes(bytes(range(24)))
    recording = {"sampling_frequency": 30_000, "num_channels": 3, "dtype": "int16"}
    paths = {"source": str(source), "target": str(tmp_path / "out.bin")}
    return {**paths, "recording": recording, "band": None, "job": {"n_jobs": 1}}


def _tells_the_same(remark: str) -> bool:
    difference = re.search(r"at most (\S+) of the range", remark)
    return "same: True" in remark if difference is None else float(difference[1]) <= 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_contenders_do_the_same(name: str, stand_in: Callable[..., str]) -> None:
    stand_in()
    result = measure(find()[name](quick=True))
    assert len(result["rows"]) >= 5
    assert all(row["median_s"] > 0 for row in result["rows"])
    same, versions, clocks = result["remarks"]
    assert _tells_the_same(same)
    assert "spikeinterface 0.105.stand-in, numpy" in versions
    assert clocks.count(" and ") == len(result["rows"]) - 1


@pytest.mark.parametrize("name", NAMES)
def test_wrong_numbers_are_told(name: str, stand_in: Callable[..., str]) -> None:
    stand_in(when_it_writes=WRONG)
    assert not _tells_the_same(measure(find()[name](quick=True))["remarks"][0])


def test_jobs_of_a_rival_are_counted_with_their_workers_and_without_its_imports(
    tmp_path: Path, stand_in: Callable[..., str]
) -> None:
    rival = Rival(stand_in("burn(1)", BY_CHILD))
    told: list[dict[str, Any]] = []
    try:
        for _ in range(2):
            turn = timed(lambda: told.append(rival.do(**_copying(tmp_path))))
            assert 0.25 <= turn.cpu_s <= 0.6
            assert 0.3 <= told[-1]["cpu_s"] <= 0.6
            assert 0.3 <= told[-1]["wall_s"] <= turn.wall_s
    finally:
        rival.close()
    assert (tmp_path / "out.bin").read_bytes() == (tmp_path / "raw.bin").read_bytes()


def test_a_job_that_fails_is_an_error(tmp_path: Path, stand_in: Callable[..., str]) -> None:
    rival = Rival(stand_in(when_it_writes="raise OSError('no room')"))
    with pytest.raises(RuntimeError, match="ended with 1"):
        rival.do(**_copying(tmp_path))
    rival.close()


def test_an_interpreter_without_it_is_an_error(stand_in: Callable[..., str]) -> None:
    python = stand_in("raise ImportError('no zarr')")
    with pytest.raises(RuntimeError, match="ended with 1"):
        Rival(python)


def test_without_the_variable_they_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", *NAMES, "merge", "--quick", "--json", str(file)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [line for line in output.splitlines() if "left out" in line]
    assert [line.partition(":")[0] for line in lines] == NAMES
    assert all("-m venv" in line and "pip install" in line and VARIABLE in line for line in lines)
    assert [result["benchmark"] for result in json.loads(file.read_text())["results"]] == ["merge"]


@pytest.mark.parametrize("name", NAMES)
def test_turns_of_tilecore_need_no_rival(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert [cpu_s > 0 for cpu_s in turns(find()[name](quick=True), range(2))] == [True, True]


def test_the_rival_imports_nothing_from_here() -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names - sys.stdlib_module_names == {"numpy", "scipy", "spikeinterface"}
