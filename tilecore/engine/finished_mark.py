"""Marks of finished outputs: which run has made a file.

A mark is an extended attribute of the file, or an attribute in the metadata of an image in an object store. So it stays
with the file, is deleted with it, and needs no file of its own. On file systems without extended attributes there are
no marks; a repeated run then does not recognize its own output. (A run in parts keeps its mark in its folder there.)
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from tilecore.arrays.content import digest_of_bytes
from tilecore.arrays.file_stamps import describe_files
from tilecore.errors import UnreadableFileError
from tilecore.formats.file_sink import FileSink
from tilecore.formats.zarr.metadata import read_json
from tilecore.formats.zarr.sink import write_json
from tilecore.formats.zarr.stores import ObjectFolder
from tilecore.objects.documents import is_visible
from tilecore.objects.paths import ObjectPath

__all__ = ["commit_marked", "is_finished", "mark_finished", "mark_of"]

_NAME = "user.tilecore.run"
_ATTRIBUTE = "tilecore_run"


def commit_marked(sink: FileSink, run: dict[str, Any] | None) -> None:
    """Give a complete file its name, and mark it as the output of a run; None: it is not marked.

    In an object store the mark is made first, as whoever has seen the metadata under their name may rely on them.
    """
    if run is not None and isinstance(sink.path, ObjectPath):
        _mark_metadata(sink.place.data, sink.path, run)
    sink.commit()
    if run is not None:
        mark_finished(sink.path, run)


def mark_finished(path: Path, run: dict[str, Any]) -> bool:
    """Mark a complete file as the output of a run; whether that is possible: in an object store `commit_marked` does.

    Parameters
    ----------
    path : Path
        The output.
    run : dict
        Fingerprint of the run.
    """
    if isinstance(path, ObjectPath):
        return False
    try:
        os.setxattr(path, _NAME, mark_of(path, run))
    except (OSError, AttributeError):  # no extended attributes on this file system or this system
        return False
    return True


def is_finished(path: Path, run: dict[str, Any]) -> bool:
    """Whether an output was completed by this run, and has not been changed since: in an object store, its metadata."""
    if isinstance(path, ObjectPath):
        return _has_mark(path, run)
    with contextlib.suppress(OSError, AttributeError):
        return os.getxattr(path, _NAME) == mark_of(path, run)
    return False


def mark_of(path: Path, run: dict[str, Any]) -> bytes:
    """The mark of a run on a file, as it is now."""
    return _digest([run, describe_files(str(path), [str(path)])]).encode()


def _mark_metadata(data: Path, path: ObjectPath, run: dict[str, Any]) -> None:
    """Write the mark of an output into its metadata before it gets its name `path`."""
    name, document, attributes = _attributes(str(data))
    attributes.pop(_ATTRIBUTE, None)  # of a run that was stopped before the output got its name
    attributes[_ATTRIBUTE] = _digest([run, str(path), document])
    write_json(data / name, document)


def _has_mark(path: ObjectPath, run: dict[str, Any]) -> bool:
    try:
        _, document, attributes = _attributes(str(path))
    except UnreadableFileError:  # somebody else's
        return False
    found = attributes.pop(_ATTRIBUTE, None)
    return is_visible(path.store.names()) and found == _digest([run, str(path), document])


def _attributes(url: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name and content of the outermost object that holds attributes of an image, and these attributes."""
    store = ObjectFolder(url)
    document = read_json(store, "zarr.json")
    if document is None:
        document = read_json(store, ".zattrs") or {}
        return ".zattrs", document, document
    if not isinstance(document.get("attributes"), dict):
        document["attributes"] = {}
    attributes: dict[str, Any] = document["attributes"]
    return "zarr.json", document, attributes


def _digest(content: list[Any]) -> str:
    return digest_of_bytes(json.dumps(content, sort_keys=True).encode())
