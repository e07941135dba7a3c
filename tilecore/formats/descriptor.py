"""Descriptors of image files, and the readers that each process opens by them."""

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
    """All that another process needs to open a file again.

    Attributes
    ----------
    path : str
        Absolute.
    opener : callable
        ``opener(path, **options)`` gives a `Reader`; pickled by name.
    options : tuple of (str, object)
    stamp : tuple of int, or None
        Size and time of change of the file, so that another one is not taken for it.
    """

    path: str
    opener: Callable[..., Reader]
    options: tuple[tuple[str, Any], ...]
    stamp: tuple[int, int] | None


# By process: a reader that came through a fork shares its file's position with the parent. Weak, so that
# a file is closed with the last source that reads it.
_readers: WeakValueDictionary[tuple[int, Descriptor], Any] = WeakValueDictionary()


def stamp_of(path: str) -> tuple[int, int] | None:
    """Size and time of change of a file; None for a folder, whose own say nothing of what is in it."""
    if not os.path.isfile(path):
        return None
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def reader_of(descriptor: Descriptor, info: ImageInfo) -> Reader:
    """The reader of a file in this process, opened if it is not."""
    key = (os.getpid(), descriptor)
    reader: Reader | None = _readers.get(key)
    if reader is None:
        if stamp_of(descriptor.path) != descriptor.stamp:
            raise UnreadableFileError(f"{descriptor.path} has changed since it was opened")
        reader = descriptor.opener(descriptor.path, **dict(descriptor.options))
        if (reader.info.shape, reader.info.dtype) != (info.shape, info.dtype):
            raise UnreadableFileError(f"{descriptor.path} has changed since it was opened")
        _readers[key] = reader
    return reader
