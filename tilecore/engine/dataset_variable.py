"""A variable of a dataset on disk, as output of `map_tiles`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tilecore.engine.dimensions import Labels, names_of_result
from tilecore.errors import ParameterError, UnwritableFileError
from tilecore.formats.named_chunks import chunk_shape
from tilecore.formats.sink import SinkSpec
from tilecore.formats.zarr.variable_labels import VariableLabels, check_name, stored_coordinates
from tilecore.geometry.placement import Placement
from tilecore.objects.paths import path_of_folder

if TYPE_CHECKING:
    from tilecore.formats.zarr.variable_sink import VariableSink

__all__ = ["DatasetVariable", "variable_sink"]


@dataclass(frozen=True)
class DatasetVariable:
    """A variable of a dataset on disk: the place where `map_tiles` writes a result with its labels.

    The array is ``<folder>/<name>.zarr/<name>``, and its coordinates lie beside it. ``xarray.open_zarr`` opens
    ``<folder>/<name>.zarr``.

    Parameters
    ----------
    folder : path_like
        Folder of the dataset; it is made if it does not exist.
    name : str
        Name of the variable.
    chunks : dict of str to int, optional
        Length of a chunk along some dimensions [voxel]; 0 and -1 are the whole axis. Along the others a chunk is as
        long as the axis. Default: chosen to fit the tiles.
    dims : sequence of str, optional
        Names of the axes of the result. Default: those of the source; dim_0, dim_1 and so on if it has none.

    Raises
    ------
    ParameterError, ParameterTypeError
        If the name cannot be that of a folder.

    Examples
    --------
    >>> import tempfile, numpy as np, xarray as xr
    >>> from tilecore import DatasetVariable, map_tiles
    >>> movie = xr.DataArray(np.ones((4, 6)), dims=("frame", "width"), coords={"frame": [1, 2, 3, 4]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     roots = map_tiles(np.sqrt, movie, out=DatasetVariable(folder, "roots"), executor="serial")
    ...     roots.name, roots.dims, roots.frame.values.tolist()
    ('roots', ('frame', 'width'), [1, 2, 3, 4])
    """

    folder: str | os.PathLike[str]
    name: str
    chunks: Mapping[str, int] | None = None
    dims: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "name")


def variable_sink(
    out: DatasetVariable,
    shape: tuple[int, ...],
    *,
    labels: Labels | None,
    names: Sequence[str],
    placement: Placement,
    overwrite: bool,
) -> VariableSink:
    """Prepare the sink of a variable; nothing but its folder is made yet.

    Raises
    ------
    ParameterError
        If labels, dims or chunks do not fit the result, or cannot be written.
    UnwritableFileError
        If the folder cannot be made.
    """
    dims = names_of_result(names, placement) if labels is None else labels.dims
    if out.dims is not None:
        if labels is not None and tuple(out.dims) != dims:
            raise ParameterError.of("dims", out.dims, f"the source has labels; its result has the dimensions {dims}")
        dims = tuple(out.dims)
    if len(dims) != len(shape) or len(set(dims)) != len(dims):
        raise ParameterError.of("dims", dims, f"the result of shape {shape} needs as many different names")
    told = VariableLabels(dims, None, {}) if labels is None else labels.to_be_written()
    told.check(out.name, "out")
    if told.coords is not None:
        told = replace(told, coords=stored_coordinates(told.coords, "out"))
    chunks = None if out.chunks is None else chunk_shape(dims, shape, out.chunks, shape)
    path = path_of_folder(out.folder, "folder") / f"{out.name}.zarr"
    spec = SinkSpec.of(path, shape, out.name, chunks=chunks, overwrite=overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableFileError(f"the folder {path.parent} cannot be made: {error}") from error
    from tilecore.formats.zarr.variable_sink import VariableSink  # with all of zarr's codecs, which few runs need

    return VariableSink(spec, told)
