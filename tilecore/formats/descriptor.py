"""Descriptors of image files, and the readers that each process opens from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from tilecore.errors import UnreadableFileError
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.reader import Reader

__all__ = ["Descriptor", "reader_of", "stamp_of"]


@dataclass(frozen=True)
class Descriptor:
    """Description of a file, with which another process can open it again.

    Attributes
    ----------
    path : str
        Absolute path, or URL.
    opener : callable
        Function ``opener(path, **options)`` that returns a `Reader`; pickled by name.
    options : tuple of (str, object)
        Options of the opener.
    stamp : tuple of int, or None
        Size and time of change of the file, to notice if another file has taken its place.
    """

    path: str
    opener: Callable[..., Reader]
    options: tuple[tuple[str, Any], ...]
    stamp: tuple[int, int] | None


# Open readers by process, because a reader inherited through a fork shares its file's position with the parent.
# They are held by weak references, so that a file is closed with the last source that reads it.
_readers: WeakValueDictionary[tuple[int, Descriptor], Any] = WeakValueDictionary()


def stamp_of(path: str) -> tuple[int, int] | None:
    """Size and time of change of a file; None for a folder, as a folder's own tell nothing about its files."""
    if not os.path.isfile(path):
        return None
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def reader_of(descriptor: Descriptor, info: ImageInfo) -> Reader:
    """Return the reader of a file in this process; it is opened if necessary."""
    key = (os.getpid(), descriptor)
    reader: Reader | None = _readers.get(key)
    if reader is None:
        if stamp_of(descriptor.path) != descriptor.stamp:
            raise UnreadableFileError(f"{descriptor.path} has changed since it was opened; open it again")
        reader = descriptor.opener(descriptor.path, **dict(descriptor.options))
        if (reader.info.shape, reader.info.dtype) != (info.shape, info.dtype):
            raise UnreadableFileError(f"{descriptor.path} has changed since it was opened; open it again")
        _readers[key] = reader
    return reader
