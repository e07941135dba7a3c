"""Small text files, as SCOUT keeps them: sizes of voxels, lists of names, and JSON."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tilecore.array_types import Json
from tilecore.errors import MissingFileError, ParameterTypeError, UnreadableFileError
from tilecore.output_file import finished

__all__ = ["read_csv", "read_json", "read_voxel_size", "write_csv"]


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
    try:
        line = _text_of(path).strip().splitlines()[0]
        size = tuple(float(number) / 1000 for number in line.split(","))
    except (ValueError, IndexError) as error:
        raise UnreadableFileError(
            f"{path}: its first line must be numbers of nanometres, such as 2000,650,650"
        ) from error
    if min(size) <= 0:
        raise UnreadableFileError(f"{path}: a voxel's size must be more than zero, not {line}")
    return size


def write_csv(path: str | os.PathLike[str], data: Iterable[Any]) -> None:
    """Write a list, such as the names of groups of cells, as one line of a CSV file.

    Parameters
    ----------
    path : path_like
        A file of this name is replaced, in one step.
    data : iterable of str or number
        Values; those with commas, quotes or line ends are quoted.

    Raises
    ------
    ParameterTypeError
        If it is a text itself, or holds anything but texts and numbers.

    Notes
    -----
    Process-safety: several processes may write one file at once; the last one wins, whole.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise ParameterTypeError.of("data", data, "a list of texts or numbers is needed")
    values = list(data)
    for value in values:
        if not isinstance(value, (str, int, float, np.number)):
            raise ParameterTypeError.of("data", value, "only texts and numbers can be written, in one line")
    with finished(path) as place, place.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow(values)


def read_csv(path: str | os.PathLike[str]) -> list[str]:
    """Read the values of a CSV file, line by line, as one list.

    Parameters
    ----------
    path : path_like
        File of `write_csv`, or any other with one value in each line, or several.

    Returns
    -------
    list of str
        Values as they stand in the file, without quotes around them; numbers are texts, too.

    Raises
    ------
    MissingFileError
        If the file does not exist.
    UnreadableFileError
        If it is no text, or a quote in it is never closed.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    text = _text_of(path)
    try:
        return [value for row in csv.reader(io.StringIO(text, newline=""), strict=True) for value in row]
    except csv.Error as error:
        raise UnreadableFileError(f"{path} cannot be read as CSV: {error}") from error


def read_json(path: str | os.PathLike[str]) -> Json:
    """Read a JSON file.

    Parameters
    ----------
    path : path_like

    Returns
    -------
    dict, list, str, number, bool or None
        What the file holds.

    Raises
    ------
    MissingFileError
        If the file does not exist.
    UnreadableFileError
        If it is no JSON.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    try:
        content: Json = json.loads(_text_of(path))
    except json.JSONDecodeError as error:
        raise UnreadableFileError(f"{path} cannot be read as JSON: {error}") from error
    return content


def _text_of(path: str | os.PathLike[str]) -> str:
    if not Path(path).is_file():
        raise MissingFileError.of("path", str(path), "there is no such file")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # spreadsheets put a mark before UTF-8
            return file.read()
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"{path} is no text in UTF-8: {error}") from error
