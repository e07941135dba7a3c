"""Fuzzer of continued runs, with or without changes: the result is right, or there is an error."""

from __future__ import annotations

import random as randomness
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.harness import Session
from tests.fuzz.collecting import assert_alike
from tests.fuzz.journaled import CHANGES, HARMLESS, OUTPUTS, SOURCES, Computation, Input, Output, changed
from tests.fuzz.runs import draw_boundary, draw_run
from tests.fuzz.voxels import assert_same
from tilecore import TilecoreError, collect_tiles, map_tiles


@dataclass(frozen=True)
class Case:
    """Random run that stops, with a change before it is continued."""

    verb: str
    computation: Computation
    source: str
    output: str
    journal: str
    stop: str
    change: str
    first: dict[str, Any]
    second: dict[str, Any]
    detail: int


def draw(random: randomness.Random) -> Case:
    """Draw a random case."""
    ndim = random.choice([2, 3])
    shape = tuple([random.randint(2, 30 if ndim == 2 else 11) for _ in range(ndim)])
    verb, output = random.choices(["map", "collect"], [4, 1])[0], random.choice(OUTPUTS)
    tile_shape = tuple([max(1, -(-n // random.randint(1, 5))) for n in shape])
    if verb == "map" and output in ("path .h5", "path .zarr", "path .ome.zarr"):
        tile_shape = shape  # such a file is one chunk
    halo = tuple([(random.randint(1, 2), random.randint(1, 2)) for _ in shape])
    first = draw_run(random)
    change = random.choice(CHANGES)
    return Case(
        verb=verb,
        computation=Computation(
            shape, "<i2", halo, draw_boundary(random, "<i2"), tile_shape, random.choice([None, None, "<f8"])
        ),
        source=random.choice(SOURCES),
        output=output if verb == "map" else "none",
        journal=random.choice(["beside", "elsewhere"]) if output.startswith("path") and verb == "map" else "elsewhere",
        stop=random.choices(["raise", "kill", "end"], [6, 4, 1])[0],
        change=change,
        first=first,
        second=draw_run(random) if change == "executor" or random.random() < 0.2 else first,
        detail=random.getrandbits(32),
    )


def check(case: Case) -> None:
    """Run, stop, change, continue, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        _Check(case, Path(folder)).run()


class _Check:
    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder, self.random = case, folder, randomness.Random(case.detail)
        self.place = folder / "place"
        self.place.mkdir()
        self.input = Input(case.source, case.computation, case.detail, folder)
        self.output = Output(case.output, folder / "out")
        beside = self.output.path.with_name(self.output.path.name + ".journal")
        self.journal = beside if case.journal == "beside" else folder / "journal"
        self.right: list[np.ndarray] = []

    def run(self) -> None:
        case = self.case
        self._note(case.computation)
        self._stop()
        calls = self._n_calls()
        computation = changed(case.computation, case.change, self.random)
        self.input.change(case.change, computation, self.random)
        anew = self._disturb(computation)
        self._note(computation)
        try:
            self._go(computation, case.second, resume=True, anew=anew)
        except TilecoreError as error:
            must = case.change in HARMLESS and case.output != "sink"
            assert not must, f"not continued, though nothing has changed: {type(error).__name__}: {error}"
            self._assert_no_wrong_file()
            if case.change == "flipped journal":
                self.journal.unlink()  # as the error says: it may be anything, and is not overwritten
            self._go(computation, case.second, resume=False, anew=True)
            return
        if case.change == "nothing" and case.stop == "raise" and case.first["executor"] == "serial":
            again = self._n_calls() - calls
            most = case.computation.n_tiles - max(calls - 1, 0)
            assert again <= most or case.output == "sink", f"{again} tiles were done again, {most} were missing"

    def _note(self, computation: Computation) -> None:
        """Record which contents a finished file may have."""
        if self.case.verb == "map":
            self.right.append(computation.whole(self.input.values))

    def _stop(self) -> None:
        """Start a run, and stop it half way."""
        case = self.case
        if case.stop == "kill":
            (self.place / "slow").touch()
            session = Session(lambda: self._go(case.computation, case.first, resume=False, anew=True))
            seconds = self.random.uniform(0, 0.05 + 0.006 * case.computation.n_tiles)
            time.sleep(seconds)
            session.kill(signal.SIGKILL, group=False)
            session.wait()
            (self.place / "slow").unlink()
            return
        stop = self.place / f"stop {self.random.randrange(case.computation.n_tiles)}"
        if case.stop == "raise":
            stop.touch()
        try:
            self._go(case.computation, case.first, resume=False, anew=True, retries=0)
        except TilecoreError as error:
            assert case.stop == "raise" and "stopped here" in str(error), f"the first run: {error}"
        stop.unlink(missing_ok=True)

    def _disturb(self, computation: Computation) -> bool:
        """Change files of the run; return whether an output must be written again."""
        change, has_journal = self.case.change, self.journal.exists()
        if change == "no output":
            self.output.remove()
        if change == "no journal":
            self.journal.unlink(missing_ok=True)
        if change == "torn journal" and has_journal:
            text = self.journal.read_bytes()
            self.journal.write_bytes(text[: self.random.randint(0, len(text))])
        if change == "flipped journal" and has_journal:
            text = bytearray(self.journal.read_bytes())
            if text:
                text[self.random.randrange(len(text))] ^= 1 << self.random.randrange(8)
            self.journal.write_bytes(text)
        if change == "other run" and self.case.verb == "map":
            other = changed(computation, "offset", self.random)
            self._note(other)
            self._go(other, {"executor": "serial", "progress": False}, resume=False, anew=False, journal=False)
        return change == "new output"

    def _n_calls(self) -> int:
        calls = self.place / "calls"
        return len(calls.read_text().splitlines()) if calls.exists() else 0

    def _go(self, computation: Computation, run: dict[str, Any], *, resume: bool, anew: bool, **others: Any) -> None:
        """Run to the end, and fail if the result is wrong."""
        chosen: dict[str, Any] = {
            "tile_shape": computation.tile_shape,
            "halo": computation.halo,
            "boundary": computation.boundary,
            "kwargs": {"offset": computation.offset, "place": str(self.place)},
            "pass_tile": True,
            "resume": resume,
            "journal": None if self.case.journal == "beside" else self.journal,
            **run,
            **others,
        }
        if self.case.verb == "collect":
            found = collect_tiles(computation.functions()["collected"], self.input.given(), **chosen)
            assert_alike(found, computation.collected(self.input.values))
            return
        out = self.output.given(computation, anew=anew)
        if self.output.is_path:
            chosen |= {"overwrite": True, "dtype": computation.dtype}
        try:
            map_tiles(computation.functions()["function"], self.input.given(), out=out, **chosen)
        except BaseException:
            if self.output.kind == "sink":
                out.discard()
            raise
        if self.output.kind == "sink":
            out.commit()
        found = self.output.read(computation.dtype or "<i8")
        assert found is not None, "there is no output"
        expected = computation.whole(self.input.values)
        if not self.output.is_path:
            expected = expected.astype(found.dtype)  # it has the dtype that it was made with
        assert_same(found.reshape(expected.shape), expected, "the output")

    def _assert_no_wrong_file(self) -> None:
        """Fail if a file with its final name is not the result of any run."""
        if not self.output.is_path or (found := self.output.read()) is None:
            return
        assert any(
            found.size == right.size and found.astype(right.dtype).tobytes() == right.tobytes() for right in self.right
        ), "a file has its name, and no run's result"
