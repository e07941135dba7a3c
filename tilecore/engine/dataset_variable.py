"""A variable of a dataset on disk, as output of `map_tiles`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilecore.engine.dimensions import Labels, names_of_result, values_by_name
from tilecore.errors import ParameterError, ParameterTypeError, UnwritableFileError
from tilecore.formats.sink import SinkSpec
from tilecore.formats.zarr.variable_sink import VariableLabels, VariableSink
from tilecore.geometry.placement import Placement

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
        if not isinstance(self.name, str):
            raise ParameterTypeError.of("name", self.name, "must be text")
        if self.name in ("", ".", "..") or set(self.name) & {"/", "\\", "\0", os.sep}:
            raise ParameterError.of("name", self.name, "the name of a variable is that of a folder, without separators")


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
    coords: Any = None if labels is None else labels.coords()
    dims = tuple(map(str, names_of_result(names, placement) if out.dims is None else out.dims))
    if len(dims) != len(shape) or len(set(dims)) != len(dims):
        raise ParameterError.of("dims", out.dims, f"the result of shape {shape} needs as many different names")
    if labels is not None and dims != labels.dims:
        raise ParameterError.of("dims", out.dims, f"the source has labels; its result has the dimensions {labels.dims}")
    attrs = {} if labels is None else dict(labels.source.attrs)
    told = VariableLabels(dims, None if coords is None else coords.to_dataset(), attrs)
    told.check(out.name)
    chunks: Any = values_by_name(out.chunks, dims, "chunks", -1)
    if chunks is not None:
        longest = [max(length, 1) for length in shape]
        chunks = [n if each in (0, -1) else min(each, n) for each, n in zip(chunks, longest, strict=True)]
    path = Path(os.path.abspath(os.path.expanduser(out.folder))) / f"{out.name}.zarr"
    spec = SinkSpec.of(path, shape, out.name, chunks=chunks, overwrite=overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableFileError(f"the folder {path.parent} cannot be made: {error}") from error
    return VariableSink(spec, told)
