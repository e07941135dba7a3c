"""Tests of `pmap_chunks`: SCOUT's signature, on every kind of array and start method."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tilecore import SharedArray, SharedMemory, TileError, extract_box, map_tiles, pmap_chunks, settings

METHODS = ["fork", "forkserver", "spawn"]
VOLUME = np.random.default_rng(0).integers(0, 1000, (9, 10, 11)).astype("u2")
MEMORY = SharedMemory((20,), "i8")
with MEMORY.txn() as _array:
    _array[:] = 0


def total(arr: Any, start: Any, chunks: Any, *, scale: int = 1) -> int:
    return scale * int(extract_box(arr, start, np.minimum(np.add(start, chunks), arr.shape)).sum())


def total_of_tuple(arguments: Any) -> int:
    arr, start, chunks = arguments
    return total(arr, start, chunks)


def expected(chunks: tuple[int, ...] = (4, 4, 4)) -> list[int]:
    steps = [range(0, length, step) for length, step in zip(VOLUME.shape, chunks, strict=True)]
    return [
        int(VOLUME[z : z + chunks[0], y : y + chunks[1], x : x + chunks[2]].sum())
        for z in steps[0]
        for y in steps[1]
        for x in steps[2]
    ]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Any:
    with settings.override(start_method=request.param):
        yield request.param


@pytest.mark.parametrize("kind", ["ndarray", "strided", "memmap", "zarr", "SharedArray", "SharedMemory"])
def test_every_kind_of_array(method: str, kind: str, tmp_path: Path) -> None:
    if kind == "ndarray":
        arr: Any = VOLUME
    elif kind == "strided":
        arr = np.asfortranarray(VOLUME)
    elif kind == "memmap":
        arr = np.memmap(tmp_path / "volume", VOLUME.dtype, "w+", shape=VOLUME.shape)
        arr[:] = VOLUME
    elif kind == "zarr":
        arr = zarr.create_array(tmp_path / "volume", data=VOLUME, chunks=(4, 4, 4))
    elif kind == "SharedArray":
        arr = SharedArray.from_array(VOLUME)
    else:
        arr = SharedMemory(VOLUME.shape, VOLUME.dtype)
        with arr.txn() as array:
            array[:] = VOLUME
    assert pmap_chunks(total, arr, (4, 4, 4), 2) == expected()


def test_imap_hands_one_tuple_and_unordered_needs_no_chunksize(method: str) -> None:
    assert pmap_chunks(total_of_tuple, VOLUME, (4, 4, 4), 2, use_imap=True) == expected()
    for chunksize in (None, 3):
        unordered = pmap_chunks(total_of_tuple, VOLUME, (4, 4, 4), 2, True, unordered=True, chunksize=chunksize)
        assert sorted(unordered) == sorted(expected())


def test_unordered_without_imap() -> None:
    assert sorted(pmap_chunks(total, VOLUME, (4, 4, 4), 2, unordered=True)) == sorted(expected())


def test_partial_lambda_and_one_worker(method: str) -> None:
    doubled = [2 * each for each in expected()]
    assert pmap_chunks(functools.partial(total, scale=2), VOLUME, (4, 4, 4), 2) == doubled
    assert pmap_chunks(lambda a, s, c: total(a, s, c, scale=2), VOLUME, (4, 4, 4), 2) == doubled
    assert pmap_chunks(lambda a, s, c: os.getpid(), VOLUME, (5, 5, 6), nb_workers=1) == [os.getpid()] * 8


def test_chunks_by_default_are_the_arrays_own(tmp_path: Path) -> None:
    arr = zarr.create_array(tmp_path / "volume", data=VOLUME, chunks=(9, 5, 11))
    assert pmap_chunks(total, arr, nb_workers=1) == expected((9, 5, 11))
    assert pmap_chunks(total, VOLUME, nb_workers=1) == [int(VOLUME.sum())]


def test_large_results_come_back_whole(method: str) -> None:
    volume = np.random.default_rng(1).random((64, 128, 128))

    def doubled(arr: Any, start: Any, chunks: Any) -> tuple[int, Any]:
        return int(start[0]), 2 * arr[start[0] : start[0] + chunks[0]]

    results = pmap_chunks(doubled, volume, (8, 128, 128), 2)
    for first, block in results:
        np.testing.assert_array_equal(block, 2 * volume[first : first + 8])
        block[...] = 0  # it is the caller's


def test_no_call_sees_what_another_has_written(method: str) -> None:
    def write_and_sum(arr: Any, start: Any, chunks: Any) -> int:
        arr[...] += 1
        return int(arr.sum())

    volume = np.zeros((8, 10), dtype=int)
    assert pmap_chunks(write_and_sum, volume, (1, 10), 2) == [80] * 8
    assert (volume == 0).all()


@pytest.mark.parametrize("kind", ["ndarray", "memmap"])
@pytest.mark.parametrize("n_chunks", [1, 8])
def test_what_a_function_writes_stays_its_own(method: str, kind: str, n_chunks: int, tmp_path: Path) -> None:
    def write(arr: Any, start: Any, chunks: Any) -> int:
        if start[0] % 2:
            memoryview(arr).cast("B")[0] = 1
        else:
            arr /= 2
        return os.getpid()

    volume: Any = np.full((8, 10), 2.0)
    if kind == "memmap":
        np.save(tmp_path / "v.npy", volume)
        volume = np.load(tmp_path / "v.npy", mmap_mode="r+")
    pids = pmap_chunks(write, volume, (8 // n_chunks, 10), 2)
    assert (volume == 2).all()
    assert os.getpid() not in pids


def test_results_that_are_parts_of_the_array_can_be_written(method: str) -> None:
    def part(arr: Any, start: Any, chunks: Any) -> Any:
        return arr[start[0] : start[0] + 1], arr[start[0], ::2], arr.T

    volume = np.arange(2.0 * 400 * 300).reshape(2, 400, 300)
    for number, (first, second, third) in enumerate(pmap_chunks(part, volume, (1, 400, 300), 2)):
        np.testing.assert_array_equal(first, volume[number : number + 1])
        np.testing.assert_array_equal(second, volume[number, ::2])
        np.testing.assert_array_equal(third, volume.T)
        assert first.flags.writeable
        assert second.flags.writeable
        assert third.flags.writeable
    assert volume.max() == volume.size - 1


def test_few_workers_and_any_sequence_of_chunks(method: str) -> None:
    for n_workers in (0, -1):
        assert pmap_chunks(lambda arr, start, chunks: os.getpid(), VOLUME, None, n_workers) == [os.getpid()]
    halves = pmap_chunks(lambda arr, start, chunks: (chunks // 2).tolist(), VOLUME, np.array([9, 10, 11]), 2)
    assert halves == [[4, 5, 5]]
    assert pmap_chunks(lambda arr, start, chunks: [*chunks, 1], VOLUME, [9.0, 10, 11], 2) == [[9, 10, 11, 1]]


def _mark(arr: Any, start: Any, chunks: Any) -> None:
    with MEMORY.txn() as array:
        array[int(start[0])] += 1


def test_module_level_shared_memory_is_written_by_all(method: str) -> None:
    with MEMORY.txn() as array:
        array[:] = 0
    pmap_chunks(_mark, np.zeros(20), (1,), 2)
    with MEMORY.txn() as array:
        assert array.tolist() == [1] * 20


def test_the_functions_own_exception_with_the_chunk_named(method: str) -> None:
    def fail(arr: Any, start: Any, chunks: Any) -> None:
        if start[0] == 4:
            raise KeyError("nothing here")

    with pytest.raises(KeyError, match="nothing here") as caught:
        pmap_chunks(fail, VOLUME, (4, 10, 11), 2)
    assert "[4:8, 0:10, 0:11]" in "".join(caught.value.__notes__)


def test_a_chunk_that_kills_its_worker_is_named(method: str) -> None:
    def die(arr: Any, start: Any, chunks: Any) -> None:
        if start[0] == 4:
            os._exit(3)

    with pytest.raises(TileError, match=r"4:8"):
        pmap_chunks(die, VOLUME, (4, 10, 11), 2)


@pytest.mark.parametrize("chunks", [(4, 4), (0, 4, 4), (4, -1, 4), (1.5, 4, 4)])
def test_bad_chunks(chunks: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="chunks"):
        pmap_chunks(total, VOLUME, chunks, 2)


def test_empty_array() -> None:
    assert pmap_chunks(total, np.zeros((0, 4)), (1, 1), 2) == []


@pytest.mark.parametrize("nb_workers", [1, 2])
def test_what_a_function_writes_is_seen_by_no_other_call(nb_workers: int) -> None:
    def write(arr: Any, start: Any, chunks: Any) -> int:
        before = int(arr.sum())
        arr[start[0] : start[0] + chunks[0]] += 1
        return before

    array = np.zeros(8, int)
    assert pmap_chunks(write, array, (2,), nb_workers) == [0] * 4
    assert not array.any()


@pytest.mark.parametrize("nb_workers", [1, 2])
def test_a_memory_error_of_the_function_is_raised(nb_workers: int) -> None:
    def hungry(arr: Any, start: Any, chunks: Any) -> None:
        raise MemoryError("too much")

    with pytest.raises(MemoryError, match="too much"):
        pmap_chunks(hungry, np.zeros(8), (2,), nb_workers)


def _mapped_inside(arr: Any, start: Any, chunks: Any) -> float:
    return float(map_tiles(np.copy, np.array(arr), tile_shape=4, workers=2, progress=False).sum())


def _pmapped_inside(arr: Any, start: Any, chunks: Any) -> float:
    return float(sum(pmap_chunks(lambda a, *_: a[0, 0], np.array(arr), (2, 8), nb_workers=2)))


@pytest.mark.parametrize(("inner", "total"), [(_mapped_inside, 64.0), (_pmapped_inside, 4.0)])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_run_inside_a_chunk(inner: Any, total: float, method: str) -> None:
    with settings.override(start_method=method):
        assert pmap_chunks(inner, np.ones((8, 8)), (4, 8), nb_workers=2) == [total, total]
