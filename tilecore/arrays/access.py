"""Access to arrays: how workers read and write an array, where its voxels lie, and how to identify them."""

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
from tilecore.errors import ParameterTypeError
from tilecore.memory.process_memory import is_reachable_by_workers, populate

__all__ = [
    "MOST_SENT_BYTES",
    "Access",
    "MappedAccess",
    "MemoryAccess",
    "Reach",
    "SharedAccess",
    "as_lengths",
    "chunk_lengths",
]

#: How workers get an array: they share this process's memory, have inherited a copy of it, start empty, or work on any
#: machine, which shares files at most.
Reach: TypeAlias = Literal["same", "forked", "shipped", "elsewhere"]

#: Largest array in memory that is sent to other machines [byte].
MOST_SENT_BYTES = 2**26


class Access:
    """Access of workers to an array; this base class serves arrays that can be read and pickled as they are.

    Parameters
    ----------
    array : array_like
        The array to access.
    """

    def __init__(self, array: object) -> None:
        self.array: Any = array

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Places in memory or in files where the voxels lie."""
        return (of_object(self.array),)

    @property
    def persists(self) -> bool:
        """Whether written voxels are still there after this process has ended."""
        return False

    @property
    def file_range(self) -> tuple[str, int, int] | None:
        """Range of a file that holds the voxels and nothing else: path, first byte, length; None if there is none."""
        return None

    @property
    def is_unknowable(self) -> bool:
        """Whether nobody here can tell if the voxels will be the same at another time."""
        return False

    @property
    def is_writable(self) -> bool:
        """Whether voxels can be written, by this process at least."""
        return True

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """Shape of the storage unit that no two workers may write at once; None if each voxel can be written alone."""
        return as_lengths(getattr(self.array, "chunks", None))

    def content(self) -> dict[str, Any] | None:
        """Description that identifies the voxels, as JSON values; None if the object must be asked itself."""
        return None

    def stamps(self) -> dict[str, Any] | None:
        """Names, sizes and times of change of the files behind the array; None if there are no files."""
        return None

    def verify(self) -> None:
        """Raise `MissingFileError` if this machine does not find its file, where another one's path leads."""

    def readable(self, reach: Reach) -> Any | None:
        """The array in the form in which workers read it; None if they cannot reach it."""
        form = self._readable_here()
        return InheritedArray(form) if reach == "forked" else form

    def writable(self, reach: Reach) -> Any | None:
        """The array in the form in which workers write into it; None if only this process can."""
        return self.array if reach == "same" else None

    def _readable_here(self) -> ReadableArray:
        form: ReadableArray = self.array
        return form


class MemoryAccess(Access):
    """An ndarray in this process's memory."""

    array: npt.NDArray[Any]

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Memory range of the array; for a private map also the file, which it shows as long as it is not written."""
        root = root_map(self.array)
        file = None if root is None else file_behind(root)
        if root is None or file is None:
            return (in_memory(self.array),)
        first = int(root.offset + self.array.ctypes.data - root.ctypes.data)
        return in_memory(self.array), in_file(file.device, file.inode, first, self.array)

    @property
    def is_writable(self) -> bool:
        """Whether the array is not marked as read-only."""
        return bool(self.array.flags.writeable)

    @property
    def write_units(self) -> None:
        """None, as each voxel can be written alone."""
        return

    def content(self) -> dict[str, Any]:
        """A digest of all voxels."""
        return {"digest": digest_of_array(self.array)}

    def readable(self, reach: Reach) -> Any | None:
        """A read-only view; for processes that have not inherited the array, its address, if the system allows that.

        Other machines get the voxels themselves, if there are few.
        """
        if reach == "elsewhere":
            return self._readable_here() if self.array.nbytes <= MOST_SENT_BYTES else None
        if reach != "shipped":
            return super().readable(reach)
        return RemoteArray(self.array) if is_reachable_by_workers() else None

    def writable(self, reach: Reach) -> Any | None:
        """The array, or its address if other processes may write to it; otherwise None."""
        if reach == "same":
            return self.array
        if reach == "elsewhere" or not is_reachable_by_workers():
            return None
        populate(self.array)
        return RemoteArray(self.array)

    def _readable_here(self) -> npt.NDArray[Any]:
        view = self.array.view()
        view.flags.writeable = False
        return view


class SharedAccess(MemoryAccess):
    """An ndarray in shared memory."""

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Range of the shared segment, which may be mapped at several addresses."""
        mapping = segment_mapping(self.array)
        assert mapping is not None
        status = os.fstat(mapping.segment.fileno())
        first = self.array.ctypes.data - np.frombuffer(mapping, dtype=np.uint8).ctypes.data
        return (in_file(status.st_dev, status.st_ino, first, self.array),)

    def readable(self, reach: Reach) -> npt.NDArray[Any] | None:
        """A read-only view, which is sent as a descriptor; other machines get the voxels, if there are few."""
        return super().readable(reach) if reach == "elsewhere" else self._readable_here()

    def writable(self, reach: Reach) -> npt.NDArray[Any] | None:
        """The array, which is sent as a descriptor; None for other machines."""
        return None if reach == "elsewhere" else self.array


class MappedAccess(MemoryAccess):
    """An ndarray over a mapped file."""

    def __init__(self, array: npt.NDArray[Any], file: MappedFile | None = None) -> None:
        super().__init__(array)
        self._file = file or mapped_file(array)

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Range of the file, by whatever name it was opened."""
        assert self._file is not None
        return (in_file(self._file.device, self._file.inode, self._offset(), self.array),)

    @property
    def persists(self) -> bool:
        """True, as a file stays after the process."""
        return True

    @property
    def file_range(self) -> tuple[str, int, int] | None:
        """Byte range of the voxels in the file, if they are contiguous there."""
        assert self._file is not None
        in_one_piece = self.array.flags.c_contiguous or self.array.flags.f_contiguous
        return (self._file.path, self._offset(), self.array.nbytes) if in_one_piece and self.array.nbytes else None

    def content(self) -> dict[str, Any]:
        """Size and time of change of the file; a digest of the voxels if this process can write them.

        A map that is written does not change the file's times at once.
        """
        if self.array.flags.writeable:
            return super().content()
        return self.stamps() | {"layout": [self._offset(), list(self.array.strides)]}

    def stamps(self) -> dict[str, Any]:
        """Size and time of change of the file."""
        assert self._file is not None
        return describe_files(self._file.path, [self._file.path])

    def readable(self, reach: Reach) -> InheritedArray | MappedArray:
        """The mapped file, which is opened again in processes that did not inherit the map."""
        if reach == "elsewhere" and self.array.flags.writeable and (root := root_map(self.array)) is not None:
            root.flush()  # other machines see what is in the file, not what this process has only in its map
        form = MappedArray(self._readable_here(), copies=reach == "same")
        return InheritedArray(form) if reach == "forked" else form

    def writable(self, reach: Reach) -> MappedArray | None:
        """The mapped file, which is opened again in processes that did not inherit the map.

        None for other machines: of a page that two of them write, each over a network, one half is lost.
        """
        return None if reach == "elsewhere" else MappedArray(self.array)

    def _offset(self) -> int:
        """Position of the array's first voxel in the file [byte]."""
        root = root_map(self.array)
        assert root is not None
        return int(root.offset + self.array.ctypes.data - root.ctypes.data)


def as_lengths(units: Iterable[SupportsInt] | None) -> tuple[int, ...] | None:
    """Convert units of storage to a tuple of int [voxel]; None stays None.

    Raises
    ------
    ParameterTypeError
        If there is not one length for each axis: tiles cannot be cut between such units.
    """
    try:
        return None if units is None else tuple([int(unit) for unit in units])
    except TypeError as error:
        raise ParameterTypeError.of(
            "chunks", units, "an array that is written needs one length for each axis"
        ) from error


def chunk_lengths(array: object) -> tuple[int, ...] | None:
    """Shape of the chunks of an array that is read, for the choice of tiles [voxel]; None if it does not tell one.

    Where chunks of an axis have different lengths, as those of dask may, it is the longest of them.
    """
    chunks = getattr(array, "chunks", None)
    try:
        lengths = [max(each) if isinstance(each, (list, tuple)) else int(each) for each in chunks or ()]
        ndim = len(getattr(array, "shape", ()))
    except (TypeError, ValueError):  # a word of that library's own
        return None
    return tuple([int(length) for length in lengths[:ndim]]) if len(lengths) >= ndim and all(lengths) else None
