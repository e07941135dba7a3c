"""Names, sizes and times of change of an image's files, also of all files below a folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

from tilecore.arrays.content import digest_of_bytes
from tilecore.objects.documents import describe_documents
from tilecore.objects.urls import absolute, is_url

__all__ = ["describe_files"]


def describe_files(path: str, files: Iterable[str]) -> dict[str, Any]:
    """Describe an image's files, and all files below its folders; of an object store, its metadata documents alone.

    Parameters
    ----------
    path : str
        Path of the image.
    files : iterable of str
        Files and folders that hold its voxels.
    """
    described: dict[str, Any] = {"path": absolute(path)}
    if is_url(path):
        return described | describe_documents([path, *files])
    stamps = sorted(stamp for file in files for stamp in _stamps(file))
    if len(stamps) == 1:
        _, size, modified = stamps[0]
        return described | {"size": size, "modified_ns": modified}
    lines = b"\n".join(b"%d %d %s" % (size, modified, name) for name, size, modified in stamps)
    return described | {"files": len(stamps), "digest": digest_of_bytes(lines)}


def _stamps(path: str) -> Iterator[tuple[bytes, int, int]]:
    if not os.path.isdir(path):
        yield _stamp(path)
        return
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        with contextlib.suppress(OSError):  # somebody has just removed it
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
        for name in names:
            yield _stamp(os.path.join(folder, name))


def _stamp(path: str) -> tuple[bytes, int, int]:
    try:
        status = os.stat(path)
    except OSError:  # a link that leads nowhere, or a file that somebody has just removed
        return os.fsencode(path), -1, -1
    return os.fsencode(path), status.st_size, status.st_mtime_ns
