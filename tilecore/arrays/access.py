"""How an array is reached by workers, where its voxels lie, and what tells them from others: numpy's arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal, SupportsInt, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.arrays.bases import MappedFile, file_behind, mapped_file, root_map, segment_mapping
from tilecore.arrays.content import digest_of_array
from tilecore.arrays.extents import Extent, in_file, in_memory, of_object
from tilecore.arrays.file_stamps import describe_files
from tilecore.arrays.inherited import InheritedArray
from tilecore.arrays.mapped import MappedArray
from tilecore.arrays.remote import RemoteArray
from tilecore.memory.process_memory import is_reachable_by_workers, populate

__all__ = ["Access", "MappedAccess", "MemoryAccess", "Reach", "SharedAccess", "as_lengths"]

#: Workers share this process's memory, have inherited a copy of it, or start empty.
Reach: TypeAlias = Literal["same", "forked", "shipped"]


class Access:
    """An array that knows by itself how to be read, and to travel; the way to arrays of other kinds.

    Parameters
    ----------
    array : array_like
    """

    def __init__(self, array: object) -> None:
        self.array: Any = array

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Where the voxels lie."""
        return (of_object(self.array),)

    @property
    def persists(self) -> bool:
        """Whether what is written is still there after this process has ended."""
        return False

    @property
    def file_range(self) -> tuple[str, int, int] | None:
        """The bytes of a file that stand for the voxels: path, first byte and length; None if others lie among them."""
        return None

    @property
    def is_unknowable(self) -> bool:
        """Whether the voxels lie where nobody here can tell whether they are the same ones another time."""
        return False

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """Shape of what no two workers may write at once; None if every voxel can be written alone."""
        return as_lengths(getattr(self.array, "chunks", None))

    def content(self) -> dict[str, Any] | None:
        """What tells the voxels from others, as JSON values; None if the object must be asked itself."""
        return None

    def stamps(self) -> dict[str, Any] | None:
        """What the files that are behind the array say of themselves; None if none are."""
        return None

    def readable(self, reach: Reach) -> Any | None:
        """The form in which workers read the array; None if they cannot reach it."""
        form = self._readable_here()
        return InheritedArray(form) if reach == "forked" else form

    def writable(self, reach: Reach) -> Any | None:
        """The form in which workers write into the array; None if only this process can."""
        return self.array if reach == "same" else None

    def _readable_here(self) -> ReadableArray:
        form: ReadableArray = self.array
        return form


class MemoryAccess(Access):
    """An ndarray in this process's memory."""

    array: npt.NDArray[Any]

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The memory that it spans; of a private map also the file, which it shows as long as it is not written."""
        root = root_map(self.array)
        file = None if root is None else file_behind(root)
        if root is None or file is None:
            return (in_memory(self.array),)
        first = int(root.offset + self.array.ctypes.data - root.ctypes.data)
        return in_memory(self.array), in_file(file.device, file.inode, first, self.array)

    @property
    def write_units(self) -> None:
        """Every voxel can be written alone."""
        return

    def content(self) -> dict[str, Any]:
        """A digest of all voxels."""
        return {"digest": digest_of_array(self.array)}

    def readable(self, reach: Reach) -> Any | None:
        """A read-only view; for processes that have not inherited it, by its address, where that is allowed."""
        if reach != "shipped":
            return super().readable(reach)
        return RemoteArray(self.array) if is_reachable_by_workers() else None

    def writable(self, reach: Reach) -> Any | None:
        """The array, or its address, where that is allowed."""
        if reach == "same":
            return self.array
        if not is_reachable_by_workers():
            return None
        populate(self.array)
        return RemoteArray(self.array)

    def _readable_here(self) -> npt.NDArray[Any]:
        view = self.array.view()
        view.flags.writeable = False
        return view


class SharedAccess(MemoryAccess):
    """An ndarray in memory that processes share."""

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The part of the shared segment, which may be mapped at several addresses."""
        mapping = segment_mapping(self.array)
        assert mapping is not None
        status = os.fstat(mapping.segment.fileno())
        first = self.array.ctypes.data - np.frombuffer(mapping, dtype=np.uint8).ctypes.data
        return (in_file(status.st_dev, status.st_ino, first, self.array),)

    def readable(self, reach: Reach) -> npt.NDArray[Any]:
        """A read-only view, which travels as a descriptor."""
        return self._readable_here()

    def writable(self, reach: Reach) -> npt.NDArray[Any]:
        """The array, which travels as a descriptor."""
        return self.array


class MappedAccess(MemoryAccess):
    """An ndarray over a mapped file."""

    def __init__(self, array: npt.NDArray[Any], file: MappedFile | None = None) -> None:
        super().__init__(array)
        self._file = file or mapped_file(array)

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The part of the file, by whatever name it was opened."""
        assert self._file is not None
        return (in_file(self._file.device, self._file.inode, self._offset(), self.array),)

    @property
    def persists(self) -> bool:
        """A file does."""
        return True

    @property
    def file_range(self) -> tuple[str, int, int] | None:
        """Where the voxels lie in the file, if they lie in one piece."""
        assert self._file is not None
        in_one_piece = self.array.flags.c_contiguous or self.array.flags.f_contiguous
        return (self._file.path, self._offset(), self.array.nbytes) if in_one_piece and self.array.nbytes else None

    def content(self) -> dict[str, Any]:
        """What the file says of itself, unless it can be written here: a map changes without a word in its times."""
        if self.array.flags.writeable:
            return super().content()
        return self.stamps() | {"layout": [self._offset(), list(self.array.strides)]}

    def stamps(self) -> dict[str, Any]:
        """Size and time of change of the file."""
        assert self._file is not None
        return describe_files(self._file.path, [self._file.path])

    def readable(self, reach: Reach) -> InheritedArray | MappedArray:
        """The file, opened again where the map was not inherited."""
        form = MappedArray(self._readable_here(), copies=reach == "same")
        return InheritedArray(form) if reach == "forked" else form

    def writable(self, reach: Reach) -> MappedArray:
        """The file, opened again where the map was not inherited."""
        return MappedArray(self.array)

    def _offset(self) -> int:
        """Where in the file the array begins [byte]."""
        root = root_map(self.array)
        assert root is not None
        return int(root.offset + self.array.ctypes.data - root.ctypes.data)


def as_lengths(units: Iterable[SupportsInt] | None) -> tuple[int, ...] | None:
    """Units of storage as tuple of int, where there are any [voxel]."""
    return None if units is None else tuple([int(unit) for unit in units])
