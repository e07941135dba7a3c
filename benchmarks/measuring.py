"""Measurement of several contenders: they take turns in one run; medians and spreads are compared."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from benchmarks.cpu_seconds import CpuSeconds


class Benchmark:
    """A task that tilecore and other contenders do.

    A subclass gives `name`, `goal` (what is promised, in words), and `contenders`: callables
    by name. The first is tilecore's; ratios are the others' time over its time. `setup`
    makes what they use; `needs` are the modules of rivals; `warm_up` asks for a first round
    that does not count; what is slow may run only if its name is given (`only_by_name`). What
    a contender returns is dropped before the next one runs.
    """

    name: ClassVar[str] = ""
    goal: ClassVar[str] = ""
    repeats: ClassVar[int] = 5
    warm_up: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()
    only_by_name: ClassVar[bool] = False

    def __init__(self, *, quick: bool = False) -> None:
        self.quick = quick

    def left_out(self) -> str:
        """Tell why it cannot run here, and what to do so that it can; empty if it can."""
        return ""

    def setup(self) -> None:
        """Create volumes and files; not timed."""

    def teardown(self) -> None:
        """Remove the volumes and files."""

    def contenders(self) -> dict[str, Callable[[], Any]]:
        """Contenders as callables by name, with tilecore's first."""
        raise NotImplementedError

    def prepare(self, name: str) -> None:
        """Create the input for one turn of a contender; not timed."""

    def remarks(self) -> list[str]:
        """Return other results as lines, such as peak memory; called after the contenders."""
        return []


class Turn(NamedTuple):
    """Measurement of one turn of a contender: seconds that passed, and CPU seconds of all processes."""

    wall_s: float
    cpu_s: float


def timed(contender: Callable[[], Any]) -> Turn:
    """Run one turn of a contender, and drop its result."""
    gc.collect()
    with CpuSeconds() as cpu:
        start = time.perf_counter()
        result = contender()
        elapsed = time.perf_counter() - start
    del result
    return Turn(elapsed, cpu.seconds)


def measure(benchmark: Benchmark) -> dict[str, Any]:
    """Run a benchmark: a warm-up round if it needs one, then rounds in which each contender has a turn.

    Every other round goes backwards: what a turn leaves to the next one (memory, a file's old pages) favours nobody.
    """
    benchmark.setup()
    try:
        contenders = benchmark.contenders()
        turns: dict[str, list[Turn]] = {name: [] for name in contenders}
        repeats = 1 if benchmark.quick else benchmark.repeats
        n_warm = int(benchmark.warm_up and not benchmark.quick)
        for turn in range(n_warm + repeats):
            for name in list(contenders)[:: 1 if turn % 2 == 0 else -1]:
                benchmark.prepare(name)
                taken = timed(contenders[name])
                if turn >= n_warm:
                    turns[name].append(taken)
        remarks = benchmark.remarks()
    finally:
        benchmark.teardown()
    own = next(iter(turns.values()))
    rows = [{"contender": name, **_figures(each, own)} for name, each in turns.items()]
    return {"benchmark": benchmark.name, "goal": benchmark.goal, "rows": rows, "remarks": remarks}


def _figures(turns: list[Turn], own: list[Turn]) -> dict[str, float]:
    """Summarize the turns of a contender, also relative to tilecore's own."""
    times = [turn.wall_s for turn in turns]
    median, cpu_median = statistics.median(times), _cpu_median(turns)
    return {
        "median_s": median,
        "min_s": min(times),
        "max_s": max(times),
        "ratio": median / statistics.median(turn.wall_s for turn in own),
        "cpu_median_s": cpu_median,
        "cpu_ratio": cpu_median / _cpu_median(own),
    }


def _cpu_median(turns: list[Turn]) -> float:
    return statistics.median(turn.cpu_s for turn in turns)


def table(result: dict[str, Any]) -> str:
    """Format a result as lines of text."""
    lines = [f"\n{result['benchmark']}: {result['goal']}"]
    width = max(len(row["contender"]) for row in result["rows"])
    lines.append(f"  {'':{width}}  {'median s':>9} {'min':>9} {'max':>9} {'ratio':>7} {'cpu s':>9} {'ratio':>7}")
    for row in result["rows"]:
        times = " ".join(f"{row[key]:9.4f}" for key in ("median_s", "min_s", "max_s"))
        cpu = f"{row['cpu_median_s']:9.4f} {row['cpu_ratio']:6.2f}x"
        lines.append(f"  {row['contender']:{width}}  {times} {row['ratio']:6.2f}x {cpu}")
    return "\n".join(lines + [f"  {remark}" for remark in result["remarks"]])


def describe_machine() -> str:
    """Describe the machine of the measurements."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {model}, {memory:.0f} GiB, Python {platform.python_version()}, numpy {np.__version__}"


class Peak:
    """Sampler of an amount while a block runs; `highest` is the largest value seen."""

    def __init__(self, amount: Callable[[], int], seconds: float = 0.005) -> None:
        self.highest = 0
        self._amount, self._seconds, self._over = amount, seconds, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.is_set():
            self.highest = max(self.highest, self._amount())
            time.sleep(self._seconds)
