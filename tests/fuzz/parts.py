"""Fuzzer of runs in parts: in any order, stopped and killed, they give the result of the whole volume."""

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
from tests.fuzz.journaled import SOURCES, Computation, Input
from tests.fuzz.runs import draw_boundary, draw_run
from tests.fuzz.voxels import assert_same
from tilecore import TileError, collect_tiles, finish, map_tiles, open_source


@dataclass(frozen=True)
class Case:
    """Random run in parts; `order` has a number for each start, and several for parts that are stopped."""

    computation: Computation
    source: str
    output: str
    count: int
    order: list[int]
    stops: list[str]
    runs: list[dict[str, Any]]
    is_planned: bool
    detail: int


def draw(random: randomness.Random) -> Case:
    """Draw a random case."""
    ndim = random.choice([2, 3])
    shape = tuple([random.randint(2, 30 if ndim == 2 else 11) for _ in range(ndim)])
    tile_shape = tuple([max(1, -(-n // random.randint(1, 5))) for n in shape])
    halo = tuple([(random.randint(1, 2), random.randint(1, 2)) for _ in shape])
    count, output = random.randint(1, 8), random.choice([".zarr", ".ome.zarr", "none"])
    order = random.choices(range(1, count + 1), k=random.randint(0, 4))
    stops = random.choices(["raise", "kill", "end"], [6, 2, 2], k=len(order))
    order += random.sample(range(1, count + 1), count)
    return Case(
        computation=Computation(
            shape, "<i2", halo, draw_boundary(random, "<i2"), tile_shape, random.choice([None, "<f8"])
        ),
        source=random.choice(SOURCES),
        output=output,
        count=count,
        order=order,
        stops=[*stops, *["end"] * count],
        runs=[draw_run(random) for _ in order],
        is_planned=output != "none" and random.random() < 0.2,
        detail=random.getrandbits(32),
    )


def check(case: Case) -> None:
    """Run the parts, finish, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        _Check(case, Path(folder)).run()


class _Check:
    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder, self.random = case, folder, randomness.Random(case.detail)
        (folder / "in").mkdir()
        (folder / "out").mkdir()
        self.place = folder / "place"
        self.place.mkdir()
        self.input = Input(case.source, case.computation, case.detail, folder / "in")
        self.path = folder / "out" / ("list" if case.output == "none" else f"volume{case.output}")

    def run(self) -> None:
        case = self.case
        for number, stop, run in zip(case.order, case.stops, case.runs, strict=True):
            self._start(number, stop, run)
        result: Any = finish(self.path, executor="serial", progress=False)
        if case.output == "none":
            assert_alike(result, case.computation.collected(self.input.values))
            return
        assert_same(
            np.asarray(open_source(self.path)[...]), case.computation.whole(self.input.values), "the finished run"
        )
        assert [each.name for each in self.path.parent.iterdir()] == [self.path.name]

    def _start(self, number: int, stop: str, run: dict[str, Any]) -> None:
        """Start a part, and stop it perhaps."""
        case, marker = self.case, self.place / f"stop {self.random.randrange(self.case.computation.n_tiles)}"
        if stop == "kill":
            (self.place / "slow").touch()
            session = Session(lambda: self._go(number, run))
            time.sleep(self.random.uniform(0, 0.05 + 0.006 * case.computation.n_tiles))
            session.kill(signal.SIGKILL, group=False)
            session.wait()
            (self.place / "slow").unlink()
            return
        if stop == "raise":
            marker.touch()
        try:
            self._go(number, run, retries=0)
        except TileError as error:
            assert stop == "raise" and "stopped here" in str(error), f"part {number}: {error}"
        marker.unlink(missing_ok=True)

    def _go(self, number: int, run: dict[str, Any], **others: Any) -> None:
        case, function = self.case, self.case.computation.functions()
        options: dict[str, Any] = {
            "halo": case.computation.halo,
            "boundary": case.computation.boundary,
            "tile_shape": None if case.is_planned else case.computation.tile_shape,
            "kwargs": {"offset": case.computation.offset, "place": str(self.place)},
            "pass_tile": True,
            "shard": (number, case.count),
            **run,
            **others,
        }
        if case.output == "none":
            collect_tiles(function["collected"], self.input.given(), journal=self.path, **options)
        else:
            dtype = case.computation.dtype or "<i8"
            map_tiles(function["function"], self.input.given(), out=self.path, dtype=dtype, **options)
