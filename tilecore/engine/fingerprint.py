"""What makes a run the same run: its function, arguments, sources and geometry, as plain values."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tilecore.arrays.content import digest_of_array, digest_of_bytes
from tilecore.arrays.remote import RemoteArray
from tilecore.arrays.shipping import file_of, is_reachable
from tilecore.engine.comparing import unknown_parts
from tilecore.engine.describer import Describer, unknown
from tilecore.engine.identities import new_describer
from tilecore.engine.jobs import TileJob
from tilecore.formats.source import FileSource

__all__ = ["fingerprint"]


def fingerprint(job: TileJob, identity: str | None = None, dtypes: Sequence[Any] = ()) -> dict[str, Any]:
    """Describe what a job computes, tile shape and workers aside.

    Parameters
    ----------
    job : TileJob
    identity : str, optional
        Stands for the function, and for sources that cannot be known.
    dtypes : sequence of dtype, or None each
        Of the outputs, as far as they were asked for.

    Returns
    -------
    dict
        Of JSON values; two runs with the same one may share a journal.
    """
    grid = job.grid
    describe = new_describer()
    described = {
        "kind": type(job).__name__,
        "shape": list(grid.shape),
        "halo": [list(pair) for pair in grid.halo],
        "boundary": job.boundary if isinstance(job.boundary, (str, type(None))) else float(job.boundary),
        "function": describe(job.function) if identity is None else {"identity": identity},
        "kwargs": describe(dict(job.kwargs)),
        "sources": [_source(source, describe, identity) for source in job.sources],
        "placement": repr(getattr(job, "placement", None)),
        "dtypes": [None if dtype is None else str(dtype) for dtype in dtypes],
    }
    return described | {"code": describe.parts}


def _source(source: Any, describe: Describer, identity: str | None) -> dict[str, Any]:
    described: dict[str, Any] = {"shape": list(source.shape), "dtype": str(source.dtype)}
    if isinstance(source, RemoteArray):
        source = source.array
    content = _content(source, describe)
    if identity is not None and any(unknown_parts(content)):
        content = {"identity": identity}
    return described | content


def _content(source: Any, describe: Describer) -> dict[str, Any]:
    """What a source holds: by the voxels, where they are in memory, or by what its files say of themselves."""
    if isinstance(source, np.ndarray):
        path = file_of(source)
        # A map that can be written changes without a word in its file's times, and a private one is no file.
        if path is None or source.flags.writeable or not is_reachable(source):
            return {"digest": digest_of_array(source)}
        return _files(path, [path]) | {"layout": [_offset(source), list(source.strides)]}
    if isinstance(source, FileSource):
        return _files(source.path, source.files) | {"selection": source.selection}
    if (store := getattr(source, "store", None)) is not None and hasattr(source, "path"):
        return _zarr_array(source, store)
    return {"object": describe(source)}


def _offset(array: np.ndarray[Any, Any]) -> int:
    """Where in its file a mapped array begins [byte]."""
    base: Any = array
    while not isinstance(base, np.memmap) or isinstance(base.base, np.memmap):
        base = base.base
    return int(base.offset + array.ctypes.data - base.ctypes.data)


def _zarr_array(array: Any, store: Any) -> dict[str, Any]:
    """A zarr array that the caller has opened."""
    kind = type(store).__name__
    if kind == "LocalStore":
        folder = os.path.join(store.root, array.path)
        return _files(folder, [folder])
    if kind == "ZipStore":
        return _files(str(store.path), [str(store.path)]) | {"array": array.path}
    if kind == "MemoryStore":
        return {"digest": digest_of_array(np.asarray(array[...]))}
    return unknown(f"a zarr array in a {kind}")


def _files(path: str, files: Iterable[str]) -> dict[str, Any]:
    """Files, and all that are below folders, by their names, sizes and times of change."""
    path = os.path.abspath(path)
    stamps = sorted(stamp for file in files for stamp in _stamps(Path(file)))
    if len(stamps) == 1:
        _, size, modified = stamps[0]
        return {"path": path, "size": size, "modified_ns": modified}
    lines = "\n".join(f"{size} {modified} {name}" for name, size, modified in stamps)
    return {"path": path, "files": len(stamps), "digest": digest_of_bytes(lines.encode())}


def _stamps(path: Path) -> Iterator[tuple[str, int, int]]:
    if not path.is_dir():
        status = path.stat()
        yield str(path), status.st_size, status.st_mtime_ns
        return
    for folder, _, names in os.walk(path):
        for name in names:
            status = os.stat(os.path.join(folder, name))
            yield os.path.join(folder, name), status.st_size, status.st_mtime_ns
