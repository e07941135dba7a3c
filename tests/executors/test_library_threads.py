"""Tests of threads of BLAS and OpenMP: runs in this process hold them to threads_per_worker, and give them back."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import threadpoolctl

from tilecore import TileError, collect_tiles, iter_tiles
from tilecore.executors import library_threads
from tilecore.executors.library_threads import LibraryThreads

VOLUME = np.ones((4, 4))


def n_threads(_: object = None) -> set[int]:
    """Numbers of threads that the loaded libraries may use in this thread."""
    return {library.num_threads for library in threadpoolctl.ThreadpoolController().lib_controllers}


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    """Each test begins with three threads, whatever this machine has, and must leave them."""
    before = [(library, library.num_threads) for library in threadpoolctl.ThreadpoolController().lib_controllers]
    if not before:
        pytest.skip("no library here tells its threads")
    threadpoolctl.threadpool_limits(3)
    _let_others_set()
    yield
    assert n_threads() == {3}
    for library, number in before:
        library.set_num_threads(number)
    _let_others_set()


def _let_others_set() -> None:
    getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", lambda: None)()


@pytest.fixture(params=["serial", "threads"])
def run(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"executor": request.param, "tile_shape": 2}


@pytest.mark.parametrize("asked", [1, 2])
def test_a_run_holds_them(run: dict[str, Any], asked: int) -> None:
    found = collect_tiles(n_threads, VOLUME, threads_per_worker=asked, **run)
    assert found == [{asked}] * 4
    assert n_threads() == {3}


def test_one_is_the_default(run: dict[str, Any]) -> None:
    assert collect_tiles(n_threads, VOLUME, **run) == [{1}] * 4


def test_also_a_run_that_fails_gives_them_back(run: dict[str, Any]) -> None:
    def fail(block: np.ndarray) -> None:
        assert n_threads() == {1}
        raise ZeroDivisionError

    with pytest.raises(TileError, match="ZeroDivisionError"):
        collect_tiles(fail, VOLUME, retries=0, **run)
    assert n_threads() == {3}


def test_a_run_that_is_given_up_gives_them_back(run: dict[str, Any]) -> None:
    tiles = iter_tiles(n_threads, VOLUME, **run)
    assert next(tiles)[1] == {1}
    tiles.close()
    assert n_threads() == {3}
    tiles = iter_tiles(n_threads, VOLUME, **run)
    next(tiles)
    del tiles
    assert n_threads() == {3}


def test_runs_that_overlap_in_one_thread(run: dict[str, Any]) -> None:
    """The run that ends first does not give back what the other one holds."""
    first = iter_tiles(n_threads, VOLUME, **run)
    second = iter_tiles(n_threads, VOLUME, **run, threads_per_worker=2)
    assert next(first)[1] == {1}
    assert next(second)[1] == {1}
    first.close()
    assert [found for _, found in second][-1] <= {1, 2}
    assert n_threads() == {3}


def test_a_run_inside_a_run(run: dict[str, Any]) -> None:
    def inner(block: np.ndarray) -> set[int]:
        collect_tiles(n_threads, VOLUME, executor="serial", tile_shape=2)
        return n_threads()

    assert collect_tiles(inner, VOLUME, **run) == [{1}] * 4


def test_runs_that_overlap_in_threads(run: dict[str, Any]) -> None:
    """Many runs at once, of different lengths: each is held, and the last one gives back."""
    found: list[Any] = []
    begin = threading.Barrier(4)

    def work(n_tiles: int) -> None:
        begin.wait(timeout=60)
        found.extend(collect_tiles(n_threads, np.ones((2 * n_tiles, 4)), **run))

    threads = [threading.Thread(target=work, args=(5 * number + 1,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{1}] * sum(2 * (5 * number + 1) for number in range(4))
    assert n_threads() == {3}


def test_a_thread_that_begins_after_the_end_holds_nothing() -> None:
    libraries = LibraryThreads(1)
    assert libraries.let_go() is None
    libraries.hold()
    assert n_threads() == {3}


class OpenMP(threading.local):
    """Stands in for a library of OpenMP, which has a number for each thread."""

    user_api, filepath, num_threads = "openmp", "openmp.so", 3

    def set_num_threads(self, number: int) -> None:
        self.num_threads = number


@pytest.fixture
def openmp(monkeypatch: pytest.MonkeyPatch) -> OpenMP:
    library = OpenMP()
    monkeypatch.setattr(library_threads, "_state", library_threads._State())
    monkeypatch.setattr(threadpoolctl, "ThreadpoolController", lambda: SimpleNamespace(lib_controllers=[library]))
    return library


def test_what_another_thread_lets_go_is_given_back_by_the_next_run(openmp: OpenMP) -> None:
    held = LibraryThreads(1)
    held.hold()
    assert openmp.num_threads == 1
    thread = threading.Thread(target=held.let_go)
    thread.start()
    thread.join()
    for threads in (2, 1):
        after = LibraryThreads(threads)
        after.hold()
        assert openmp.num_threads == threads
        after.let_go()
        assert openmp.num_threads == 3


def test_a_thread_that_lets_go_of_what_another_holds_is_as_before(openmp: OpenMP) -> None:
    held, own = LibraryThreads(1), LibraryThreads(2)
    thread = threading.Thread(target=held.hold)
    thread.start()
    thread.join()
    own.hold()
    held.let_go()
    assert openmp.num_threads == 2
    own.let_go()
    assert openmp.num_threads == 3


def test_loaded_libraries_are_looked_for_after_imports_only(openmp: OpenMP, monkeypatch: pytest.MonkeyPatch) -> None:
    n_searches = 0

    def search() -> SimpleNamespace:
        nonlocal n_searches
        n_searches += 1
        return SimpleNamespace(lib_controllers=[openmp])

    monkeypatch.setattr(threadpoolctl, "ThreadpoolController", search)
    LibraryThreads(1).let_go()
    LibraryThreads(1).let_go()
    assert n_searches == 1
    monkeypatch.setitem(sys.modules, "a module that is imported later", ModuleType("later"))
    held = LibraryThreads(1)
    held.hold()
    assert (n_searches, openmp.num_threads) == (2, 1)
    held.let_go()


def test_a_run_that_is_deleted_while_another_thread_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector may delete a crew at any place, also where a thread makes what it holds."""
    deleted = LibraryThreads(1)
    make, failures = library_threads._Held.__init__, []

    def collected(held: Any) -> None:
        make(held)
        try:
            deleted.let_go()
        except Exception as error:
            failures.append(error)

    monkeypatch.setattr(library_threads._Held, "__init__", collected)
    begun = LibraryThreads(2)
    thread = threading.Thread(target=begun.hold)
    thread.start()
    thread.join()
    begun.let_go()
    assert not failures
