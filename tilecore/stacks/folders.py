"""Lists of files in a folder, as in SCOUT."""

from __future__ import annotations

import os
from pathlib import Path

from tilecore.errors import MissingFileError
from tilecore.formats.paths import tiffs_in

__all__ = ["files_in_dir", "tifs_in_dir"]


def files_in_dir(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of all files and folders in a folder.

    Parameters
    ----------
    path : path_like
        Path of the folder.

    Returns
    -------
    list of str
        Sorted names, without ``.`` and ``..``.

    Raises
    ------
    MissingFileError
        If the folder does not exist.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    return sorted(os.listdir(_existing(path)))


def tifs_in_dir(path: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """Return the TIFF files in a folder, in natural order (numbers in names as numbers).

    Parameters
    ----------
    path : path_like
        Path of the folder.

    Returns
    -------
    tif_paths : list of str
        Absolute paths.
    tif_filenames : list of str
        Their names without the folder.

    Raises
    ------
    MissingFileError
        If the folder does not exist.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``, where ``z10.tif`` comes before ``z2.tif``.
    """
    paths = tiffs_in(_existing(path))
    return paths, [os.path.basename(each) for each in paths]


def _existing(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    if not Path(path).is_dir():
        raise MissingFileError.of("path", str(path), "there is no such folder")
    return path
