"""The function `open_dataset`: all variables of a folder, or a file, as labelled arrays that are read when needed."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from tilecore.datasets.joining import joined
from tilecore.datasets.path_metadata import absolute
from tilecore.errors import MissingFileError, ParameterTypeError, UnreadableFileError
from tilecore.extras import need
from tilecore.formats.zarr.stored_variable import SUFFIX, open_variable
from tilecore.output_file import PARTIAL

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["open_dataset", "open_each"]

_log = logging.getLogger(__name__)


@overload
def open_dataset(
    dpath: str | os.PathLike[str],
    post_process: Callable[[Dataset, str], Dataset] | None = None,
    return_dict: Literal[False] = False,
    *,
    strict: bool = False,
) -> Dataset: ...
@overload
def open_dataset(
    dpath: str | os.PathLike[str],
    post_process: Callable[[Dataset, str], Dataset] | None = None,
    *,
    return_dict: Literal[True],
    strict: bool = False,
) -> Dataset | dict[str, DataArray]: ...
def open_dataset(
    dpath: str | os.PathLike[str],
    post_process: Callable[[Dataset, str], Dataset] | None = None,
    return_dict: bool = False,
    *,
    strict: bool = False,
) -> Dataset | dict[str, DataArray]:
    """Open all variables that were saved into a folder, or a file that xarray opens.

    Parameters
    ----------
    dpath : path_like
        A folder of variables, as `save_variable` writes them, or a file, such as one of netCDF. In a folder each
        folder is a variable, whatever its suffix; its name is the one that it was saved with. Files are ignored.
    post_process : callable, optional
        Called with the dataset and `dpath`, as text; what it returns is returned. Not called with `return_dict`.
    return_dict : bool
        Whether to return the variables of a folder by name, as they are, instead of joining their labels.
    strict : bool
        Whether to raise an error for a folder that holds no variable, and where labels differ. By default such folders
        are left out, with a line in the log, and labels that differ are joined, with a `LabelsDifferWarning`.

    Returns
    -------
    Dataset or dict of str to DataArray
        Arrays of dask, whose blocks are the chunks on disk.

    Raises
    ------
    MissingFileError
        If there is nothing at `dpath`.
    ParameterError
        If variables cannot be joined: their labels contradict each other, or joining them would make them more than
        four times as large. ``return_dict=True`` opens them.
    UnreadableFileError
        If the file cannot be opened, `dpath` is itself a variable, or, with `strict`, a folder is none.
    MissingDependencyError
        If xarray or dask is missing.

    Notes
    -----
    Where a label is missing in a variable, there is NaN; integers become floats. The warning tells how many bytes that
    adds.

    Process-safety: a variable that another process replaces meanwhile is opened as it was, or as it is then.

    It is called ``open_minian`` in `tilecore.compat.minian`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, xarray
    >>> from tilecore.datasets import open_dataset, save_variable
    >>> cells = xarray.DataArray(np.eye(3), dims=("unit_id", "frame"), coords={"unit_id": [1, 4, 5]}, name="C")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = save_variable(cells, folder)
    ...     dataset = open_dataset(folder).load()
    >>> dataset["C"].sel(unit_id=4).values
    array([0., 1., 0.])
    """
    need("a labelled dataset", "xarray", "xarray", "dask.array")
    path = absolute(dpath)
    if post_process is not None and not callable(post_process):
        raise ParameterTypeError.of("post_process", post_process, "a function of a dataset and a path is needed")
    if not path.exists():
        raise MissingFileError.of("dpath", os.fspath(dpath), "there is no such file or folder")
    if path.is_dir():
        found = open_each(path, strict=strict)
        if return_dict:
            return found
        dataset = joined(found, strict=strict)
    else:
        dataset = _open_file(path)
    return dataset if post_process is None or return_dict else post_process(dataset, os.fspath(dpath))


def open_each(folder: Path, *, strict: bool = False) -> dict[str, DataArray]:
    """Open each variable of a folder, by name; errors are those of `open_dataset`."""
    if any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray")):
        raise UnreadableFileError(f"{folder} is itself a zarr group or array: give the folder that holds the variables")
    found: dict[str, DataArray] = {}
    places: dict[str, Path] = {}
    for each in sorted(folder.iterdir()):
        if not each.is_dir() or re.search(PARTIAL + "$", each.name):
            continue
        try:
            var = open_variable(each)
            name = str(var.name)
            if name in found and each.name != name + SUFFIX:
                raise UnreadableFileError(f"{each} holds the variable {name!r}, which {places[name]} holds, too")
        except UnreadableFileError as error:
            if strict:
                raise
            _log.warning("left out: %s", error)
            continue
        except MissingFileError:  # removed or renamed meanwhile
            continue
        if name in found:
            _second(places[name], name, each, strict=strict)
        found[name], places[name] = var, each
    return found


def _second(first: Path, name: str, proper: Path, *, strict: bool) -> None:
    """Tell that a folder gives way to the one that has the name of the variable."""
    text = f"{first} holds the variable {name!r}, which {proper} holds, too"
    if strict:
        raise UnreadableFileError(text)
    _log.warning("left out: %s", text)


def _open_file(path: Path) -> Dataset:
    import xarray

    try:
        return xarray.open_dataset(path, chunks={})
    except Exception as error:  # each engine of xarray has errors of its own
        raise UnreadableFileError(f"{path} cannot be opened by xarray: {error}") from error
