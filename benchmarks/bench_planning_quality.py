"""Quality of tilecore's plans, compared with the best of many tile shapes: for simulated and for real functions."""

from __future__ import annotations

import heapq
import statistics
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from benchmarks.measuring import Benchmark
from tilecore import TileCosts, TileGrid, map_tiles, plan_tiles
from tilecore.bytesize import parse_bytes
from tilecore.engine.measuring import Measurement
from tilecore.engine.pilot import PilotTask, Planner
from tilecore.geometry.boxes import Box

#: A run by its own plan takes at most so many times as long as the best of the sweep.
MOST, MOST_BUSY = 1.25, 1.5
#: Of runs that are shorter than this only the calls of the pilot are counted.
LONG_SECONDS = 20.0

_DISPATCH_SECONDS = 0.5e-3
# With two loops beside two workers a worker has a core for so much of the time; and what is left of that in the
# pilot's times, when the time that it waited for a core has been taken off.
_BUSY, _BUSY_SPREAD, _LEFT_OVER = 1.6, 0.3, 1.3
_MOST_SHAPES = 8
_CACHED_VOXELS = 2**21


@dataclass(frozen=True)
class Function:
    """A simulated function of known costs; with `slowing`, blocks beyond the caches cost more for each doubling."""

    name: str
    shape: tuple[int, ...]
    workers: int = 2
    fixed: float = 0.0
    per_voxel: float = 100e-9
    halo: int | tuple[int, ...] = 0
    modules: float = 0.0
    unevenness: float = 0.0
    slowing: float = 0.0
    dtype: str = "f4"
    memory: str = "16GB"
    fixed_bytes: float = 1e6
    voxel_bytes: float = 24.0

    def planner(self) -> Planner:
        """Planner of a run of this function."""
        source = np.broadcast_to(np.zeros((), self.dtype), self.shape)
        units = (1,) * len(self.shape)
        grid = TileGrid(self.shape, self.shape, self.halo)
        return Planner.of(grid, [source], self.memory, self.workers, None, units, ((), ()))

    def pilot(self, planner: Planner, random: np.random.Generator, *, busy: bool) -> tuple[Any, float]:
        """Simulate the pilot: its findings, and its time."""
        spent: list[float] = []

        def measure(write: Box) -> Measurement:
            n_voxels = planner_grid.around(write).read.size
            seconds = self.fixed + float(self.work(np.array(n_voxels))) + (0 if spent else self.modules)
            spent.append(seconds * (_BUSY if busy else 1))
            peak = int(self.fixed_bytes + self.voxel_bytes * n_voxels)
            return Measurement(n_voxels, seconds * random.uniform(1, _LEFT_OVER if busy else 1.03), peak, 2**25)

        planner_grid = TileGrid(self.shape, self.shape, self.halo)
        return PilotTask(planner).run(measure), sum(spent)

    def work(self, n_voxels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Time that the function takes for the voxels of blocks [s]."""
        slower = 1 + self.slowing * np.log2(np.maximum(n_voxels / _CACHED_VOXELS, 1))
        return np.asarray(self.per_voxel * n_voxels * slower)

    def seconds(self, grid: TileGrid, workers: int, *, busy: bool, warm: int = 0) -> float:
        """Simulated time of a run with these tiles [s]: each tile goes to the worker that is free first."""
        random = np.random.default_rng(zlib.crc32(f"{self.name} {grid.tile_shape}".encode()))
        work = self.work(_read_voxels(grid))
        if self.unevenness:
            work = work * random.lognormal(-(self.unevenness**2) / 2, self.unevenness, work.size)
        costs = _DISPATCH_SECONDS + self.fixed + work
        if busy:
            costs = costs * np.maximum(_BUSY + random.normal(0, _BUSY_SPREAD, work.size) / np.sqrt(1 + costs), 1)
        free = [0.0] * warm + [self.modules] * (workers - warm)
        heapq.heapify(free)
        for cost in costs.tolist():
            heapq.heapreplace(free, free[0] + cost)
        return max(free)

    def own(self, *, busy: bool, seed: int = 0) -> tuple[float, int]:
        """Simulated time of a run with tilecore's own plan and the pilot, and the number of the pilot's calls."""
        random = np.random.default_rng([seed, zlib.crc32(self.name.encode()), busy])
        planner = self.planner()
        findings, spent = self.pilot(planner, random, busy=busy)
        plan = planner.plan(findings)
        return spent + self.seconds(plan.grid, plan.workers, busy=busy, warm=1), len(findings.calls)

    def best(self, *, busy: bool) -> float:
        """Shortest time of all tile shapes that fit into memory, each with as many workers as fit."""
        runs = []
        for tile_shape in self.sweep():
            grid = TileGrid(self.shape, tile_shape, self.halo)
            needed = self.fixed_bytes + self.voxel_bytes * float(_read_voxels(grid).max())
            workers = min(self.workers, int(parse_bytes(self.memory, "memory") // needed))
            if workers:
                runs.append(self.seconds(grid, workers, busy=busy))
        return min(runs)

    def sweep(self) -> list[tuple[int, ...]]:
        """Plans to compare with: one from the true costs, and slabs and cubes; only slabs for a recording."""
        slabs = [(-(-self.shape[0] // (n * self.workers)), *self.shape[1:]) for n in (1, 2, 4, 16)]
        if len(self.shape) == 2:
            others = [(length, self.shape[1]) for length in (300_000, 30_000, 3_000)]
        else:
            others = [tuple([min(length, edge) for length in self.shape]) for edge in (64, 128, 256)]
        costs = TileCosts(
            self.voxel_bytes,
            self.per_voxel,
            seconds_per_tile=self.fixed + _DISPATCH_SECONDS,
            bytes_per_tile=self.fixed_bytes,
        )
        known = plan_tiles(
            self.shape, self.dtype, max_memory=self.memory, workers=self.workers, halo=self.halo, costs=costs
        )
        return list(dict.fromkeys([known.grid.tile_shape, *slabs, *others]))[:_MOST_SHAPES]


def _read_voxels(grid: TileGrid) -> npt.NDArray[np.float64]:
    """Number of voxels in the read boxes of all tiles, in their order."""
    total = np.ones(1)
    for length, step, (before, after) in zip(grid.shape, grid.tile_shape, grid.halo, strict=True):
        start = np.arange(0, length, step)
        stop = np.minimum(start + step, length)
        reads = np.minimum(stop + after, length) - np.maximum(start - before, 0)
        total = np.multiply.outer(total, reads).ravel()
    return total


_STACK, _LARGE, _FLAT = (256, 1024, 1024), (512, 2048, 2048), (40, 4096, 4096)

FUNCTIONS = [
    Function("sleeps 0.3 s", _STACK, 2, fixed=0.3, per_voxel=1e-9),
    Function("sleeps 0.3 s and works", _STACK, 2, fixed=0.3, per_voxel=200e-9),
    Function("1 s a call, 8 workers", _LARGE, 8, fixed=1.0, per_voxel=200e-9),
    Function("20 ms a call", _LARGE, 1, fixed=0.02, per_voxel=20e-9),
    Function("slower in large blocks", _LARGE, 2, per_voxel=30e-9, slowing=0.1),
    Function("slow python", (64, 256, 256), 1, per_voxel=20e-6),
    Function("very slow python, 8 workers", (32, 128, 128), 8, per_voxel=1e-3),
    Function("modules of 4 s", _STACK, 2, per_voxel=500e-9, modules=4.0),
    Function("modules of 2 s and 0.1 s a call", _LARGE, 8, fixed=0.1, per_voxel=200e-9, modules=2.0),
    Function("halo 8", _LARGE, 1, per_voxel=30e-9, halo=8),
    Function("halo 40, 8 workers", _LARGE, 8, per_voxel=200e-9, halo=40),
    Function("halo 40 and 0.2 s a call", _STACK, 2, fixed=0.2, per_voxel=300e-9, halo=40),
    Function("200 bytes a voxel under 1 GB", _STACK, 2, per_voxel=200e-9, voxel_bytes=200, memory="1GB", halo=8),
    Function("1.6 GB a call under 4 GB", _STACK, 8, fixed=0.2, per_voxel=200e-9, fixed_bytes=1.6e9, memory="4GB"),
    Function("0.4 GB a call, 16 GB, 8 workers", _LARGE, 8, fixed=0.5, per_voxel=100e-9, fixed_bytes=4e8),
    Function("tiny", (16, 64, 64), 2, per_voxel=50e-9),
    Function("flat stack, halo 4 x 32 x 32", _FLAT, 2, per_voxel=100e-9, halo=(4, 32, 32)),
    Function("uneven content, 8 workers", _LARGE, 8, per_voxel=200e-9, unevenness=0.3),
    Function(
        "recording, 384 channels",
        (18_000_000, 384),
        2,
        5e-3,
        20e-9,
        (1500, 0),
        dtype="i2",
        voxel_bytes=40,
        slowing=0.05,
    ),
    Function(
        "recording, 64 channels", (108_000_000, 64), 8, 0.02, 40e-9, (300, 0), dtype="i2", voxel_bytes=40, slowing=0.05
    ),
]


@dataclass(frozen=True)
class Verdict:
    """Comparison of a plan with the other tile shapes: seconds of the best, ratios, and the pilot's calls."""

    function: Function
    best: float
    ratio: float
    busy_ratio: float
    calls: int

    @property
    def is_long(self) -> bool:
        """Whether the run is so long that its ratio counts."""
        return self.best >= LONG_SECONDS

    @property
    def holds(self) -> bool:
        """Whether the promised quality is reached."""
        return self.calls <= 3 and (not self.is_long or (self.ratio <= MOST and self.busy_ratio <= MOST_BUSY))


def compare(function: Function, n_pilots: int) -> Verdict:
    """Compare the plans of a function with other tile shapes; the worst of several pilots counts."""
    quiet, busy = ([function.own(busy=each, seed=seed) for seed in range(n_pilots)] for each in (False, True))
    best, best_busy = function.best(busy=False), function.best(busy=True)
    calls = max(n_calls for _, n_calls in quiet + busy)
    return Verdict(function, best, max(quiet)[0] / best, max(busy)[0] / best_busy, calls)


class PlanningQuality(Benchmark):
    """Real runs as rows, and runs of simulated functions as remarks."""

    name = "planning-quality"
    goal = "own plans take at most 1.25x the best of 8 shapes, 1.5x on a busy machine; a pilot of three calls at most"
    repeats = 3

    def setup(self) -> None:
        shape = (16, 64, 64) if self.quick else (128, 512, 512)
        self.volume = np.random.default_rng(0).random(shape, dtype=np.float32)
        self.slabs = (shape[0] // 8, *shape[1:])
        self.cubes = tuple([length // 2 for length in shape])

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {
            "gaussian, own plan": lambda: self._run(_smooth, None, 12),
            "gaussian, 8 slabs": lambda: self._run(_smooth, self.slabs, 12),
            "gaussian, 8 cubes": lambda: self._run(_smooth, self.cubes, 12),
            "0.3 s a call, own plan": lambda: self._run(_sleep, None, 0),
            "0.3 s a call, 8 slabs": lambda: self._run(_sleep, self.slabs, 0),
            "0.3 s a call, 2 slabs": lambda: self._run(_sleep, (4 * self.slabs[0], *self.slabs[1:]), 0),
        }

    def _run(self, function: Callable[..., Any], tile_shape: tuple[int, ...] | None, halo: int) -> Any:
        return map_tiles(function, self.volume, tile_shape=tile_shape, halo=halo, workers=2, progress=False)

    def remarks(self) -> list[str]:
        found = [compare(function, 1 if self.quick else 5) for function in FUNCTIONS]
        width = max(len(each.function.name) for each in found)
        lines = [f"{'function, simulated':{width}}  workers   best s   ratio    busy   calls"]
        for each in found:
            ratios = f"{each.ratio:6.2f}x {each.busy_ratio:6.2f}x" if each.is_long else "  short   short"
            lines.append(
                f"{each.function.name:{width}}  {each.function.workers:7} {each.best:8.1f} {ratios}   {each.calls:5}"
                + ("" if each.holds else "   fails")
            )
        long = [each for each in found if each.is_long]
        ratios, busy = [each.ratio for each in long], [each.busy_ratio for each in long]
        lines.append(
            f"{len(long)} runs of {LONG_SECONDS:.0f} s or more: worst {max(ratios):.2f}x, median "
            f"{statistics.median(ratios):.2f}x; busy: worst {max(busy):.2f}x, median {statistics.median(busy):.2f}x"
        )
        missed = [each.function.name for each in found if not each.holds]
        return [*lines, f"the goal is {'missed by ' + ', '.join(missed) if missed else 'met'}"]


def _smooth(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return gaussian_filter(block, 3)


def _sleep(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    time.sleep(0.3)
    return block
