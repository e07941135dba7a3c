"""What an ndarray is in the end a view of: plain memory, shared memory, or a mapped file."""

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
    """The file that an array's voxels lie in.

    Attributes
    ----------
    path : str
        Absolute.
    device, inode : int
        Tell it from another file that is put in its place.
    size : int
        [byte]
    """

    path: str
    device: int
    inode: int
    size: int

    @classmethod
    def at(cls, path: str) -> MappedFile:
        """The file that a path leads to now."""
        status = os.stat(path)
        return cls(os.path.abspath(path), status.st_dev, status.st_ino, status.st_size)


def bases(array: object) -> list[Any]:
    """An array, what it is a view of, and so on, down to what owns the bytes."""
    chain = [array]
    while isinstance(chain[-1], np.ndarray) and chain[-1].base is not None:
        chain.append(chain[-1].base)
    if isinstance(chain[-1], memoryview):
        chain.append(chain[-1].obj)
    return chain


def root_map(array: object) -> np.memmap[Any, Any] | None:
    """The map of a file that an array is, or is in the end a view of; None if there is none."""
    chain = bases(array)
    if not isinstance(chain[-1], mmap.mmap) or isinstance(chain[-1], Mapping):
        return None
    return next((base for base in reversed(chain) if isinstance(base, np.memmap)), None)


def segment_mapping(array: object) -> Mapping | None:
    """The mapping of shared memory that an array is a view of; None if there is none, or what is written stays here."""
    owner = bases(array)[-1]
    return owner if isinstance(owner, Mapping) and owner.access != "private" else None


def mapped_file(array: npt.NDArray[Any]) -> MappedFile | None:
    """The file that holds an array's voxels, for every process that opens it; None if no path leads to them.

    None also for a map whose changes are private, and for one whose file was replaced or
    removed since: what its path leads to now is another file.
    """
    root = root_map(array)
    return None if root is None or root.mode == "c" else file_behind(root)


def file_behind(root: np.memmap[Any, Any]) -> MappedFile | None:
    """The file that a map was made of, private or not; None if its path leads to another one by now."""
    if root.filename is None:
        return None
    try:
        file = MappedFile.at(os.fspath(root.filename))
        behind = inode_at(root.ctypes.data) if root.size else None
        return file if behind in (None, file.inode) or behind == _number_in_maps(file) else None
    except OSError:
        return None


def _number_in_maps(file: MappedFile) -> int | None:
    """What the system calls a file among a process's maps: file systems that lie over others have two numbers."""
    with open(file.path, "rb") as opened, mmap.mmap(opened.fileno(), 1, access=mmap.ACCESS_READ) as page:
        view = np.frombuffer(page, dtype=np.uint8)
        number = inode_at(view.ctypes.data)
        del view  # the map cannot be closed while it is looked at
    return number
