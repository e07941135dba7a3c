"""Measure tilecore's own contender at each line of the input: ``python -m benchmarks.turns MODULE CLASS [--quick]``.

An answer is a line of JSON behind a mark. The tilecore is the one in the current folder; `benchmarks.against` puts
there what it compares.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import Benchmark, timed

MARK = "turn: "
ENOUGH_CPU_S = 0.5
ENOUGH_WALL_S = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("module")
    parser.add_argument("kind", metavar="CLASS")
    parser.add_argument("--quick", action="store_true", help="small volumes")
    options = parser.parse_args()
    _check_tilecore()
    try:
        benchmark = getattr(importlib.import_module(options.module), options.kind)(quick=options.quick)
        for cpu_s in turns(benchmark, sys.stdin):
            _answer({"cpu_s": cpu_s})
    except (ImportError, AttributeError, TypeError) as error:
        if not is_lack(error):
            raise
        _answer({"lacks": str(error)})


def turns(benchmark: Benchmark, calls: Iterable[object]) -> Iterator[float]:
    """Run the first contender at each call, and tell the CPU seconds of a run."""
    benchmark.setup()
    try:
        name, contender = next(iter(benchmark.contenders().items()))
        if benchmark.warm_up:
            benchmark.prepare(name)
            timed(contender)
        for _ in calls:
            yield _cpu_seconds(benchmark, name, contender)
    finally:
        benchmark.teardown()


def _cpu_seconds(benchmark: Benchmark, name: str, contender: Callable[[], Any]) -> float:
    """Mean of runs that together are long compared with a clock tick, or have used up the time."""
    taken: list[float] = []
    end = time.perf_counter() + ENOUGH_WALL_S
    while not taken or (sum(taken) < ENOUGH_CPU_S and time.perf_counter() < end):
        benchmark.prepare(name)
        taken.append(timed(contender).cpu_s)
    return statistics.fmean(taken)


def _answer(figures: dict[str, Any]) -> None:
    print(f"\n{MARK}{json.dumps(figures)}", flush=True)


def is_lack(error: BaseException) -> bool:
    """Whether an error tells that this tilecore lacks a name or an option, and not that something is broken."""
    if isinstance(error, ImportError):
        return _is_of_tilecore(error.name)
    if isinstance(error, AttributeError):
        return isinstance(error.obj, types.ModuleType) and _is_of_tilecore(error.obj.__name__)
    return "unexpected keyword argument" in str(error)


def _is_of_tilecore(name: str | None) -> bool:
    return name is not None and name.partition(".")[0] == "tilecore"


def _check_tilecore() -> None:
    import tilecore

    found: Any = tilecore.__file__
    if not os.path.samefile(Path(found).parents[1], Path.cwd()):
        raise RuntimeError(f"measured would be {found}, not the tilecore in {Path.cwd()}")


if __name__ == "__main__":
    main()
