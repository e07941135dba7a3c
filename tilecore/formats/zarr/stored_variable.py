"""One variable on disk: a zarr group with the data, and an array for each coordinate beside it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tilecore.errors import MissingFileError, UnreadableFileError
from tilecore.formats.zarr.quiet import quiet_zarr
from tilecore.formats.zarr.unchanged_store import GROUP_FILES, UnchangedStore

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["SUFFIX", "data_name", "open_variable"]

#: Suffix of the folder of a variable.
SUFFIX = ".zarr"


def open_variable(folder: Path) -> DataArray:
    """Open one variable; its values are read when they are needed, in blocks of dask if dask is there.

    Each array is read by its own metadata: consolidated ones may be older than the array.

    Parameters
    ----------
    folder : Path
        The zarr group.

    Raises
    ------
    MissingFileError
        If there is no such folder.
    UnreadableFileError
        If it holds no variable, or more than one.
    """
    import xarray

    if not folder.is_dir():
        raise MissingFileError(f"{folder} does not exist")
    if not any((folder / name).is_file() for name in GROUP_FILES):
        raise UnreadableFileError(f"{folder} is no zarr group")
    try:
        with quiet_zarr():
            chunks: dict[str, int] | None = None if find_spec("dask") is None else {}
            whole = xarray.open_zarr(UnchangedStore(folder), consolidated=False, chunks=chunks)
    except Exception as error:  # the reasons of zarr and xarray have many types: of JSON, codecs, dimensions
        raise UnreadableFileError(f"{folder} cannot be opened as a variable: {error}") from error
    name = data_name(whole, folder)
    var: DataArray = whole.set_coords([other for other in whole.data_vars if other != name])[name]
    for coordinate in var.coords.values():
        if not coordinate.ndim:  # a later change of the metadata on disk must not show in half of them
            coordinate.load()
    return var


def data_name(whole: Dataset, folder: Path) -> str:
    """Name of the data among the arrays of a group; scalars beside an array are coordinates that are not marked.

    Raises
    ------
    UnreadableFileError
        If there is none, or more than one.
    """
    names = [str(name) for name in whole.data_vars]
    if len(names) > 1:
        names = [name for name in names if whole[name].ndim] or names
    if len(names) > 1 and folder.name.removesuffix(SUFFIX) in names:
        names = [folder.name.removesuffix(SUFFIX)]
    if len(names) != 1:
        what = f"several variables: {', '.join(names)}" if names else "no variable"
        raise UnreadableFileError(f"{folder} holds {what}; one is needed")
    return names[0]
