"""What tells a value from another by its content, as JSON values."""

from __future__ import annotations

import enum
import functools
import json
import os
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tilecore.arrays.containers import SharedArr
from tilecore.arrays.content import digest_of_array, digest_of_bytes
from tilecore.arrays.shared import SharedArray
from tilecore.arrays.shared_memory import SharedMemory
from tilecore.engine import code_identity as code
from tilecore.engine.describer import Describe, Describer, unknown

__all__ = ["new_describer"]


def new_describer() -> Describer:
    """A describer that has described nothing yet."""
    return Describer(_kind_of)


_COMPILED = (types.BuiltinFunctionType, types.MethodDescriptorType, types.ClassMethodDescriptorType)


def _sequence(describe: Describer, value: Any) -> list[Any]:
    return [describe(each) for each in value]


def _set(describe: Describer, value: Any) -> list[Any]:
    return sorted([describe(each) for each in value], key=_text)


def _mapping(describe: Describer, value: Mapping[Any, Any]) -> dict[str, Any]:
    if all(isinstance(name, str) for name in value):
        return {name: describe(value[name]) for name in sorted(value)}
    return {"items": sorted([[describe(name), describe(each)] for name, each in value.items()], key=_text)}


def _number(_: Describer, value: Any) -> dict[str, Any]:
    return {type(value).__name__: repr(value)}


def _slice(describe: Describer, value: Any) -> dict[str, Any]:
    return {type(value).__name__: [describe(each) for each in (value.start, value.stop, value.step)]}


def _bytes(_: Describer, value: Any) -> dict[str, Any]:
    return {"bytes": len(value), "digest": digest_of_bytes(value)}


def _array(describe: Describer, value: np.ndarray[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"array": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, np.ma.MaskedArray):
        described |= {"mask": describe(np.ma.getmaskarray(value)), "fill": describe(value.fill_value)}
    plain = np.asarray(value)
    return described | ({"items": describe(plain.ravel().tolist())} if plain.dtype.hasobject else _digest(plain))


def _digest(array: np.ndarray[Any, Any]) -> dict[str, str]:
    return {"digest": digest_of_array(array)}


def _partial(describe: Describer, value: functools.partial[Any]) -> dict[str, Any]:
    return {"partial": describe(value.func), "args": describe(value.args), "keywords": describe(value.keywords)}


def _method(describe: Describer, value: types.MethodType) -> dict[str, Any]:
    return {"method": describe(value.__func__), "of": describe(value.__self__)}


def _property(describe: Describer, value: property) -> dict[str, Any]:
    return {"property": [describe(each) for each in (value.fget, value.fset, value.fdel)]}


def _static(describe: Describer, value: Any) -> dict[str, Any]:
    return {type(value).__name__: describe(value.__func__)}


def _cached_property(describe: Describer, value: functools.cached_property[Any]) -> dict[str, Any]:
    return {"property": describe(value.func)}


def _ufunc(describe: Describer, value: np.ufunc) -> dict[str, Any]:
    for module in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(module), value.__name__, None) is value:
            return code.by_name(describe, module, value.__name__)
    return unknown(f"the ufunc {value.__name__}")


def _enumerated(describe: Describer, value: enum.Enum) -> dict[str, Any]:
    return {"class": describe(type(value)), "member": value.name}


def _object(describe: Describer, value: Any) -> Any:
    """An object by what a pickle of it would be made of; its bytes would tell equal objects apart."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (SharedArray, SharedMemory, SharedArr)):
        return describe(_voxels(value))
    for name in ("__wrapped__", "py_func"):  # a cache around a function, or numba's compiled one
        if (inner := getattr(value, name, None)) is not None:
            return {"type": describe(type(value)), "wraps": describe(inner)}
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # it is made of what cannot leave this process: a lock, an open file
        return unknown(f"an object of type {type(value).__module__}.{type(value).__qualname__}")
    if isinstance(reduced, str):
        return code.by_name(describe, getattr(value, "__module__", None) or type(value).__module__, reduced)
    maker, *parts = reduced
    parts = [list(part) if isinstance(part, Iterator) else part for part in parts]
    return {"made by": describe(maker), "of": [describe(part) for part in parts if part is not None]}


def _voxels(shared: SharedArray | SharedMemory | SharedArr) -> np.ndarray[Any, Any]:
    if isinstance(shared, SharedArr):
        return shared.as_ndarray()
    return (shared.shared() if isinstance(shared, SharedMemory) else shared).view()


def _lock(_: Describer, value: Any) -> dict[str, Any]:
    return {"type": type(value).__name__}


# Containers by their exact type: what is derived from them may hold more.
_CONTAINERS: dict[type, Describe] = {
    list: _sequence,
    tuple: _sequence,
    set: _set,
    frozenset: _set,
    dict: _mapping,
    types.MappingProxyType: _mapping,
    bytes: _bytes,
    bytearray: _bytes,
    type(threading.Lock()): _lock,
    type(threading.RLock()): _lock,
}
_KINDS: tuple[tuple[Any, Describe], ...] = (
    (enum.Enum, _enumerated),
    (np.ndarray, _array),
    (np.ufunc, _ufunc),
    ((np.generic, int, float, complex, types.EllipsisType, types.NotImplementedType, np.dtype), _number),
    ((slice, range), _slice),
    (functools.partial, _partial),
    (types.MethodType, _method),
    (types.FunctionType, code.describe_function),
    (type, code.describe_class),
    (_COMPILED, code.describe_compiled),
    (types.ModuleType, code.describe_module),
    (property, _property),
    ((staticmethod, classmethod), _static),
    (functools.cached_property, _cached_property),
)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _kind_of(value: Any) -> Describe:
    describe = _CONTAINERS.get(type(value))
    return describe or next((each for kinds, each in _KINDS if isinstance(value, kinds)), _object)
