"""Main function of the fuzzers: ``python -m tests.fuzz engine --seed 12345``, or ``... --seconds 600``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.fuzz.looping import FUZZERS, describe, draw_case, run_seed, search
from tilecore.testing import start_what_stays


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="FUZZER", help=f"of {', '.join(FUZZERS)}; default: all")
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--seconds", type=float, default=60, help="how long to look for failures (default: 60)")
    parser.add_argument("--start-seed", type=int, help="the first seed of a search (default: by the clock)")
    arguments = parser.parse_args(words)
    names = arguments.names or FUZZERS
    if unknown := set(names) - set(FUZZERS):
        parser.error(f"no such fuzzer: {', '.join(sorted(unknown))}")
    start_what_stays()
    if arguments.seed is None:
        first = int(time.time()) * 1000 if arguments.start_seed is None else arguments.start_seed
        return search(names, arguments.seconds, first)
    for name in names:
        print(describe(name, arguments.seed, draw_case(name, arguments.seed)), flush=True)
        print(run_seed(name, arguments.seed))
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.exit(code)
