"""Where the chunks of zarr and N5 lie: in a folder, or in a zip file."""

from __future__ import annotations

import os
import weakref
import zipfile
from typing import Protocol

from tilecore.errors import UnreadableFileError
from tilecore.formats.reader_errors import inside, reading

__all__ = ["FolderStore", "Store", "ZipStore", "open_store"]


class Store(Protocol):
    """Bytes by key."""

    root: str

    def get(self, key: str) -> bytes | None:
        """All bytes of a key; None if it is not there."""

    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Some bytes of a key, counted from the end if `offset` is negative."""

    def place(self, folder: str) -> str:
        """The file or folder in which all keys lie that begin so."""


class FolderStore:
    """Files in a folder and its folders; none outside, whatever a link or a name says."""

    def __init__(self, root: str) -> None:
        self.root = root

    def get(self, key: str) -> bytes | None:
        """All bytes of a file."""
        try:
            with open(self._path(key), "rb", buffering=0) as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Some bytes of a file."""
        try:
            with open(self._path(key), "rb", buffering=0) as file:
                file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
                return file.read(length)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def place(self, folder: str) -> str:
        """The folder."""
        return os.path.join(self.root, folder)

    def _path(self, key: str) -> str:
        return inside(self.root, os.path.join(self.root, key))


class ZipStore:
    """Members of a zip file.

    Notes
    -----
    Process-safety: its position is its own; a process that was forked opens another.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._zip = zipfile.ZipFile(root)
        self._finalizer = weakref.finalize(self, self._zip.close)
        names = self._zip.namelist()
        # Some programs put the folder itself into the file.
        folder = names[0].partition("/")[0] + "/" if names else ""
        self._prefix = folder if names and all(name.startswith(folder) for name in names) else ""

    def get(self, key: str) -> bytes | None:
        """All bytes of a member."""
        try:
            return self._zip.read(self._prefix + key)
        except KeyError:
            return None

    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Some bytes of a member."""
        try:
            with self._zip.open(self._prefix + key) as file:
                file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
                return file.read(length)
        except KeyError:
            return None

    def place(self, folder: str) -> str:
        """The zip file itself."""
        return self.root


def open_store(path: str) -> Store:
    """Open the folder or the zip file."""
    if os.path.isdir(path):
        return FolderStore(path)
    if not zipfile.is_zipfile(path):
        raise UnreadableFileError(f"{path} is neither a folder nor a zip file, or is cut off")
    with reading(path, "a zip file"):
        return ZipStore(path)
