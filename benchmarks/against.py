"""Comparison of this tilecore with an earlier commit, in CPU seconds, in turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.measuring import Benchmark
from benchmarks.turns import MARK

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
    """Measure tilecore's own contender in two processes, each with the tilecore of one of two trees.

    The code of the benchmark is that of this tree for both. Each process prepares the benchmark once; then they
    have turns. The side that begins changes from pair to pair, so that a machine that grows slower, or faster,
    favours neither.
    """
    pairs = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as sides:
        before, now = (
            sides.enter_context(_Side(Path(folder, name), tree, kind, quick))
            for name, tree in (("old", old), ("new", new))
        )
        for number in range(n_pairs):
            figures = {side: side.turn() for side in ((before, now) if number % 2 == 0 else (now, before))}
            if "lacks" in figures[now]:
                raise RuntimeError(f"{kind.name} does not run with the tilecore of {new}: {figures[now]['lacks']}")
            if "lacks" in figures[before]:
                return Comparison(kind.name, lacks=figures[before]["lacks"])
            pairs.append((figures[before]["cpu_s"], figures[now]["cpu_s"]))
    return Comparison(kind.name, tuple(pairs))


class _Side:
    """A process that takes turns with the tilecore of one tree, and the benchmarks of this one."""

    def __init__(self, folder: Path, tree: Path, kind: type[Benchmark], quick: bool) -> None:
        folder.mkdir()
        (folder / "tilecore").symlink_to(tree / "tilecore")
        (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.turns", kind.__module__, kind.__qualname__, *["--quick"] * quick],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def turn(self) -> dict[str, Any]:
        """Let it take a turn: what that took, or what the tilecore lacks."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended; why, is told below
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(MARK):
                figures: dict[str, Any] = json.loads(line.removeprefix(MARK))
                return figures
        raise subprocess.CalledProcessError(self._process.wait(), self._process.args)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._process.communicate()
