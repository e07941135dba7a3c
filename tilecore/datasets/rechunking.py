"""The function `rechunk_dataset`: all variables of a dataset in other chunks, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tilecore.bytesize import parse_bytes
from tilecore.datasets.copying import Layout, copy_group, describe_copy
from tilecore.datasets.draft import Draft
from tilecore.datasets.path_metadata import absolute
from tilecore.errors import MissingFileError
from tilecore.extras import need
from tilecore.formats.named_chunks import ChunkSizes, check_dimension, chunk_shape
from tilecore.formats.writer_errors import writing
from tilecore.formats.zarr.quiet import quiet_zarr
from tilecore.formats.zarr.stored_variable import SUFFIX, open_variable
from tilecore.formats.zarr.unchanged_store import GROUP_FILES
from tilecore.output_file import places_of, refuse_existing

__all__ = ["rechunk_dataset", "stores_of"]


def rechunk_dataset(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    chunks: ChunkSizes,
    mem_limit: int | str = "500MB",
    overwrite: bool = False,
    resume: bool = False,
    workers: int | None = None,
) -> list[Path]:
    """Copy the variables of a dataset into another folder, with other chunks on disk.

    Parameters
    ----------
    source : path_like
        The dataset, or one of its variables.
    target : path_like
        Folder for the copies, which is created if it does not exist.
    chunks : dict
        Lengths of chunks by dimension [voxel]: 0 or -1 is the whole dimension. A variable takes those of its
        dimensions; others stay.
    mem_limit : int or str
        Memory limit for all workers together [byte].
    overwrite : bool
        Whether variables in `target` may be replaced.
    resume : bool
        Whether to go on with copies that a killed or failed call has left, and to leave those that are there.
    workers : int, optional
        Number of processes. Default: all usable cores.

    Returns
    -------
    list of Path
        Groups of the variables in `target`.

    Raises
    ------
    ParameterError, ParameterTypeError
        If no variable has a dimension that is named, or a length is wrong.
    MissingFileError
        If there is no dataset.
    UnreadableFileError
        If a variable cannot be opened.
    OutputExistsError
        If a variable is there, and neither `overwrite` nor `resume` is true.
    TileError, DiskSpaceError, MemoryBudgetError
        As for `tilecore.rechunk`.

    Notes
    -----
    Process-safety: as for `save_variable`; the values are copied as they are stored, packed or not.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, xarray
    >>> from tilecore.datasets import open_dataset, rechunk_dataset, save_variable
    >>> movie = xarray.DataArray(np.zeros((6, 4, 4)), dims=("frame", "height", "width"), name="Y")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     old, new = os.path.join(folder, "old"), os.path.join(folder, "new")
    ...     saved = save_variable(movie, old, chunks={"frame": 1})
    ...     copies = rechunk_dataset(old, new, chunks={"frame": -1, "height": 2})
    ...     open_dataset(new)["Y"].chunks
    ((6,), (2, 2), (4,))
    """
    need("a labelled dataset", "xarray", "xarray", "dask.array")
    stores = list(stores_of(absolute(source, "source")))
    folder = absolute(target, "target")
    planned = [(store, *_plan(store, chunks)) for store in stores]
    known = dict.fromkeys(dim for store in stores for dim in open_variable(store).dims)
    for dim in chunks:
        check_dimension(dim, known, "chunks")
    run: dict[str, Any] = {"max_memory": parse_bytes(mem_limit, "mem_limit"), "resume": resume}
    if workers is not None:
        run["workers"] = workers
    paths = [folder / store.name for store in stores]
    for path in paths:
        refuse_existing(path, overwrite=overwrite or resume)
    for path, (store, name, layout) in zip(paths, planned, strict=True):
        if overwrite or not path.exists():
            _copy(store, path, name, layout, run)
    return paths


def stores_of(source: Path) -> Iterator[Path]:
    """Groups of the variables of a dataset, or the one that is given.

    Raises
    ------
    MissingFileError
        If there is no such folder, or no variable in it.
    """
    if not source.is_dir():
        raise MissingFileError.of("source", str(source), "there is no such folder")
    if any((source / name).exists() for name in GROUP_FILES):
        yield source
        return
    found = [each for each in sorted(source.glob(f"*{SUFFIX}")) if each.is_dir()]
    if not found:
        raise MissingFileError.of("source", str(source), f"there is no variable, *{SUFFIX}, in it")
    yield from found


def _plan(store: Path, chunks: ChunkSizes) -> tuple[str, Layout]:
    var = open_variable(store)
    own = {dim: length for dim, length in chunks.items() if dim in var.dims}
    now = _chunks_of(store / str(var.name))
    return str(var.name), Layout(chunk_shape(var.dims, var.shape, own, now))


def _copy(store: Path, path: Path, name: str, layout: Layout, run: dict[str, Any]) -> None:
    draft = Draft.resumed(path) if run["resume"] else None
    if draft is not None and not _has_layout(draft.data / name, layout):
        draft.discard()
        draft = None
    with writing(path, 0):
        draft = draft or Draft.create(path, waits=False)
        try:
            if not draft.data.exists():
                describe_copy(store, draft.data, name, layout)
            copy_group(store, draft.data, name, **run)
            draft.commit(overwrite=True)
        except BaseException:
            if places_of(draft.data / name):
                draft.keep()
            else:
                draft.discard()
            raise


def _chunks_of(array: Path) -> tuple[int, ...]:
    """Chunks on disk, of any kind of values."""
    import zarr

    with quiet_zarr():
        chunks: tuple[int, ...] = zarr.open_array(array, mode="r").chunks
    return chunks


def _has_layout(array: Path, layout: Layout) -> bool:
    return array.exists() and _chunks_of(array) == layout.chunks
