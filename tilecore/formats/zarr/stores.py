"""Stores that hold the chunks of zarr and N5: a folder, a zip file, or the objects below a URL."""

from __future__ import annotations

import contextlib
import os
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tilecore.errors import MissingFileError, UnreadableFileError, UnwritableFileError
from tilecore.formats.paths import natural_order
from tilecore.formats.readahead import expect_bytes
from tilecore.formats.reader_errors import inside, reading
from tilecore.objects.store import AT_ONCE, ObjectStore
from tilecore.objects.urls import is_url
from tilecore.output_file import write_in_one_piece
from tilecore.spreading import threads_for

if TYPE_CHECKING:
    from zarr.storage import FsspecStore
    from zarr.storage import ZipStore as ZarrZipStore

__all__ = ["FolderStore", "FolderWriter", "ObjectFolder", "Store", "WritableStore", "ZipStore", "open_store"]


class Store(Protocol):
    """Mapping from keys to bytes.

    Attributes
    ----------
    root : str
        Where it lies, for messages.
    """

    root: str

    def get(self, key: str) -> bytes | None:
        """Return all bytes of a key; None if the key does not exist."""

    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Return some bytes of a key, counted from the end if `offset` is negative; None if the key does not exist."""

    def expect(self, key: str) -> None:
        """Tell the system that a key is read soon."""

    def place(self, folder: str) -> str:
        """File or folder that holds all keys beginning with `folder`."""

    def children(self, folder: str) -> list[str]:
        """Names of the folders in a folder, in natural order."""

    def threads_for(self, n_bytes: int) -> int:
        """Number of threads among which it pays to divide the reading of this many bytes of voxels."""

    def as_zarr(self) -> AbstractContextManager[tuple[str | ZarrZipStore | FsspecStore, str]]:
        """The store for the zarr package, and the folder in it that holds all keys: empty, or ending in ``/``."""


class WritableStore(Protocol):
    """Where the chunks of an array are written; pickles as a description."""

    @property
    def root(self) -> str:
        """Where it lies, for messages."""

    def put(self, key: str, parts: list[bytes | memoryview]) -> None:
        """Write a chunk or a shard: readers see all of it or nothing."""

    def threads_for(self, n_bytes: int) -> int:
        """Number of threads among which it pays to divide the writing of this many bytes of voxels."""

    def verify(self) -> None:
        """Raise `MissingFileError` if this machine does not find it, where another one's path leads."""


class FolderStore:
    """Store of files in a folder and its subfolders; no link or name may lead out of it."""

    def __init__(self, root: str) -> None:
        self.root = root

    def get(self, key: str) -> bytes | None:
        """Return all bytes of a file; None if it does not exist."""
        try:
            with open(self._path(key), "rb", buffering=0) as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Return some bytes of a file; None if it does not exist."""
        try:
            with open(self._path(key), "rb", buffering=0) as file:
                file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
                return file.read(length)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def expect(self, key: str) -> None:
        """Tell the system that a file is read soon."""
        expect_bytes(os.path.join(self.root, key))

    def place(self, folder: str) -> str:
        """Path of a subfolder."""
        return os.path.join(self.root, folder)

    def children(self, folder: str) -> list[str]:
        """Names of the folders in a folder, in natural order."""
        with os.scandir(self._path(folder)) as entries:
            return sorted([entry.name for entry in entries if entry.is_dir()], key=natural_order)

    def threads_for(self, n_bytes: int) -> int:
        """As many as for any such work."""
        return threads_for(n_bytes)

    @contextlib.contextmanager
    def as_zarr(self) -> Iterator[tuple[str, str]]:
        """Yield the path of the folder."""
        yield self.root, ""

    def _path(self, key: str) -> str:
        return inside(self.root, os.path.join(self.root, key))


@dataclass(frozen=True)
class FolderWriter:
    """Writer of files in a folder.

    Attributes
    ----------
    root : str
        Folder of the array.
    place : str
        Folder of the run, around the array's folder, in which files are written until they are complete: so the array
        never holds other files.
    """

    root: str
    place: str
    _folders: set[str] = field(default_factory=set, compare=False, repr=False)

    def put(self, key: str, parts: list[bytes | memoryview]) -> None:
        """Write a file outside the array, and move it in.

        Raises
        ------
        UnwritableFileError
            If the array is already complete, or was discarded.
        """
        path = os.path.join(self.root, key)
        try:
            self._make_folder(os.path.dirname(path))
            write_in_one_piece(parts, path, self.place)
        except FileNotFoundError as error:
            raise UnwritableFileError(f"{self.root} no longer exists: it is complete, or was discarded") from error
        except OSError as error:  # that of a full disk names no file, or a temporary one
            error.filename = path
            raise

    def threads_for(self, n_bytes: int) -> int:
        """As many as for any such work."""
        return threads_for(n_bytes)

    def verify(self) -> None:
        """Raise `MissingFileError` if this machine has no such folder."""
        if not os.path.isdir(self.root):
            raise MissingFileError(f"the folder {self.root}, which is to be written, is not there")

    def _make_folder(self, folder: str) -> None:
        """Create a folder inside the array's folder; the latter is not created again if it was removed."""
        if folder in self._folders or folder == self.root:
            return
        self._make_folder(os.path.dirname(folder))
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        self._folders.add(folder)


class ZipStore:
    """Store of the members of a zip file, or of those in one of its folders.

    Notes
    -----
    Process-safety: the position in the file belongs to one process; a forked process opens the file again.
    """

    def __init__(self, path: str, folder: str = "") -> None:
        self.root = f"{path}:/{folder}" if folder else path
        self._path, self._zip = path, zipfile.ZipFile(path)
        self._finalizer = weakref.finalize(self, self._zip.close)
        names = self._zip.namelist()
        # Some programs put the folder itself into the zip file.
        outer = names[0].partition("/")[0] + "/" if names else ""
        self._prefix = outer if names and all(name.startswith(outer) for name in names) else ""
        self._prefix += f"{folder}/" if folder else ""

    def get(self, key: str) -> bytes | None:
        """Return all bytes of a member; None if it does not exist."""
        try:
            return self._zip.read(self._prefix + key)
        except KeyError:
            return None

    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Return some bytes of a member; None if it does not exist."""
        try:
            with self._zip.open(self._prefix + key) as file:
                file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
                return file.read(length)
        except KeyError:
            return None

    def expect(self, key: str) -> None:
        """Do nothing: a member's place in the file would have to be read first."""

    def place(self, folder: str) -> str:
        """Path of the zip file itself."""
        return self._path

    def children(self, folder: str) -> list[str]:
        """Names of the folders in a folder, in natural order."""
        whole = self._prefix + folder
        inner = [name.removeprefix(whole) for name in self._zip.namelist() if name.startswith(whole)]
        return sorted({name.partition("/")[0] for name in inner if "/" in name}, key=natural_order)

    def threads_for(self, n_bytes: int) -> int:
        """As many as for any such work."""
        return threads_for(n_bytes)

    @contextlib.contextmanager
    def as_zarr(self) -> Iterator[tuple[ZarrZipStore, str]]:
        """Open the zip file for the zarr package; yield it, and the folder in it."""
        from zarr.storage import ZipStore as ZarrZipStore

        store = ZarrZipStore(self._path, mode="r")
        try:
            yield store, self._prefix
        finally:
            store.close()


class ObjectFolder(ObjectStore):
    """Store of the objects whose URLs begin with a folder's URL."""

    def expect(self, key: str) -> None:
        """Do nothing: an object store reads nothing ahead."""

    def place(self, folder: str) -> str:
        """URL of a folder."""
        return self.url(folder).rstrip("/")

    def children(self, folder: str) -> list[str]:
        """Names of the folders in a folder, in natural order; none through http, which has no lists."""
        return sorted(self.folders(folder), key=natural_order)

    def threads_for(self, n_bytes: int) -> int:
        """Many, however small the chunks are, as they wait for the store."""
        return AT_ONCE

    def verify(self) -> None:
        """Do nothing: a store has no folders, and a URL leads to the same place everywhere."""

    @contextlib.contextmanager
    def as_zarr(self) -> Iterator[tuple[FsspecStore, str]]:
        """Open the folder for the zarr package."""
        from zarr.storage import FsspecStore

        yield FsspecStore.from_url(self.root, read_only=True), ""


def open_store(path: str, folder: str = "") -> Store:
    """Open the store at a path, a folder or a zip file, or a URL, or one of the folders in it."""
    if is_url(path):
        return ObjectFolder(f"{path}/{folder}" if folder else path)
    if os.path.isdir(path):
        return FolderStore(os.path.join(path, folder) if folder else path)
    if not zipfile.is_zipfile(path):
        raise UnreadableFileError(f"{path} is neither a folder nor a zip file, or is cut off")
    with reading(path, "a zip file"):
        return ZipStore(path, folder)
