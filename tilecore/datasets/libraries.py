"""The optional packages xarray and dask: imported late, with an error that names the extra that brings them."""

from __future__ import annotations

import importlib

from tilecore.errors import MissingDependencyError

__all__ = ["is_labelled", "need_xarray"]


def need_xarray() -> None:
    """Raise `MissingDependencyError` if xarray, or the arrays of dask, cannot be imported."""
    for name in ("xarray", "dask.array"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            needed = 'labelled datasets need xarray and dask: pip install "tilecore[xarray]"'
            raise MissingDependencyError(f"{needed} ({error})") from error


def is_labelled(value: object) -> bool:
    """Whether it is a `DataArray` of xarray."""
    from xarray import DataArray

    return isinstance(value, DataArray)
