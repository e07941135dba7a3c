"""Stores that hold the chunks of zarr and N5: a folder, or a zip file."""

from __future__ import annotations

import contextlib
import os
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from tilecore.errors import UnreadableFileError
from tilecore.formats.paths import natural_order
from tilecore.formats.readahead import expect_bytes
from tilecore.formats.reader_errors import inside, reading

if TYPE_CHECKING:
    from zarr.storage import ZipStore as ZarrZipStore

__all__ = ["FolderStore", "Store", "ZipStore", "open_store"]


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

    def as_zarr(self) -> AbstractContextManager[tuple[str | ZarrZipStore, str]]:
        """The store for the zarr package, and the folder in it that holds all keys: empty, or ending in ``/``."""


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

    @contextlib.contextmanager
    def as_zarr(self) -> Iterator[tuple[str, str]]:
        """Yield the path of the folder."""
        yield self.root, ""

    def _path(self, key: str) -> str:
        return inside(self.root, os.path.join(self.root, key))


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

    @contextlib.contextmanager
    def as_zarr(self) -> Iterator[tuple[ZarrZipStore, str]]:
        """Open the zip file for the zarr package; yield it, and the folder in it."""
        from zarr.storage import ZipStore as ZarrZipStore

        store = ZarrZipStore(self._path, mode="r")
        try:
            yield store, self._prefix
        finally:
            store.close()


def open_store(path: str, folder: str = "") -> Store:
    """Open the store at a path, a folder or a zip file, or one of the folders in it."""
    if os.path.isdir(path):
        return FolderStore(os.path.join(path, folder) if folder else path)
    if not zipfile.is_zipfile(path):
        raise UnreadableFileError(f"{path} is neither a folder nor a zip file, or is cut off")
    with reading(path, "a zip file"):
        return ZipStore(path, folder)
