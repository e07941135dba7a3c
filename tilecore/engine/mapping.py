"""The function `map_tiles`: a function of blocks, applied to a volume, gives another volume."""

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
from tilecore.geometry.per_axis import HaloLike, TileShapeLike
from tilecore.geometry.placement import Placement, ScaleLike

__all__ = ["level_maker", "map_tiles"]

Scalar = TypeVar("Scalar", bound=np.generic)
Out = TypeVar("Out", bound=WritableArray)

# Options that do not apply to levels: they are made again if a run is continued, as the journal has only the finest.
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
    tile_shape: TileShapeLike = None,
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
        read box: the voxels that the tile owns, and the halo around them inside the volume
        (or also beyond it, see `boundary`). It returns an array of the block's shape, from which
        the halo is cut off, or an array of the write box's shape; for several outputs, a
        tuple of arrays.
    source : array_like, path, or list of them, shape (Z, Y, X) or any other
        The volume: ndarray, memmap, zarr array, SharedArray, a source of `open_source`, or
        the path of a file that it opens. Several volumes must agree in shape, as far as
        they have the same axes.
    tile_shape : int or sequence of (int or None), optional
        Shape of a tile's write box [voxel]. Default, also of a length that is None: chosen by `plan_tiles`,
        after the function has been measured on a small block in the middle of the volume. Time and
        channel axes of a file have tiles of one, and may be left out here and in `halo`.
    halo : int, sequence of int, or sequence of (int, int), optional
        Context read before and after a tile, per axis [voxel]. If no result depends on
        voxels farther away, the output equals that on the whole volume bit for bit.
        Default: what the function declares (see `declare`), otherwise 0.
    boundary : {"reflect", "symmetric", "edge", "wrap", "constant"}, number, or None
        Voxels of blocks beyond the volume's edges: a mode of `numpy.pad`, or a value. Default:
        the mode that the function declares, otherwise blocks end at the edges.
    out : array_like, path, or sequence of them, optional
        Output array or file: an ndarray, memmap, SharedArray or zarr array of the right shape,
        a sink of `create_sink`, or the path of a new file (``.npy``, ``.bin``, ``.tif``,
        ``.zarr``, ``.ome.zarr``, ``.h5``), which gets the axes and the voxel size of the
        source. Default: new ndarrays.
    dtype : dtype_like or sequence of them, optional
        Data type of new outputs. Default: what the function declares, otherwise that of the first
        result.
    scale : number or sequence of numbers, optional
        Number of output voxels per voxel of the volume, for all axes or each: whole numbers or 1/n.
        An axis of n voxels gives ``ceil(n * scale)``. Default: what the function declares,
        otherwise 1.
    drop_axis : int or sequence of int
        Axes of the volume that results do not have; each tile spans them.
    new_axis : dict of int to int, optional
        Axes that results have in addition to the volume's: position in the output, and length.
    kwargs : dict, optional
        Keyword arguments for the function.
    pass_tile : bool
        Whether to pass the `Tile` to the function, as the keyword argument ``tile``.
    overwrite : bool
        Whether an output file may replace one of the same name.
    inplace : bool
        Whether `out` may be a source, or share memory or a file with one. Without a halo each tile is then
        written once, by this process; otherwise the source is overwritten when all results are complete.
        Such a run has no journal, because overwritten voxels cannot be computed again.
    **run
        Executor, workers, retries, journal and other options of the run: see Other Parameters.

    Returns
    -------
    array_like, or tuple of them
        `out`, or new arrays; for a path, the written file as an array.

    Raises
    ------
    TileError
        If tiles failed; it lists them, with the tracebacks of the workers. Nothing
        incomplete is returned, and no output file gets its final name.
    AlignmentError
        If two tiles of the given shape would write the same storage unit (chunk, shard) of `out`. In a new file
        storage units are chosen to fit the tiles.
    ParameterError, ParameterTypeError
        If a parameter has a wrong type or value, or does not fit the others.
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
    dtypes = first_given(dtype, declared.dtype)
    outputs = Outputs(out, dtypes, placement=placement, grid=grid, inputs=inputs, **targets)
    check_alignment(grid, outputs.units)
    job = MapJob(function, dict(kwargs or {}), request.boundary, request.options.copy, pass_tile, placement)
    with Run(job, request, outputs=outputs, whole_axes=placement.dropped) as one:
        one.plan()
        if one.is_finished:
            return outputs.opened()
        one.begin()
        for _ in one.work():
            pass  # workers have written the result
        if not outputs.are_made:  # a volume without voxels has no tile and no result
            outputs.make_empty(np.dtype(inputs.arrays[0].dtype))
        return one.finish(level_maker(run))


def level_maker(run: RunOptions) -> Callable[[Level], object]:
    """Return the function that makes a level of a pyramid from the next finer one, with the options of the run."""
    options: Any = {name: value for name, value in run.items() if name not in _NOT_FOR_LEVELS}

    def make(level: Level) -> None:
        finer, coarser, factors = level
        scale = [Fraction(1, factor) for factor in factors]
        map_tiles(mean_of_voxels, finer, out=coarser, scale=scale, kwargs={"factors": factors}, **options)

    return make
