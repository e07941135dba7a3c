"""Tests of the planner: tiles fit into memory, waste little, and respect storage units."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore import MemoryBudgetError, ParameterError, TileCosts, TileGrid, plan_tiles

Value = TypeVar("Value")


@given(
    st.tuples(*[st.integers(1, 300)] * 3),
    st.integers(0, 20),
    st.integers(1, 8),
    st.integers(4_000, 10**8),
    st.tuples(*[st.integers(1, 70)] * 3),
)
def test_a_plan_keeps_its_promises(
    shape: tuple[int, ...], halo: int, workers: int, budget: int, units: tuple[int, ...]
) -> None:
    costs = TileCosts(bytes_per_voxel=10)
    try:
        plan = plan_tiles(shape, "u1", max_memory=budget, workers=workers, halo=halo, write_units=units, costs=costs)
    except MemoryBudgetError:
        smallest = TileGrid(shape, units, halo)
        assert max(tile.read.size for tile in smallest[:1]) * 10 > budget / 30
        return
    assert plan.total_bytes <= budget
    assert 1 <= plan.workers <= workers
    for step, unit, length in zip(plan.grid.tile_shape, units, shape, strict=True):
        assert step % unit == 0 or step >= length
    largest = max(tile.read.size for tile in plan.grid) if plan.grid.size < 500 else 0
    assert largest * 10 <= plan.tile_bytes + 10


@given(st.tuples(*[st.integers(1, 60)] * 2), st.tuples(*[st.integers(0, 12)] * 2))
def test_the_halo_overhead_is_the_real_one(shape: tuple[int, ...], halo: tuple[int, ...]) -> None:
    plan = plan_tiles(shape, "u1", max_memory="1GB", workers=2, halo=halo)
    read = sum(tile.read.size for tile in plan.grid)
    assert plan.halo_overhead == pytest.approx(read / plan.grid.volume.size - 1)


def test_every_worker_gets_four_tiles_where_there_are_voxels_for_it() -> None:
    for workers in (1, 2, 4, 16):
        plan = plan_tiles((256, 512, 512), "f4", max_memory="8GB", workers=workers, halo=4)
        assert plan.grid.size >= 4 * workers


def test_rows_stay_long() -> None:
    plan = plan_tiles((512, 512, 512), "u2", max_memory="1GB", workers=2)
    assert plan.grid.tile_shape[-1] == 512
    assert plan.halo_overhead == 0


def test_no_voxel_is_read_twice_without_a_halo() -> None:
    assert plan_tiles((100, 100), "u1", max_memory="1MB", workers=4).halo_overhead == 0


def test_fewer_workers_where_memory_is_short() -> None:
    costs = TileCosts(bytes_per_voxel=100)
    plan = plan_tiles((64, 64, 64), "u1", max_memory=3 * 16**3 * 100, workers=8, write_units=(16, 16, 16), costs=costs)
    assert plan.workers == 3
    assert plan.grid.tile_shape == (16, 16, 16)


def test_too_little_memory_says_what_is_needed() -> None:
    with pytest.raises(MemoryBudgetError, match=r"max_memory=1\.0 KiB: the smallest tile.*needs"):
        plan_tiles((64, 64), "f8", max_memory=1024, write_units=(64, 64))


def test_whole_axes_are_not_cut() -> None:
    plan = plan_tiles((1000, 50, 3), "u1", max_memory="100kB", workers=2, whole_axes=(1, 2))
    assert plan.grid.tile_shape[1:] == (50, 3)
    assert plan.grid.counts[0] > 1


def test_source_chunks_are_read_whole_if_that_costs_little() -> None:
    plan = plan_tiles((256, 256, 256), "u1", max_memory="200MB", workers=2, chunks=(64, 64, 64))
    assert all(step % 64 == 0 for step in plan.grid.tile_shape)


@pytest.mark.parametrize("shape", [(0, 10), (10, 0, 3), (0,)])
def test_an_empty_volume_has_an_empty_plan(shape: tuple[int, ...]) -> None:
    plan = plan_tiles(shape, "u1", max_memory="1MB", halo=3)
    assert plan.grid.size == 0
    assert plan.tile_bytes == 0


def test_a_billion_tiles_are_planned_at_once() -> None:
    start = time.process_time()
    plan = plan_tiles((10**6, 10**6, 10**4), "u2", max_memory="64MB", workers=2, halo=2)
    assert plan.grid.size > 10**8
    assert time.process_time() - start < 10  # to visit them would take minutes


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"write_units": (1, 2)}, "write_units"),
        ({"write_units": (0, 1, 1)}, "write_units"),
        ({"chunks": (4,)}, "chunks"),
        ({"halo": -1}, "halo"),
        ({"max_memory": "lots"}, "max_memory"),
        ({"max_memory": -5}, "max_memory"),
        ({"workers": 0}, "workers"),
    ],
)
def test_wrong_parameters_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        plan_tiles((10, 10, 10), "u1", **changes)


def test_a_plan_reads_as_text() -> None:
    text = str(plan_tiles((64, 64, 64), "u2", max_memory="1GB", workers=2, halo=4, write_units=(32, 32, 32)))
    assert "tiles" in text
    assert "% more voxels" in text
    assert "to 32 x 32 x 32 voxels" in text


def test_workers_times_tiles_fit_for_any_measured_cost() -> None:
    for cost in (1, 7.5, 120, 4000):
        plan = plan_tiles((300, 300, 300), "u1", max_memory="50MB", workers=4, halo=5, costs=TileCosts(cost))
        assert plan.total_bytes <= 50_000_000


def test_what_a_call_takes_whatever_its_size_is_not_paid_thousands_of_times() -> None:
    costs = TileCosts(bytes_per_voxel=24, seconds_per_voxel=1e-9, seconds_per_tile=0.3)
    for workers in (1, 2, 8):
        plan = plan_tiles((32, 1024, 1024), "f4", max_memory="4GB", workers=workers, costs=costs)
        assert plan.grid.size <= 2 * workers
        assert plan.seconds < 0.8


@given(
    st.tuples(*[st.integers(8, 2000)] * 3),
    st.integers(0, 30),
    st.integers(1, 16),
    st.floats(1e-9, 1e-5),
    st.floats(1e-4, 3.0),
)
def test_no_tile_has_more_of_fixed_cost_or_halo_than_of_work(
    shape: tuple[int, int, int], halo: int, workers: int, per_voxel: float, per_tile: float
) -> None:
    """If memory allows, tiles are large enough that work exceeds fixed costs and halos."""
    costs = TileCosts(bytes_per_voxel=1, seconds_per_voxel=per_voxel, seconds_per_row=0, seconds_per_tile=per_tile)
    plan = plan_tiles(shape, "u1", max_memory="1TB", workers=workers, halo=halo, costs=costs)
    if plan.grid.size > 2 * workers:
        own = plan.grid.volume.size / plan.grid.size
        assert per_tile <= own * per_voxel
        assert plan.halo_overhead <= 1


def test_memory_that_a_call_takes_whatever_its_size_is_reckoned_with_for_each_worker() -> None:
    costs = TileCosts(bytes_per_voxel=8, bytes_per_tile=1.6e9)
    plan = plan_tiles((64, 512, 512), "f4", max_memory="4GB", workers=8, costs=costs)
    assert plan.workers == 2
    assert 3.2e9 < plan.total_bytes <= 4e9
    assert plan_tiles((64, 512, 512), "f4", max_memory="2GB", workers=8, costs=costs).workers == 1
    with pytest.raises(
        MemoryBudgetError, match=r"max_memory=476\.8 MiB.*needs 1\.5 GiB, for one worker: 1\.5 GiB for each call"
    ):
        plan_tiles((64, 512, 512), "f4", max_memory="500MB", workers=8, costs=costs)


def test_fewer_workers_with_larger_tiles_where_small_ones_would_be_all_halo() -> None:
    costs = TileCosts(bytes_per_voxel=100)
    plan = plan_tiles((512, 512, 512), "f4", max_memory=8 * 50**3 * 100, workers=8, halo=24, costs=costs)
    assert plan.workers < 8
    assert plan.halo_overhead < 7


@pytest.mark.parametrize("channels", [64, 384])
def test_a_recording_is_cut_along_time_into_batches_that_are_worth_a_call(channels: int) -> None:
    """A recording is cut along time into large batches; rows of a few channels lie in one page of memory."""
    for samples, workers in ((1_800_000, 1), (18_000_000, 2), (108_000_000, 8)):
        costs = TileCosts(bytes_per_voxel=40, seconds_per_voxel=20e-9, seconds_per_tile=5e-3)
        plan = plan_tiles(
            (samples, channels), "i2", max_memory="8GB", workers=workers, halo=((300, 300), (0, 0)), costs=costs
        )
        assert plan.grid.tile_shape[1] == channels
        assert 15_000 <= plan.grid.tile_shape[0] <= 300_000
        assert plan.halo_overhead < 0.04


def test_memory_is_not_used_for_a_run_that_ends_hardly_sooner() -> None:
    """A filter of a recording gains next to nothing by batches over ten times as long as those that were measured."""
    costs = TileCosts(bytes_per_voxel=20, seconds_per_voxel=26e-9)
    options: dict[str, Any] = {"max_memory": "12GB", "workers": 2, "halo": ((3000, 3000), (0, 0)), "costs": costs}
    plan = plan_tiles((1_394_469, 385), "i2", **options)
    assert plan.total_bytes < 1.5e9
    assert plan.halo_overhead < 0.15


def test_a_plan_tells_how_long_the_run_takes() -> None:
    costs = TileCosts(bytes_per_voxel=8, seconds_per_voxel=1e-6, seconds_per_row=0)
    plan = plan_tiles((64, 512, 512), "f4", max_memory="4GB", workers=2, costs=costs)
    assert plan.seconds == pytest.approx(64 * 512 * 512 * 1e-6 / 2, rel=0.2)


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("seconds_per_tile", [0.5e-3, 0.6e-3, 0.8e-3])
def test_voxels_that_are_only_moved_lie_in_one_piece(workers: int, seconds_per_tile: float) -> None:
    """Tiles that are only copied are contiguous, as one long copy is faster than several short ones."""
    costs = TileCosts(bytes_per_voxel=6, seconds_per_voxel=1e-9, seconds_per_tile=seconds_per_tile)
    plan = plan_tiles((512, 1024, 1024), "u2", max_memory="12GB", workers=workers, costs=costs)
    assert plan.grid.tile_shape[1:] == (1024, 1024)


@pytest.mark.parametrize("length", [512, 1024, 2048])
@pytest.mark.parametrize("workers", [2, 8])
def test_neighbours_in_a_block_are_not_whole_pages_apart(length: int, workers: int) -> None:
    """Blocks whose rows or planes are whole pages of memory are slow for functions that look along the other axes."""
    volume: dict[str, Any] = {"max_memory": "8GB", "workers": workers, "costs": TileCosts(24, 50e-9)}
    plan = plan_tiles((128, length, length), "f4", halo=8, **volume)
    inner = plan.grid[plan.grid.size // 2].read.shape
    assert inner[2] % 512
    assert inner[1] * inner[2] % 512
    alone = plan_tiles((128, length, length), "f4", **volume)  # without a halo no function looks along an axis
    assert alone.grid.tile_shape[2] == length


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 6, 8, 12, 16])
@pytest.mark.parametrize("halo", [0, 1, 4, 12, 16, 24, 32])
def test_chunks_are_decoded_once_in_little_memory(halo: int, workers: int) -> None:
    plan = plan_tiles((256, 1024, 1024), "u2", max_memory="300MB", workers=workers, halo=halo, chunks=(128, 128, 128))
    decodes = 1.0 if plan.sharing is None else plan.sharing.expected.decodes
    # One worker alone has tiles so large that it is faster with less halo, though chunks are decoded more often.
    assert decodes <= (1.8 if workers == 1 and halo >= 24 else 1.02)
    assert plan.total_bytes <= 300_000_000


@pytest.mark.parametrize(
    ("shape", "chunks", "halo"),
    [
        ((10**8,), (7,), 2),
        ((10**8, 3), (16, 3), (2, 0)),
        ((10**8, 2048), (64, 64), 2),
        ((4, 10**8), (1, 10), 2),
        ((500, 40, 1024, 1024), (1, 10, 128, 128), (0, 2, 2, 2)),
        ((10**8, 64, 64, 64), (3, 3, 3, 3), 2),
        ((20, 3, 64, 2048, 2048), (1, 1, 8, 256, 256), (0, 0, 2, 2, 2)),
        ((10**8, 1, 1, 1, 1), (1, 1, 1, 1, 1), 0),
    ],
)
def test_sources_of_any_number_of_axes_are_decoded_once(
    shape: tuple[int, ...], chunks: tuple[int, ...], halo: int | tuple[int, ...]
) -> None:
    """Also a long axis takes little memory to plan for, and what is shared takes less."""
    options: dict[str, Any] = {"max_memory": "600MB", "workers": 8, "halo": halo}
    alone, _ = peak_bytes(lambda: plan_tiles(shape, "u2", **options))
    planned, plan = peak_bytes(lambda: plan_tiles(shape, "u2", chunks=chunks, **options))
    shared, sharing = peak_bytes(lambda: plan.sharing)
    assert planned <= 2 * alone + 2**20
    assert shared < 2**22
    assert sharing is None or sharing.expected.decodes <= 1.1


def peak_bytes(call: Callable[[], Value]) -> tuple[int, Value]:
    """Largest memory that a call has allocated at once, and its result."""
    tracemalloc.start()
    try:
        value = call()
        return tracemalloc.get_traced_memory()[1], value
    finally:
        tracemalloc.stop()


def test_axes_that_share_no_chunks_are_outermost_when_decoding_is_reckoned() -> None:
    """A movie is planned as each of its stacks: nothing has to be kept from one point in time to the next."""
    options: dict[str, Any] = {"max_memory": "300MB", "workers": 4, "costs": TileCosts(20, seconds_per_tile=0)}
    stack = plan_tiles((64, 1024, 1024), "u2", chunks=(16, 128, 128), halo=4, **options)
    movie = plan_tiles((400, 64, 1024, 1024), "u2", chunks=(1, 16, 128, 128), halo=(0, 4, 4, 4), **options)
    assert stack.sharing is not None
    assert movie.sharing is not None
    assert movie.sharing.expected.decodes <= 1.02
    assert movie.seconds <= 1.05 * 400 * stack.seconds
