"""Tests of the pilot with simulated costs: few calls find the costs of a call, and the plan follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore import MemoryBudgetError, TileGrid, TilePlan, map_tiles, plan_tiles
from tilecore.engine.events import TileDone
from tilecore.engine.findings import Findings
from tilecore.engine.jobs import MapJob
from tilecore.engine.measuring import Measurement, measured, undisturbed
from tilecore.engine.pilot import PilotTask, Planner
from tilecore.geometry.boxes import Box

SHAPE = (128, 512, 512)


@dataclass
class Function:
    """Simulated costs of a function: fixed per call, per voxel, and extra in the first call."""

    fixed: float = 0.0
    per_voxel: float = 20e-9
    first: float = 0.0
    fixed_bytes: float = 1e5
    voxel_bytes: float = 24.0
    first_bytes: float = 0.0
    kept_bytes: float = 0.0
    disturbed: Sequence[float] = (1.0, 1.0, 1.0)
    halo: int = 0
    writes: list[Box] = field(default_factory=list)

    def measure(self, write: Box) -> Measurement:
        n_voxels = TileGrid(SHAPE, SHAPE, self.halo).around(write).read.size
        number = len(self.writes)
        self.writes.append(write)
        seconds = (self.fixed + self.per_voxel * n_voxels) * self.disturbed[number] + (0 if number else self.first)
        peak = self.fixed_bytes + self.voxel_bytes * n_voxels + (0 if number else self.first_bytes)
        return Measurement(n_voxels, seconds, int(peak), int(30e6 + (self.kept_bytes if number else 0)))


def planner(workers: int = 2, budget: float = 8e9, halo: int = 0, **changes: Any) -> Planner:
    grid = TileGrid(SHAPE, SHAPE, halo)
    source = np.broadcast_to(np.float32(0), SHAPE)
    plain = Planner.of(grid, [source], int(budget), workers, None, (1, 1, 1), ((), ()))
    return replace(plain, **changes)


def planned(function: Function, **changes: Any) -> tuple[TilePlan, Findings]:
    chooser = planner(halo=function.halo, **changes)
    findings = PilotTask(chooser).run(function.measure)
    return chooser.plan(findings), findings


@given(
    st.floats(0, 5),
    st.floats(1e-9, 1e-4),
    st.floats(0, 3),
    st.lists(st.floats(0.8, 1.3), min_size=3, max_size=3),
    st.integers(0, 20),
    st.sampled_from([1, 2, 8]),
)
def test_three_calls_at_most_and_on_a_small_part_of_the_volume(
    fixed: float, per_voxel: float, first: float, disturbed: list[float], halo: int, workers: int
) -> None:
    function = Function(fixed, per_voxel, first, disturbed=disturbed, halo=halo)
    _, findings = planned(function, workers=workers)
    assert len(findings.calls) == len(function.writes) <= 3
    quick = 0.02 * 64 / 1.25
    for call in findings.calls[1:]:
        work = call.n_voxels * per_voxel
        assert work < quick or call.n_voxels <= np.prod(SHAPE) / 32 / workers * 1.01 or call.n_voxels < 2 * 48**3


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_a_function_that_sleeps_gets_as_many_tiles_as_there_are_workers(workers: int) -> None:
    """A call that takes 0.3 s for any block gets as few tiles as workers, since each further tile costs 0.3 s."""
    plan, findings = planned(Function(fixed=0.3, per_voxel=0.1e-9), workers=workers)
    assert plan.grid.size <= 2 * workers
    assert len(findings.calls) == 2
    disturbed, _ = planned(Function(fixed=0.3, per_voxel=0.1e-9, disturbed=[1.0, 1.1, 1.1]), workers=workers)
    assert disturbed.grid.size <= 8 * workers


@pytest.mark.parametrize("first", [0.0, 0.5, 20.0])
def test_both_parts_are_found_whatever_the_first_call_took(first: float) -> None:
    for fixed, per_voxel in ((0.0, 20e-9), (2e-3, 20e-9), (0.05, 1e-6), (0.0, 1e-4), (0.0, 2e-6)):
        _, findings = planned(Function(fixed, per_voxel, first))
        found_fixed, found_per_voxel = findings.seconds()
        assert found_per_voxel == pytest.approx(per_voxel, rel=0.15)
        n_voxels = 2**21  # of a tile
        assert found_fixed + found_per_voxel * n_voxels == pytest.approx(fixed + per_voxel * n_voxels, rel=0.15)
        assert fixed * 0.9 <= found_fixed <= fixed * 1.1 + 0.2 * per_voxel * findings.calls[-1].n_voxels


@given(st.lists(st.floats(1.0, 1.4), min_size=3, max_size=3), st.floats(1e-4, 1.0), st.floats(1e-9, 1e-6))
def test_a_busy_machine_makes_no_tiles_that_are_all_fixed_cost(
    disturbed: list[float], fixed: float, per_voxel: float
) -> None:
    """Wrong times lead to larger tiles, with which the run takes little longer than with the best ones."""
    plan, _ = planned(Function(fixed, per_voxel, disturbed=disturbed))
    volume = float(np.prod(SHAPE))
    best = min(n / 2 * (fixed + 0.5e-3 + per_voxel * volume / n) for n in (2, 4, 8, 16, 32, 64))
    rounds = -(-plan.grid.size // 2)
    own = rounds * (fixed + 0.5e-3 + per_voxel * volume / plan.grid.size)
    assert own <= 1.5 * best + 3 * fixed + 0.05


@given(st.floats(0, 3e8), st.floats(8, 400), st.floats(0, 2e8), st.floats(0, 0.4), st.floats(1e-9, 1e-6), st.booleans())
def test_the_memory_of_a_tile_is_never_booked_too_low(
    fixed: float, per_voxel: float, first: float, seconds: float, seconds_per_voxel: float, imports: bool
) -> None:
    function = Function(
        seconds, seconds_per_voxel, float(imports), fixed_bytes=fixed, voxel_bytes=per_voxel, first_bytes=first
    )
    try:
        plan, _ = planned(function, budget=2e9)
    except MemoryBudgetError:
        assert fixed + first > 0.5e9
        return
    largest = plan.grid[0].read.size
    assert fixed + per_voxel * largest <= plan.tile_bytes * 1.05 + 2**25
    assert plan.total_bytes <= 2e9


def test_what_the_budget_cannot_hold_is_refused_with_the_figures() -> None:
    function = Function(fixed=0.2, fixed_bytes=1.6e9)
    with pytest.raises(MemoryBudgetError, match=r"476\.8 MiB.*1\.5 GiB, for one worker: 1\.5 GiB for each call"):
        planned(function, budget=5e8)
    assert len(function.writes) == 2  # what the first call took may be its modules
    plan, _ = planned(Function(fixed=0.2, fixed_bytes=1.6e9), budget=2e9, workers=8)
    assert plan.workers == 1
    plan, _ = planned(Function(fixed_bytes=1e6, first_bytes=1.6e9), budget=5e8)
    assert plan.workers == 2


def test_one_call_on_a_large_write_unit_tells_what_a_voxel_takes() -> None:
    findings = Findings((Measurement(2**23, 0.08, 5 * 2**23),))
    assert findings.bytes(4, 20) == (0, 5)
    assert findings.bytes(8, 20) == (0, 8)


def test_a_model_that_the_first_call_keeps_is_reckoned_with() -> None:
    with pytest.raises(MemoryBudgetError, match="whatever the tile's size"):
        planned(Function(first_bytes=1.6e9, kept_bytes=1.6e9), budget=5e8)
    plan, _ = planned(Function(first_bytes=1e8, kept_bytes=1e8), budget=5e8)  # modules
    assert plan.workers == 2


def test_the_plan_is_looked_at_again_on_one_of_its_own_tiles() -> None:
    """A function that is slower and needs more memory on large blocks is noticed before a tile is recorded."""

    def uneven(write: Box) -> Measurement:
        measurement = function.measure(write)
        if write.size <= 2**15:
            return measurement
        return replace(measurement, seconds=0.1, peak_bytes=200 * measurement.n_voxels)

    function, chooser = Function(fixed_bytes=0), planner(budget=2**25)
    findings = PilotTask(chooser).run(uneven)
    first, second = chooser.plan(Findings(findings.calls[:2])), chooser.plan(findings)
    assert function.writes[2].shape == first.grid[first.grid.size // 2].write.shape
    assert second.tile_bytes / second.grid[0].read.size == pytest.approx(200, rel=0.1)
    assert second.total_bytes <= 2**25 < first.grid[0].read.size * 200 * first.workers


def test_blocks_that_are_too_small_for_a_function_are_followed_by_a_larger_one() -> None:
    function = Function()

    def picky(write: Box) -> Measurement:
        if write.size < 10_000:
            raise ValueError("at least 10000 voxels are needed")
        return function.measure(write)

    findings = PilotTask(planner()).run(picky)
    assert 1 <= len(findings.calls) <= 2

    def never(write: Box) -> Measurement:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        PilotTask(planner()).run(never)


def test_calls_stay_within_the_budget() -> None:
    for budget in (3e6, 1e7, 1e8):
        function = Function(fixed_bytes=0, voxel_bytes=30)
        _, findings = planned(function, budget=budget)
        assert all((call.peak_bytes or 0) <= budget for call in findings.calls)


def test_boxes_lie_between_write_units_and_span_whole_axes() -> None:
    chooser = planner(units=(16, 32, 1), whole_axes=(2,))
    for power in range(20):
        box = chooser.box(2**power)
        assert all(first % unit == 0 for first, unit in zip(box.start, chooser.units, strict=True))
        assert box.shape[2] == SHAPE[2]
        assert all(last % unit == 0 for last, unit in zip(box.stop, chooser.units, strict=True))
    recording = replace(chooser, shape=(10**7, 384), halo=((0, 0),) * 2, units=(1, 1), whole_axes=())
    assert recording.box(2**17).shape[1] == 384


@pytest.mark.parametrize(
    ("elapsed", "processor", "waited", "expected"),
    [(2.0, 1.0, 1.0, 1.0), (0.3, 0.0, 0.0, 0.3), (0.9, 0.3, 0.3, 0.6), (2.0, 1.2, None, 1.2), (0.3, 0.01, None, 0.3)],
)
def test_time_that_others_had_the_core_is_not_the_functions(
    elapsed: float, processor: float, waited: float | None, expected: float
) -> None:
    assert undisturbed(elapsed, processor, waited) == pytest.approx(expected)


def test_a_call_is_measured() -> None:
    measurement = measured(lambda: 0, lambda _: (np.ones(2**22), np.zeros(3, "u1")), 7, MapJob(np.copy).dtypes)
    assert measurement.n_voxels == 7
    assert measurement.dtypes == (np.float64, np.uint8)
    assert measurement.peak_bytes is None or 2**25 <= measurement.peak_bytes < 2**27


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_a_run_calls_a_slow_function_a_few_times(executor: str, tmp_path: Path) -> None:
    """The pilot calls a slow function at most three times, and each tile calls it once."""
    sizes: list[int] = []
    done: list[Any] = []

    def slow(block: np.ndarray) -> np.ndarray:
        sizes.append(block.size)
        time.sleep(0.1)
        return block + 1

    volume = np.zeros((32, 256, 256), "u1")
    keep: Callable[[Any], None] = lambda event: done.append(event) if isinstance(event, TileDone) else None  # noqa: E731
    result = map_tiles(
        slow, volume, out=tmp_path / "o.npy", executor=executor, workers=1 + (executor != "serial"), callbacks=[keep]
    )
    assert (np.asarray(result) == 1).all()
    assert len(done) <= 8
    assert len(done) + 2 <= len(sizes) <= len(done) + 3
    assert sum(sizes[-len(done) :]) == volume.size


def test_a_halo_beyond_the_volume_counts_where_blocks_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, ...]] = []

    def look(block: np.ndarray) -> np.ndarray:
        read.append(block.shape)
        return block

    volume, far = np.zeros((2000, 7), np.int16), {"halo": [(10**9, 10**9), (0, 0)], "executor": "serial"}
    with pytest.raises(MemoryBudgetError, match="max_memory"):
        map_tiles(look, volume, boundary=0, **far)
    assert not read, "nothing may be read that does not fit into memory"
    np.testing.assert_array_equal(map_tiles(look, volume, **far), volume)  # without a mode blocks end at the edges
    small: dict[str, Any] = {"max_memory": "1MB", "workers": 1, "halo": [(50, 50), (0, 0)]}
    plain, padded = (plan_tiles((100, 10), "uint8", padded=each, **small) for each in (False, True))
    assert (plain.tile_bytes * 2, plain.halo_overhead) == (padded.tile_bytes, 0)
    assert padded.halo_overhead == 1
