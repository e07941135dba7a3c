"""What lies in a folder."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from tilecore.errors import MissingFileError

__all__ = ["files_in_dir", "is_pattern", "matching", "natural_order", "tifs_in_dir"]


def files_in_dir(path: str | os.PathLike[str]) -> list[str]:
    """List all files and folders in a folder.

    Parameters
    ----------
    path : path_like

    Returns
    -------
    list of str
        Names, sorted; without ``.`` and ``..``.

    Raises
    ------
    MissingFileError
        If there is no such folder.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    if not Path(path).is_dir():
        raise MissingFileError.of("path", str(path), "there is no such folder")
    return sorted(os.listdir(path))


def tifs_in_dir(path: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """List the TIFF files in a folder, in the order of the numbers in their names.

    Parameters
    ----------
    path : path_like

    Returns
    -------
    tif_paths : list of str
        Absolute paths.
    tif_filenames : list of str
        The same, without the folder.

    Raises
    ------
    MissingFileError
        If there is no such folder.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``, where ``z10.tif`` comes before ``z2.tif``.
    """
    names = [name for name in files_in_dir(path) if name.lower().endswith((".tif", ".tiff"))]
    names.sort(key=natural_order)
    folder = os.path.abspath(path)
    return [os.path.join(folder, name) for name in names], names


def is_pattern(path: str) -> bool:
    """Whether a path stands for those that it fits, by ``*``, ``?`` or ``[]``, and not for one file or folder."""
    return glob.has_magic(_beyond_what_exists(path)[1])


def matching(path: str) -> list[str]:
    """List the files that a pattern fits, in the order of the numbers in their names."""
    folder, rest = _beyond_what_exists(path)
    return sorted(glob.glob(glob.escape(folder) + rest), key=natural_order)


def _beyond_what_exists(path: str) -> tuple[str, str]:
    """Split a path behind the last folder, or file, that is there: the names of those may have brackets too."""
    existing = path
    while existing and not os.path.exists(existing):
        parent = os.path.dirname(existing.rstrip("/" + os.sep))
        existing = "" if parent == existing else parent  # a drive that is not there is its own parent
    return existing, path[len(existing) :]


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sorting key that takes numbers in names as numbers.

    Examples
    --------
    >>> sorted(["z10.tif", "z9.tif"], key=natural_order)
    ['z9.tif', 'z10.tif']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
