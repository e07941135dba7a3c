"""open_source: any image file as an array that is cut by slices."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tilecore.errors import MissingFileError, ParameterError, UnreadableFileError

__all__ = ["READERS", "open_source"]


def _open_npy(path: Path) -> Any:
    return np.lib.format.open_memmap(path, mode="r")


def _open_tiff(path: Path) -> Any:
    import tifffile

    try:
        return tifffile.memmap(path, mode="r")
    except ValueError:  # compressed or tiled: cannot be mapped
        return tifffile.imread(path)


def _open_zarr(path: Path) -> Any:
    import zarr

    return zarr.open_array(path, mode="r")


#: Which function opens which kind of file, by its suffix.
READERS: dict[str, Callable[[Path], Any]] = {
    ".npy": _open_npy,
    ".tif": _open_tiff,
    ".tiff": _open_tiff,
    ".zarr": _open_zarr,
}


def open_source(path: str | os.PathLike[str]) -> Any:
    """Open an image file as an array.

    Parameters
    ----------
    path : path_like
        A ``.npy``, ``.tif`` or ``.zarr`` file.

    Returns
    -------
    array_like

    Raises
    ------
    MissingFileError
        If there is no such file.
    ParameterError
        If its kind is unknown.
    UnreadableFileError
        If it cannot be read as what it should be.
    """
    file = Path(path)
    if not file.exists():
        raise MissingFileError.of("path", str(path), "there is no such file")
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise ParameterError.of("path", str(path), f"known kinds are {', '.join(READERS)}")
    try:
        return reader(file)
    except (ValueError, OSError, KeyError, IndexError) as error:
        raise UnreadableFileError(f"{path} cannot be read as {file.suffix}: {error}") from error
