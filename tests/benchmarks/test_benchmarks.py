"""Tests of all benchmarks in a tiny form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import find
from benchmarks.bench_planning_quality import FUNCTIONS, Function, compare
from benchmarks.measuring import Benchmark, measure, table

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", find())
def test_benchmark_runs(name: str) -> None:
    missing = [module for module in find()[name].needs if not _is_installed(module)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    benchmark = find()[name](quick=True)
    if reason := benchmark.left_out():
        pytest.skip(reason)
    result = measure(benchmark)
    assert result["goal"]
    assert all(row["median_s"] > 0 for row in result["rows"])
    assert all(row["cpu_median_s"] > 0 for row in result["rows"])
    assert result["rows"][0]["ratio"] == result["rows"][0]["cpu_ratio"] == 1
    assert name in table(result)


@pytest.mark.slow
def test_blobs_tells_memory_and_accuracy() -> None:
    pytest.importorskip("dask")
    remarks = "\n".join(measure(find()["blobs"](quick=True))["remarks"])
    assert "peak memory" in remarks
    assert "F1" in remarks


class _Alternating(Benchmark):
    name = "alternating"
    goal = "none"
    repeats = 2

    def setup(self) -> None:
        self.turns: list[str] = []

    def contenders(self):  # type: ignore[no-untyped-def]
        return {name: lambda name=name: self.turns.append(name) for name in "ab"}


def test_contenders_take_turns_after_one_round_to_warm_up() -> None:
    benchmark = _Alternating()
    measure(benchmark)
    assert "".join(benchmark.turns) == "abbaab"


@pytest.mark.slow
def test_runner_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "merge", "--quick", "--json", str(file)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "merge_split_stack2" in output
    assert "cpu s" in output
    figures = json.loads(file.read_text())
    assert "cores" in figures["machine"]
    assert [result["benchmark"] for result in figures["results"]] == ["merge"]


@pytest.mark.slow
def test_runner_names_what_it_does_not_know() -> None:
    command = [sys.executable, "-m", "benchmarks", "nonsense"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "no benchmark nonsense" in result.stderr


def _is_installed(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_plans_are_as_good_as_promised(function: Function) -> None:
    """Simulated runs show that tilecore's plans are as good as promised; no clock is read."""
    verdict = compare(function, 2)
    assert verdict.calls <= 3
    assert verdict.holds, f"{verdict.ratio:.2f}x, {verdict.busy_ratio:.2f}x on a busy machine"


def test_the_sweeps_are_those_that_are_promised() -> None:
    assert len(FUNCTIONS) == 20
    assert {function.workers for function in FUNCTIONS} == {1, 2, 8}
    assert all(len(function.sweep()) <= 8 for function in FUNCTIONS)
