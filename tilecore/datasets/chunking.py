"""Chunks of a variable: those of its blocks, and those that a caller asks for, by the names of dimensions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, SupportsIndex, TypeAlias

from tilecore.errors import ParameterError, ParameterTypeError

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["ChunkSizes", "block_shape", "chunk_shape", "fits", "in_equal_blocks"]

#: Lengths of chunks by dimension: a length, 0 or -1 for the whole dimension, or the lengths of all chunks.
ChunkSizes: TypeAlias = Mapping[Hashable, int | Sequence[int]]


def in_equal_blocks(var: DataArray) -> DataArray:
    """The variable as dask blocks that are all of one shape, but for the last ones: those that zarr can have.

    Blocks of different lengths become as long as the longest. What is in memory is cut as dask thinks best.
    """
    if var.chunks is None:
        return var.chunk("auto" if var.dtype.kind in "biufcmM" else -1)
    lengths = block_shape(var)
    are_equal = all(set(chunks[:-1]) <= {length} for chunks, length in zip(var.chunks, lengths, strict=True))
    return var if are_equal else var.chunk(dict(zip(var.dims, lengths, strict=True)))


def block_shape(var: DataArray) -> tuple[int, ...]:
    """Shape of the largest block, at least 1 along each dimension."""
    return tuple([max(1, *chunks) for chunks in var.chunks or ()])


def chunk_shape(
    dims: Sequence[Hashable], shape: Sequence[int], given: ChunkSizes, default: Sequence[int], parameter: str = "chunks"
) -> tuple[int, ...]:
    """Shape of a chunk, from lengths by the names of dimensions.

    Parameters
    ----------
    dims : sequence of hashable
        Dimensions of the variable.
    shape : sequence of int
        Their lengths.
    given : mapping
        Lengths that are asked for: 0 and -1 mean the whole dimension, one larger than it is clipped.
    default : sequence of int
        Lengths for dimensions that are not named.
    parameter : str
        Name of the parameter, for messages.

    Raises
    ------
    ParameterError
        If a dimension is unknown, or a length is none.
    ParameterTypeError
        If it is no mapping, or a length no whole number.
    """
    if not isinstance(given, Mapping):
        raise ParameterTypeError.of(parameter, given, f"a mapping is needed, such as {{{dims[0]!r}: 100}}")
    unknown = [name for name in given if name not in dims]
    if unknown:
        raise ParameterError.of(
            parameter, unknown[0], f"there is no such dimension; there are {', '.join(map(str, dims))}"
        )
    lengths = [
        _length(name, given[name], whole, parameter) if name in given else min(own, max(whole, 1))
        for name, whole, own in zip(dims, shape, default, strict=True)
    ]
    return tuple(lengths)


def _length(name: Hashable, given: object, whole: int, parameter: str) -> int:
    """Length of a chunk along one dimension."""
    if isinstance(given, (list, tuple)):
        if not given or any(each != given[0] for each in given[:-1]) or given[-1] > given[0]:
            raise ParameterError.of(
                parameter, {name: given}, "chunks on disk all have one length, but for the last one"
            )
        return _length(name, given[0], whole, parameter)
    if isinstance(given, str):
        raise ParameterError.of(parameter, {name: given}, "a number is needed; -1 is the whole dimension")
    if not isinstance(given, SupportsIndex):
        raise ParameterTypeError.of(parameter, {name: given}, "a whole number is needed")
    length = given.__index__()
    if length < -1:
        raise ParameterError.of(parameter, {name: length}, "at least 1; -1 is the whole dimension")
    return max(1, whole if length in (0, -1) else min(length, whole))


def fits(blocks: Sequence[int], units: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether each block is made of whole units, so that no two blocks write the same one."""
    return all(block >= length or block % unit == 0 for block, unit, length in zip(blocks, units, shape, strict=True))
