"""Tests of the fuzzers with fixed seeds; ``make fuzz`` uses other seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.fuzz import looping
from tests.fuzz.__main__ import main
from tests.fuzz.looping import FUZZERS, draw_case, run_seed, search
from tests.fuzz.voxels import assert_same

#: Seeds of each fuzzer that are quick to run, and all that the suite runs.
N_SEEDS = {
    "engine": (40, 600),
    "collecting": (20, 400),
    "chunks": (20, 200),
    "tiffs": (60, 300),
    "blobs": (10, 200),
    "axes": (20, 150),
    "resume": (5, 200),
    "parts": (5, 100),
    "kills": (1, 20),
    "zarrs": (40, 120),
    "hdf5": (40, 120),
    "sinks": (40, 200),
}
#: So many are one test.
TOGETHER = 10


def _blocks(*, slow: bool) -> list[tuple[str, int, int]]:
    blocks = []
    for name, (few, all_) in N_SEEDS.items():
        first, last = (few, all_) if slow else (0, few)
        blocks += [(name, seed, min(seed + TOGETHER, last)) for seed in range(first, last, TOGETHER)]
    return blocks


@pytest.mark.parametrize(("name", "first", "stop"), _blocks(slow=False))
def test_seeds(name: str, first: int, stop: int) -> None:
    for seed in range(first, stop):
        run_seed(name, seed)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "first", "stop"), _blocks(slow=True))
def test_more_seeds(name: str, first: int, stop: int) -> None:
    for seed in range(first, stop):
        run_seed(name, seed)


@pytest.mark.parametrize("name", FUZZERS)
def test_a_case_is_told_by_its_seed(name: str) -> None:
    assert draw_case(name, 7) == draw_case(name, 7)
    assert len({str(draw_case(name, seed)) for seed in range(20)}) == 20


def test_few_cases_are_left_out() -> None:
    """The list of known defects hides no more cases than it must."""
    for name in FUZZERS:
        known = sum(looping.is_known(name, draw_case(name, seed)) for seed in range(200))
        assert known <= 40, f"{known} of 200 cases of {name} are left out"


class Broken:
    """Fuzzer that fails at some seeds."""

    @staticmethod
    def draw(random: Any) -> int:
        return int(random.randrange(3))

    @staticmethod
    def check(case: int) -> None:
        if case == 0:
            raise ValueError("broken")


def test_a_search_tells_what_failed_and_how_to_run_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(looping.importlib, "import_module", lambda name: Broken)
    assert search(["chunks"], 60, first_seed=5) == 1
    out, _ = capsys.readouterr()
    failures = [line for line in out.splitlines() if line.startswith("python -m tests.fuzz chunks --seed ")]
    assert len(failures) == len(set(failures)) == looping.MOST_FAILURES
    seed = int(failures[0].split()[5])
    with pytest.raises(AssertionError, match=f"--seed {seed}  # 0: ValueError: broken"):
        run_seed("chunks", seed)
    monkeypatch.setattr(Broken, "check", lambda case: None)
    assert search(["chunks"], 0.1, first_seed=5) == 0


def test_a_seed_is_run_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "collecting", "--seed", "3"]) == 0
    lines = [line.split("  #")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["python -m tests.fuzz engine --seed 3", "ok", "python -m tests.fuzz collecting --seed 3", "ok"]
    with pytest.raises(SystemExit, match="2"):
        main(["magic"])


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([1, 2, 4], "1 of 3 voxels differ, the first at"),
        ([1.0, 2.0, 3.0], "dtype float64, expected int64"),
        ([[1, 2, 3]], "shape"),
    ],
)
def test_what_is_not_the_same_is_told(found: Any, text: str) -> None:
    expected = np.array([1, 2, 3])
    assert_same(expected.astype(">i8"), expected, "result")
    with pytest.raises(AssertionError, match=f"result: .*{text}"):
        assert_same(np.array(found), expected, "result")
