"""Tells which extra brings dask, where it is missing."""

from __future__ import annotations

import importlib

from tilecore.errors import MissingDependencyError

__all__ = ["require_dask"]


def require_dask() -> None:
    """Raise an error that names the extra if dask's arrays or distributed are missing."""
    try:
        importlib.import_module("dask.array")
        importlib.import_module("distributed")
    except ImportError as error:
        raise MissingDependencyError(
            f"throttling needs dask and distributed ({error}): install them by pip install tilecore[dask]"
        ) from error
