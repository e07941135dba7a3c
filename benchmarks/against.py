"""Comparison of this tilecore with an earlier commit, in CPU seconds, in turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import Benchmark

ROOT = Path(__file__).parents[1]
MOST = 1.05


@dataclass(frozen=True)
class Comparison:
    """CPU seconds per turn of one benchmark, old and new, in pairs; or the feature that the old commit lacks."""

    name: str
    pairs: tuple[tuple[float, float], ...] = ()
    lacks: str = ""

    @property
    def ratios(self) -> list[float]:
        return [new / old for old, new in self.pairs]

    @property
    def is_slower(self) -> bool:
        """Whether the new version takes more CPU seconds than the old one, beyond the allowed difference."""
        return bool(self.pairs) and statistics.median(self.ratios) > MOST

    def line(self, width: int) -> str:
        """Format the comparison as one line of the table."""
        if self.lacks:
            return f"{self.name:{width}}  not there before: {self.lacks}"
        old, new = (statistics.median(side) for side in zip(*self.pairs, strict=True))
        ratios = f"{statistics.median(self.ratios):7.3f} {max(self.ratios):7.3f}"
        return f"{self.name:{width}}  {old:9.4f} {new:9.4f} {ratios}{'  slower' if self.is_slower else ''}"


def head(width: int) -> str:
    """Format the head of the table."""
    return f"{'':{width}}  {'old cpu s':>9} {'new cpu s':>9} {'median':>7} {'worst':>7}"


def is_commit(name: str, root: Path = ROOT) -> bool:
    """Whether git knows a commit of this name."""
    command = ["git", "-C", str(root), "rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def tree_of(commit: str, root: Path = ROOT) -> Iterator[Path]:
    """Check out a commit into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "old")
        git = ["git", "-C", str(root), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def compare(kind: type[Benchmark], old: Path, new: Path = ROOT, *, n_pairs: int = 7, quick: bool = False) -> Comparison:
    """Measure tilecore's own contender in fresh processes, with the tilecore of each of two trees.

    The code of the benchmark is that of this tree for both. The side that begins changes from
    pair to pair, so that a machine that grows slower, or faster, favours neither.
    """
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        sides = [_side(Path(folder, name), tree) for name, tree in (("old", old), ("new", new))]
        for number in range(n_pairs):
            cpu_s = [0.0, 0.0]
            for place in (0, 1) if number % 2 == 0 else (1, 0):
                figures = _run(sides[place], kind, quick)
                if "lacks" in figures and place == 0:
                    return Comparison(kind.name, lacks=figures["lacks"])
                if "lacks" in figures:
                    raise RuntimeError(f"{kind.name} does not run with the tilecore of {new}: {figures['lacks']}")
                cpu_s[place] = figures["cpu_s"]
            pairs.append((cpu_s[0], cpu_s[1]))
    return Comparison(kind.name, tuple(pairs))


def _side(folder: Path, tree: Path) -> Path:
    """Create a folder to import from: tilecore of one tree, benchmarks of this one."""
    folder.mkdir()
    (folder / "tilecore").symlink_to(tree / "tilecore")
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    return folder


def _run(side: Path, kind: type[Benchmark], quick: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.turns", kind.__module__, kind.__qualname__]
    environment = {**os.environ, "PYTHONPATH": str(side)}
    done = subprocess.run(
        [*command, *(["--quick"] if quick else [])],
        cwd=side,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures
