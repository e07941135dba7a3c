"""Chunks of labelled arrays: those that they have, and those that would suit them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tilecore.datasets.chunking import labelled
from tilecore.errors import ParameterError
from tilecore.extras import need

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["get_chk", "get_chunksize", "get_optimal_chk", "rechunk_like"]

#: Dimensions that are cut together, if a caller does not say which.
_GROUPS = (("frame",), ("height", "width"))


def get_chk(arr: DataArray) -> dict[str, tuple[int, ...]]:
    """Return the chunks of a labelled array.

    Parameters
    ----------
    arr : DataArray
        In memory, or in blocks of dask.

    Returns
    -------
    dict of str to tuple of int
        For each dimension the lengths of its chunks [voxel]; an array in memory is one chunk.

    Raises
    ------
    ParameterTypeError
        If `arr` is not a DataArray.
    """
    array = labelled(arr, "arr")
    chunks = array.chunks or tuple([(length,) for length in array.shape])
    return {str(dim): tuple([int(each) for each in lengths]) for dim, lengths in zip(array.dims, chunks, strict=True)}


def get_chunksize(arr: DataArray) -> dict[str, int]:
    """Return the largest chunk of a labelled array along each dimension.

    Parameters
    ----------
    arr : DataArray
        In memory, or in blocks of dask.

    Returns
    -------
    dict of str to int
        For each dimension the length of its longest chunk [voxel]; an array in memory is one chunk.

    Raises
    ------
    ParameterTypeError
        If `arr` is not a DataArray.
    """
    return {dim: max(lengths) for dim, lengths in get_chk(arr).items()}


def rechunk_like(x: DataArray, y: DataArray) -> DataArray:
    """Give an array the chunks of another one, along the dimensions that both have.

    Parameters
    ----------
    x : DataArray
        The array to be rechunked; it is not changed.
    y : DataArray
        The array whose longest chunk along each dimension is taken.

    Returns
    -------
    DataArray
        `x` in blocks of dask; in memory if `y` is in memory.

    Raises
    ------
    ParameterTypeError
        If one of them is not a DataArray.
    """
    array, like = labelled(x, "x"), labelled(y, "y")
    if like.chunks is None:
        return array.compute()
    lengths = {dim: length or -1 for dim, length in get_chunksize(like).items() if dim in array.dims}
    return array.chunk(lengths)


def get_optimal_chk(
    arr: DataArray,
    dim_grp: Sequence[Sequence[str]] | None = None,
    csize: float = 256,
    dtype: npt.DTypeLike | None = None,
) -> tuple[dict[str, int], dict[str, int]]:
    """Compute chunks of about a given size for a labelled array, for work along some dimensions at a time.

    The lengths are those that dask chooses by itself, where only the dimensions of one group are cut.

    Parameters
    ----------
    arr : DataArray
        Its present chunks count, as dask prefers multiples of them.
    dim_grp : list of tuple of str, optional
        Groups of dimensions that are cut together while the others stay whole. Each dimension of `arr` is in one of
        them; those that `arr` does not have are left out. ``[]``: each dimension alone. Default:
        ``[("frame",), ("height", "width")]``.
    csize : float
        Size of a chunk [MiB].
    dtype : dtype_like, optional
        Data type of the work. Default: that of `arr`.

    Returns
    -------
    chunks : dict of str to int
        Length along each dimension, where the other groups stay whole [voxel].
    stored : dict of str to int
        Chunks for a file, cut along all dimensions: whole multiples of `chunks`, hardly larger than `csize`
        where those allow it.

    Raises
    ------
    ParameterError
        If a dimension is in no group or in two, `csize` is not above zero, or values have no fixed size.
    ParameterTypeError
        If `arr` is not a DataArray.
    MissingDependencyError
        If dask is not installed.
    """
    array = labelled(arr, "arr")
    kind = np.dtype(array.dtype if dtype is None else dtype)
    if kind.hasobject or kind.itemsize == 0:
        raise ParameterError.of("dtype", kind, "values of a fixed size are needed; give the dtype of the work")
    if not 0 < csize < math.inf:
        raise ParameterError.of("csize", csize, "a size above zero is needed [MiB]")
    limit = max(int(csize * 2**20), 1)
    chunks: dict[str, int] = {}
    for group in _groups(dim_grp, [str(dim) for dim in array.dims]):
        lengths = _automatic(array, group, kind, limit)
        chunks |= {dim: lengths[dim] for dim in group}
    chunks = {str(dim): chunks[str(dim)] for dim in array.dims}
    return chunks, _stored(chunks, _automatic(array, list(chunks), kind, limit), limit // kind.itemsize)


def _automatic(array: DataArray, cut: Sequence[str], kind: np.dtype, limit: int) -> dict[str, int]:
    """Length along each dimension that dask chooses where only some are cut."""
    need("get_optimal_chk", "dask", "dask.array")
    from dask.array.core import normalize_chunks

    asked = tuple(["auto" if dim in cut else -1 for dim in array.dims])
    found = normalize_chunks(  # type: ignore[no-untyped-call]
        asked, shape=array.shape, limit=limit, dtype=kind, previous_chunks=array.chunks
    )
    return {str(dim): int(max(lengths)) for dim, lengths in zip(array.dims, found, strict=True)}


def _groups(given: Sequence[Sequence[str]] | None, dims: list[str]) -> list[list[str]]:
    """Check the groups of dimensions; each dimension alone where none is given."""
    groups = _GROUPS if given is None else given or [[dim] for dim in dims]
    for group in groups:
        if isinstance(group, str):
            raise ParameterError.of("dim_grp", given, f"each group is a tuple of names, such as ({group!r},)")
    counts = Counter(dim for group in groups for dim in group)
    for dim in dims:
        if counts[dim] != 1:
            told = "in no group" if not counts[dim] else "in a group more than once"
            raise ParameterError.of("dim_grp", [*groups], f"the dimension {dim!r} is {told}; it must be in one")
    return [kept for group in groups if (kept := [dim for dim in group if dim in dims])]


def _stored(chunks: Mapping[str, int], wanted: Mapping[str, int], most: int) -> dict[str, int]:
    """Whole multiples of chunks near those that are wanted, of at most so many voxels if one multiple fits."""
    times = {dim: max(wanted[dim] // max(length, 1), 1) for dim, length in chunks.items()}
    while max(times.values(), default=1) > 1 and math.prod(times[dim] * chunks[dim] for dim in times) > most:
        longest = max(times, key=lambda dim: times[dim])
        times[longest] = (times[longest] + 1) // 2
    return {dim: times[dim] * length for dim, length in chunks.items()}
