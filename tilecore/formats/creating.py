"""create_sink: a file of any kind that is written by region."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from tilecore import plugins
from tilecore.errors import MissingFileError, ParameterError
from tilecore.formats.file_sink import FileSink
from tilecore.formats.image_info import as_axes, default_axes, positive_size
from tilecore.formats.reader_errors import as_path
from tilecore.formats.sink import SinkSpec
from tilecore.geometry.per_axis import as_integer, as_tile_shape
from tilecore.output_file import refuse_existing

__all__ = ["SINKS", "create_sink", "plan_sink"]

#: Which sink is made for which suffix; the first that fits.
SINKS = {
    ".npy": "tilecore.formats.npy:NpySink",
    ".tif": "tilecore.formats.tiff.sink:TiffSink",
    ".tiff": "tilecore.formats.tiff.sink:TiffSink",
    ".ome.zarr": "tilecore.formats.zarr.ome_sink:OmeZarrSink",
    ".zarr": "tilecore.formats.zarr.sink:ZarrSink",
    ".h5": "tilecore.formats.hdf5.sink:Hdf5Sink",
    ".hdf5": "tilecore.formats.hdf5.sink:Hdf5Sink",
}

_IN_HDF5 = re.compile(r"(?P<file>.+\.(?:h5|hdf5)):/?(?P<dataset>.+)", re.IGNORECASE)


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
    options: dict[str, Any] = {
        "axes": axes,
        "voxel_size_um": voxel_size_um,
        "channel_names": channel_names,
        "chunks": chunks,
        "shards": shards,
        "codec": codec,
        "pyramid": pyramid,
        "ome_zarr_version": ome_zarr_version,
    }
    sink = plan_sink(path, shape, overwrite=overwrite, **options)
    refuse_existing(sink.path, overwrite=overwrite)
    return sink.create(dtype)


def plan_sink(
    path: str | os.PathLike[str],
    shape: Sequence[int],
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
    """Check what a sink is to be, and choose its chunks, before its dtype is known; nothing is written yet.

    Parameters are those of `create_sink`, and so are the errors, but that a file may exist under its name: whoever
    writes must ask.
    """
    lengths = tuple(as_integer(length, "shape", minimum=0) for length in shape)
    name, dataset = _split(as_path(path))
    if ome_zarr_version not in ("0.5", "0.4"):
        raise ParameterError.of("ome_zarr_version", ome_zarr_version, "'0.5' or '0.4'")
    size = None if voxel_size_um is None else positive_size(voxel_size_um)
    if voxel_size_um is not None and size is None:
        raise ParameterError.of("voxel_size_um", voxel_size_um, "three numbers of micrometres, z, y, x")
    spec = SinkSpec(
        path=Path(os.path.abspath(name)),
        shape=lengths,
        axes=default_axes(len(lengths)) if axes is None else as_axes(axes, len(lengths)),
        voxel_size_um=size,
        channel_names=tuple(channel_names),
        chunks=None if chunks is None else as_tile_shape(chunks, len(lengths), "chunks"),
        shards=None if shards is None else as_tile_shape(shards, len(lengths), "shards"),
        codec=codec,
        pyramid=pyramid,
        ome_zarr_version=ome_zarr_version,
        dataset=dataset,
        overwrite=overwrite,
    )
    kind = _kind_of(name)
    if not spec.path.parent.is_dir():
        raise MissingFileError.of("path", path, f"there is no such folder as {spec.path.parent}; make it first")
    return kind(spec)


def _kind_of(name: str) -> type[FileSink]:
    lowered = name.lower()
    for suffix, reference in SINKS.items():
        if lowered.endswith(suffix):
            kind: type[FileSink] = plugins.load(reference)
            return kind
    raise ParameterError.of("path", name, f"files are written with the suffixes {', '.join(SINKS)}")


def _split(path: str) -> tuple[str, str]:
    match = _IN_HDF5.fullmatch(path)
    return (match["file"], match["dataset"]) if match else (path, "")
