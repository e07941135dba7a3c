"""Paths of what is written in an object store: used where a file's path is, with a URL as their text."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from tilecore.errors import ParameterError
from tilecore.objects.claims import Claim
from tilecore.objects.documents import is_visible
from tilecore.objects.store import ObjectStore
from tilecore.objects.urls import checked_path, is_url

__all__ = ["ObjectPath", "output_path", "path_of", "path_of_folder", "unfinished"]


class ObjectPath(Path, PurePosixPath):
    """A path whose text is a URL; names and parents are those of a path, and there are no folders to be made.

    Examples
    --------
    >>> from tilecore.objects.paths import ObjectPath
    >>> path = ObjectPath("s3://bucket/folder/out.zarr")
    >>> str(path.with_name("out.journal"))
    's3://bucket/folder/out.journal'
    """

    def __str__(self) -> str:
        scheme, _, rest = super().__str__().partition(":")
        return f"{scheme}://{rest.removeprefix('/')}"

    def __fspath__(self) -> str:
        return str(self)

    @property
    def store(self) -> ObjectStore:
        """What lies below this path."""
        return ObjectStore(str(self))

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether anything lies here, other than what is left of a run that was stopped while it gave out its name.

        Such a run has removed the outermost metadata first, and writes them last.
        """
        store = self.store
        return store.has_any() and (is_visible(store.names()) or not unfinished(self).is_left)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: there are no folders."""

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        """Read an object."""
        content = self.parent.store.get(self.name)
        if content is None:
            raise FileNotFoundError(str(self))
        return content.decode()

    def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> int:
        """Write an object."""
        self.parent.store.put(self.name, [data.encode()])
        return len(data)

    def resolve(self, strict: bool = False) -> ObjectPath:
        """The same path: there are no links."""
        return self


def unfinished(path: Path) -> Claim:
    """The claim on an output while it gets its name: what lies there may be incomplete, even if nobody holds it."""
    return Claim(f"{path}.unfinished")


def path_of(path: str | os.PathLike[str]) -> Path:
    """The path that a text names: of a file, or of what lies at a URL.

    Raises
    ------
    ParameterError
        If a URL holds credentials.
    """
    name = checked_path(os.fspath(path), path)
    return ObjectPath(name) if is_url(name) else Path(name)


def output_path(path: str | os.PathLike[str]) -> Path:
    """The same, but absolute."""
    found = path_of(path)
    return found if isinstance(found, ObjectPath) else Path(os.path.abspath(found))


def path_of_folder(path: str | os.PathLike[str], parameter: str) -> Path:
    """The absolute path of a folder on a disk; ``~`` stands for the user's own folder.

    Raises
    ------
    ParameterError
        If it is a URL.
    """
    found = output_path(os.path.expanduser(path))
    if isinstance(found, ObjectPath):
        raise ParameterError.of(parameter, str(found), "datasets lie in folders on a disk: give the path of one")
    return found
