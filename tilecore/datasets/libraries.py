"""The optional packages xarray and dask: imported late, with an error that names the extra that brings them."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator

from tilecore.errors import MissingDependencyError

__all__ = ["is_labelled", "need_xarray", "quiet_zarr"]


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


@contextlib.contextmanager
def quiet_zarr() -> Iterator[None]:
    """Leave out warnings that zarr gives for each array of text, or of dates, in its format 3.

    They tell that other libraries may not read these arrays; zarr and xarray do.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part.*")
        yield
