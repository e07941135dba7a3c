"""Baselines: what changes slowly below the events of a series of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tilecore.engine.declared import declare
from tilecore.filters.exact_values import Numbers, as_numbers, ordered
from tilecore.geometry.per_axis import as_integer, as_integers

__all__ = ["med_baseline"]


def _reach(wnd: int | Sequence[int], **_: object) -> int | list[int]:
    """Numbers that are seen before and after each one."""
    return [length // 2 for length in wnd] if isinstance(wnd, Sequence) else wnd // 2


@declare(halo=_reach, boundary="symmetric")  # which scipy calls reflect
def med_baseline(a: npt.ArrayLike, wnd: int | Sequence[int]) -> Numbers:
    """Subtract the baseline from a series of numbers: the median of a window that moves along it.

    Parameters
    ----------
    a : array_like
        The series, which is not changed; with several axes, the window has as many.
    wnd : int or sequence of int
        Length of the window, for all axes or for each. Beyond the ends the series is mirrored.

    Returns
    -------
    ndarray
        What lies above the baseline, and zero elsewhere, in the shape and dtype of `a`. NaN where the window holds
        NaN. What is too large for the dtype is its largest number.

    Raises
    ------
    ParameterError, ParameterTypeError
        If `wnd` is not a length of one or more, or `a` holds no numbers that have an order.

    Notes
    -----
    `map_tiles` takes the halo and the boundary from here, and gives the result that the whole series has.

    Examples
    --------
    >>> med_baseline(np.array([5, 5, 9, 4, 5], np.uint8), 3)
    array([0, 0, 4, 0, 0], dtype=uint8)
    """
    from scipy.ndimage import maximum_filter, median_filter

    numbers = as_numbers(a, "a")
    size = as_integers(wnd, "wnd", numbers.ndim, 1) if isinstance(wnd, Sequence) else as_integer(wnd, "wnd", 1)
    if numbers.size == 0:
        return numbers.copy()
    missing = np.isnan(numbers)
    values, table = ordered(np.where(missing, numbers.dtype.type(0), numbers))
    median = median_filter(values, size=size)
    baseline = median.astype(numbers.dtype) if table is None else table[median.astype(np.intp)]
    above = _above(numbers, baseline)
    if missing.any():
        above[maximum_filter(missing, size=size)] = np.nan
    return above


def _above(numbers: Numbers, baseline: Numbers) -> Numbers:
    """Difference of two arrays where it is positive, zero elsewhere, in the same dtype."""
    kind = numbers.dtype
    if kind.kind == "b":
        return np.asarray(numbers & ~baseline)
    if kind.kind == "f":
        with np.errstate(invalid="ignore"):  # infinity from infinity
            return np.where(numbers > baseline, numbers - baseline, kind.type(0))
    unsigned = np.dtype(f"u{kind.itemsize}")
    apart = numbers.astype(unsigned) - baseline.astype(unsigned)  # right where it is positive: it goes round
    largest = np.iinfo(kind).max
    return np.where(numbers > baseline, np.minimum(apart, largest), 0).astype(kind)
