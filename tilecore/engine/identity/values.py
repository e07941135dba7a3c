"""Descriptions of values by their content, as JSON values."""

from __future__ import annotations

import copyreg
import enum
import functools
import json
import os
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from tilecore.array_types import Json
from tilecore.arrays.content import digest_of_bytes
from tilecore.arrays.kinds import access_of, as_array
from tilecore.arrays.shared import HoldsSharedArray, SharedArray
from tilecore.engine.identity import code
from tilecore.engine.identity.describer import Describe, Describer, unknown
from tilecore.engine.identity.installed import name_in_module, release_of

__all__ = ["new_describer"]


def new_describer() -> Describer:
    """Return a describer that has not described anything yet."""
    return Describer(_kind_of)


_COMPILED = (types.BuiltinFunctionType, types.MethodDescriptorType, types.ClassMethodDescriptorType)


def _list(describe: Describer, value: list[Any]) -> list[Any]:
    return [describe(each) for each in value]


def _tuple(describe: Describer, value: tuple[Any, ...]) -> dict[str, Any]:
    return {"tuple": [describe(each) for each in value]}


def _set(describe: Describer, value: set[Any] | frozenset[Any]) -> dict[str, Any]:
    return {"set": sorted([describe(each) for each in value], key=_text)}


def _mapping(describe: Describer, value: Mapping[Any, Any]) -> dict[str, Any]:
    """Describe a mapping by its names, and their order, if all of them are text."""
    if not all(type(name) is str for name in value):
        return {"items": [[describe(name), describe(each)] for name, each in value.items()]}
    described = {"dict": {name: describe(each) for name, each in value.items()}}
    return described if list(value) == sorted(value) else described | {"order": list(value)}


def _number(_: Describer, value: object) -> dict[str, Any]:
    return {type(value).__name__: repr(value)}


def _void(_: Describer, value: np.void) -> dict[str, Any]:
    return {"void": str(value.dtype), "digest": digest_of_bytes(value.tobytes())}


def _slice(describe: Describer, value: slice | range) -> dict[str, Any]:
    return {type(value).__name__: [describe(each) for each in (value.start, value.stop, value.step)]}


def _bytes(_: Describer, value: bytes | bytearray) -> dict[str, Any]:
    return {"bytes": len(value), "digest": digest_of_bytes(value)}


def _array(describe: Describer, value: np.ndarray[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"array": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, np.ma.MaskedArray):
        described |= {"mask": describe(np.ma.getmaskarray(value)), "fill": describe(value.fill_value)}
    elif type(value) not in (np.ndarray, np.memmap):
        described |= {"type": describe(type(value)), "attributes": describe(dict(getattr(value, "__dict__", {})))}
    if value.dtype.hasobject:
        return described | {"items": describe(np.asarray(value).ravel().tolist())}
    return described | (access_of(np.asarray(value)).content() or {})


def _partial(describe: Describer, value: functools.partial[Any]) -> dict[str, Any]:
    return {"partial": describe(value.func), "args": describe(value.args), "keywords": describe(value.keywords)}


def _method(describe: Describer, value: types.MethodType) -> dict[str, Any]:
    return {"method": describe(value.__func__), "of": describe(value.__self__)}


def _property(describe: Describer, value: property) -> dict[str, Any]:
    return {"property": [describe(each) for each in (value.fget, value.fset, value.fdel)]}


def _static(describe: Describer, value: staticmethod[..., Any] | classmethod[Any, ..., Any]) -> dict[str, Any]:
    return {type(value).__name__: describe(value.__func__)}


def _cached_property(describe: Describer, value: functools.cached_property[Any]) -> dict[str, Any]:
    return {"property": describe(value.func)}


def _ufunc(describe: Describer, value: np.ufunc) -> dict[str, Any]:
    for module in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(module), value.__name__, None) is value:
            return code.by_name(describe, module, value.__name__)
    return unknown(value)


def _path(_: Describer, value: PurePath) -> dict[str, Any]:
    return {"path": os.fspath(value)}  # a pickle would depend on the parts that the path was built from


def _cached(describe: Describer, value: functools._lru_cache_wrapper[Any]) -> dict[str, Any]:
    return {"cached": describe(value.__wrapped__)}


def _enumerated(describe: Describer, value: enum.Enum) -> dict[str, Any]:
    return {"class": describe(type(value)), "member": value.name}


def _object(describe: Describer, value: Any) -> Json:
    """Describe an object by the parts that pickle would store; the pickle's bytes would tell equal objects apart."""
    if isinstance(value, (SharedArray, HoldsSharedArray)):
        return describe(as_array(value))
    access = access_of(value)
    if access.is_unknowable:
        return unknown(value)
    if (content := access.content()) is not None:
        return content
    if (name := name_in_module(value)) is not None:
        return {"object": name, "version": release_of(name)}
    if (inner := getattr(type(value), "py_func", None) and value.py_func) is not None:  # numba's
        return {"type": describe(type(value)), "wraps": describe(inner), "options": describe(value.targetoptions)}
    reduce = copyreg.dispatch_table.get(type(value))
    try:
        reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
    except Exception:  # it holds something that cannot leave this process: an open file, a generator
        return unknown(value)
    if isinstance(reduced, str):
        return code.by_name(describe, getattr(value, "__module__", None) or type(value).__module__, reduced)
    maker, *parts = reduced
    parts = [list(part) if isinstance(part, Iterator) else part for part in parts]
    return {"made by": describe(maker), "of": [describe(part) for part in parts if part is not None]}


def _lock(_: Describer, value: object) -> dict[str, Any]:
    return {"type": type(value).__name__}


# Functions for exact types; a derived class may hold more.
_EXACTLY: dict[type, Describe] = {
    list: _list,
    tuple: _tuple,
    set: _set,
    frozenset: _set,
    dict: _mapping,
    types.MappingProxyType: _mapping,
    bytes: _bytes,
    bytearray: _bytes,
    type(threading.Lock()): _lock,
    type(threading.RLock()): _lock,
    threading.local: _lock,
    np.void: _void,
    complex: _number,
    types.EllipsisType: _number,
    types.NotImplementedType: _number,
    slice: _slice,
    range: _slice,
    types.FunctionType: code.describe_function,
    functools.partial: _partial,
    property: _property,
    functools.cached_property: _cached_property,
    functools._lru_cache_wrapper: _cached,
}
_KINDS: tuple[tuple[Any, Describe], ...] = (
    (enum.Enum, _enumerated),
    (np.ndarray, _array),
    (np.ufunc, _ufunc),
    ((np.generic, np.dtype), _number),
    (PurePath, _path),
    (types.MethodType, _method),
    (type, code.describe_class),
    (_COMPILED, code.describe_compiled),
    (types.ModuleType, code.describe_module),
    ((staticmethod, classmethod), _static),
)


def _text(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


def _kind_of(value: object) -> Describe:
    describe = _EXACTLY.get(type(value))
    return describe or next((each for kinds, each in _KINDS if isinstance(value, kinds)), _object)
