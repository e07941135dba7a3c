"""Tests of `tilecore.geometry.factoring`."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilecore.errors import ParameterTypeError
from tilecore.geometry.factoring import factors


def test_factors_are_all_that_divide() -> None:
    for number in [*range(-3, 3000), 1009**2, 1009 * 1013, 7**7]:
        small = [each for each in range(1, math.isqrt(max(number, 0)) + 1) if number % each == 0]
        assert factors(number) == sorted({*small, *(number // each for each in small)})


@given(st.lists(st.sampled_from([2, 3, 5, 997, 1009, 65537, 1000003, 2**31 - 1]), max_size=4))
def test_factors_of_products_of_known_primes(primes: list[int]) -> None:
    number = math.prod(primes)
    found = factors(number)
    assert found == sorted(set(found))
    assert all(number % each == 0 for each in found)
    assert len(found) == math.prod(primes.count(prime) + 1 for prime in set(primes))


def test_large_numbers_end() -> None:
    """Trying every number up to these would take hours."""
    assert len(factors(10**12)) == 13 * 13
    assert factors(2**61 - 1) == [1, 2**61 - 1]
    assert factors(1000000007 * 998244353) == [1, 998244353, 1000000007, 1000000007 * 998244353]
    pseudoprime = 10670053 * 32010157  # the test of Miller and Rabin takes it for a prime with the bases 2 to 17
    assert factors(pseudoprime) == [1, 10670053, 32010157, pseudoprime]


def test_whole_numbers_of_numpy_become_plain_ones() -> None:
    assert [type(each) for each in factors(np.int64(6))] == [int] * 4


def test_other_numbers_are_refused() -> None:
    with pytest.raises(ParameterTypeError, match="x="):
        factors(6.5)  # type: ignore[arg-type]
