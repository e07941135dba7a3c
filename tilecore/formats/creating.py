"""create_sink: a file of any kind that is written by region."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Unpack

import numpy.typing as npt

from tilecore import plugins
from tilecore.errors import MissingFileError, ParameterError, ParameterTypeError
from tilecore.formats.file_sink import FileSink
from tilecore.formats.kinds import SINKS, kind_to_write, last_suffix, split_place, written_suffixes
from tilecore.formats.reader_errors import as_path
from tilecore.formats.sink import SinkOptions, SinkSpec
from tilecore.output_file import refuse_existing

__all__ = ["create_sink", "plan_sink"]


def create_sink(
    path: str | os.PathLike[str],
    shape: Sequence[int],
    dtype: npt.DTypeLike,
    *,
    axes: str | None = None,
    voxel_size_um: Sequence[float] | None = None,
    channel_names: Sequence[str] = (),
    chunks: int | Sequence[int] | None = None,
    shards: int | Sequence[int] | None = None,
    codec: str = "default",
    pyramid: bool = True,
    ome_zarr_version: Literal["0.5", "0.4"] = "0.5",
    overwrite: bool = False,
) -> FileSink:
    """Create an image file that is written by region, from any number of processes.

    Parameters
    ----------
    path : path_like
        Its suffix chooses the kind: ``.npy``, ``.tif`` (a BigTIFF with OME-XML),
        ``.ome.zarr``, ``.zarr`` (version 3), ``.h5`` (``file.h5:/path/in/file``; written by
        one process).
    shape : sequence of int
        Length of each axis [voxel].
    dtype : dtype_like
    axes : str, optional
        A letter per axis. Default: the last ones of ``TCZYX``.
    voxel_size_um : sequence of 3 floats, optional
        Along z, y, x [um].
    channel_names : sequence of str
    chunks : int or sequence of int, optional
        Of zarr and HDF5 [voxel]. Default: about a million voxels.
    shards : int or sequence of int, optional
        Of zarr version 3: a file for several chunks, which is what one process has to write
        [voxel]. Default: none, or eight chunks where there would be thousands of files.
    codec : str
        ``"none"``, or of zarr ``"blosc"`` (default: bytes shuffled, zstd), ``"zstd"``, ``"gzip"``; of
        HDF5 ``"gzip"``, ``"lzf"`` (default: none). Chunks have checksums; blosc has none in OME-Zarr 0.4,
        whose default is zstd.
    pyramid : bool
        Whether ``.ome.zarr`` gets coarser levels.
    ome_zarr_version : {"0.5", "0.4"}
    overwrite : bool
        Whether a file of that name may be replaced.

    Returns
    -------
    FileSink
        A `Sink`, which can be read, too. The file is in a folder beside its final place,
        ``<path>.<random>.partial``, until `FileSink.commit`, or until a ``with`` block ends
        well; if that raises, nothing is left.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is False.
    DiskSpaceError
        If the disk has no room for it.
    UnwritableFileError, MissingFileError
        If it cannot be made at that place.
    ParameterError
        If the suffix is unknown or an option does not fit it.
    MissingDependencyError
        If an optional package is needed; the message names the extra that brings it.

    Notes
    -----
    Process-safety: processes may write at once what shares no write unit; a region that
    cuts one is refused. Sinks of one path are written apart from each other: the first to be
    committed has the name, or the last one if they may overwrite.

    Examples
    --------
    >>> import os, tempfile
    >>> from tilecore import create_sink, open_source
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "volume.npy")
    ...     with create_sink(path, (2, 3, 4), "uint8") as sink:
    ...         sink[0] = 7
    ...     int(open_source(path)[...].sum())
    84
    """
    sink = plan_sink(
        path,
        shape,
        axes=axes,
        voxel_size_um=voxel_size_um,
        channel_names=channel_names,
        chunks=chunks,
        shards=shards,
        codec=codec,
        pyramid=pyramid,
        ome_zarr_version=ome_zarr_version,
        overwrite=overwrite,
    )
    refuse_existing(sink.path, overwrite=overwrite)
    return sink.create(dtype)


def plan_sink(path: str | os.PathLike[str], shape: Sequence[int], **options: Unpack[SinkOptions]) -> FileSink:
    """Check what a sink is to be, and choose its chunks, before its dtype is known; nothing is written yet.

    Parameters are those of `create_sink`, and so are the errors, but that a file may exist under its name: whoever
    writes must ask.
    """
    name, dataset = split_place(as_path(path))
    sink = _sink_class(name)
    spec = SinkSpec.of(Path(os.path.abspath(name)), shape, dataset, **options)
    if not spec.path.parent.is_dir():
        raise MissingFileError.of("path", path, f"there is no such folder as {spec.path.parent}; make it first")
    return sink(spec)


def _sink_class(name: str) -> type[FileSink]:
    """What writes a file of this name: tilecore's own, or what another package has registered for the suffix."""
    kind = kind_to_write(name)
    sink = plugins.find(SINKS, last_suffix(name)) if kind is None else plugins.load(str(kind.sink))
    if sink is None:
        raise ParameterError.of("path", name, f"files are written with the suffixes {', '.join(written_suffixes())}")
    if not (isinstance(sink, type) and issubclass(sink, FileSink)):
        raise ParameterTypeError.of(
            "path", name, f"{sink!r} of the group {SINKS} must be a class derived from FileSink"
        )
    return sink
