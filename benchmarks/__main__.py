"""Run benchmarks: ``python -m benchmarks [NAME ...] [--quick] [--json FILE] [--against COMMIT [--pairs N]]``."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

import benchmarks
from benchmarks import against
from benchmarks.measuring import Benchmark, describe_machine, measure, table


def find() -> dict[str, type[Benchmark]]:
    """Find all benchmarks by name: the classes of the modules called ``bench_...``."""
    found: dict[str, type[Benchmark]] = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name.startswith("bench_"):
            importlib.import_module(f"benchmarks.{module.name}")
    waiting = Benchmark.__subclasses__()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.name:
            found[kind.name] = kind
    return dict(sorted(found.items()))


def main() -> int:
    known = find()
    options = _parse(known)
    names = options.names or [name for name, kind in known.items() if not kind.only_by_name]
    print(describe_machine(), flush=True)
    if options.against:
        return _compare([known[name] for name in names], options)
    results = []
    for name in names:
        benchmark = known[name](quick=options.quick)
        if reason := benchmark.left_out():
            print(f"\n{name}: left out: {reason}", flush=True)
            continue
        result = measure(benchmark)
        results.append(result)
        print(table(result), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": describe_machine(), "results": results}, indent=1))
    return 0


def _parse(known: dict[str, type[Benchmark]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all ({', '.join(known)})")
    parser.add_argument("--quick", action="store_true", help="small volumes, few repeats")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    output.add_argument(
        "--against",
        metavar="COMMIT",
        help="compare CPU seconds with tilecore at that commit; the exit code is 1 if one takes "
        f"over {against.MOST}x as many",
    )
    parser.add_argument("--pairs", type=int, default=7, metavar="N", help="turns of old and new (default: 7)")
    options = parser.parse_args()
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if options.against and not against.is_commit(options.against):
        parser.error(f"--against must be a commit of {against.ROOT}, not {options.against!r}")
    if options.pairs < 1:
        parser.error(f"--pairs must be at least 1, not {options.pairs}")
    return options


def _compare(kinds: list[type[Benchmark]], options: argparse.Namespace) -> int:
    width = max(len(kind.name) for kind in kinds)
    print(against.head(width), flush=True)
    n_slower = 0
    with against.tree_of(options.against) as old:
        for kind in kinds:
            comparison = against.compare(kind, old, n_pairs=options.pairs, quick=options.quick)
            print(comparison.line(width), flush=True)
            n_slower += comparison.is_slower
    return int(n_slower > 0)


if __name__ == "__main__":
    sys.exit(main())
