"""The physical size of a voxel, from the CSV file that SCOUT keeps it in."""

from __future__ import annotations

import os
from pathlib import Path

from tilecore.errors import MissingFileError, UnreadableFileError

__all__ = ["read_voxel_size"]


def read_voxel_size(path: str | os.PathLike[str]) -> tuple[float, ...]:
    """Read a voxel's size from a CSV file that gives it in nanometres.

    Parameters
    ----------
    path : path_like
        A file whose first line holds whole numbers, separated by commas [nm].

    Returns
    -------
    tuple of float
        In the order of the file [um].

    Raises
    ------
    MissingFileError
        If there is no such file.
    UnreadableFileError
        If its first line does not hold positive numbers.

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
