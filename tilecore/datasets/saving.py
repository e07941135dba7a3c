"""The function `save_variable`: one labelled array, in a zarr group of its own, that appears when it is whole."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from tilecore.bytesize import parse_bytes
from tilecore.datasets.chunking import block_shape, fits, in_equal_blocks, labelled
from tilecore.datasets.copying import Layout, copy_group, describe_copy
from tilecore.datasets.draft import Draft
from tilecore.datasets.path_metadata import absolute, metadata_of_path, with_metadata
from tilecore.errors import ParameterError
from tilecore.extras import need
from tilecore.formats.named_chunks import ChunkSizes, chunk_shape
from tilecore.formats.writer_errors import writing
from tilecore.formats.zarr.consolidating import consolidate
from tilecore.formats.zarr.quiet import quiet_zarr
from tilecore.formats.zarr.stored_variable import SUFFIX, open_variable
from tilecore.formats.zarr.variable_labels import VariableLabels, check_name, packing, stored_coordinates
from tilecore.output_file import refuse_existing

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from xarray import DataArray

__all__ = ["save_variable"]


@overload
def save_variable(
    var: DataArray,
    dpath: str | os.PathLike[str],
    meta_dict: Mapping[str, int] | None = None,
    overwrite: bool = False,
    chunks: ChunkSizes | None = None,
    compute: Literal[True] = True,
    mem_limit: int | str = "500MB",
    *,
    shards: ChunkSizes | None = None,
    zarr_format: Literal[2, 3] = 3,
    workers: int | None = None,
) -> DataArray: ...
@overload
def save_variable(
    var: DataArray,
    dpath: str | os.PathLike[str],
    meta_dict: Mapping[str, int] | None = None,
    overwrite: bool = False,
    chunks: ChunkSizes | None = None,
    *,
    compute: Literal[False],
    mem_limit: int | str = "500MB",
    shards: ChunkSizes | None = None,
    zarr_format: Literal[2, 3] = 3,
    workers: int | None = None,
) -> Delayed: ...
def save_variable(
    var: DataArray,
    dpath: str | os.PathLike[str],
    meta_dict: Mapping[str, int] | None = None,
    overwrite: bool = False,
    chunks: ChunkSizes | None = None,
    compute: bool = True,
    mem_limit: int | str = "500MB",
    *,
    shards: ChunkSizes | None = None,
    zarr_format: Literal[2, 3] = 3,
    workers: int | None = None,
) -> DataArray | Delayed:
    """Save a labelled array into a folder, as a zarr group of its name, and open what was saved.

    The group ``<dpath>/<name>.zarr`` holds the values as the array ``<name>``, and an array for each coordinate. It
    gets its name when it is whole; until then an older one of that name stays as it was, and can be what `var` is
    computed from.

    Parameters
    ----------
    var : DataArray
        The variable, in memory or as blocks of dask; it needs a name.
    dpath : path_like
        The folder of the dataset. It is created if it does not exist.
    meta_dict : dict of str to int, optional
        Coordinates to be taken from the names of folders: -1 is the folder that holds `dpath`, -2 the one above it,
        such as ``{"session": -1, "animal": -2}``.
    overwrite : bool
        Whether to replace a variable of that name.
    chunks : dict, optional
        Lengths of chunks on disk by dimension [voxel]: 0 or -1 is the whole dimension. Dimensions that are not named
        keep their blocks. Default: the blocks of dask. Where blocks are not made of whole chunks, all is written in
        its blocks first, and then copied by `rechunk`.
    compute : bool
        Whether to save now. If not, a lazy object is returned that saves when dask computes it.
    mem_limit : int or str
        Memory limit for the copy into other chunks, of all workers together [byte].
    shards : dict, optional
        Lengths of shards, files of several chunks, by dimension [voxel]; multiples of the chunks.
    zarr_format : {3, 2}
        Format of zarr; 2 is read by older programs, too, and has no shards.
    workers : int, optional
        Number of processes for the copy into other chunks. Default: all usable cores.

    Returns
    -------
    DataArray or Delayed
        The saved variable, whose blocks are the chunks on disk. With ``compute=False`` an object of dask that gives
        this when it is computed.

    Raises
    ------
    ParameterError, ParameterTypeError
        If a parameter has a wrong type or value; for example the variable has no name, or one with a slash.
    OutputExistsError
        If there is a variable of that name, and `overwrite` is false.
    UnwritableFileError
        If another process or thread is saving a variable of that name, or the folder cannot be written.
    DiskSpaceError
        If the disk is full.
    MemoryBudgetError
        If not even one block and one chunk fit into `mem_limit`.
    MissingDependencyError
        If xarray or dask is missing.

    Notes
    -----
    Process-safety: it is written in the folder ``<name>.zarr.<random>.partial``, by one save at a time. A save that
    fails removes this folder, also when tasks of other threads or processes still write into it. What a killed one
    has left is removed by the next save of the variable, and ignored when the dataset is opened.

    It is called ``save_minian`` in `tilecore.compat.minian`.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, xarray
    >>> from tilecore.datasets import save_variable
    >>> movie = xarray.DataArray(np.zeros((6, 4, 4)), dims=("frame", "height", "width"), name="movie")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = os.path.join(folder, "alpha", "day1", "dataset")
    ...     saved = save_variable(movie, dataset, {"session": -1, "animal": -2}, chunks={"frame": 2})
    ...     saved.chunks, saved.session.item(), saved.animal.item()
    (((2, 2, 2), (4,), (4,)), 'day1', 'alpha')
    """
    need("a labelled dataset", "xarray", "xarray", "dask.array")
    name = check_name(labelled(var, "var").name, "name of var")
    if zarr_format not in (2, 3):
        raise ParameterError.of("zarr_format", zarr_format, "3 or 2")
    folder = absolute(dpath)
    stored = in_equal_blocks(with_metadata(_as_stored(var, name), metadata_of_path(folder, meta_dict)))
    layout = _layout(stored, chunks, shards, zarr_format)
    request = _Request(name, layout, bool(overwrite), parse_bytes(mem_limit, "mem_limit"), workers, zarr_format)
    path = folder / f"{name}{SUFFIX}"
    refuse_existing(path, overwrite=request.overwrite)
    if compute:
        return _save_now(stored, path, request)
    return _save_later(stored, path, request)


def _as_stored(var: DataArray, name: str) -> DataArray:
    """The variable as xarray can write it: its coordinates in memory, and no trace of an earlier file."""
    VariableLabels.of(var).check(name, "var")
    stored = var.copy(deep=False).assign_coords(stored_coordinates(var.coords.to_dataset(), "var").coords)
    stored.encoding = packing(var.encoding)
    return stored


@dataclass(frozen=True)
class _Request:
    """What to do with a variable; it is sent to whoever completes it."""

    name: str
    layout: Layout
    overwrite: bool
    max_memory: int
    workers: int | None
    zarr_format: Literal[2, 3]


def _layout(var: DataArray, chunks: ChunkSizes | None, shards: ChunkSizes | None, zarr_format: int) -> Layout:
    blocks = block_shape(var)
    lengths = chunk_shape(var.dims, var.shape, chunks or {}, blocks)
    if shards is None:
        return Layout(lengths)
    if zarr_format == 2:
        raise ParameterError.of("shards", shards, "zarr has no shards in its format 2; leave them out")
    files = chunk_shape(var.dims, var.shape, shards, lengths, "shards")
    # Shards consist of whole chunks: one that is the whole dimension reaches beyond its end.
    rounded = tuple([-(-file // length) * length for file, length in zip(files, lengths, strict=True)])
    odd = [
        name
        for name, file, length, whole in zip(var.dims, files, lengths, var.shape, strict=True)
        if file % length and file < whole
    ]
    if odd:
        raise ParameterError.of("shards", shards, f"must be a multiple of the chunks {lengths}; {odd[0]!r} is not")
    return Layout(lengths, rounded)


def _save_now(var: DataArray, path: Path, request: _Request) -> DataArray:
    from dask.base import compute

    draft = _draft(path, waits=False)
    try:
        with _full_disk_told(path, var.nbytes):
            compute(_write(var, draft, request))  # type: ignore[no-untyped-call]
        _complete(draft, request)
    except BaseException:
        draft.discard()
        raise
    return open_variable(path)


def _save_later(var: DataArray, path: Path, request: _Request) -> Delayed:
    from dask.delayed import delayed

    draft = _draft(path, waits=True)
    with writing(path, var.nbytes):
        written = _write(var, draft, request)
    later: Delayed = delayed(_when_written, name="save", pure=False)(written, _Holder(draft), request)
    return later


class _Holder:
    """Keeps a draft in a graph of dask as it is: dask would look into other objects."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft


def _when_written(_written: object, holder: _Holder, request: _Request) -> DataArray:
    _complete(holder.draft, request)
    return open_variable(holder.draft.place.path)


def _draft(path: Path, *, waits: bool) -> Draft:
    with writing(path, 0):
        return Draft.create(path, waits=waits)


@contextlib.contextmanager
def _full_disk_told(path: Path, n_bytes: int) -> Iterator[None]:
    """Turn the error of a full disk into one that names the variable; others are those of the caller's own tasks."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        with writing(path, n_bytes):
            raise


def _write(var: DataArray, draft: Draft, request: _Request) -> Delayed:
    """Describe the group, and write the coordinates; the blocks are written when the result is computed."""
    layout, whole = request.layout, var.to_dataset(name=request.name)
    blocks = block_shape(var)
    is_direct = fits(blocks, layout.units, var.shape)
    options: dict[str, Any] = {"chunks": layout.chunks if is_direct else blocks}
    if is_direct and layout.shards is not None:
        options["shards"] = layout.shards
    where = None if is_direct else draft.place.folder / "blocks.zarr"
    whole[request.name].encoding |= options
    with quiet_zarr():
        written: Delayed = whole.to_zarr(
            draft.store(where), mode="w-", compute=False, consolidated=False, zarr_format=request.zarr_format
        )
    if is_direct:
        consolidate(draft.data)
    return written


def _complete(draft: Draft, request: _Request) -> None:
    """Copy the blocks into their chunks if that is still to be done, and give the variable its name."""
    draft.check()
    blocks = draft.place.folder / "blocks.zarr"
    if blocks.exists():
        describe_copy(blocks, draft.data, request.name, request.layout)
        run: dict[str, Any] = {"max_memory": request.max_memory, "journal": False}
        if request.workers is not None:
            run["workers"] = request.workers
        copy_group(blocks, draft.data, request.name, **run)
    draft.commit(overwrite=request.overwrite)
