"""Factors of whole numbers."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Iterator
from typing import SupportsIndex

from tilecore.errors import ParameterTypeError

__all__ = ["factors"]

# These bases tell primes below 3.3e24 from all other numbers (Sorenson and Webster, 2015).
_BASES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)

# Greatest divisor that is simply tried.
_TRIED = 1000


def factors(x: SupportsIndex) -> list[int]:
    """Compute all factors of a whole number.

    Parameters
    ----------
    x : int
        The number. Numbers with two large prime factors take longest: below 10**18 some hundredths of a second.

    Returns
    -------
    list of int
        Its factors from 1 to `x`, in ascending order; none for zero and negative numbers.

    Raises
    ------
    ParameterTypeError
        If `x` is not a whole number.

    Examples
    --------
    >>> factors(12)
    [1, 2, 3, 4, 6, 12]
    >>> len(factors(10**12))
    169
    """
    try:
        number = operator.index(x)
    except TypeError as error:
        raise ParameterTypeError.of("x", x, "a whole number is needed") from error
    if number < 1:
        return []
    found = [1]
    for prime, times in Counter(_primes(number)).items():
        found = [factor * prime**power for factor in found for power in range(times + 1)]
    return sorted(found)


def _primes(number: int) -> Iterator[int]:
    """Prime factors of a positive number, each as often as it divides it."""
    for divisor in range(2, _TRIED):
        while number % divisor == 0:
            yield divisor
            number //= divisor
    rest = [number] if number > 1 else []
    while rest:
        number = rest.pop()
        if number < _TRIED**2 or _is_prime(number):
            yield number
        else:
            divisor = _divisor(number)
            rest += [divisor, number // divisor]


def _is_prime(number: int) -> bool:
    """Whether an odd number above 41 is prime: the test of Miller and Rabin."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in _BASES:
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def _divisor(number: int) -> int:
    """Find a divisor of a number that is not prime: Pollard's rho, with other steps where one meets no divisor."""
    root = math.isqrt(number)
    if root * root == number:
        return root
    step = 0
    while True:
        step += 1
        slow, fast, common = 2, 2, 1
        while common == 1:
            slow = (slow * slow + step) % number
            fast = (fast * fast + step) % number
            fast = (fast * fast + step) % number
            common = math.gcd(slow - fast, number)
        if common != number:
            return common
