"""Kinds of arrays, each with its own way of access: the one module that asks what kind an array is."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from tilecore.arrays.access import Access, MappedAccess, MemoryAccess, Reach, SharedAccess, as_lengths
from tilecore.arrays.bases import mapped_file, segment_mapping
from tilecore.arrays.content import digest_of_array
from tilecore.arrays.extents import Extent, of_files, of_object
from tilecore.arrays.file_stamps import describe_files
from tilecore.arrays.foreign import (
    ComputedAccess,
    ForeignAccess,
    Hdf5Access,
    LocalAccess,
    has,
    is_computed,
    is_hdf5,
    is_in_file,
    is_of,
)
from tilecore.arrays.shared import HoldsSharedArray, SharedArray
from tilecore.errors import MissingFileError

__all__ = ["WriterAccess", "access_of", "as_array", "is_reachable"]

Given = TypeVar("Given")


class ZarrAccess(Access):
    """An array opened by the zarr package."""

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Folder or store of the array."""
        store = self.array.store
        if (path := self._folder or self._zip_file) is not None:
            return of_files([path])
        is_in_memory = type(store).__name__ == "MemoryStore"
        return (of_object(store, self.array.path) if is_in_memory else Extent((str(store), self.array.path)),)

    @property
    def persists(self) -> bool:
        """Whether the chunks are files."""
        return self._folder is not None

    @property
    def is_unknowable(self) -> bool:
        """True if the store is neither files nor memory."""
        return self.content() is None

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """Shape of a shard, or of a chunk if there are no shards."""
        return as_lengths(getattr(self.array, "shards", None)) or super().write_units

    @property
    def file_range(self) -> tuple[str, int, int] | None:
        """File of the metadata."""
        names = ("zarr.json", ".zarray") if self._folder is not None else ()
        paths = [os.path.join(str(self._folder), name) for name in names]
        return next(((path, 0, 0) for path in paths if os.path.exists(path)), None)

    def verify(self) -> None:
        """Raise an error if the folder is not there: zarr would give its fill value for all voxels."""
        if self._folder is not None and self.file_range is None:
            raise MissingFileError(f"the zarr array {self._folder} is not there")

    def content(self) -> dict[str, Any] | None:
        """Sizes and times of the array's files; a digest if the array lies in memory."""
        if type(self.array.store).__name__ == "MemoryStore":
            return {"digest": digest_of_array(np.asarray(self.array[...]))}
        stamps = self.stamps()
        return stamps and stamps | ({"array": self.array.path} if self._folder is None else {})

    def stamps(self) -> dict[str, Any] | None:
        """Names, sizes and times of change of the files."""
        path = self._folder or self._zip_file
        return None if path is None else describe_files(path, [path])

    def writable(self, reach: Reach) -> Any | None:
        """The array, which is opened again in other processes if its chunks are files; otherwise None."""
        return self.array if reach == "same" or self._folder is not None else None

    @property
    def _folder(self) -> str | None:
        store = self.array.store
        is_folder = any(kind.__name__ == "LocalStore" for kind in type(store).__mro__)  # also one that checks more
        return os.path.join(store.root, self.array.path) if is_folder else None

    @property
    def _zip_file(self) -> str | None:
        store = self.array.store
        return str(store.path) if type(store).__name__ == "ZipStore" else None


class WrapperAccess(ForeignAccess):
    """An object that holds an ndarray as its ``data``, such as a labelled array."""

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Extents of the object and of its ndarray."""
        return (of_object(self.array), *access_of(self.array.data).extents)


class WriterAccess(Access):
    """A file being written that every process can open and write, and that tells its write units."""

    @property
    def persists(self) -> bool:
        """True, as a file stays after the process."""
        return True

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """Write units that the writer tells."""
        return as_lengths(self.array.write_units)

    def verify(self) -> None:
        """Raise an error if the file is not there, where the writer knows."""
        if hasattr(self.array, "verify"):
            self.array.verify()

    def writable(self, reach: Reach) -> Any | None:
        """The writer, which is sent as a descriptor."""
        return self.array


@overload
def as_array(array: HoldsSharedArray | SharedArray) -> npt.NDArray[Any]: ...
@overload
def as_array(array: Given) -> Given: ...
def as_array(array: object) -> object:
    """Return the ndarray of a shared array; any other object as it is."""
    if isinstance(array, HoldsSharedArray):
        array = array.shared()
    return array.view() if isinstance(array, SharedArray) else array


def access_of(array: object) -> Access:
    """Access to an array: the one that the array provides itself, or the one for its kind."""
    held: Any = array
    own = held.access if has(held, "access") else None
    if isinstance(own, Access):
        return own
    return next(kind for is_one, kind in _KINDS if is_one(held))(held)


def _is_mapped(array: object) -> bool:
    return isinstance(array, np.ndarray) and mapped_file(array) is not None


def _is_shared(array: object) -> bool:
    return isinstance(array, np.ndarray) and segment_mapping(array) is not None


def _is_zarr(array: object) -> bool:
    return is_of("zarr", array) and has(array, "store")


def _is_wrapper(array: object) -> bool:
    return not is_in_file(array) and has(array, "data") and isinstance(getattr(array, "data", None), np.ndarray)


# Kinds of arrays; the first that fits is used. A new kind of array is one row.
_KINDS: tuple[tuple[Callable[[Any], bool], type[Access]], ...] = (
    (_is_shared, SharedAccess),
    (_is_mapped, MappedAccess),
    (lambda array: isinstance(array, np.ndarray), MemoryAccess),
    (_is_zarr, ZarrAccess),
    (is_hdf5, Hdf5Access),
    (is_computed, ComputedAccess),
    (lambda array: has(array, "write_units"), WriterAccess),
    (_is_wrapper, WrapperAccess),
    (is_in_file, LocalAccess),
    (lambda _: True, ForeignAccess),
)


def is_reachable(array: npt.NDArray[Any]) -> bool:
    """Whether other processes can reach an array's voxels: in shared memory or in a mapped file."""
    return _is_shared(array) or _is_mapped(array)
