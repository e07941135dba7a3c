"""What is largest in an object that is too large to be sent, so that an error can name it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Iterator, Mapping

from tilecore.arrays.far_pickling import packed_size

__all__ = ["heaviest"]


def heaviest(item: object) -> tuple[str, object, int]:
    """Find the smallest part of an object that is more than half of its pickle.

    Returns
    -------
    name : str
        How the part is reached, such as ``kwargs['table']``, or ``table of smooth``.
    part : object
        The part.
    n_bytes : int
        Size of its pickle [byte].

    Raises
    ------
    ShippingError
        If a part cannot be packed.
    """
    found = getattr(item, "__qualname__", type(item).__name__), item, packed_size(item)
    name = ""
    while parts := [(part, held, packed_size(held)) for part, held in _parts(name, found[1])]:
        largest = max(parts, key=lambda part: part[2])
        if 2 * largest[2] <= found[2]:
            break
        found, name = largest, largest[0]
    return found


def _parts(name: str, item: object) -> Iterator[tuple[str, object]]:
    """Parts of an object, each with how it is reached; none of an array."""
    dot = f"{name}." if name else ""
    if isinstance(item, Mapping):
        yield from ((f"{name}[{key!r}]", value) for key, value in item.items())
    elif isinstance(item, (list, tuple)):
        yield from ((f"{name}[{number}]", value) for number, value in enumerate(item))
    elif isinstance(item, functools.partial):
        yield from ((f"{dot}{part}", getattr(item, part)) for part in ("func", "args", "keywords"))
    elif isinstance(item, types.FunctionType):
        used = inspect.getclosurevars(item)
        for variable, value in {**used.globals, **used.nonlocals}.items():
            yield f"{variable} of {item.__qualname__}", value
    elif isinstance(item, types.MethodType):
        yield f"{dot}__self__", item.__self__
    elif dataclasses.is_dataclass(item):
        yield from ((f"{dot}{field.name}", getattr(item, field.name)) for field in dataclasses.fields(item))
    elif not hasattr(item, "dtype"):
        yield from ((f"{dot}{attribute}", value) for attribute, value in getattr(item, "__dict__", {}).items())
