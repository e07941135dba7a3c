"""Tests of the comparison of two commits by CPU seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import find
from benchmarks.against import ROOT, Comparison, compare, tree_of
from benchmarks.turns import is_lack

SHARING = """
import time

class SharedArray:
    pass

def SharedArr(volume):
    end = time.process_time() + {seconds}
    while time.process_time() < end:
        pass
"""

pytestmark = pytest.mark.slow


def _tree(folder: Path, code: str) -> Path:
    package = folder / "tilecore"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    return folder


def _git(folder: Path, *args: str) -> None:
    author = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", "-C", str(folder), *author, *args], check=True, capture_output=True)


def test_each_side_has_a_tilecore_of_its_own(tmp_path: Path) -> None:
    old = _tree(tmp_path / "a", SHARING.format(seconds=0.1))
    new = _tree(tmp_path / "b", SHARING.format(seconds=0.2))
    slower = compare(find()["share"], old, new, n_pairs=2, quick=True)
    assert len(slower.pairs) == 2
    assert all(1.6 < ratio < 2.4 for ratio in slower.ratios)
    assert slower.is_slower
    faster = compare(find()["share"], new, old, n_pairs=1, quick=True)
    assert not faster.is_slower


def test_what_was_not_there_before_is_told(tmp_path: Path) -> None:
    found = compare(find()["share"], _tree(tmp_path / "old", ""), n_pairs=1, quick=True)
    assert "SharedArr" in found.lacks
    assert not found.is_slower
    assert "not there before" in found.line(8)


@pytest.mark.parametrize("old", [False, True])
def test_what_breaks_is_no_lack(tmp_path: Path, old: bool) -> None:
    whole = _tree(tmp_path / "whole", SHARING.format(seconds=0.01))
    broken = _tree(tmp_path / "broken", SHARING.format(seconds="None"))
    with pytest.raises(subprocess.CalledProcessError):
        compare(find()["share"], *((broken, whole) if old else (whole, broken)), n_pairs=1, quick=True)


def test_what_is_lacking_in_the_new_tree_is_an_error(tmp_path: Path) -> None:
    whole = _tree(tmp_path / "whole", SHARING.format(seconds=0.01))
    with pytest.raises(RuntimeError, match="SharedArr"):
        compare(find()["share"], whole, _tree(tmp_path / "new", ""), n_pairs=1, quick=True)


def test_only_what_tilecore_lacks_is_a_lack() -> None:
    assert is_lack(ModuleNotFoundError("no", name="tilecore.somewhere"))
    assert not is_lack(ModuleNotFoundError("no", name="distributed"))
    assert not is_lack(AttributeError("no", name="x", obj=3))
    assert not is_lack(TypeError("cannot add"))
    assert is_lack(TypeError("map_tiles() got an unexpected keyword argument 'durable'"))


@pytest.mark.parametrize(("new", "slower"), [(1.04, False), (1.06, True)])
def test_the_median_of_the_pairs_decides(new: float, slower: bool) -> None:
    comparison = Comparison("some", ((1.0, new), (1.0, 0.5), (1.0, 9.0)))
    assert comparison.is_slower is slower
    assert ("slower" in comparison.line(8)) is slower


def test_the_old_tree_is_the_commit_and_goes_away(tmp_path: Path) -> None:
    root = _tree(tmp_path, "AGE = 'old'")
    _git(root, "init", "--quiet")
    _git(root, "add", ".")
    _git(root, "commit", "--quiet", "-m", "One")
    (root / "tilecore" / "__init__.py").write_text("AGE = 'new'")
    with tree_of("HEAD", root) as tree:
        assert "old" in (tree / "tilecore" / "__init__.py").read_text()
    assert not tree.exists()
    worktrees = subprocess.run(["git", "-C", str(root), "worktree", "list"], capture_output=True, text=True, check=True)
    assert len(worktrees.stdout.splitlines()) == 1


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the history of the sources")
def test_command_compares_with_a_commit() -> None:
    command = [sys.executable, "-m", "benchmarks", "merge", "--quick", "--against", "HEAD", "--pairs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr  # 1 if a neighbour made the one pair uneven
    line = done.stdout.splitlines()[-1].split()
    assert line[0] == "merge"
    assert all(float(figure) > 0 for figure in line[1:5])
    assert ("slower" in line) == (done.returncode == 1)


def test_a_commit_that_is_none_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks", "merge", "--against", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nonsense" in done.stderr
