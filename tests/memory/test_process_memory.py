"""Tests of access to another process's memory, by address ranges."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore.memory import process_memory
from tilecore.memory.process_memory import is_reachable_by_workers, transfer

pytestmark = pytest.mark.skipif(not is_reachable_by_workers(), reason="this system forbids process_vm_readv")


def spans_of(array: np.ndarray, pieces: list[tuple[int, int]]) -> np.ndarray:
    return np.array([[array.ctypes.data + first, last - first] for first, last in pieces], dtype=np.uint64).reshape(
        -1, 2
    )


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 20)), min_size=1, max_size=30))
def test_spans_are_gathered_in_order(pieces: list[tuple[int, int]]) -> None:
    array = np.arange(120, dtype=np.uint8)
    bounds = [(first, first + length) for first, length in pieces]
    expected = np.concatenate([array[first:last] for first, last in bounds])
    local = np.zeros_like(expected)
    transfer("read", os.getpid(), spans_of(array, bounds), local)
    np.testing.assert_array_equal(local, expected)


def test_more_spans_than_one_call_takes() -> None:
    array = np.zeros(10_000, dtype=np.uint8)
    bounds = [(first, first + 1) for first in range(0, 10_000, 2)]
    transfer("write", os.getpid(), spans_of(array, bounds), np.ones(5_000, dtype=np.uint8))
    assert array.reshape(-1, 2).sum(axis=0).tolist() == [5_000, 0]


@pytest.mark.parametrize("moved", [0, 1, 3, 4, 5, 9])
def test_a_short_transfer_goes_on_where_it_stopped(moved: int) -> None:
    array = np.arange(9, dtype=np.uint8)
    spans = spans_of(array, [(0, 3), (3, 4), (4, 9)])
    rest = process_memory._behind(spans, moved)
    left = b"".join(bytes(array[int(a) - array.ctypes.data :][: int(n)]) for a, n in rest)
    assert left == bytes(array[moved:])


def test_addresses_that_are_not_mapped_are_an_error() -> None:
    with pytest.raises(OSError, match="memory of process"):
        transfer("read", os.getpid(), np.array([[8, 4]], dtype=np.uint64), np.empty(4, dtype=np.uint8))


def test_a_process_that_is_gone_is_an_error() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(ProcessLookupError):
        transfer("read", pid, np.array([[8, 4]], dtype=np.uint64), np.empty(4, dtype=np.uint8))


@pytest.mark.parametrize(("scope", "reachable"), [("0", True), ("1", True), ("2", False), ("3", False), ("", True)])
def test_yama_is_obeyed(scope: str, reachable: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "scope").write_text(scope)
    monkeypatch.setattr(process_memory, "Path", lambda _: tmp_path / "scope")
    is_reachable_by_workers.cache_clear()
    try:
        assert is_reachable_by_workers() is reachable
    finally:
        is_reachable_by_workers.cache_clear()
