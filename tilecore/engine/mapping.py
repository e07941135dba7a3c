"""map_tiles: a function of blocks, mapped over a volume into another volume."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Unpack, cast

import numpy as np

from tilecore.arrays.boxed import Boundary, as_boundary
from tilecore.engine.execution import Execution, first_grid
from tilecore.engine.fingerprint import fingerprint
from tilecore.engine.jobs import MapJob
from tilecore.engine.journal import Journal
from tilecore.engine.journal_file import is_journal
from tilecore.engine.options import Options, RunOptions
from tilecore.engine.outputs import Outputs
from tilecore.engine.sinks import check_alignment
from tilecore.engine.sources import extra_axes, for_all_axes, info_of, open_sources, shape_of
from tilecore.errors import ParameterError
from tilecore.formats.pyramids import mean_of_voxels
from tilecore.formats.sink import Downsampler
from tilecore.geometry.axes import HaloLike
from tilecore.geometry.placement import Placement

__all__ = ["map_tiles"]

# Levels are made anew if the run is continued: only the finest one is in the journal.
_NOT_FOR_LEVELS = ("journal", "resume", "durable", "callbacks", "on_error", "copy")


def map_tiles(
    function: Callable[..., Any],
    source: Any,
    *,
    tile_shape: int | Sequence[int] | None = None,
    halo: HaloLike = 0,
    boundary: Boundary = None,
    out: Any = None,
    dtype: Any = None,
    scale: Any = None,
    drop_axis: int | Sequence[int] = (),
    new_axis: Mapping[int, int] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    pass_tile: bool = False,
    overwrite: bool = False,
    **run: Unpack[RunOptions],
) -> Any:
    """Apply a function to a volume, tile by tile, and put the results together.

    Parameters
    ----------
    function : callable
        ``function(block, **kwargs)``, with one block for each source. A block is a tile's
        read box: what the tile owns, and the halo around it as far as the volume reaches
        (or further, see `boundary`). It returns an array of the block's shape, from which
        the halo is cut off, or of the shape of what the tile owns; for several outputs, a
        tuple of arrays.
    source : array_like, path, or list of them, shape (Z, Y, X) or any other
        The volume: ndarray, memmap, zarr array, SharedArray, a source of `open_source`, or
        the path of a file that it opens. Several volumes must agree in shape, as far as
        they have the same axes.
    tile_shape : int or sequence of int, optional
        Shape of what a tile owns [voxel]. Default: chosen by `plan_tiles`, after the
        function has been measured on a small block in the middle of the volume. Time and
        channel axes of a file have tiles of one, and may be left out here and in `halo`.
    halo : int, sequence of int, or sequence of (int, int)
        Context read before and after a tile, per axis [voxel]. If no result depends on
        voxels farther away, the outcome equals that on the whole volume bit for bit.
    boundary : {"reflect", "symmetric", "edge", "wrap", "constant"}, number, or None
        What blocks have beyond the volume's edges: nothing (None), a mode of `numpy.pad`,
        or a value.
    out : array_like, path, or sequence of them, optional
        Where results go: an ndarray, memmap, SharedArray or zarr array of the right shape,
        a sink of `create_sink`, or the path of a file to be made (``.npy``, ``.tif``,
        ``.zarr``, ``.ome.zarr``, ``.h5``), which gets the axes and the voxel size of the
        source. Default: new ndarrays.
    dtype : dtype_like or sequence of them, optional
        Dtype of new outputs. Default: that of the first result.
    scale : number or sequence of numbers, optional
        Output voxels per voxel of the volume, for all axes or each: whole numbers or 1/n.
        An axis of n voxels gives ``ceil(n * scale)``.
    drop_axis : int or sequence of int
        Axes that results do not have; tiles span them.
    new_axis : dict of int to int, optional
        Axes that results have and the volume has not: position in the output, and length.
    kwargs : dict, optional
        Passed to the function.
    pass_tile : bool
        Pass the `Tile` to the function, as the keyword argument ``tile``.
    overwrite : bool
        Whether an output file may replace one of the same name.
    **run
        Who runs the tiles, and what happens when one fails: see `RunOptions`.

    Returns
    -------
    array_like, or tuple of them
        `out`, or new arrays; for a path, the file as an array.

    Raises
    ------
    TileError
        If tiles failed; it lists them, with the tracebacks of the workers. Nothing
        half-done is returned, and no output file keeps its name.
    AlignmentError
        If tiles of the given shape would share storage units (chunks, shards) of `out`.
    ParameterError, ParameterTypeError
        If a parameter does not fit.
    WorkerError
        If workers cannot be started.

    Notes
    -----
    Process-safety: sources are read, and outputs written, by the workers in place; each
    voxel of an output is written by one tile.

    Examples
    --------
    >>> import numpy as np
    >>> from tilecore import map_tiles
    >>> volume = np.arange(24.0).reshape(2, 3, 4)
    >>> map_tiles(np.sqrt, volume, tile_shape=2, executor="serial").shape
    (2, 3, 4)
    """
    options = Options.of(run)
    sources = open_sources(source)
    shape = shape_of(sources)
    placement = Placement.of(len(shape), scale, drop_axis, new_axis)
    info = info_of(sources)
    grid = first_grid(shape, for_all_axes(tile_shape, info, 1), for_all_axes(halo, info, 0))
    placement.check(grid)
    outputs = Outputs(out, dtype, placement=placement, volume_shape=shape, info=info, overwrite=overwrite)
    check_alignment(grid, outputs.units)
    job = MapJob(function, dict(kwargs or {}), grid, sources, as_boundary(boundary), options.copy, pass_tile, placement)
    journal = _open_journal(job, outputs, options)
    try:
        outputs.prepare(resume=journal is not None and journal.continues)
        execution = Execution(
            job,
            options,
            planned=tile_shape is None,
            units=outputs.units,
            whole_axes=placement.dropped,
            single_axes=[axis for axis in extra_axes(info) if axis not in placement.dropped],
            divisible=True,
            journal=journal,
            learn=lambda measurement: _make_outputs(execution, outputs, measurement.dtypes),
            description=getattr(function, "__name__", "tiles"),
        )
        _run(execution, outputs)
        if outputs.arrays is None:  # no voxel, no tile, no result
            outputs.make_empty(np.dtype(sources[0].dtype))
        result = outputs.commit(_downsampler(run))
    except BaseException:
        if journal is None or journal.is_useless:
            outputs.discard()
            _remove(journal)
        raise
    if journal is not None and _are_same(journal.path, outputs.journal_path):
        _remove(journal)
    return result


def _downsampler(run: RunOptions) -> Downsampler:
    """What makes a level of a pyramid from the next finer one, by the same workers as the run."""
    options: Any = {name: value for name, value in run.items() if name not in _NOT_FOR_LEVELS}

    def downsample(finer: Any, coarser: Any, factors: tuple[int, ...]) -> None:
        scale = [Fraction(1, factor) for factor in factors]
        map_tiles(mean_of_voxels, finer, out=coarser, scale=scale, kwargs={"factors": factors}, **options)

    return downsample


def _are_same(path: Path | None, other: Path | None) -> bool:
    """Whether two paths, however they are written, lead to one file."""
    return path is not None and other is not None and os.path.realpath(path) == os.path.realpath(other)


def _remove(journal: Journal | None) -> None:
    if journal is not None:
        journal.remove()


def _open_journal(job: MapJob, outputs: Outputs, options: Options) -> Journal | None:
    path = options.journal_path(outputs.journal_path)
    beside = outputs.journal_path
    if beside is not None and not _are_same(beside, path) and is_journal(beside):
        Journal(beside, {}).remove()  # it speaks of an output that this run makes anew, or continues by another
    if path is None:
        if options.resume:
            raise ParameterError("resume=True: there is no journal to continue; give out= a path, or journal= one")
        return None
    if not outputs.persist:
        raise ParameterError.of("journal", str(path), "needs outputs on disk: what is in memory is gone with the run")
    journal = Journal(
        path,
        fingerprint(job, options.identity, outputs.asked_dtypes),
        resume=options.resume,
        outputs=outputs.tokens,
        durable=options.durable,
    )
    if journal.continues and not outputs.are_begun:
        journal.restart()
    return journal


def _make_outputs(execution: Execution, outputs: Outputs, dtypes: Sequence[np.dtype[Any]]) -> None:
    """Make the outputs once the dtypes of results are known, and tell the workers."""
    if outputs.arrays is None and dtypes:
        outputs.make_for(dtypes)
        execution.tell(**outputs.for_workers(execution.executor.reach))


def _run(execution: Execution, outputs: Outputs) -> None:
    job = cast("MapJob", execution.job)
    job.receive(outputs.for_workers(execution.executor.reach))
    for task, values in execution.results():
        if values is not None:
            _make_outputs(execution, outputs, [value.dtype for value in values])
            tile = task.tile(execution.grid)
            outputs.write(tile, job.fit(tile, values))  # sent before the worker knew the dtypes, perhaps
        outputs.flush()
