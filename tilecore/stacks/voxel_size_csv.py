"""Voxel sizes in CSV files, as SCOUT writes them."""

from __future__ import annotations

import os
from pathlib import Path

from tilecore.errors import MissingFileError, UnreadableFileError

__all__ = ["read_voxel_size"]


def read_voxel_size(path: str | os.PathLike[str]) -> tuple[float, ...]:
    """Read a voxel size from a CSV file that gives it in nanometres.

    Parameters
    ----------
    path : path_like
        CSV file whose first line holds numbers separated by commas [nm].

    Returns
    -------
    tuple of float
        Voxel size in the order of the file [um].

    Raises
    ------
    MissingFileError
        If the file does not exist.
    UnreadableFileError
        If the first line does not hold positive numbers.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    if not Path(path).is_file():
        raise MissingFileError.of("path", str(path), "there is no such file")
    try:
        line = Path(path).read_text().strip().splitlines()[0]
        size = tuple(float(number) / 1000 for number in line.split(","))
    except (ValueError, IndexError) as error:
        raise UnreadableFileError(
            f"{path}: its first line must be numbers of nanometres, such as 2000,650,650"
        ) from error
    if min(size) <= 0:
        raise UnreadableFileError(f"{path}: a voxel's size must be more than zero, not {line}")
    return size
