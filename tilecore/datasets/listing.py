"""The function `list_variables`: what a dataset holds, without reading a value."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tilecore.datasets.opening import open_each
from tilecore.datasets.path_metadata import absolute
from tilecore.errors import MissingFileError
from tilecore.extras import need

__all__ = ["VariableInfo", "list_variables"]


@dataclass(frozen=True)
class VariableInfo:
    """What is known of one variable on disk.

    Attributes
    ----------
    name : str
    dtype : str
    dims : tuple of str
    shape, chunks : tuple of int
        Length of each dimension, and of a chunk along it [voxel].
    nbytes : int
        Size in memory [byte].
    coordinates : tuple of str
        Coordinates, with the values of those that have one.
    """

    name: str
    dtype: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    nbytes: int
    coordinates: tuple[str, ...]


def list_variables(dpath: str | os.PathLike[str]) -> list[VariableInfo]:
    """Tell what variables a dataset holds.

    Parameters
    ----------
    dpath : path_like
        The folder; what is no variable in it is left out, with a line in the log.

    Raises
    ------
    MissingFileError
        If there is no such folder.
    UnreadableFileError
        If it is itself a variable.
    """
    need("a labelled dataset", "xarray", "xarray", "dask.array")
    folder: Path = absolute(dpath)
    if not folder.is_dir():
        raise MissingFileError.of("dpath", os.fspath(dpath), "there is no such folder")
    return [
        VariableInfo(
            name,
            str(var.dtype),
            tuple(map(str, var.dims)),
            var.shape,
            tuple([chunks[0] for chunks in var.chunks or ()]),
            var.nbytes,
            tuple([str(key) if each.ndim else f"{key}={each.values.item()}" for key, each in var.coords.items()]),
        )
        for name, var in open_each(folder).items()
    ]
