"""Warnings of zarr that tell its users nothing which they could change."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

__all__ = ["quiet_zarr"]


@contextlib.contextmanager
def quiet_zarr() -> Iterator[None]:
    """Leave out warnings that zarr gives for each array of text, or of dates, in its format 3.

    They tell that other libraries may not read these arrays; zarr and xarray do.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
        yield
