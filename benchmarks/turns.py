"""Measure tilecore's own contender, as JSON: ``python -m benchmarks.turns MODULE CLASS [--quick]``.

The tilecore is the one in the current folder; `benchmarks.against` puts there what it compares.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import time
import types
from pathlib import Path
from typing import Any

from benchmarks.measuring import Benchmark, Turn, timed

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
        kind = getattr(importlib.import_module(options.module), options.kind)
        figures = {"cpu_s": statistics.fmean(turn.cpu_s for turn in turns(kind(quick=options.quick)))}
    except (ImportError, AttributeError, TypeError) as error:
        if not is_lack(error):
            raise
        figures = {"lacks": str(error)}
    print("\n" + json.dumps(figures))


def turns(benchmark: Benchmark) -> list[Turn]:
    """Run turns of the first contender until they are long compared with a clock tick, or the time is up."""
    taken: list[Turn] = []
    benchmark.setup()
    try:
        name, contender = next(iter(benchmark.contenders().items()))
        if benchmark.warm_up:
            benchmark.prepare(name)
            timed(contender)
        end = time.perf_counter() + ENOUGH_WALL_S
        while not taken or (sum(turn.cpu_s for turn in taken) < ENOUGH_CPU_S and time.perf_counter() < end):
            benchmark.prepare(name)
            taken.append(timed(contender))
    finally:
        benchmark.teardown()
    return taken


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
