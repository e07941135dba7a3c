"""Tests of the older ways of sharing: SharedMemory, SharedArr, SharedArrsContainer, and plain pools."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import pytest

import tilecore
from tilecore import SharedArr, SharedArrsContainer, SharedMemory, get_mp_pool, settings
from tilecore.testing.leaks import names_in_shm

METHODS = ["fork", "forkserver", "spawn"]
BACKENDS = ["shm", "memfd", "mmap"]


def add_one(memory: SharedMemory, row: int) -> int:
    with memory.txn() as array:
        array[row] += 1
    return os.getpid()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_shared_memory_in_a_pool(method: str, backend: str) -> None:
    memory = SharedMemory((4, 5), np.float32, backend=backend)
    with get_mp_pool(processes=2, start_method=method) as pool:
        pool.map(functools.partial(add_one, memory), range(4))
        pool.close()
        pool.join()
    with memory.txn() as array:
        assert (array == 1).all()
        assert (array.shape, array.dtype) == (memory.shape, memory.dtype)


def test_shared_memory_has_a_path_when_asked() -> None:
    memory = SharedMemory((3,), "u2")
    assert not names_in_shm([os.getpid()])
    with memory.txn() as array:
        array[:] = [1, 2, 3]
    assert np.memmap(memory.pathname, dtype="u2", shape=(3,), mode="r").tolist() == [1, 2, 3]


def test_shared_memory_off_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    memory = SharedMemory((2, 2), int)
    assert memory.shared().segment.backend == "mmap"
    with memory.txn() as array:
        array[...] = 3
    with memory.txn() as array:
        assert array.sum() == 12


def look_up(name: str) -> tuple[Any, int]:
    array = SharedArrsContainer.convert_shared_arr(name)
    if array is None:
        return None, 0
    array[0, 0] = os.getpid()
    return array.shape, int(array[1].sum())


@pytest.mark.parametrize("method", METHODS)
def test_container_in_a_pool(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharedArrsContainer, "shared_arrs", None)
    labels = np.arange(12).reshape(3, 4)
    initializer, initargs = SharedArrsContainer.build_pool_init({"labels": labels, 7: labels[::-1, ::2]})
    shared: dict[Any, SharedArr] = initargs[1]
    with get_mp_pool(initializer, initargs, processes=2, start_method=method) as pool:
        results = pool.map(look_up, ["labels", "nothing"])
        pool.close()
        pool.join()
    assert results == [((3, 4), 22), (None, 0)]
    assert shared["labels"].as_ndarray()[0, 0] != 0  # written by the worker, seen here: nothing was copied
    assert labels[0, 0] == 0
    np.testing.assert_array_equal(shared[7].as_ndarray(), labels[::-1, ::2])
    assert SharedArrsContainer.convert_shared_arr("labels") is None


def test_replaced_processes_are_initialized_too() -> None:
    initializer, initargs = SharedArrsContainer.build_pool_init({"a": np.ones((2, 2), dtype=int)})
    with get_mp_pool(initializer, initargs, processes=1, start_method="forkserver", max_tasks=1) as pool:
        assert [pool.apply(look_up, ("a",))[1] for _ in range(3)] == [2, 2, 2]
        pool.close()
        pool.join()


def test_shared_arr_has_the_seeds_attributes() -> None:
    array = np.arange(6, dtype="f4").reshape(2, 3)
    shared = SharedArr(array)
    assert (shared.shape, shared.dtype) == ((2, 3), np.dtype("f4"))
    assert shared.arr.shape == (6,)
    np.testing.assert_array_equal(np.frombuffer(shared.arr, shared.dtype).reshape(shared.shape), array)


def test_container_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharedArrsContainer, "shared_arrs", None)
    SharedArrsContainer.setup_shared_arrs({"x": SharedArr([1, 2])})
    found = SharedArrsContainer.convert_shared_arr("x")
    assert found is not None
    assert found.tolist() == [1, 2]
    assert SharedArrsContainer.convert_shared_arr("y") is None


def test_get_mp_pool_follows_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILECORE_WORKERS", "3")
    monkeypatch.setenv("TILECORE_START_METHOD", "spawn")
    with get_mp_pool() as pool:
        assert pool._processes == 3  # type: ignore[attr-defined]
        assert type(pool._ctx).__name__ == "SpawnContext"  # type: ignore[attr-defined]
        pool.terminate()
        pool.join()
    with settings.override(workers=1, start_method="fork"), get_mp_pool() as pool:
        assert pool._processes == 1  # type: ignore[attr-defined]
        pool.terminate()
        pool.join()


def test_import_star_is_complete() -> None:
    assert {"SharedArr", "SharedMemory", "get_mp_pool", "init_shared_container"} <= set(tilecore.__all__)
