"""map_tiles: a function of blocks, mapped over a volume into another volume."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeVar, Unpack, overload

import numpy as np
import numpy.typing as npt

from tilecore.array_types import DTypesLike, OutputLike, SharesMemory, SourceLike, WritableArray
from tilecore.arrays.padding import Boundary
from tilecore.arrays.shared import SharedArray
from tilecore.engine.declared import first_given
from tilecore.engine.jobs import MapJob
from tilecore.engine.options import RunOptions
from tilecore.engine.outputs import Outputs
from tilecore.engine.request import Request
from tilecore.engine.run import Run
from tilecore.engine.verb_options import MapOptions
from tilecore.engine.verbs import takes_run_options
from tilecore.engine.write_units import check_alignment
from tilecore.formats.pyramids import Level, mean_of_voxels
from tilecore.formats.source import FileSource
from tilecore.geometry.per_axis import HaloLike
from tilecore.geometry.placement import Placement, ScaleLike

__all__ = ["map_tiles"]

Scalar = TypeVar("Scalar", bound=np.generic)
Out = TypeVar("Out", bound=WritableArray)

# Levels are made anew if the run is continued: only the finest one is in the journal.
_NOT_FOR_LEVELS = ("journal", "resume", "durable", "callbacks", "on_error", "copy")


@overload
def map_tiles(
    function: Callable[..., Any],
    source: SourceLike,
    *,
    out: None = None,
    dtype: type[Scalar] | np.dtype[Scalar],
    **options: Unpack[MapOptions],
) -> npt.NDArray[Scalar]: ...
@overload
def map_tiles(
    function: Callable[..., Any],
    source: SourceLike,
    *,
    out: None = None,
    dtype: type[Any] | np.dtype[Any] | str | None = None,
    **options: Unpack[MapOptions],
) -> npt.NDArray[Any]: ...
@overload
def map_tiles(
    function: Callable[..., Any],
    source: SourceLike,
    *,
    out: None = None,
    dtype: list[Any] | tuple[Any, ...],
    **options: Unpack[MapOptions],
) -> tuple[npt.NDArray[Any], ...]: ...
@overload
def map_tiles(
    function: Callable[..., Any],
    source: SourceLike,
    *,
    out: str | os.PathLike[str],
    dtype: npt.DTypeLike | None = None,
    **options: Unpack[MapOptions],
) -> npt.NDArray[Any] | FileSource: ...
@overload
def map_tiles(
    function: Callable[..., Any],
    source: SourceLike,
    *,
    out: SharedArray | SharesMemory,
    dtype: npt.DTypeLike | None = None,
    **options: Unpack[MapOptions],
) -> npt.NDArray[Any]: ...
@overload
def map_tiles(
    function: Callable[..., Any],
    source: SourceLike,
    *,
    out: Out,
    dtype: npt.DTypeLike | None = None,
    **options: Unpack[MapOptions],
) -> Out: ...
@overload
def map_tiles(
    function: Callable[..., Any],
    source: SourceLike,
    *,
    out: list[Any] | tuple[Any, ...],
    dtype: DTypesLike = None,
    **options: Unpack[MapOptions],
) -> tuple[Any, ...]: ...
@takes_run_options
def map_tiles(
    function: Callable[..., Any],
    source: SourceLike,
    *,
    tile_shape: int | Sequence[int] | None = None,
    halo: HaloLike | None = None,
    boundary: Boundary = None,
    out: OutputLike = None,
    dtype: DTypesLike = None,
    scale: ScaleLike | None = None,
    drop_axis: int | Sequence[int] = (),
    new_axis: Mapping[int, int] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    pass_tile: bool = False,
    overwrite: bool = False,
    inplace: bool = False,
    **run: Unpack[RunOptions],
) -> object:
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
    halo : int, sequence of int, or sequence of (int, int), optional
        Context read before and after a tile, per axis [voxel]. If no result depends on
        voxels farther away, the outcome equals that on the whole volume bit for bit.
        Default: what the function declares (see `declare`), otherwise 0.
    boundary : {"reflect", "symmetric", "edge", "wrap", "constant"}, number, or None
        What blocks have beyond the volume's edges: a mode of `numpy.pad`, or a value. Default:
        what the function declares, otherwise nothing.
    out : array_like, path, or sequence of them, optional
        Where results go: an ndarray, memmap, SharedArray or zarr array of the right shape,
        a sink of `create_sink`, or the path of a file to be made (``.npy``, ``.tif``,
        ``.zarr``, ``.ome.zarr``, ``.h5``), which gets the axes and the voxel size of the
        source. Default: new ndarrays.
    dtype : dtype_like or sequence of them, optional
        Dtype of new outputs. Default: what the function declares, otherwise that of the first
        result.
    scale : number or sequence of numbers, optional
        Output voxels per voxel of the volume, for all axes or each: whole numbers or 1/n.
        An axis of n voxels gives ``ceil(n * scale)``. Default: what the function declares,
        otherwise 1.
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
    inplace : bool
        Whether `out` may be a source, or share memory or a file with one. Without a halo each tile is then
        written once, by this process; otherwise the results take the place of the source when all are there.
        Such a run has no journal: what it has overwritten cannot be computed again.
    **run
        Who runs the tiles, and what happens when one fails: see Other Parameters.

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
    request = Request.of(function, kwargs, source, tile_shape=tile_shape, halo=halo, boundary=boundary, run=run)
    grid, inputs, declared = request.grid, request.inputs, request.declared
    placement = Placement.of(grid.ndim, first_given(scale, declared.scale), drop_axis, new_axis)
    placement.check(grid)
    is_tilewise = placement == Placement.of(grid.ndim) and not any(map(any, grid.halo))
    targets = {"overwrite": overwrite, "inplace": inplace, "tilewise": is_tilewise}
    outputs = Outputs(out, first_given(dtype, declared.dtype), placement=placement, inputs=inputs, **targets)
    check_alignment(grid, outputs.units)
    job = MapJob(function, dict(kwargs or {}), request.boundary, request.options.copy, pass_tile, placement)
    with Run(job, request, outputs=outputs, whole_axes=placement.dropped) as one:
        one.plan()
        if one.is_finished:
            return outputs.opened()
        one.begin()
        for _ in one.work():
            pass  # written already
        if not outputs.are_made:  # no voxel, no tile, no result
            outputs.make_empty(np.dtype(inputs.arrays[0].dtype))
        return one.finish(_level_maker(run))


def _level_maker(run: RunOptions) -> Callable[[Level], object]:
    """What makes a level of a pyramid from the next finer one, by the same workers as the run."""
    options: Any = {name: value for name, value in run.items() if name not in _NOT_FOR_LEVELS}

    def make(level: Level) -> None:
        finer, coarser, factors = level
        scale = [Fraction(1, factor) for factor in factors]
        map_tiles(mean_of_voxels, finer, out=coarser, scale=scale, kwargs={"factors": factors}, **options)

    return make
