"""Bases of an ndarray: the plain memory, shared memory or mapped file of which it is a view."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.memory.maps import inode_at
from tilecore.memory.segments import Mapping

__all__ = ["MappedFile", "bases", "file_behind", "mapped_file", "root_map", "segment_mapping"]


@dataclass(frozen=True)
class MappedFile:
    """File that holds an array's voxels.

    Attributes
    ----------
    path : str
        Absolute path.
    device, inode : int
        Numbers that tell the file from another one that is put in its place.
    size : int
        Size of the file [byte].
    """

    path: str
    device: int
    inode: int
    size: int

    @classmethod
    def at(cls, path: str) -> MappedFile:
        """File to which a path leads now."""
        status = os.stat(path)
        return cls(os.path.abspath(path), status.st_dev, status.st_ino, status.st_size)


def bases(array: object) -> list[Any]:
    """Chain of bases of an array: the array, the object it is a view of, and so on, down to the owner of the bytes."""
    chain = [array]
    while isinstance(chain[-1], np.ndarray) and chain[-1].base is not None:
        chain.append(chain[-1].base)
    if isinstance(chain[-1], memoryview):
        chain.append(chain[-1].obj)
    return chain


def root_map(array: object) -> np.memmap[Any, Any] | None:
    """Memory map of which an array is a view, directly or through other views; None if there is none."""
    chain = bases(array)
    if not isinstance(chain[-1], mmap.mmap) or isinstance(chain[-1], Mapping):
        return None
    return next((base for base in reversed(chain) if isinstance(base, np.memmap)), None)


def segment_mapping(array: object) -> Mapping | None:
    """Mapping of shared memory of which an array is a view; None if there is none, or if its changes are private."""
    owner = bases(array)[-1]
    return owner if isinstance(owner, Mapping) and owner.access != "private" else None


def mapped_file(array: npt.NDArray[Any]) -> MappedFile | None:
    """File that holds an array's voxels for every process that opens it; None if no path leads to it.

    The result is also None for a map whose changes are private, and for a map whose file was
    replaced or removed since: its path then leads to another file.
    """
    root = root_map(array)
    return None if root is None or root.mode == "c" else file_behind(root)


def file_behind(root: np.memmap[Any, Any]) -> MappedFile | None:
    """File that a map was made from, private or not; None if its path now leads to another file."""
    if root.filename is None:
        return None
    try:
        file = MappedFile.at(os.fspath(root.filename))
        behind = inode_at(root.ctypes.data) if root.size else None
        return file if behind in (None, file.inode) or behind == _number_in_maps(file) else None
    except OSError:
        return None


def _number_in_maps(file: MappedFile) -> int | None:
    """Inode number of a file among a process's maps; file systems that lie over others have two numbers for a file."""
    with open(file.path, "rb") as opened, mmap.mmap(opened.fileno(), 1, access=mmap.ACCESS_READ) as page:
        view = np.frombuffer(page, dtype=np.uint8)
        number = inode_at(view.ctypes.data)
        del view  # the map cannot be closed while a view of it exists
    return number
