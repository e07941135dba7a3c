"""Lengths of chunks by the names of dimensions, as callers give them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, SupportsIndex, TypeAlias

from tilecore.errors import ParameterError, ParameterTypeError, alike

__all__ = ["ChunkSizes", "check_dimension", "chunk_shape"]

#: Lengths of chunks by dimension: a length, 0 or -1 for the whole dimension, or the lengths of all chunks.
ChunkSizes: TypeAlias = Mapping[Any, int | Sequence[int]]


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
    for name in given:
        check_dimension(name, dims, parameter)
    lengths = [
        _length(name, given[name], whole, parameter) if name in given else min(own, max(whole, 1))
        for name, whole, own in zip(dims, shape, default, strict=True)
    ]
    return tuple(lengths)


def check_dimension(name: object, known: Iterable[Hashable], parameter: str) -> None:
    """Refuse the name of a dimension that there is not.

    Raises
    ------
    ParameterError
        It names the dimensions that there are.
    """
    names = [str(each) for each in known]
    if str(name) not in names:
        told = f"there is no such dimension; there are {', '.join(names)}{alike(str(name), names)}"
        raise ParameterError.of(parameter, name, told)


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
