"""Metadata that the folders around a dataset tell: the animal, the session and so on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.objects.paths import path_of_folder

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["absolute", "metadata_of_path", "with_metadata"]


def absolute(path: str | os.PathLike[str], parameter: str = "dpath") -> Path:
    """The path without ``..``, ``~`` and a slash at its end.

    Raises
    ------
    ParameterTypeError
        If it is no path.
    ParameterError
        If it is a URL.
    """
    try:
        name = os.fspath(path)
    except TypeError as error:
        raise ParameterTypeError.of(parameter, path, "a path is needed") from error
    return path_of_folder(name, parameter)


def with_metadata(var: DataArray, metadata: Mapping[str, str]) -> DataArray:
    """The variable with metadata as coordinates.

    Raises
    ------
    ParameterError
        If a name is one of a dimension, or that of the variable.
    """
    for name in metadata:
        if name in var.dims or name == var.name:
            what = "a dimension" if name in var.dims else "the variable itself"
            raise ParameterError.of("meta_dict", name, f"this is the name of {what}; choose another one")
    return var.assign_coords(dict(metadata)) if metadata else var


def metadata_of_path(folder: Path, meta_dict: Mapping[str, int] | None) -> dict[str, str]:
    """Names of folders around a dataset.

    Parameters
    ----------
    folder : Path
        Absolute path of the dataset.
    meta_dict : mapping of str to int, or None
        For each name the level of its folder: -1 is the one that holds the dataset, -2 the one above it.

    Raises
    ------
    ParameterError
        If a level is not negative, or lies above the root, or a name cannot be one of a coordinate.
    ParameterTypeError
        If a name is not text, or a level not a whole number.
    """
    parts = folder.parts[:-1]
    found = {}
    for name, level in (meta_dict or {}).items():
        if not isinstance(name, str) or not isinstance(level, int) or isinstance(level, bool):
            raise ParameterTypeError.of("meta_dict", {name: level}, 'names and whole numbers, such as {"session": -1}')
        if not name or name.split() != [name] or "/" in name:
            raise ParameterError.of("meta_dict", name, "a name without blanks and slashes is needed")
        if level >= 0:
            raise ParameterError.of("meta_dict", {name: level}, "levels are negative; -1 is the folder around dpath")
        if -level >= len(parts):  # the first part is the root, which has no name
            raise ParameterError.of("meta_dict", {name: level}, f"there are only {len(parts) - 1} folders in {folder}")
        found[name] = parts[level]
    return found
