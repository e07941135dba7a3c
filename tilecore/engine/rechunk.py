"""The function `rechunk`: a copy of a volume in other chunks, with as few bytes moved as memory allows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Unpack, overload

import numpy.typing as npt

from tilecore.array_types import OneSource
from tilecore.arrays.extents import of_files
from tilecore.bytesize import parse_bytes
from tilecore.engine.inputs import Inputs
from tilecore.engine.options import Options, RunOptions
from tilecore.engine.output_image import described
from tilecore.engine.rechunk_run import RechunkRun
from tilecore.engine.verbs import takes_run_options
from tilecore.errors import MemoryBudgetError, ParameterError
from tilecore.executors.abilities import HasMemory
from tilecore.formats.creating import prepare_sink
from tilecore.formats.file_sink import FileSink
from tilecore.formats.source import FileSource
from tilecore.geometry.placement import Placement
from tilecore.geometry.rechunk_search import plan_rechunk
from tilecore.geometry.rechunking import Rechunking, RechunkPlan
from tilecore.machine import available_memory
from tilecore.objects.paths import ObjectPath

__all__ = ["rechunk", "rechunk_into"]


@overload
def rechunk(
    source: OneSource,
    out: str | os.PathLike[str],
    *,
    chunks: int | Sequence[int],
    shards: int | Sequence[int] | None = None,
    codec: str = "default",
    overwrite: bool = False,
    dry_run: Literal[False] = False,
    **run: Unpack[RunOptions],
) -> FileSource | npt.NDArray[Any]: ...
@overload
def rechunk(
    source: OneSource,
    out: str | os.PathLike[str],
    *,
    chunks: int | Sequence[int],
    shards: int | Sequence[int] | None = None,
    codec: str = "default",
    overwrite: bool = False,
    dry_run: Literal[True],
    **run: Unpack[RunOptions],
) -> RechunkPlan: ...
@takes_run_options
def rechunk(
    source: OneSource,
    out: str | os.PathLike[str],
    *,
    chunks: int | Sequence[int],
    shards: int | Sequence[int] | None = None,
    codec: str = "default",
    overwrite: bool = False,
    dry_run: bool = False,
    **run: Unpack[RunOptions],
) -> FileSource | npt.NDArray[Any] | RechunkPlan:
    """Copy a volume into a new file with other chunks, voxel for voxel, in bounded memory.

    Of all ways that fit into `max_memory`, it takes the one that moves the fewest bytes of voxels. In one pass, each
    tile is made of whole chunks (or shards) of the output, and a chunk of the source is decoded again for each tile
    that touches it. In two passes, all voxels go through a temporary file as large as the volume, beside the output:
    then each chunk of the source is decoded once. One pass is taken if it does not move more.

    Parameters
    ----------
    source : array_like or path, shape (Z, Y, X) or any other
        The volume: ndarray, memmap, zarr array, a source of `open_source`, or the path of a file that it opens.
    out : path
        The new file, of a kind that has chunks: ``.zarr``, ``.ome.zarr`` or ``.h5``. It gets the axes and the voxel
        size of the source.
    chunks : int or sequence of int
        Shape of a chunk of the output [voxel].
    shards : int or sequence of int, optional
        Shape of a shard of the output [voxel]: one file of several chunks. Default: none, or some if there would be
        thousands of files, as in `create_sink`.
    codec : str
        Compression of the output, as in `create_sink`.
    overwrite : bool
        Whether the output may replace a file of its name, which must not be the source.
    dry_run : bool
        Whether to return the plan, and to read and write no voxel.
    **run
        Executor, workers, memory and other options of the run: see Other Parameters. A journal is kept in the folder
        ``<out>.<random>.partial`` unless ``journal=False``; ``resume=True`` continues in either pass. Where the output
        lies in an object store, the temporary file lies on this machine, and a first pass of two is done again.

    Returns
    -------
    FileSource
        The output, opened; with `dry_run` the `RechunkPlan`, which tells itself when it is printed.

    Raises
    ------
    ParameterError, ParameterTypeError
        If a parameter has a wrong type or value, the output is the source, or lies in it, by whatever name.
    OutputExistsError
        If there is a file of the output's name, and `overwrite` is false.
    DiskSpaceError
        If the disk has not enough free space for the output and the temporary file.
    MemoryBudgetError
        If not even one chunk of the source and one unit of the output fit into `max_memory`.
    TileError
        If tiles failed; it lists them, with the tracebacks of the workers.
    SourceChangedError
        If the source was changed during the run.
    JournalError
        If the run to be continued had another source, or another output.

    Notes
    -----
    Process-safety: workers read and write in place, each its own chunks or shards. The output gets its name when it
    is complete, and nothing else is left then. A run that was killed leaves its folder; the next run with the same
    output continues it (``resume=True``) or removes it.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from tilecore import rechunk
    >>> volume = np.arange(8.0**3).reshape(8, 8, 8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     columns = rechunk(volume, os.path.join(folder, "columns.zarr"), chunks=(8, 2, 2), executor="serial")
    ...     columns.chunks, bool((columns[...] == volume).all())
    ((8, 2, 2), True)
    """
    Options.of(run)
    inputs = Inputs.of(source)
    told = described(inputs.info, Placement.of(len(inputs.shape)))
    sink = prepare_sink(out, inputs.shape, **told, chunks=chunks, shards=shards, codec=codec, overwrite=overwrite)
    return rechunk_into(inputs, sink, dry_run=dry_run, **run)


def rechunk_into(
    inputs: Inputs, sink: FileSink, *, dry_run: bool = False, **run: Unpack[RunOptions]
) -> FileSource | npt.NDArray[Any] | RechunkPlan:
    """Do what `rechunk` does, into a file that is described but not yet created."""
    options = Options.of(run)
    if len(inputs.arrays) > 1:
        raise ParameterError(f"source: one volume is needed, not {len(inputs.arrays)}")
    if not isinstance(options.journal, (bool, type(None))):
        raise ParameterError.of("journal", options.journal, "it is kept beside the output; True or False")
    if options.part is not None:
        raise ParameterError(
            "shard: passes are not done in parts: give the tiles (tile_shape), to convert or map_tiles"
        )
    if options.resume and options.journal is False:
        raise ParameterError("resume=True: without a journal there is nothing to continue; leave out journal=False")
    sink.check_dtype(inputs.arrays[0].dtype)
    _refuse_source(sink.path, inputs)
    plan = _plan(inputs, sink, options)
    if dry_run:
        return plan
    one = RechunkRun(plan, inputs, sink, options, run)
    if one.is_finished:
        one.tidy_up()
        return sink.result()
    with one:
        one.begin()
        one.work()
        return one.finish()


def _plan(inputs: Inputs, sink: FileSink, options: Options) -> RechunkPlan:
    if sink.write_units is None:
        raise ParameterError.of("out", str(sink.path), f"{sink.kind} files have no chunks; use .zarr, .ome.zarr or .h5")
    problem = Rechunking(inputs.shape, inputs.arrays[0].dtype.itemsize, inputs.chunks, sink.write_units)
    executor = options.create_executor()
    own = executor.memory if isinstance(executor, HasMemory) else None
    memory = own if options.max_memory is None else options.max_memory
    budget = available_memory() // 2 if memory is None else parse_bytes(memory, "max_memory")
    workers = executor.workers
    plan = plan_rechunk(problem, max_memory=budget, workers=workers)
    if plan.workers < workers and not isinstance(options.executor, str):
        raise MemoryBudgetError(f"max_memory: only {plan.workers} of the executor's {workers} workers have room")
    return plan


def _refuse_source(path: Path, inputs: Inputs) -> None:
    """Refuse an output that is the source, lies in its folder or holds it, also by links."""
    if isinstance(path, ObjectPath):
        _refuse_url(f"{path}/", inputs)
        return
    made = Path(os.path.realpath(path))
    around_output = {extent.space for extent in of_files(map(str, [made, *made.parents]))}
    is_in_source = any(extent.space in around_output for extent in inputs.extents[0])
    stamps = inputs.stamps()[0] if made.exists() else None  # what is not there holds nothing
    there = None if stamps is None else Path(os.path.realpath(stamps["path"]))
    if is_in_source or (there is not None and made in (there, *there.parents)):
        raise ParameterError.of("out", str(path), "is the source, or a part of it: give the copy a name of its own")


def _refuse_url(url: str, inputs: Inputs) -> None:
    stamps = inputs.stamps()[0]
    read = "" if stamps is None else f"{stamps['path']}/"
    if read.startswith(url) or (read and url.startswith(read)):
        raise ParameterError.of("out", url[:-1], "is the source, or a part of it: give the copy a name of its own")
