"""What makes a run the same run: its function, arguments, sources and geometry, as plain values."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import pickle
import sys
import types
from collections.abc import Mapping
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
        "kwargs": {name: _value(value) for name, value in sorted(job.kwargs.items())},
        "sources": [_source(source) for source in job.sources],
        "placement": repr(getattr(job, "placement", None)),
    }


def _function(function: Any) -> dict[str, Any]:
    """A function by its name and its source, or by what stands for it."""
    if isinstance(function, functools.partial):
        return {
            "partial": _function(function.func),
            "args": [_value(value) for value in function.args],
            "keywords": {name: _value(value) for name, value in sorted(function.keywords.items())},
        }
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    if isinstance(function, types.MethodType):
        return {"name": name, "of": _value(function.__self__), "code": _code(function.__func__)}
    if isinstance(function, types.FunctionType):
        return {"name": name, "code": _code(function), "closure": _closure(function)}
    package = sys.modules.get(str(getattr(function, "__module__", "")).partition(".")[0])
    version = str(getattr(package, "__version__", ""))
    return {"name": name, "version": version, "state": _value(getattr(function, "__dict__", {}))}


def _code(function: Any) -> str:
    try:
        return _digest(inspect.getsource(function).encode())
    except (OSError, TypeError):  # typed in at a prompt
        return _digest(function.__code__.co_code, repr(function.__code__.co_consts).encode())


def _closure(function: types.FunctionType) -> list[Any]:
    cells = function.__closure__ or ()
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [_value(cell.cell_contents) for cell in cells] + [_value(value) for value in defaults]


def _value(value: Any) -> Any:
    """An argument as a JSON value: itself if it is simple, otherwise a digest of its content."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_value(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): _value(each) for name, each in value.items()}
    if isinstance(value, np.generic):
        return value.item() if value.dtype.kind in "biufSU" else repr(value)
    if isinstance(value, np.ndarray):
        return {"array": list(value.shape), "dtype": str(value.dtype), "digest": _digest(np.ascontiguousarray(value))}
    if callable(value):
        return _function(value)
    try:
        return {"type": type(value).__qualname__, "digest": _digest(pickle.dumps(value))}
    except Exception:  # cannot be packed: its name must do
        return {"type": type(value).__qualname__}


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
