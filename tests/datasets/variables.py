"""Variables and datasets that several tests use, and stores as older programs have written them."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
import zarr

SIDES = {"frame": 7, "height": 6, "width": 5}


def movie(name: str = "movie", chunks: tuple[int, ...] = (2, 6, 5), dtype: Any = "f4") -> xr.DataArray:
    """A movie of 7 frames, as blocks of dask."""
    values = np.arange(7 * 6 * 5).reshape(7, 6, 5).astype(dtype)
    labels = {dim: np.arange(length) for dim, length in SIDES.items()}
    return xr.DataArray(da.from_array(values, chunks=chunks), labels, tuple(SIDES), name, {"unit": "counts"})


def traces(name: str = "C", units: tuple[int, ...] = (1, 4, 5), dtype: Any = "f8") -> xr.DataArray:
    """Traces of some cells, in memory; the value tells cell and frame."""
    values = (100 * np.array(units)[:, None] + np.arange(7)).astype(dtype)
    return xr.DataArray(values, {"unit_id": list(units), "frame": np.arange(7)}, ("unit_id", "frame"), name)


def old_store(folder: Path, var: xr.DataArray, chunks: tuple[int, ...] | None = None) -> Path:
    """Save as an older program: zarr format 2, with consolidated metadata, which a rechunk leaves as they were."""
    path = folder / f"{var.name}.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        var.to_dataset().to_zarr(path, mode="w", consolidated=True, zarr_format=2)
        if chunks is not None:
            old = zarr.open_array(path / str(var.name), mode="r")
            values, attributes = old[...], dict(old.attrs)
            shutil.rmtree(path / str(var.name))
            new = zarr.create_array(
                path / str(var.name),
                shape=old.shape,
                dtype=old.dtype,
                chunks=chunks,
                fill_value=old.fill_value,
                attributes=attributes,
                zarr_format=2,
            )
            new[...] = values
    return path


def chunks_on_disk(folder: Path, name: str) -> tuple[int, ...]:
    """Chunks as the array itself tells them, by the path that programs of users have."""
    return zarr.open_array(folder / f"{name}.zarr" / name, mode="r").chunks


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())
