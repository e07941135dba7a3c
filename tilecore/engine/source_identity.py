"""What tells the content of one source from that of another: its voxels, or what its files say of themselves."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tilecore.arrays.content import digest_of_array, digest_of_bytes
from tilecore.arrays.remote import RemoteArray
from tilecore.arrays.shipping import file_of, is_reachable, root_map
from tilecore.engine.describer import unknown
from tilecore.formats.source import FileSource

__all__ = ["content_of"]


def content_of(source: Any) -> dict[str, Any] | None:
    """Describe what an array, or the file behind one, holds; None if it is neither."""
    if isinstance(source, RemoteArray):
        source = source.array
    if isinstance(source, np.ndarray):
        return _array(source)
    if isinstance(source, FileSource):
        return _files(source.path, source.files) | {"selection": source.selection}
    if type(source).__module__.partition(".")[0] == "zarr" and hasattr(source, "store"):
        return _zarr_array(source)
    return None


def _array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    path = file_of(array)
    # A map that can be written changes without a word in its file's times, and a private one is no file.
    if path is None or array.flags.writeable or not is_reachable(array):
        return {"digest": digest_of_array(array)}
    return _files(path, [path]) | {"layout": [_offset(array), list(array.strides)]}


def _offset(array: np.ndarray[Any, Any]) -> int:
    """Where in its file a mapped array begins [byte]."""
    root = root_map(array)
    assert root is not None
    return int(root.offset + array.ctypes.data - root.ctypes.data)


def _zarr_array(array: Any) -> dict[str, Any]:
    """A zarr array that the caller has opened."""
    kind, store = type(array.store).__name__, array.store
    if kind == "LocalStore":
        folder = os.path.join(store.root, array.path)
        return _files(folder, [folder])
    if kind == "ZipStore":
        return _files(str(store.path), [str(store.path)]) | {"array": array.path}
    if kind == "MemoryStore":
        return {"digest": digest_of_array(np.asarray(array[...]))}
    return unknown(store)


def _files(path: str, files: Iterable[str]) -> dict[str, Any]:
    """Files, and all that are below folders, by their names, sizes and times of change."""
    stamps = sorted(stamp for file in files for stamp in _stamps(file))
    described: dict[str, Any] = {"path": os.path.abspath(path)}
    if len(stamps) == 1:
        _, size, modified = stamps[0]
        return described | {"size": size, "modified_ns": modified}
    lines = b"\n".join(b"%d %d %s" % (size, modified, name) for name, size, modified in stamps)
    return described | {"files": len(stamps), "digest": digest_of_bytes(lines)}


def _stamps(path: str) -> Iterator[tuple[bytes, int, int]]:
    if not os.path.isdir(path):
        yield _stamp(path)
        return
    seen: set[str] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        if os.path.realpath(folder) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(os.path.realpath(folder))
        for name in names:
            yield _stamp(os.path.join(folder, name))


def _stamp(path: str) -> tuple[bytes, int, int]:
    try:
        status = os.stat(path)
    except OSError:  # a link that leads nowhere, or a file that somebody has just removed
        return os.fsencode(path), -1, -1
    return os.fsencode(path), status.st_size, status.st_mtime_ns
