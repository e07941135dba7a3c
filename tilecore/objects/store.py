"""An object store as a mapping from keys to bytes: what readers and writers of chunks need."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Self, TypeVar

from tilecore.errors import MissingFileError, ParameterError
from tilecore.objects.filesystems import FileSystem, filesystem_of
from tilecore.objects.requests import NoSuchObjectError, ask
from tilecore.objects.urls import is_read_only
from tilecore.spreading import spread

__all__ = ["AT_ONCE", "ObjectStore"]

#: Number of requests at once: they wait for the store, not for a core.
AT_ONCE = 16

Answer = TypeVar("Answer")


class ObjectStore:
    """The objects whose URLs begin with a folder's URL.

    Parameters
    ----------
    root : str
        URL of the folder.

    Notes
    -----
    Process-safety: pickles as its URL; each process has connections of its own, also a forked one. Threads may
    share a store.
    """

    def __init__(self, root: str) -> None:
        self.root = root if root.endswith("://") else root.rstrip("/")
        self._opened = os.getpid(), filesystem_of(root)

    def get(self, key: str) -> bytes | None:
        """Return all bytes of an object; None if it does not exist."""
        return self._read(key, lambda files, url: files.cat_file(url))

    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Return some bytes of an object, counted from its end if `offset` is negative; None if it does not exist."""
        if length == 0:
            return b"" if self.get_range(key, 0, 1) is not None else None
        is_tail = offset < 0 and offset + length == 0
        found = self._read(
            key, lambda files, url: files.cat_file(url, start=offset, end=None if is_tail else offset + length)
        )
        if found is None or len(found) <= length:
            return found
        # Some web servers send the whole file whatever they are asked for.
        return found[offset:][:length]

    def put(self, key: str, parts: Iterable[bytes | memoryview]) -> None:
        """Write an object: a reader finds the whole or none of it."""
        content = b"".join(parts)
        self._ask(key, lambda files, url: files.pipe_file(url, content), "written")

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects; those that do not exist are left out."""

        def remove(key: str) -> None:
            with contextlib.suppress(NoSuchObjectError):
                self._ask(key, lambda files, url: files.rm_file(url), "removed")

        spread(remove, list(keys), AT_ONCE)

    def copy(self, keys: Sequence[str], other: ObjectStore) -> None:
        """Copy objects, within the store itself, to the same keys of another folder of it.

        Raises
        ------
        MissingFileError
            If somebody has removed one of them.
        """

        def copy(key: str) -> None:
            try:
                self._ask(key, lambda files, url: files.cp_file(url, other.url(key)), "copied")
            except NoSuchObjectError as error:
                raise MissingFileError(
                    f"{self.url(key)} no longer exists: somebody has removed it; run again"
                ) from error

        spread(copy, list(keys), AT_ONCE)

    def all_keys(self, folder: str = "") -> list[str]:
        """List the keys of all objects in a folder and in those below it."""
        try:
            found = self._ask(folder, lambda files, url: _fresh(files).find(url), "listed")
        except NoSuchObjectError:
            return []
        inside = f"{self._files._strip_protocol(self.root).strip('/')}/".removeprefix("/")
        return sorted(name.strip("/").removeprefix(inside) for name in found if name.strip("/").startswith(inside))

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders in a folder."""
        return [name for name, is_folder in self._listed(folder) if is_folder]

    def names(self, folder: str = "") -> list[str]:
        """Names of the objects in a folder, without those in the folders below it."""
        return [name for name, is_folder in self._listed(folder) if not is_folder]

    def has_any(self) -> bool:
        """Whether there is any object."""
        return bool(self._listed(""))

    def _listed(self, folder: str) -> list[tuple[str, bool]]:
        """Names in a folder, and whether each is a folder."""
        if is_read_only(self.root):  # a web server has no lists that could be relied on
            return []
        try:
            found = self._ask(folder, lambda files, url: _fresh(files).ls(url, detail=True), "listed")
        except NoSuchObjectError:
            return []
        return [(str(each["name"]).rstrip("/").rpartition("/")[2], each["type"] == "directory") for each in found]

    def stamp(self, key: str) -> list[str] | None:
        """Size and version of an object, as far as the store tells them; None if it does not exist."""
        try:
            facts = self._ask(key, lambda files, url: files.info(url))
        except NoSuchObjectError:
            return None
        names = ("size", "ETag", "etag", "LastModified", "mtime", "updated", "created", "generation")
        return [f"{name}={facts[name]}" for name in names if name in facts]

    def url(self, key: str) -> str:
        """URL of an object."""
        return f"{self.root.removesuffix('/')}/{key}" if key else self.root

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.root,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectStore) and self.root == other.root

    def __hash__(self) -> int:
        return hash(self.root)

    def _read(self, key: str, request: Callable[[FileSystem, str], bytes]) -> bytes | None:
        try:
            return self._ask(key, request)
        except NoSuchObjectError:
            return None

    def _ask(self, key: str, request: Callable[[FileSystem, str], Answer], doing: str = "read") -> Answer:
        url = self.url(key)
        if doing not in ("read", "listed") and is_read_only(url):
            raise ParameterError.of("path", url, "nothing can be written through http; give a URL such as s3://")
        return ask(url, lambda: request(self._files, url), doing)

    @property
    def _files(self) -> FileSystem:
        """The file system of this process, which may have been forked since."""
        if self._opened[0] != os.getpid():
            self._opened = os.getpid(), filesystem_of(self.root)
        return self._opened[1]


def _fresh(files: FileSystem) -> FileSystem:
    files.invalidate_cache()
    return files
