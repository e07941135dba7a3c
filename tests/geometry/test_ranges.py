"""Tests of ranges of bytes, against a row of bytes each of which is free or taken."""

from __future__ import annotations

from itertools import groupby
from random import Random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore.geometry.ranges import Ranges

End = Literal["low", "high"]


class Row:
    """Bytes, each with its owner, next to the ranges that are tested."""

    def __init__(self, size: int) -> None:
        self.ranges, self.owners = Ranges(size), [0] * size
        self.taken: dict[int, tuple[int, int]] = {}
        self._most, self._last = 0, 0

    def free_runs(self) -> list[tuple[int, int]]:
        """Start and length of each run of free bytes."""
        runs, start = [], 0
        for is_free, run in groupby(self.owners, lambda owner: not owner):
            length = len(list(run))
            if is_free:
                runs.append((start, length))
            start += length
        return runs

    def take(self, size: int, end: End) -> None:
        fitting = [(start, length) for start, length in self.free_runs() if length >= size]
        start = self.ranges.take(size, end)
        if not fitting:
            assert start is None
            return
        expected = fitting[0][0] if end == "low" else fitting[-1][0] + fitting[-1][1] - size
        assert start == expected
        self._last += 1
        self.own(start, size, self._last)
        self.taken[self._last] = start, size

    def give_back(self, owner: int, n_bytes: int) -> None:
        """Give back so many bytes from the end of what an owner has."""
        start, size = self.taken.pop(owner)
        if size > n_bytes:
            self.taken[owner] = start, size - n_bytes
        self.ranges.give_back(start + size - n_bytes, n_bytes)
        self.own(start + size - n_bytes, n_bytes, 0)

    def own(self, start: int, size: int, owner: int) -> None:
        assert 0 <= start <= start + size <= len(self.owners)
        assert not owner or not any(self.owners[start : start + size])
        self.owners[start : start + size] = [owner] * size
        n_taken = sum(map(bool, self.owners))
        self._most = max(self._most, n_taken)
        assert (self.ranges.n_taken, self.ranges.highest) == (n_taken, self._most)


@given(st.integers(0, 60), st.integers(1, 25), st.integers(0, 2**32))
def test_ranges_are_those_of_a_row_of_bytes(size: int, longest: int, seed: int) -> None:
    random, row = Random(seed), Row(size)
    for _ in range(80):
        if row.taken and random.random() < 0.45:
            owner = random.choice(list(row.taken))
            held = row.taken[owner][1]
            row.give_back(owner, held if random.random() < 0.7 else random.randint(1, held))
        else:
            row.take(random.randint(1, longest), random.choice(["low", "high"]))
    for owner in random.sample(list(row.taken), len(row.taken)):
        row.give_back(owner, row.taken[owner][1])
    assert row.ranges.n_taken == 0
    if size:  # all that was given back is one range again
        assert row.ranges.take(size) == 0
    assert row.ranges.take(1) is None


@pytest.mark.parametrize("size", [0, -5])
@pytest.mark.parametrize("end", ["low", "high"])
def test_nothing_is_taken_of_nothing(size: int, end: End) -> None:
    assert Ranges(size).take(1, end) is None
