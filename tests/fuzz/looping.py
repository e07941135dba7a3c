"""Search with fuzzers: run them by name, for a seed or for a given time."""

from __future__ import annotations

import contextlib
import importlib
import random as randomness
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

from tests.fuzz.known import is_known, is_known_end
from tilecore.engine import pilot
from tilecore.geometry import sharing
from tilecore.testing import nothing_left

FUZZERS = [
    "engine",
    "collecting",
    "chunks",
    "blobs",
    "axes",
    "tiffs",
    "zarrs",
    "hdf5",
    "sinks",
    "resume",
    "parts",
    "kills",
]

#: Fuzzers whose cases take long: a search of several runs them with each so many-th seed.
EVERY = {"kills": 5}

#: After so many failures of different cases a search ends.
MOST_FAILURES = 10
_EVERY_SECONDS = 10
# Looking for what was left behind takes as long as a case.
_SEEDS_TOGETHER = 20


def draw_case(name: str, seed: int) -> Any:
    """Draw the case of a fuzzer for a seed."""
    return importlib.import_module(f"tests.fuzz.{name}").draw(randomness.Random(f"{name} {seed}"))


def run_seed(name: str, seed: int) -> str:
    """Run one case.

    Returns
    -------
    str
        ``"ok"``, or ``"known"`` if the case meets a defect that is known.

    Raises
    ------
    AssertionError
        If it fails: names the seed, and how the case can be run again.
    """
    case = draw_case(name, seed)
    if is_known(name, case):
        return "known"
    try:
        with warnings.catch_warnings(), _small_units(seed):
            warnings.simplefilter("error")
            importlib.import_module(f"tests.fuzz.{name}").check(case)
    except Exception as error:
        if is_known_end(name, case, error):
            return "known"
        raise AssertionError(f"{describe(name, seed, case)}: {type(error).__name__}: {error}") from error
    return "ok"


@contextlib.contextmanager
def _small_units(seed: int) -> Iterator[None]:
    """Let each chunk of these small volumes be decoded alone, and often with too little memory to keep all of them."""
    part_of_free = randomness.Random(seed).choice([0.75, 1e-5, 1e-6, 3e-7, 1e-8])
    with patch.object(sharing, "_UNIT_BYTES", 1), patch.object(pilot, "_PART_OF_FREE", part_of_free):
        yield


def describe(name: str, seed: int, case: Any) -> str:
    """Describe a case, and how to run it again, in one line."""
    return f"python -m tests.fuzz {name} --seed {seed}  # {case}"


def search(names: Sequence[str], seconds: float, first_seed: int) -> int:
    """Run new seeds of some fuzzers in turn until the time is up.

    Returns
    -------
    int
        Exit code: 1 if a case failed.
    """
    tally, seed = _Tally(seconds), first_seed
    while not tally.is_over:
        first = seed
        try:
            with nothing_left():
                while seed < first + _SEEDS_TOGETHER and not tally.is_over:
                    for name in names:
                        if seed % EVERY.get(name, 1) == 0 or len(names) == 1:
                            tally.run(name, seed)
                    seed += 1
        except AssertionError as error:
            tally.failures.append(f"seeds {first} to {seed - 1} of {', '.join(names)}: {error}")
    print(f"seeds {first_seed} to {seed - 1} of {', '.join(names)}: {tally}")
    for failure in tally.failures:
        print(f"\n{failure}")
    return 1 if tally.failures else 0


class _Tally:
    """Counts of a search."""

    def __init__(self, seconds: float) -> None:
        self._begun = self._said = time.monotonic()
        self._end = self._begun + seconds
        self._counts = dict.fromkeys(["ok", "known", "failed"], 0)
        self.failures: list[str] = []

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._end or len(self.failures) >= MOST_FAILURES

    def run(self, name: str, seed: int) -> None:
        """Run a case, count it, and sometimes print the state of the search."""
        try:
            self._counts[run_seed(name, seed)] += 1
        except AssertionError as error:
            self._counts["failed"] += 1
            self.failures.append(str(error))
            traceback.print_exc()
        if time.monotonic() - self._said > _EVERY_SECONDS:
            self._said = time.monotonic()
            print(f"seed {seed} of {name}: {self}", flush=True)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self._counts.items())
        return f"{counts} in {time.monotonic() - self._begun:.0f} s"
