"""Checks of output files, before any work: whether they can be, and may be, written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["check_outputs"]

# Suffixes of planes in a folder, and metadata files of folders that are one image (zarr, N5).
_PLANES = (".tif", ".tiff")
_METADATA = ("zarr.json", ".zarray", ".zgroup", "attributes.json")

#: Output paths by the names of their arguments; None for outputs that were not asked for.
Paths = Mapping[str, str | os.PathLike[str] | None]


def check_outputs(outputs: Paths, *, inputs: Paths | None = None, overwrite: bool) -> None:
    """Refuse outputs that exist, that would replace an input or each other, or whose folder does not exist.

    Parameters
    ----------
    outputs, inputs : mapping of str to path, or None
        Paths by the names of their arguments; an input may be a pattern, or a dataset in an HDF5 file.
    overwrite : bool
        Whether files other than the inputs may exist: they are replaced, or continued if the run recognizes
        them as its own.

    Raises
    ------
    OutputExistsError, MissingFileError, UnwritableFileError, ParameterError
        If an output is refused.
    """
    from tilecore.errors import MissingFileError, ParameterError, UnwritableFileError
    from tilecore.objects.paths import ObjectPath
    from tilecore.output_file import refuse_existing

    read = [(name, each) for name, given in (inputs or {}).items() if given is not None for each in _matching(given)]
    made: dict[str, str] = {}
    for name, given in outputs.items():
        if given is None:
            continue
        path = _file(given)
        if isinstance(path, ObjectPath):
            _check_object(name, path, inputs or {}, overwrite=overwrite)
            continue
        for other, each in read:
            if _replaces(path, each):
                raise ParameterError.of(name, str(path), f"would replace the {other} {each}; choose another name")
        if not path.parent.is_dir():
            raise MissingFileError.of(name, str(path), "there is no such folder; create it first")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise UnwritableFileError.of(name, str(path), "this folder is not writable; choose another one")
        if path.is_dir() and path.suffix.lower() != ".zarr":
            raise UnwritableFileError.of(name, str(path), "is a folder; give the name of a file")
        place = os.path.realpath(path)
        if place in made:
            raise ParameterError.of(name, str(path), f"is the {made[place]} already; choose another name")
        made[place] = name
        refuse_existing(path, overwrite=overwrite)


def _check_object(name: str, path: Path, inputs: Paths, *, overwrite: bool) -> None:
    """Refuse an output at a URL at which no such file is written, that exists, or that is an input or a part of one."""
    from tilecore.errors import ParameterError
    from tilecore.output_file import refuse_existing

    if path.suffix.lower() != ".zarr":
        raise ParameterError.of(name, str(path), "at URLs .zarr and .ome.zarr alone are written; write a file")
    for other, given in inputs.items():
        read = "" if given is None else f"{_file(given)}/"
        if read and (read.startswith(f"{path}/") or f"{path}/".startswith(read)):
            raise ParameterError.of(name, str(path), f"would replace the {other} {given}; choose another name")
    refuse_existing(path, overwrite=overwrite)


def _file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file, or a URL as a path; for a dataset in an HDF5 file, the file's path."""
    from tilecore.formats.kinds import split_place
    from tilecore.objects.paths import path_of

    return path_of(split_place(os.fspath(path))[0])


def _matching(path: str | os.PathLike[str]) -> list[Path]:
    """Return the files that an input names: one file, or those that match a pattern."""
    from tilecore.formats.paths import matching

    return [Path(each) for each in matching(str(_file(path)))]


def _replaces(output: Path, read: Path) -> bool:
    """Whether writing the output would change the input: the same file, or a folder that contains the other."""
    if not output.exists() or not read.exists():
        return False
    made, there = Path(os.path.realpath(output)), Path(os.path.realpath(read))
    if there in made.parents:
        # A table may lie in the folder of the planes; in a folder that is one image, every file belongs to the image.
        is_image = any((there / name).exists() for name in _METADATA)
        return is_image or made.suffix.lower() in _PLANES
    return output.samefile(read) or made in there.parents
