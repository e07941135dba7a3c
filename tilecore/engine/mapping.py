"""The function `map_tiles`: a function of blocks, applied to a volume, gives another volume."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

import numpy as np
import numpy.typing as npt

from tilecore.array_types import DTypesLike, LabelledArray, OutputLike, SharesMemory, SourceLike, WritableArray
from tilecore.arrays.padding import Boundary
from tilecore.arrays.shared import SharedArray
from tilecore.engine.dataset_variable import DatasetVariable
from tilecore.engine.declared import first_given
from tilecore.engine.dimensions import (
    AxesByName,
    HaloByName,
    Labels,
    NewAxes,
    ScaleByName,
    TileShapeByName,
    axes_by_name,
    new_axes_by_name,
    values_by_name,
)
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
from tilecore.geometry.placement import Placement

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["level_maker", "map_tiles"]

Scalar = TypeVar("Scalar", bound=np.generic)
Out = TypeVar("Out", bound=WritableArray)
Labelled = TypeVar("Labelled", bound=LabelledArray)

# Options that do not apply to levels: they are made again if a run is continued, as the journal has only the finest.
_NOT_FOR_LEVELS = ("journal", "resume", "durable", "shard", "callbacks", "on_error", "copy")


@overload
def map_tiles(  # type: ignore[overload-overlap]
    function: Callable[..., Any],
    source: Labelled | Sequence[Labelled],
    *,
    out: None = None,
    dtype: type[Any] | np.dtype[Any] | str | None = None,
    **options: Unpack[MapOptions],
) -> Labelled: ...
@overload
def map_tiles(  # type: ignore[overload-overlap]
    function: Callable[..., Any],
    source: Labelled | Sequence[Labelled],
    *,
    out: None = None,
    dtype: list[Any] | tuple[Any, ...],
    **options: Unpack[MapOptions],
) -> tuple[Labelled, ...]: ...
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
    out: DatasetVariable,
    dtype: npt.DTypeLike | None = None,
    **options: Unpack[MapOptions],
) -> DataArray: ...
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
    tile_shape: TileShapeByName = None,
    halo: HaloByName | None = None,
    boundary: Boundary = None,
    out: OutputLike | DatasetVariable = None,
    dtype: DTypesLike = None,
    scale: ScaleByName | None = None,
    drop_axis: AxesByName = (),
    new_axis: NewAxes | None = None,
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
        they have the same axes, and if they are arrays of xarray in their labels.
    tile_shape : int, sequence of (int or None), or dict of str to int, optional
        Shape of a tile's write box [voxel]. Default, also of a length that is None: chosen by `plan_tiles`,
        after the function has been measured on a small block in the middle of the volume. Time and
        channel axes of a file have tiles of one, and may be left out here and in `halo`. By the names of axes if the
        source has them, such as ``{"frame": 100, "height": -1}``, where -1 is the whole axis.
    halo : int, sequence of int, sequence of (int, int), or dict of str to them, optional
        Context read before and after a tile, per axis [voxel], or by the names of axes. If no result depends on
        voxels farther away, the output equals that on the whole volume bit for bit.
        Default: what the function declares (see `declare`), otherwise 0.
    boundary : {"reflect", "symmetric", "edge", "wrap", "constant"}, number, or None
        Voxels of blocks beyond the volume's edges: a mode of `numpy.pad`, or a value. Default:
        the mode that the function declares, otherwise blocks end at the edges.
    out : array_like, path, DatasetVariable, or sequence of them, optional
        Output array or file: an ndarray, memmap, SharedArray or zarr array of the right shape,
        a sink of `create_sink`, or the path of a new file (``.npy``, ``.bin``, ``.tif``,
        ``.zarr``, ``.ome.zarr``, ``.h5``), which gets the axes and the voxel size of the
        source; or a variable of a dataset, which gets its labels. Default: new ndarrays.
    dtype : dtype_like or sequence of them, optional
        Data type of new outputs. Default: what the function declares, otherwise that of the first
        result.
    scale : number, sequence of numbers, or dict of str to number, optional
        Number of output voxels per voxel of the volume, for all axes, each, or some by name: whole numbers or 1/n.
        An axis of n voxels gives ``ceil(n * scale)``. Default: what the function declares,
        otherwise 1.
    drop_axis : int, str, or sequence of them
        Axes of the volume, by number or name, that results do not have; each tile spans them.
    new_axis : dict of int or str to int, optional
        Axes that results have in addition to the volume's: position in the output, and length; or, for arrays of
        xarray, name and length, such as ``{"channel": 2}``: these lead, in the order given.
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
        `out`, or new arrays; for a path, the written file as an array, and for a variable a DataArray that is loaded
        lazily. With ``shard=`` it is None: `finish` returns the file. If the (first) source is a DataArray or a
        Variable of xarray, so are new arrays: with its dimensions, attributes, name, and coordinates along axes that
        are neither dropped nor scaled.

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
    factors: Any = values_by_name(first_given(scale, declared.scale), inputs.names, "scale", 1)
    dropped = axes_by_name(drop_axis, inputs.names, "drop_axis")
    added, leading = new_axes_by_name(new_axis, source)
    placement = Placement.of(grid.ndim, factors, dropped, added)
    placement.check(grid)
    labels = Labels.of(source, placement, leading)
    is_tilewise = placement == Placement.of(grid.ndim) and not any(map(any, grid.halo))
    targets: Any = {"overwrite": overwrite, "inplace": inplace, "tilewise": is_tilewise, "labels": labels}
    dtypes = first_given(dtype, declared.dtype)
    outputs = Outputs(out, dtypes, placement=placement, grid=grid, inputs=inputs, **targets)
    check_alignment(grid, outputs.units)
    job = MapJob(function, dict(kwargs or {}), request.boundary, request.options.copy, pass_tile, placement)
    with Run(job, request, outputs=outputs, whole_axes=placement.dropped) as one:
        one.plan()
        if one.is_finished:
            return _with_labels(outputs.opened(), out, labels)
        one.begin()
        for _ in one.work():
            pass  # workers have written the result
        if not outputs.are_made:  # a volume without voxels has no tile and no result
            outputs.make_empty(np.dtype(inputs.arrays[0].dtype))
        return _with_labels(one.finish(level_maker(run)), out, labels)


def _with_labels(result: object, out: OutputLike | DatasetVariable, labels: Labels | None) -> object:
    """Results as the caller gets them: new arrays of a labelled source have labels."""
    return result if labels is None else labels.on_new(result, out)


def level_maker(run: RunOptions) -> Callable[[Level], object]:
    """Return the function that makes a level of a pyramid from the next finer one, with the options of the run."""
    options: Any = {name: value for name, value in run.items() if name not in _NOT_FOR_LEVELS}

    def make(level: Level) -> None:
        finer, coarser, factors = level
        scale = [Fraction(1, factor) for factor in factors]
        map_tiles(mean_of_voxels, finer, out=coarser, scale=scale, kwargs={"factors": factors}, **options)

    return make
