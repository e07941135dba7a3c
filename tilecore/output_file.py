"""Where an output is written until it is complete: a folder beside it that belongs to one run."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tilecore.errors import MissingFileError, OutputExistsError, UnwritableFileError
from tilecore.locked_file import LockedFile, LockedFolder
from tilecore.renaming import NAME_CHANGED, exchange, rename_unless_there

__all__ = ["Place", "finished", "new_token", "refuse_existing", "remove_abandoned", "write_in_one_piece"]

_log = logging.getLogger(__name__)

_TOKEN = "[0-9a-f]{16}"

# How often a name is tried that another run takes, or gives up, at the same moment.
_TRIES = 10


class Place:
    """A folder beside an output, in which one run writes it until it is complete.

    It is called ``<name>.<token>.partial``. The process that made it holds a lock in it as long as
    this object is open; so what a killed run has left is told from what another one is writing.

    Parameters
    ----------
    path : Path
        Final name of the output.
    token : str
        Sixteen random hexadecimal digits.

    Attributes
    ----------
    folder : Path
        The place; nobody but its user may look into it.
    data : Path
        What is written, a file or a folder: in the place, and under its final name, whose suffix may say what it is.

    Notes
    -----
    Process-safety: any number of processes may `open` a place; one has it by `create` or `resume`.
    """

    def __init__(self, path: Path, token: str) -> None:
        if not re.fullmatch(_TOKEN, token):
            raise MissingFileError(f"{path} is written in no place that is called {token!r}")
        self.path, self.token = path, token
        self.folder = path.with_name(f"{path.name}.{token}.partial")
        self.data = self.folder / path.name
        self._lock: LockedFile | None = None

    @classmethod
    def create(cls, path: Path, token: str | None = None, *, alone: bool = False) -> Self:
        """Make a new place, and remove those that killed runs have left.

        Parameters
        ----------
        path : Path
            The final name.
        token : str, optional
        alone : bool
            Whether to refuse if another place of the same output is in use.

        Raises
        ------
        UnwritableFileError
            If the output is being written elsewhere, and `alone` says that it must not be.
        FileExistsError
            If there is something of its name, be it a link.
        """
        if not alone:
            return cls._create(path, token)
        with contextlib.closing(LockedFolder(path.parent)):  # so that of two that come at once one is the first
            place = cls._create(path, token)
            others = [other.folder for other in _places(path) if other.token != place.token and other._is_in_use]
            if others:
                place.discard()
                raise UnwritableFileError(
                    f"{path} is being written already, in {others[0]}: give each run its own file"
                )
            return place

    @classmethod
    def _create(cls, path: Path, token: str | None) -> Self:
        remove_abandoned(path)
        place = cls(path, token or new_token())
        while True:
            place.folder.mkdir(mode=0o700)
            try:
                place._lock = LockedFile(place._lock_path, patience=math.inf)
                return place
            except FileNotFoundError:  # it was taken for a killed run's, as its lock was not there yet
                continue
            except BaseException:
                place.discard()
                raise

    @classmethod
    def open(cls, path: Path, token: str) -> Self:
        """Find the place that another process, or an earlier run, has made.

        Raises
        ------
        MissingFileError
            If it is gone.
        """
        place = cls(path, token)
        if not os.path.lexists(place.data):
            raise MissingFileError(f"{place.folder} is gone: {path} is complete, or its run was given up")
        return place

    @classmethod
    def resume(cls, path: Path, token: str) -> Self:
        """Take over the place that a run has left.

        Raises
        ------
        MissingFileError
            If it is gone.
        UnwritableFileError
            If its run goes on.
        """
        place = cls.open(path, token)
        try:
            place._lock = LockedFile(place._lock_path)
        except BlockingIOError as error:
            raise UnwritableFileError(f"{place.folder} is in use by another run") from error
        return place

    def commit(self, *, overwrite: bool = False) -> None:
        """Give what was written its final name, and remove the place.

        At each moment the name has the old output or the new one, whole. (Not where a folder is replaced and
        the system cannot exchange two names: if it stops in between, the next run puts the old one back.)

        Raises
        ------
        OutputExistsError
            If there is something of that name, and it is not to be replaced.
        """
        if not os.path.lexists(self.data):
            raise MissingFileError(f"{self.folder} is gone: {self.path} cannot be completed")
        for left in reversed(range(_TRIES)):
            try:
                self._take_name(overwrite=overwrite)
                break
            except OSError as error:  # another run has taken the name, or given it up, since it was looked at
                if not (left and overwrite and error.errno in NAME_CHANGED and os.path.lexists(self.data)):
                    raise
        self.discard()

    def close(self) -> None:
        """Let go of the place; it stays, for a later run."""
        if self._lock is not None:
            self._lock.close()

    def discard(self) -> None:
        """Remove the place with all that is in it."""
        self.close()
        self._remove()

    @property
    def _lock_path(self) -> Path:
        return self.folder / f"{self.token}.lock"

    @property
    def _replaced(self) -> Path:
        return self.folder / f"{self.token}.replaced"

    def _take_name(self, *, overwrite: bool) -> None:
        if not overwrite:
            self._name()
        elif os.path.lexists(self.path) and (self.path.is_dir() or self.data.is_dir()):
            if not exchange(self.data, self.path):
                self._replace()
        else:
            os.replace(self.data, self.path)

    def _name(self) -> None:
        """Take the final name if nobody has it."""
        try:
            if not rename_unless_there(self.data, self.path):
                refuse_existing(self.path, overwrite=False)
                os.rename(self.data, self.path)
        except FileExistsError as error:
            raise OutputExistsError(f"{_exists(self.path)}. What this run has written is {self.data}") from error

    def _replace(self) -> None:
        """Replace in two steps, of which the first is taken back if the second fails."""
        os.replace(self.path, self._replaced)
        try:
            os.replace(self.data, self.path)
        except BaseException:
            self._put_back()
            raise

    def _put_back(self) -> None:
        """Give the old output its name again if the new one did not get it."""
        if all(map(os.path.lexists, (self.data, self._replaced))) and not os.path.lexists(self.path):
            os.replace(self._replaced, self.path)

    def _remove(self) -> None:
        """Remove the place, and its lock last: without that nobody would know it for one if this is killed."""
        with contextlib.suppress(FileNotFoundError):
            for each in self.folder.iterdir():
                if each.is_dir() and not each.is_symlink():
                    shutil.rmtree(each, ignore_errors=True)
                elif each != self._lock_path:
                    each.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        if os.path.lexists(self.folder):  # somebody still writes into it, say; the next run tries again
            _log.warning("%s could not be removed", self.folder)

    @property
    def _is_in_use(self) -> bool:
        """Whether it is known that a run has it."""
        try:
            LockedFile(self._lock_path, create=False).close()
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def _remove_abandoned(self) -> None:
        """Remove the place unless a run is writing in it."""
        try:
            lock = LockedFile(self._lock_path, create=False, patience=0)
        except FileNotFoundError:  # its run was killed before it had locked it, and there is nothing in it
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            return
        except OSError:  # a run has it, or another user
            return
        if lock.excludes:
            self._put_back()
            self._remove()
        lock.close()


def new_token() -> str:
    """Draw the identity of a place, which nobody can guess."""
    return secrets.token_hex(8)


def remove_abandoned(path: Path) -> None:
    """Remove the places of an output that killed runs have left."""
    for place in _places(path):
        place._remove_abandoned()


def _places(path: Path) -> list[Place]:
    """All places of an output, in use or left by killed runs."""
    found: list[re.Match[str] | None] = []
    name = re.compile(rf"{re.escape(path.name)}\.({_TOKEN})\.partial")
    with contextlib.suppress(PermissionError), os.scandir(path.parent) as entries:  # of a folder without a listing
        found = [name.fullmatch(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return [Place(path, match[1]) for match in found if match]


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse to replace a file unless that was asked for."""
    if os.path.lexists(path) and not overwrite:
        raise OutputExistsError(_exists(path))


@contextlib.contextmanager
def finished(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file in a place of its own, and give it its name when the block ends well.

    Parameters
    ----------
    path : path_like
        The final name; what has it is replaced.

    Yields
    ------
    Path
        Where to write: a file of the same name in another folder. Nothing is left if the block raises.
    """
    place = Place.create(Path(path))
    try:
        yield place.data
        place.commit(overwrite=True)
    except BaseException:
        place.discard()
        raise


def write_in_one_piece(content: memoryview, path: str, place: str) -> None:
    """Write a file so that a reader finds all of it or nothing.

    Parameters
    ----------
    content : memoryview
        Of bytes.
    path : str
    place : str
        Folder in which it lies until it is whole, on the same disk.
    """
    temporary = os.path.join(place, f"{secrets.token_hex(8)}.temporary")
    with open(temporary, "xb", buffering=0) as file:  # a link of this name would not be followed
        while content:
            content = content[file.write(content) :]
    os.replace(temporary, path)


def _exists(path: Path) -> str:
    return f"{path} exists already; choose another name, or overwrite it (overwrite=True, --overwrite)"
