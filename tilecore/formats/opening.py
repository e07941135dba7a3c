"""The function `open_source`: any image file as an array that is indexed by slices."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from tilecore import plugins
from tilecore.errors import MissingFileError, ParameterError, UnreadableFileError
from tilecore.formats.descriptor import Descriptor, stamp_of
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.kinds import KINDS, READERS, kind_of_signature, kind_of_suffix, known_suffixes, split_place
from tilecore.formats.paths import is_pattern
from tilecore.formats.reader_errors import as_path, reading
from tilecore.formats.source import FileSource
from tilecore.geometry.per_axis import as_integer
from tilecore.objects.store import ObjectStore
from tilecore.objects.urls import absolute, is_url

__all__ = ["kind_of_path", "open_source"]

_log = logging.getLogger(__name__)

# Metadata documents that tell a folder of zarr.
_OF_ZARR = ("zarr.json", ".zarray", ".zgroup")


def open_source(
    path: str | os.PathLike[str],
    *,
    axes: str | None = None,
    series: int | None = None,
    level: int = 0,
    channel: int | str | None = None,
    time: int | None = None,
    shape: Sequence[int] | None = None,
    dtype: npt.DTypeLike | None = None,
    offset: int = 0,
    order: Literal["C", "F"] = "C",
    missing_chunks: Literal["error", "fill"] = "error",
) -> FileSource:
    """Open an image file without reading its voxels.

    Parameters
    ----------
    path : path_like
        Path of a TIFF (also BigTIFF, OME-TIFF of one or several files, ImageJ hyperstack, LSM, SVS), a folder
        or a glob of TIFF, PNG or JPEG planes, OME-Zarr, zarr (also inside a ``.zip``), N5, HDF5, Imaris (``.ims``),
        ``.npy``, or raw numbers (``.raw``, ``.bin``, ``.dat``, or any other suffix if `shape` and `dtype` are given; a
        ``.yaml`` file of the same name may tell them). One of several arrays in a file: ``file.h5:/path/in/file``,
        ``file.zip:/path/in/file``. OME-Zarr, zarr and N5 may lie in an object store or on a web server, at a URL such
        as ``s3://bucket/volume.zarr``, ``gs://``, ``https://`` or ``memory://``.
    axes : str, optional
        One letter per axis of the file, such as ``"ZCYX"``, if the file does not tell them or is wrong:
        letters of ``TCZYX``, ``S`` for samples of colour, or letters that the file has.
    series : int, optional
        Number of the image in a file that has several. Default: the first.
    level : int
        Number of the level of a pyramid; 0 is the finest.
    channel : int or str, optional
        Number or name of the channel to read. Default: all channels, as an axis.
    time : int, optional
        Number of the time point to read. Default: all time points, as an axis.
    shape : sequence of int, optional
        Shape of raw numbers [voxel].
    dtype : dtype_like, optional
        Data type of raw numbers; ``">u2"`` is big-endian.
    offset : int
        Position of the first raw number in the file [byte].
    order : {"C", "F"}
        Whether the last or the first axis of raw numbers varies fastest.
    missing_chunks : {"error", "fill"}
        Meaning of a chunk that is missing: the file is damaged, or the chunk's voxels have
        the fill value.

    Returns
    -------
    FileSource
        A `Source` with ``shape``, ``dtype``, ``axes``, ``voxel_size_um``, ``origin_um`` and ``chunks``; slices read
        regions.

    Raises
    ------
    MissingFileError
        If the file, or the bucket, does not exist.
    ObjectStoreError
        If an object store denies access, or does not answer.
    ParameterTypeError
        If `path` is not a path, but for example an array.
    ParameterError
        If the kind of file is unknown, or an option does not fit it.
    UnreadableFileError
        If the file is not of the kind that its name says, is cut off, or holds other elements than numbers.
    MissingDependencyError
        If an optional package is needed; the message names the extra that brings it.

    Notes
    -----
    Process-safety: a source pickles as a descriptor, and each process opens the file for itself.

    Examples
    --------
    >>> import numpy as np, os, tempfile
    >>> from tilecore import open_source
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(os.path.join(folder, "volume.npy"), np.zeros((2, 3, 4)))
    ...     open_source(os.path.join(folder, "volume.npy"))[0, :2, 1:3].shape
    (2, 2)
    """
    name, dataset = split_place(as_path(path))
    raw_shape = None if shape is None else tuple(as_integer(length, "shape", minimum=0) for length in shape)
    given = {
        "series": series,
        "level": as_integer(level, "level", minimum=0),
        "shape": raw_shape,
        "dtype": None if dtype is None else np.dtype(dtype).str,
        "offset": offset,
        "order": order,
        "missing_chunks": missing_chunks,
        "dataset": dataset,
    }
    if missing_chunks not in ("error", "fill"):
        raise ParameterError.of("missing_chunks", missing_chunks, "'error' or 'fill'")
    descriptor = _describe(name, given)
    with reading(name, kind_of_path(name, is_raw=raw_shape is not None)):
        reader = descriptor.opener(descriptor.path, **dict(descriptor.options))
        reader.verify()
        info = reader.info.check(name).with_axes(axes)
    if info.guess:
        _log.warning("%s: %s", name, info.guess)
    return FileSource(descriptor, info, _window(info, channel, time))


#: Default value of each option.
_DEFAULTS = {"level": 0, "offset": 0, "order": "C", "missing_chunks": "error", "dataset": ""}


def _describe(name: str, given: dict[str, Any]) -> Descriptor:
    """Choose the reader of a file and its options; refuse options that it does not have."""
    kind = "raw" if given["shape"] is not None else kind_of_path(name)
    asked = {option: value for option, value in given.items() if value != _DEFAULTS.get(option)}
    if kind in KINDS:
        opener = plugins.load(KINDS[kind].reader)
        unknown = sorted(set(asked) - set(KINDS[kind].options))
    else:
        opener = plugins.find(READERS, kind)
        if opener is None:
            known = ", ".join(known_suffixes())
            raise ParameterError.of("path", name, f"this suffix is unknown; known ones are {known}")
        unknown = plugins.not_taken(opener, sorted(asked))
    if unknown:
        raise ParameterError(f"{', '.join(unknown)}: {kind} files such as {str(name)!r} have no such option")
    place = absolute(name)
    return Descriptor(place, opener, tuple(sorted(asked.items())), stamp_of(place))


def kind_of_path(name: str, *, is_raw: bool = False) -> str:
    """Find the kind of a file or folder from its name and its first bytes; raw numbers may have any name.

    Raises
    ------
    MissingFileError, UnreadableFileError
        If it does not exist, is empty, or is not what its name says.
    """
    if is_url(name):
        if is_raw:
            raise ParameterError.of("path", name, "raw numbers are not read from a URL: leave out shape and dtype")
        return _kind_of_objects(name)
    path = Path(name)
    if not path.exists():
        if is_pattern(name):
            return "planes"
        raise MissingFileError.of("path", name, "there is no such file")
    if path.is_dir():
        return _kind_of_folder(path)
    kind = kind_of_suffix(name)
    with reading(name, kind), path.open("rb") as file:
        start = _first_bytes(file, kind)
    if not start and not (is_raw or kind == "raw"):  # of raw numbers there may be none
        raise UnreadableFileError(f"{name} is empty: zero bytes")
    if is_raw:
        return "raw"
    if kind in KINDS and KINDS[kind].signatures and not start.startswith(KINDS[kind].signatures):
        found = kind_of_signature(start)
        really = f"it begins like a file of kind {found}" if found else "its first bytes are wrong"
        raise UnreadableFileError(f"{name} is not a {path.suffix.lower()} file: {really}")
    return kind


def _first_bytes(file: BinaryIO, kind: str) -> bytes:
    """Read the bytes that tell the kind of a file; they may stand behind a block of the user's own."""
    start = file.read(8)
    row, size, offset = KINDS.get(kind), os.fstat(file.fileno()).st_size, 512
    while row is not None and row.has_user_block and not start.startswith(row.signatures) and offset < size:
        file.seek(offset)
        if (found := file.read(8)).startswith(row.signatures):
            return found
        offset *= 2
    return start


def _kind_of_folder(path: Path) -> str:
    suffix = path.suffix.lower()
    if any((path / name).exists() for name in _OF_ZARR):
        return "zarr"
    if any((path / folder / "attributes.json").exists() for folder in ("", "s0")):
        return "n5"
    if suffix in (".zarr", ".n5"):
        raise UnreadableFileError(f"{path} has no metadata: it is not a {suffix} file, or it is damaged")
    if suffix in ("", ".tif", ".tiff"):
        return "planes"
    if any(suffix in kind.suffixes for kind in KINDS.values()):
        raise UnreadableFileError(f"{path} is a folder, not a {suffix} file")
    # Files of another package's kind may be folders.
    return suffix.lstrip(".") if suffix in known_suffixes() else "planes"


def _kind_of_objects(url: str) -> str:
    """Kind of what lies at a URL, which only metadata tell."""
    store = ObjectStore(url)
    if any(store.get(name) is not None for name in _OF_ZARR):
        return "zarr"
    if any(store.get(f"{folder}attributes.json") is not None for folder in ("", "s0/")):
        return "n5"
    if kind_of_suffix(url) in KINDS and not url.lower().endswith((".zarr", ".n5")):
        raise ParameterError.of("path", url, "zarr and N5 folders alone are read from a URL: copy the file to a disk")
    raise MissingFileError.of("path", url, "there is neither zarr nor N5; check the name")


def _window(info: ImageInfo, channel: int | str | None, time: int | None) -> list[int | slice]:
    """Part of each axis that is read: the whole axis, or one position."""
    if isinstance(channel, str):
        if channel not in info.channel_names:
            names = ", ".join(info.channel_names) or "none"
            raise ParameterError.of("channel", channel, f"the file's channels are: {names}")
        channel = info.channel_names.index(channel)
    window: list[int | slice] = [slice(0, length) for length in info.shape]
    for name, letter, position in (("channel", "C", channel), ("time", "T", time)):
        if position is None:
            continue
        if letter not in info.axes:
            raise ParameterError.of(name, position, f"the image has the axes {info.axes}, without {letter}")
        axis = info.axes.index(letter)
        number = as_integer(position, name)
        if not -info.shape[axis] <= number < info.shape[axis]:
            raise ParameterError.of(name, position, f"the image has {info.shape[axis]} along this axis")
        window[axis] = number % info.shape[axis]
    return window
