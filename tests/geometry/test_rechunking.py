"""Plans of rechunking, compared with every other way on small volumes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore.errors import MemoryBudgetError
from tilecore.geometry.rechunk_search import plan_rechunk
from tilecore.geometry.rechunking import Rechunking, RechunkPass, RechunkPlan, decoded_length
from tilecore.geometry.tiles import TileGrid

LENGTHS = st.integers(1, 12)
AXIS = st.tuples(LENGTHS, st.integers(1, 9), st.integers(1, 9))


@given(LENGTHS, LENGTHS, LENGTHS)
def test_decoded_voxels_are_counted(length: int, step: int, chunk: int) -> None:
    """Each tile decodes the chunks that it touches, the last one as far as the volume goes."""
    decoded = 0
    for start in range(0, length, step):
        stop = min(start + step, length)
        decoded += sum(
            min(first + chunk, length) - first
            for first in range(0, length, chunk)
            if first < stop and first + chunk > start
        )
    assert decoded_length(length, step, chunk) == decoded


def test_no_voxel_is_decoded_of_an_empty_axis() -> None:
    assert decoded_length(0, 3, 2) == 0


def unions(length: int, unit: int) -> list[int]:
    """All lengths of tiles that are made of whole units."""
    return sorted({min(step, length) for step in range(unit, length + unit, unit)})


def all_ways(problem: Rechunking, workers: int) -> Iterator[tuple[RechunkPass, ...]]:
    """All ways in one pass, and in two, in which every worker has a tile if there are enough units."""
    seconds = list(itertools.product(*map(unions, problem.shape, problem.units)))
    firsts = list(itertools.product(*map(unions, problem.shape, problem.chunks or (1,) * len(problem.shape))))
    for tile_shape in seconds:
        one = problem.one_pass(tile_shape)
        if one.n_tiles >= min(workers, problem.count(seconds[0])):
            yield (one,)
    for first, second in itertools.product(firsts, seconds):
        two = problem.two_passes(first, second)
        counts = [problem.count(firsts[0]), problem.count(seconds[0])]
        if all(each.n_tiles >= min(workers, most) for each, most in zip(two, counts, strict=True)):
            yield two


def moved(way: tuple[RechunkPass, ...]) -> tuple[int, int]:
    return sum(each.bytes_read + each.bytes_written for each in way), len(way)


@given(st.lists(AXIS, min_size=0, max_size=3), st.booleans(), st.integers(1, 3), st.integers(1, 6000))
def test_no_other_way_moves_less(
    axes: list[tuple[int, int, int]], has_chunks: bool, workers: int, max_memory: int
) -> None:
    shape, chunks, units = ([axis[n] for axis in axes] for n in range(3))
    problem = Rechunking(tuple(shape), 2, tuple(chunks) if has_chunks else None, tuple(units))
    for n_workers in range(workers, 0, -1):
        fitting = [
            way
            for way in all_ways(problem, n_workers)
            if n_workers * max(each.worker_bytes for each in way) <= max_memory
        ]
        if fitting:
            break
    else:
        with pytest.raises(MemoryBudgetError, match="for one worker"):
            plan_rechunk(problem, max_memory=max_memory, workers=workers)
        return
    plan = plan_rechunk(problem, max_memory=max_memory, workers=workers)
    assert plan.workers == n_workers
    assert (plan.moved_bytes, len(plan.passes)) == min(map(moved, fitting))
    assert plan.memory_bytes <= max_memory
    for one in plan.passes:
        assert TileGrid(problem.shape, one.tile_shape).size == one.n_tiles
    check_tiles(plan)


def check_tiles(plan: RechunkPlan) -> None:
    """Tiles of the last pass are made of units, those before it of chunks; what is moved is what is counted."""
    problem = plan.problem
    grids = zip(plan.passes[::-1], [problem.units, problem.chunks or (1,) * len(problem.shape)], strict=False)
    for one, units in grids:
        for step, unit, length in zip(one.tile_shape, units, problem.shape, strict=True):
            assert step % unit == 0 or step == length
    assert plan.moved_bytes >= 2 * len(plan.passes) * problem.n_bytes


@given(st.lists(AXIS, min_size=1, max_size=3))
def test_tiles_of_an_earlier_run_are_kept(axes: list[tuple[int, int, int]]) -> None:
    shape, chunks, units = (tuple([axis[n] for axis in axes]) for n in range(3))
    plan = plan_rechunk(Rechunking(shape, 4, chunks, units), max_memory=10**6, workers=3)
    assert plan.with_tiles([each.tile_shape for each in plan.passes]) == plan


def test_more_memory_moves_less() -> None:
    planes_to_columns = Rechunking((512, 512, 512), 4, (1, 512, 512), (512, 64, 64))
    sizes = [plan_rechunk(planes_to_columns, max_memory=size * 10**6, workers=2) for size in (200, 400, 600, 3000)]
    assert [len(plan.passes) for plan in sizes] == [2, 2, 1, 1]
    times = [plan.moved_bytes // planes_to_columns.n_bytes for plan in sizes]
    assert times == sorted(times, reverse=True)


def test_a_volume_whose_voxels_are_read_alone_takes_one_pass() -> None:
    plan = plan_rechunk(Rechunking((512, 512, 512), 4, None, (512, 64, 64)), max_memory=10**8, workers=2)
    assert len(plan.passes) == 1
    assert plan.moved_bytes == 2 * plan.problem.n_bytes
    assert plan.temporary_bytes == 0


def test_small_tiles_grow_if_that_moves_nothing_more() -> None:
    plan = plan_rechunk(Rechunking((512, 512, 512), 2, (32, 32, 32), (16, 16, 16)), max_memory=2**30, workers=2)
    (one,) = plan.passes
    assert math.prod(one.tile_shape) * 2 > 2**21
    assert one.bytes_read == plan.problem.n_bytes
    assert one.n_tiles >= 8


@pytest.mark.parametrize("shape", [(10**6, 10**5, 10**5), (10**7,)])
def test_huge_volumes_are_planned(shape: tuple[int, ...]) -> None:
    chunks, units = (64, 128, 128)[: len(shape)], (100, 100, 100)[: len(shape)]
    assert plan_rechunk(Rechunking(shape, 4, chunks, units), max_memory=10**9, workers=8).passes


def test_a_volume_without_voxels_moves_nothing() -> None:
    plan = plan_rechunk(Rechunking((0, 5), 4, (1, 5), (1, 2)), max_memory=100, workers=2)
    assert plan.moved_bytes == 0
    assert "1 pass" in str(plan)


def test_a_plan_tells_itself() -> None:
    plan = plan_rechunk(Rechunking((512, 512, 512), 4, (1, 512, 512), (512, 64, 64)), max_memory=2 * 10**8, workers=2)
    text = str(plan)
    for each in ("2 passes, through a temporary file of 512.0 MiB", "4.00 times", "for 2 workers", "pass 2"):
        assert each in text
    assert max(map(len, text.splitlines())) <= 120
