"""The function `update_metadata`: metadata of datasets that were saved without, or whose folders have new names."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tilecore.datasets.described_array import METADATA_FILES
from tilecore.datasets.draft import Draft
from tilecore.datasets.path_metadata import absolute, metadata_of_path
from tilecore.errors import MissingFileError, ParameterError
from tilecore.extras import need
from tilecore.formats.writer_errors import writing
from tilecore.formats.zarr.consolidating import consolidate
from tilecore.formats.zarr.quiet import quiet_zarr
from tilecore.formats.zarr.stored_variable import SUFFIX, open_variable
from tilecore.formats.zarr.unchanged_store import GROUP_FILES
from tilecore.output_file import PARTIAL

__all__ = ["as_pattern", "update_metadata"]


def update_metadata(
    dpath: str | os.PathLike[str], pattern: str = r"^minian$", meta_dict: Mapping[str, int] | None = None
) -> None:
    """Write what the folders around datasets tell into each of their variables, as coordinates.

    Parameters
    ----------
    dpath : path_like
        Folder below which datasets lie, at any depth.
    pattern : str
        Regular expression that is searched in the names of folders: those that match are datasets.
    meta_dict : dict of str to int, optional
        Names of coordinates, and the levels of the folders that they are taken from; -1 is the one that holds the
        dataset. Other metadata stay as they are.

    Raises
    ------
    MissingFileError
        If there is no such folder.
    ParameterError, ParameterTypeError
        If a name or level cannot be, for example a name is that of a dimension. This is seen before anything is
        changed.
    UnreadableFileError
        If a folder ``*.zarr`` of a dataset holds no variable.
    UnwritableFileError
        If another process is saving a variable.

    Notes
    -----
    The chunks of variables are not copied: a new folder has links to the same files, and takes the place of the old
    one in one step. So each variable is changed as a whole or not at all, and what was opened before can still be read.

    Process-safety: as for `save_variable`.

    It is called ``update_meta`` in `tilecore.compat.minian`.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, xarray
    >>> from tilecore.datasets import open_dataset, save_variable, update_metadata
    >>> cells = xarray.DataArray(np.eye(3), dims=("unit_id", "frame"), name="C")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = os.path.join(folder, "alpha", "day1", "minian")
    ...     saved = save_variable(cells, dataset)
    ...     update_metadata(folder, meta_dict={"session": -1, "animal": -2})
    ...     open_dataset(dataset).coords["animal"].item()
    'alpha'
    """
    need("a labelled dataset", "xarray", "xarray", "dask.array")
    folder, name = absolute(dpath), as_pattern(pattern)
    if not folder.is_dir():
        raise MissingFileError.of("dpath", os.fspath(dpath), "there is no such folder")
    planned = []
    for dataset in _datasets(folder, name):
        metadata = metadata_of_path(dataset, meta_dict)
        stores = [each for each in sorted(dataset.glob(f"*{SUFFIX}")) if each.is_dir() and metadata]
        planned += [(store, _checked(store, metadata), metadata) for store in stores]
    for store, array, metadata in planned:
        _update(store, array, metadata)


def as_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression.

    Raises
    ------
    ParameterError
        If it is none.
    """
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ParameterError.of("pattern", pattern, f"a regular expression is needed: {error}") from error


def _datasets(folder: Path, name: re.Pattern[str]) -> Iterator[Path]:
    for where, folders, _ in os.walk(folder):
        folders[:] = sorted(
            each for each in folders if not each.endswith(SUFFIX) and not re.search(PARTIAL + "$", each)
        )
        yield from (Path(where, each) for each in folders if name.search(each))


def _checked(store: Path, metadata: Mapping[str, str]) -> str:
    """The name of the variable in a store, which can have these metadata."""
    var = open_variable(store)
    for name in metadata:
        if name in var.dims or name == var.name or (name in var.coords and var.coords[name].ndim):
            raise ParameterError.of("meta_dict", name, f"this is the name of a dimension or an array in {store}")
    return str(var.name)


def _update(store: Path, array: str, metadata: Mapping[str, str]) -> None:
    with writing(store, 0):
        draft = Draft.create(store, waits=False)
        try:
            _link(store, draft.data)
            _set(draft.data, array, metadata)
            _keep_time(store, draft.data)
            draft.commit(overwrite=True)
        except BaseException:
            draft.discard()
            raise


def _link(source: Path, target: Path) -> None:
    """Copy a folder by links to its files; metadata are copied, as they are written to."""
    target.mkdir()
    for each in source.iterdir():
        if each.is_dir():
            _link(each, target / each.name)
        elif each.name in METADATA_FILES:
            shutil.copy2(each, target / each.name)
        else:
            _link_file(each, target / each.name)


def _link_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


def _keep_time(old: Path, new: Path) -> None:
    """Give a group's own file its time of change: by this what was opened before is known to have the same chunks."""
    for name in GROUP_FILES:
        if (old / name).exists():
            times = os.stat(old / name)
            os.utime(new / name, ns=(times.st_atime_ns, times.st_mtime_ns))


def _set(folder: Path, array: str, metadata: Mapping[str, str]) -> None:
    """Write metadata as arrays of one text, and name them as coordinates of the variable."""
    import numpy as np
    import zarr

    with quiet_zarr():
        group = zarr.open_group(folder, mode="r+", use_consolidated=False)
        form = group.metadata.zarr_format
        for name, value in metadata.items():
            if (folder / name).exists():
                shutil.rmtree(folder / name)
            options: dict[str, Any] = {"dimension_names": ()}
            if form == 2:  # xarray would take a fill value for one that is missing
                options = {"fill_value": None, "attributes": {"_ARRAY_DIMENSIONS": []}}
            group.create_array(name, data=np.array(value), **options)
        attributes = group[array].attrs
        scalars = [
            name
            for name, each in group.arrays()
            if not each.ndim and name != array and name not in str(attributes.get("coordinates", "")).split()
        ]
        attributes["coordinates"] = " ".join([*str(attributes.get("coordinates", "")).split(), *sorted(scalars)])
    consolidate(folder)
