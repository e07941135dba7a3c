"""File names: the files of a folder, the files that match a pattern, and their natural order."""

from __future__ import annotations

import glob
import os
import re

__all__ = ["files_in", "is_pattern", "matching", "natural_order", "tiffs_in"]


def is_pattern(path: str) -> bool:
    """Whether a path is a pattern with ``*``, ``?`` or ``[]``, and not the name of an existing file or folder."""
    return glob.has_magic(_beyond_what_exists(path)[1])


def matching(path: str) -> list[str]:
    """List the files that match a pattern, in natural order (numbers in names as numbers)."""
    folder, rest = _beyond_what_exists(path)
    return sorted(glob.glob(glob.escape(folder) + rest), key=natural_order)


def _beyond_what_exists(path: str) -> tuple[str, str]:
    """Split a path after its last folder or file that exists, as the names of those may contain brackets."""
    existing = path
    while existing and not os.path.exists(existing):
        parent = os.path.dirname(existing.rstrip("/" + os.sep))
        existing = "" if parent == existing else parent  # a drive that does not exist is its own parent
    return existing, path[len(existing) :]


def tiffs_in(folder: str | os.PathLike[str]) -> list[str]:
    """List the absolute paths of the TIFF files in a folder, in natural order (numbers in names as numbers)."""
    return files_in(folder, (".tif", ".tiff"))


def files_in(folder: str | os.PathLike[str], suffixes: tuple[str, ...]) -> list[str]:
    """List the absolute paths of the files in a folder that have one of some suffixes, in natural order."""
    names = [name for name in os.listdir(folder) if name.lower().endswith(suffixes)]
    return [os.path.join(os.path.abspath(folder), name) for name in sorted(names, key=natural_order)]


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sorting key for natural order: digits in a name count as numbers.

    Examples
    --------
    >>> sorted(["z10.tif", "z9.tif"], key=natural_order)
    ['z9.tif', 'z10.tif']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
