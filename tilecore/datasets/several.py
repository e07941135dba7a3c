"""The function `open_datasets`: all datasets below a folder, as one or as a table."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilecore.datasets.concatenating import concat_labelled, label_of, value_order
from tilecore.datasets.opening import open_dataset
from tilecore.datasets.path_metadata import absolute
from tilecore.datasets.updating import as_pattern
from tilecore.errors import MissingFileError, NotSupportedError, ParameterError
from tilecore.extras import need
from tilecore.formats.zarr.stored_variable import SUFFIX

if TYPE_CHECKING:
    from pandas import DataFrame
    from xarray import Dataset

__all__ = ["open_datasets"]

_log = logging.getLogger(__name__)


def open_datasets(
    dpath: str | os.PathLike[str],
    index_dims: str | Sequence[str],
    result_format: str = "xarray",
    pattern: str = r"minian$",
    sub_dirs: Sequence[str | os.PathLike[str]] | None = None,
    exclude: bool = True,
    **kwargs: object,
) -> Dataset | DataFrame:
    """Open all datasets below a folder, and combine them by labels such as the session and the animal.

    Parameters
    ----------
    dpath : path_like
        The folder; it is no dataset itself.
    index_dims : sequence of str
        Coordinates whose labels tell datasets apart.
    result_format : {"xarray", "pandas"}
        ``"xarray"``: one dataset, in which `index_dims` lead. ``"pandas"``: a table with one column, ``minian``, of
        datasets, indexed by their labels as text.
    pattern : str
        Regular expression that is searched in the names of folders and files; those that match are datasets.
    sub_dirs : sequence of path_like, optional
        Folders below `dpath`, by absolute paths, or relative to it: datasets, or what holds them.
    exclude : bool
        Whether datasets in `sub_dirs` are left out. If not, all others are.
    **kwargs
        Options of `open_dataset`.

    Returns
    -------
    Dataset or DataFrame
        Labels are sorted by value.

    Raises
    ------
    NotSupportedError
        If the format of the result is another one; it is also a ``NotImplementedError``.
    MissingFileError
        If there is no such folder.
    ParameterError
        If two datasets have the same labels, or one lacks a label; the message names them.
    UnreadableFileError
        If a dataset cannot be opened.

    Notes
    -----
    It is called ``open_minian_mf`` in `tilecore.compat.minian`.
    """
    need("a labelled dataset", "xarray", "xarray", "dask.array")
    if result_format not in ("xarray", "pandas"):
        raise NotSupportedError.of("result_format", result_format, '"xarray" or "pandas"')
    dims = [index_dims] if isinstance(index_dims, str) else list(index_dims)
    if not dims:
        raise ParameterError.of("index_dims", index_dims, "at least one name is needed")
    folder, name = absolute(dpath), as_pattern(pattern)
    if not folder.is_dir():
        raise MissingFileError.of("dpath", os.fspath(dpath), "there is no such folder")
    subs = [Path(os.path.abspath(folder / sub)) for sub in sub_dirs or ()]
    paths = [path for path in _matches(folder, name) if not subs or _is_in(path, subs) != exclude]
    found = _by_labels(paths, dims, kwargs)
    if result_format == "pandas":
        return _table(found, dims)
    import xarray

    if not found:
        _log.warning("%s: no dataset matches %r", folder, pattern)
        return xarray.Dataset()
    if any(not isinstance(each, xarray.Dataset) for each in found.values()):
        raise ParameterError('return_dict=True: only result_format="pandas" can hold dicts')
    combined: Dataset = concat_labelled(_sorted(found), dims)  # type: ignore[arg-type, assignment]
    return combined


def _matches(folder: Path, name: re.Pattern[str]) -> Iterator[Path]:
    """Folders and files whose names match, but nothing inside of those, or of variables."""
    for where, folders, files in os.walk(folder):
        matching = [each for each in sorted([*folders, *files]) if name.search(each)]
        yield from (Path(where, each) for each in matching)
        folders[:] = sorted(each for each in folders if each not in matching and not each.endswith(SUFFIX))


def _is_in(path: Path, subs: Sequence[Path]) -> bool:
    return any(sub in (path, *path.parents) for sub in subs)


def _by_labels(paths: Sequence[Path], dims: Sequence[str], options: dict[str, Any]) -> dict[tuple[Hashable, ...], Any]:
    found: dict[tuple[Hashable, ...], Any] = {}
    places: dict[tuple[Hashable, ...], Path] = {}
    for path in paths:
        dataset = open_dataset(path, **options)
        one: Any = next(iter(dataset.values()), None) if isinstance(dataset, dict) else dataset
        if one is None:
            _log.warning("left out: %s is empty", path)
            continue
        labels = tuple([label_of(one, dim, str(path)) for dim in dims])
        labels = tuple([each.decode() if isinstance(each, bytes) else each for each in labels])
        if labels in found:
            told = ", ".join(f"{dim}={label}" for dim, label in zip(dims, labels, strict=True))
            raise ParameterError(f"{places[labels]} and {path} both have {told}: labels must tell datasets apart")
        found[labels], places[labels] = dataset, path
    return found


def _sorted(found: dict[tuple[Hashable, ...], Any]) -> dict[tuple[Hashable, ...], Any]:
    """The datasets by value of their labels."""
    ranks = [{label: rank for rank, label in enumerate(value_order(each))} for each in zip(*found, strict=True)]
    keys = sorted(found, key=lambda key: [rank[label] for rank, label in zip(ranks, key, strict=True)])
    return {key: found[key] for key in keys}


def _table(found: dict[tuple[Hashable, ...], Any], dims: Sequence[str]) -> DataFrame:
    import numpy as np
    import pandas as pd

    ordered = _sorted(found) if found else found
    keys = [tuple([str(label) for label in key]) for key in ordered]
    index = (
        pd.MultiIndex.from_tuples(keys, names=dims)
        if keys
        else pd.MultiIndex.from_arrays([[] for _ in dims], names=dims)
    )
    column = np.empty(len(keys), dtype=object)
    for number, dataset in enumerate(ordered.values()):  # numpy would look into them
        column[number] = dataset
    return pd.DataFrame({"minian": pd.Series(column, index=index, dtype=object)})
