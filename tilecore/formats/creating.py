"""The function `create_sink`: an image file of any kind that is written by region."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, Unpack

import numpy.typing as npt

from tilecore import plugins
from tilecore.errors import MissingFileError, ParameterError, ParameterTypeError
from tilecore.formats.file_sink import FileSink
from tilecore.formats.kinds import KINDS, SINKS, kind_to_write, last_suffix, split_place, written_suffixes
from tilecore.formats.reader_errors import as_path
from tilecore.formats.sink import SinkOptions, SinkSpec
from tilecore.objects.paths import output_path
from tilecore.objects.requests import bucket_of
from tilecore.objects.urls import is_of_one_process, is_read_only, is_url

__all__ = ["create_sink", "prepare_sink", "sink_of", "written_axes"]


def create_sink(
    path: str | os.PathLike[str],
    shape: Sequence[int],
    dtype: npt.DTypeLike,
    *,
    axes: str | None = None,
    voxel_size_um: Sequence[float] | None = None,
    origin_um: Sequence[float] = (0, 0, 0),
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
        Path of the file. Its suffix chooses the kind: ``.npy``, ``.bin`` (raw numbers, with a
        ``.yaml`` file beside them that says what they are), ``.tif`` (a BigTIFF with OME-XML),
        ``.ome.zarr``, ``.zarr`` (version 3), ``.h5`` (``file.h5:/path/in/file``; written by
        one process). ``.zarr`` and ``.ome.zarr`` may lie in an object store: ``s3://bucket/out.zarr``.
    shape : sequence of int
        Length of each axis [voxel].
    dtype : dtype_like
        Data type of the voxels.
    axes : str, optional
        One letter per axis, such as ``"ZYX"``. Default: a guess from the shape, which zarr and HDF5 files do not tell
        where it is about channels or time points.
    voxel_size_um : sequence of 3 floats, optional
        Voxel size along z, y, x [um].
    origin_um : sequence of 3 floats
        Position of the first voxel's centre along z, y, x [um]; kept by zarr, OME-Zarr and HDF5.
    channel_names : sequence of str
        Names of the channels.
    chunks : int or sequence of int, optional
        Chunk shape of zarr and HDF5 [voxel]. Default: about a million voxels.
    shards : int or sequence of int, optional
        Shard shape of zarr version 3 [voxel]: one file for several chunks, which one process writes
        at a time. Default: none, or eight chunks if there would be thousands of files.
    codec : str
        Compression: ``"none"``; in zarr ``"blosc"`` (default: bytes shuffled, zstd), ``"zstd"``, ``"gzip"``; in
        HDF5 ``"gzip"``, ``"lzf"`` (default: none). Chunks have checksums; blosc has none in OME-Zarr 0.4,
        whose default is zstd.
    pyramid : bool
        Whether an ``.ome.zarr`` image gets coarser levels.
    ome_zarr_version : {"0.5", "0.4"}
        Version of the OME-Zarr format.
    overwrite : bool
        Whether an existing file of that name may be replaced. Of ``file.h5:/path/in/file`` only this dataset is
        replaced, in a copy of the file that takes its name in the end.

    Returns
    -------
    FileSink
        A `Sink` that can also be read. Until `FileSink.commit`, or until a ``with`` block ends
        without an error, the file lies in a folder beside its final path,
        ``<path>.<random>.partial``. If the ``with`` block raises, the folder is removed.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is False.
    DiskSpaceError
        If the disk has not enough free space for it.
    UnwritableFileError, MissingFileError
        If the file cannot be created at that path.
    ObjectStoreError
        If an object store denies access, or does not answer.
    UnreadableFileError
        If a dataset of an existing file is to be replaced, and the file is not HDF5.
    ParameterError
        If the suffix is unknown, an option does not fit it, or such a file cannot hold the shape or the dtype.
    MissingDependencyError
        If an optional package is needed; the message names the extra that brings it.

    Notes
    -----
    Process-safety: two processes may write at the same time if their regions share no write unit; a region
    that cuts a unit is refused. Sinks of the same path are written apart from each other: the first to be
    committed gets the name, or the last one if they may overwrite; of two datasets of one file, the last is refused.

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
    sink = prepare_sink(
        path,
        shape,
        axes=axes,
        voxel_size_um=voxel_size_um,
        origin_um=origin_um,
        channel_names=channel_names,
        chunks=chunks,
        shards=shards,
        codec=codec,
        pyramid=pyramid,
        ome_zarr_version=ome_zarr_version,
        overwrite=overwrite,
    )
    sink.refuse_existing()
    return sink.create(dtype)


def prepare_sink(path: str | os.PathLike[str], shape: Sequence[int], **options: Unpack[SinkOptions]) -> FileSink:
    """Check the options of a sink and choose its chunks, before its dtype is known; nothing is written yet.

    Parameters and errors are those of `create_sink`, except that a file of this name may exist: the function
    that creates the file must check for it.
    """
    name, dataset = split_place(as_path(path))
    sink = _sink_class(name)
    if dataset and not name.lower().endswith(KINDS["hdf5"].suffixes):
        raise ParameterError.of("path", path, f"only HDF5 files are written by a path in them: write {name}")
    if is_url(name):
        _check_url(name, sink)
    spec = SinkSpec.of(output_path(name), shape, dataset, **options)
    if not (is_url(name) or spec.path.parent.is_dir()):
        raise MissingFileError.of("path", path, f"there is no such folder as {spec.path.parent}; create it first")
    return sink(spec)


def sink_of(spec: SinkSpec) -> FileSink:
    """Return the sink of a file that is described already; nothing is written yet."""
    return _sink_class(spec.path.name)(spec)


def written_axes(path: str | os.PathLike[str], axes: str) -> str:
    """The order in which the axes of an image can be written into a file of this name.

    Raises
    ------
    ParameterError
        If the suffix is unknown.
    """
    return _sink_class(split_place(as_path(path))[0]).order_of_axes(axes)


def _check_url(url: str, sink: type[FileSink]) -> None:
    """Refuse a URL at which nothing, or no such file, can be written."""
    if is_read_only(url):
        raise ParameterError.of("path", url, "nothing can be written through http: give a URL such as s3://")
    if bucket_of(url) == url and not is_of_one_process(url):
        raise ParameterError.of("path", url, "this is a bucket: give a name in it, such as s3://bucket/out.zarr")
    if not sink.takes_urls:
        raise ParameterError.of("path", url, "at URLs .zarr and .ome.zarr alone are written: write a file, and copy it")


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
