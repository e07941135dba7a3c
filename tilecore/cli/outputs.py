"""Files that a subcommand makes: refused before any work is done where they cannot or must not be made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["check_outputs"]

# Suffixes of planes in a folder, and files that make a folder one image, of zarr or N5.
_PLANES = (".tif", ".tiff")
_METADATA = ("zarr.json", ".zarray", ".zgroup", "attributes.json")

#: Outputs by the names of their arguments; those that were not asked for are None.
Paths = Mapping[str, str | os.PathLike[str] | None]


def check_outputs(outputs: Paths, *, inputs: Paths | None = None, overwrite: bool) -> None:
    """Refuse outputs that exist, replace an input or each other, or whose folder is not there.

    Parameters
    ----------
    outputs, inputs : mapping of str to path, or None
        By the names of their arguments; an input may be a pattern, and a place in an HDF5 file.
    overwrite : bool
        Whether other files than the inputs may be there: to be replaced, or continued, where the run tells
        whether they are its own.

    Raises
    ------
    OutputExistsError, MissingFileError, UnwritableFileError, ParameterError
    """
    from tilecore.errors import MissingFileError, ParameterError, UnwritableFileError
    from tilecore.output_file import refuse_existing

    read = [(name, each) for name, given in (inputs or {}).items() if given is not None for each in _matching(given)]
    made: dict[str, str] = {}
    for name, given in outputs.items():
        if given is None:
            continue
        path = _file(given)
        for other, each in read:
            if _replaces(path, each):
                raise ParameterError.of(name, str(path), f"would replace the {other}, {each}; choose another name")
        if not path.parent.is_dir():
            raise MissingFileError.of(name, str(path), "there is no such folder")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise UnwritableFileError.of(name, str(path), "nothing may be written into this folder")
        if path.is_dir() and path.suffix.lower() != ".zarr":
            raise UnwritableFileError.of(name, str(path), "is a folder; the name of a file is needed")
        place = os.path.realpath(path)
        if place in made:
            raise ParameterError.of(name, str(path), f"is the {made[place]} already; choose another name")
        made[place] = name
        refuse_existing(path, overwrite=overwrite)


def _file(path: str | os.PathLike[str]) -> Path:
    """The path, of a place in an HDF5 file the file's."""
    from tilecore.formats.kinds import split_place

    return Path(split_place(os.fspath(path))[0])


def _matching(path: str | os.PathLike[str]) -> list[Path]:
    """What an input stands for: a file, or those that a pattern fits."""
    from tilecore.formats.paths import matching

    return [Path(each) for each in matching(str(_file(path)))]


def _replaces(output: Path, read: Path) -> bool:
    """Whether writing the output would touch what is read: a file, or a folder around or within the other."""
    if not output.exists() or not read.exists():
        return False
    made, there = Path(os.path.realpath(output)), Path(os.path.realpath(read))
    if there in made.parents:
        # A table may lie beside the planes in their folder; in a folder that is one image everything is part of it.
        is_image = any((there / name).exists() for name in _METADATA)
        return is_image or made.suffix.lower() in _PLANES
    return output.samefile(read) or made in there.parents
