"""What makes a run the same run: its function, arguments, sources and geometry, as plain values."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tilecore.arrays.remote import RemoteArray
from tilecore.arrays.shipping import file_of
from tilecore.engine.jobs import TileJob

__all__ = ["fingerprint"]

# So many voxels of an array in memory tell it from another; reading them all would cost as much as a run.
_SAMPLES = 2**16


def fingerprint(job: TileJob) -> dict[str, Any]:
    """Describe what a job computes, tile shape and workers aside.

    Returns
    -------
    dict
        Of JSON values; two runs with the same one may share a journal.
    """
    grid = job.grid
    return {
        "kind": type(job).__name__,
        "shape": list(grid.shape),
        "halo": [list(pair) for pair in grid.halo],
        "boundary": job.boundary if isinstance(job.boundary, (str, type(None))) else float(job.boundary),
        "function": _function(job.function),
        "kwargs": _value(job.kwargs),
        "sources": [_source(source) for source in job.sources],
        "placement": repr(getattr(job, "placement", None)),
    }


def _function(function: Any, inside: frozenset[int] = frozenset()) -> dict[str, Any]:
    """A function by its name and its source, or by what stands for it."""
    if isinstance(function, functools.partial):
        return {
            "partial": _function(function.func, inside),
            "args": _value(function.args, inside),
            "keywords": _value(function.keywords, inside),
        }
    kind = function if hasattr(function, "__qualname__") else type(function)
    described: dict[str, Any] = {"name": f"{getattr(kind, '__module__', '')}.{kind.__qualname__}"}
    package = sys.modules.get(str(getattr(kind, "__module__", "")).partition(".")[0])
    if version := getattr(package, "__version__", None):
        described["version"] = str(version)
    if isinstance(function, types.MethodType):
        return described | {"of": _value(function.__self__, inside), "code": _code(function.__func__)}
    if isinstance(function, types.FunctionType):
        return described | {"code": _code(function), "closure": _closure(function, inside)}
    if kind is not function:
        described["state"] = _object(function, inside)
    return described | {"code": _code(kind)}


def _code(function: Any) -> str | None:
    """Digest of the source of a function or class; None for what is compiled."""
    try:
        return _digest(inspect.getsource(function).encode())
    except (OSError, TypeError):  # typed in at a prompt, or compiled
        code = getattr(function, "__code__", None)
        return None if code is None else _digest(code.co_code, repr(code.co_consts).encode())


def _closure(function: types.FunctionType, inside: frozenset[int]) -> list[Any]:
    cells = function.__closure__ or ()
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return _values([cell.cell_contents for cell in cells] + defaults, inside)


def _value(value: Any, inside: frozenset[int] = frozenset()) -> Any:
    """An argument as a JSON value: itself if it is simple, otherwise its parts, or a digest of its content."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if id(value) in inside:
        return "itself"
    inside |= {id(value)}
    if isinstance(value, (list, tuple)):
        return _values(value, inside)
    if isinstance(value, (set, frozenset)):
        return sorted(_values(value, inside), key=repr)
    if isinstance(value, Mapping):
        return {str(name): _value(value[name], inside) for name in sorted(value, key=str)}
    if isinstance(value, np.generic):
        return value.item() if value.dtype.kind in "biufSU" else repr(value)
    if isinstance(value, np.ndarray):
        return {"array": list(value.shape), "dtype": str(value.dtype), "digest": _digest(np.ascontiguousarray(value))}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": len(value), "digest": _digest(value)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return _function(value, inside) if callable(value) else _object(value, inside)


def _values(values: Iterable[Any], inside: frozenset[int]) -> list[Any]:
    return [_value(each, inside) for each in values]


def _object(value: Any, inside: frozenset[int]) -> dict[str, Any]:
    """An object by what a pickle of it would be made of; its bytes would tell equal objects apart."""
    described = {"type": type(value).__qualname__}
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # cannot be packed: its name must do
        return described
    if isinstance(reduced, str):
        return described | {"global": reduced}
    constructor, *parts = reduced
    parts = [list(part) if isinstance(part, Iterator) else part for part in parts]
    return described | {"made by": getattr(constructor, "__qualname__", ""), "of": _values(parts, inside | {id(value)})}


def _source(source: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"shape": list(source.shape), "dtype": str(source.dtype)}
    if hasattr(source, "selection"):  # of a file that holds more than this
        described["selection"] = source.selection
    if isinstance(source, RemoteArray):
        source = source.array
    if isinstance(source, np.ndarray):
        path = file_of(source)
        return {**described, **(_file(path) if path else {"digest": _sampled(source)})}
    path = getattr(source, "path", None) or getattr(getattr(source, "store", None), "root", None)
    if path is not None and os.path.exists(path):
        return {**described, **_file(str(path))}
    return {**described, "type": type(source).__qualname__}


def _file(path: str) -> dict[str, Any]:
    status = os.stat(path)
    size = None if os.path.isdir(path) else status.st_size
    return {"path": os.path.abspath(path), "size": size, "modified_ns": status.st_mtime_ns}


def _sampled(array: np.ndarray[Any, Any]) -> str:
    """Digest of voxels spread over an array, the same ones each time."""
    step = max(1, array.size // _SAMPLES)
    positions = np.unravel_index(np.arange(0, array.size, step), array.shape) if array.size else ()
    return _digest(np.ascontiguousarray(array[positions])) if array.size else ""


def _digest(*parts: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else part)
    return digest.hexdigest()
