"""Results of tiles as JSON, for a journal. Never pickle: a journal contains only data."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from tilecore.array_types import Json
from tilecore.errors import JournalError

__all__ = ["decode", "encode"]


def encode(value: Any) -> Json:
    """Convert a result to a JSON value.

    Parameters
    ----------
    value : object
        None, numbers, text, arrays, masked arrays, and lists, tuples and dicts of them. Derived
        classes are refused, as they would be read back as another type.

    Raises
    ------
    JournalError
        If the value is of any other type.
    """
    if value is np.ma.masked:
        return {"masked": None}
    kind = type(value)
    plain: Json = value
    if value is None or kind in (bool, int, float, str):
        return plain
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return {"scalar": encode(np.asarray(value))}
    if kind is np.ndarray and not value.dtype.hasobject:
        stream = io.BytesIO()
        np.save(stream, value, allow_pickle=False)
        return {"npy": base64.b64encode(stream.getvalue()).decode()}
    if kind is np.ma.MaskedArray and not value.dtype.hasobject:
        mask = None if value.mask is np.ma.nomask else value.mask
        return {"masked": [encode(part) for part in (value.data, mask, np.asarray(value.fill_value), value.hardmask)]}
    if kind is list:
        return [encode(each) for each in value]
    if kind is tuple:
        return {"tuple": [encode(each) for each in value]}
    if kind is dict and all(type(name) is str for name in value):
        return {"dict": {name: encode(each) for name, each in value.items()}}
    raise JournalError(
        f"a journal cannot keep results of type {kind.__name__}: "
        "return arrays, numbers, text, or lists and dicts of them, or pass journal=False"
    )


def decode(content: Any) -> Any:
    """Convert a JSON value from `encode` back to the result."""
    if isinstance(content, list):
        return [decode(each) for each in content]
    if not isinstance(content, dict):
        return content
    ((kind, inner),) = content.items()
    if kind == "npy":
        return np.load(io.BytesIO(base64.b64decode(inner)), allow_pickle=False)
    if kind == "scalar":
        return decode(inner)[()]
    if kind == "masked":
        if inner is None:
            return np.ma.masked
        data, mask, fill, is_hard = map(decode, inner)
        return np.ma.MaskedArray(data, np.ma.nomask if mask is None else mask, fill_value=fill, hard_mask=is_hard)
    if kind == "tuple":
        return tuple(decode(each) for each in inner)
    return {name: decode(each) for name, each in inner.items()}
