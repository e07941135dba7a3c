"""Local extremes: the voxels that are the greatest, or the least, of those around them."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from tilecore.engine.declared import declare
from tilecore.errors import ParameterError
from tilecore.filters.exact_values import Numbers, as_numbers, ordered

__all__ = ["local_extreme"]


def _reach(k: npt.ArrayLike, **_: object) -> list[tuple[int, int]]:
    """Voxels that are seen before and after each voxel."""
    return [(length // 2, length - 1 - length // 2) for length in np.shape(k)]


@declare(halo=_reach, dtype=np.uint8)
def local_extreme(
    fm: npt.ArrayLike, k: npt.ArrayLike, etype: Literal["max", "min"] = "max", diff: float = 0
) -> npt.NDArray[np.uint8]:
    """Find the voxels that are the greatest, or the least, of those in a window around them.

    Parameters
    ----------
    fm : array_like
        Numbers, with any number of axes. NaN is left out: it counts for no window, and is never an extreme.
    k : array_like
        Window, with as many axes as `fm`: its cells that are not zero count. Its centre is at half its length,
        rounded down. Voxels beyond the edges of `fm` do not count.
    etype : {"max", "min"}
        Kind of extreme.
    diff : number
        The greatest and the least voxel of the window must differ by more than this.

    Returns
    -------
    ndarray of uint8
        1 at local extremes, 0 elsewhere, in the shape of `fm`. Neighbours that are equal are all extremes.

    Raises
    ------
    ParameterError
        If `etype` is another word, or `k` has other axes than `fm` or no cell that counts.
    ParameterTypeError
        If one of them holds no numbers that have an order.

    Notes
    -----
    `map_tiles` takes the halo from the window, and gives the result that the whole volume has.

    Examples
    --------
    >>> local_extreme([[0, 3, 3, 1, 2]], np.ones((1, 3)))
    array([[0, 1, 1, 0, 1]], dtype=uint8)
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    numbers, window = as_numbers(fm, "fm"), as_numbers(k, "k") != 0
    if etype not in ("max", "min"):
        raise ParameterError.of("etype", etype, "must be 'max' or 'min'")
    if window.ndim != numbers.ndim:
        raise ParameterError.of("k", window.shape, f"the window needs {numbers.ndim} axes, as fm has")
    if not window.any():
        raise ParameterError.of("k", k, "no cell of the window differs from zero")
    if numbers.size == 0:
        return np.zeros(numbers.shape, np.uint8)
    missing = np.isnan(numbers)
    values, table = ordered(np.where(missing, numbers.dtype.type(0), numbers))
    values[missing] = -np.inf
    greatest = maximum_filter(values, footprint=window, mode="constant", cval=-np.inf)
    values[missing] = np.inf
    least = minimum_filter(values, footprint=window, mode="constant", cval=np.inf)
    is_extreme: npt.NDArray[np.bool_] = (values == (greatest if etype == "max" else least)) & ~missing
    return (is_extreme & _differ(greatest, least, table, diff)).astype(np.uint8)


def _differ(
    greatest: npt.NDArray[np.float64], least: npt.NDArray[np.float64], table: Numbers | None, diff: float
) -> npt.NDArray[np.bool_]:
    """Where the greatest and the least voxel of a window differ by more than a number; nowhere if it has no voxel."""
    if math.isnan(diff):
        return np.zeros(greatest.shape, np.bool_)
    has_voxels = greatest >= least
    if table is None:
        with np.errstate(invalid="ignore"):  # infinity from infinity, where both are the same voxel's
            return has_voxels & (np.where(greatest == least, 0.0, greatest - least) > diff)
    high = table[np.where(has_voxels, greatest, 0).astype(np.intp)]
    low = table[np.where(has_voxels, least, 0).astype(np.intp)]
    if table.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            return has_voxels & (np.where(high == low, 0, high - low) > diff)
    # Differences of 64-bit numbers fit into uint64, where subtraction goes round; whole numbers exceed diff if they
    # exceed the whole number below it.
    apart = high.astype(np.uint64) - low.astype(np.uint64)
    return has_voxels & (apart > (math.floor(diff) if math.isfinite(diff) else diff))
