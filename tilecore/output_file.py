"""Partial outputs: an output is written in a folder beside it, which belongs to one run, until it is complete."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from tilecore.errors import MissingFileError, OutputExistsError, UnwritableFileError
from tilecore.locked_file import LockedFile, LockedFolder
from tilecore.renaming import NAME_CHANGED, exchange, note_identity, rename_unless_there, was_exchanged

__all__ = ["Place", "finished", "new_token", "places_of", "refuse_existing", "remove_abandoned", "write_in_one_piece"]

_log = logging.getLogger(__name__)

PARTIAL = r"\.([0-9a-f]{16})\.partial"  # the end of the name of a folder in which a run writes

# How often to try a rename while other runs take or remove the same name.
_TRIES = 10


class Place:
    """A folder beside an output in which one run writes the output until it is complete.

    It is called ``<name>.<token>.partial``. The process that created it holds a lock in it as long as
    this object is open; the lock tells a folder in use from one that a killed run has left.

    Parameters
    ----------
    path : Path
        Final name of the output.
    token : str
        Sixteen random hexadecimal digits.

    Attributes
    ----------
    folder : Path
        The folder; only its user may look into it.
    data : Path
        The file or folder that is written, inside `folder`; it has the final name, whose suffix may tell its format.

    Notes
    -----
    Process-safety: any number of processes may `open` the folder; one holds it by `create` or `resume`.
    """

    def __init__(self, path: Path, token: str) -> None:
        if not re.fullmatch("[0-9a-f]{16}", token):
            raise MissingFileError(f"token={token!r}: 16 hexadecimal digits are needed to find where {path} is written")
        self.path, self.token = path, token
        self.folder = path.with_name(f"{path.name}.{token}.partial")
        self.data = self.folder / path.name
        self._lock: LockedFile | None = None

    @classmethod
    def create(cls, path: Path, token: str | None = None, *, alone: bool = False) -> Self:
        """Create a new folder for an output, and remove the folders that killed runs have left.

        Parameters
        ----------
        path : Path
            Final name of the output.
        token : str, optional
            Sixteen hexadecimal digits; default: random ones.
        alone : bool
            Whether to refuse if another run is writing the same output.

        Raises
        ------
        UnwritableFileError
            If `alone` is true and another run is writing the same output.
        FileExistsError
            If the folder, or a link of its name, exists already.
        """
        if not alone:
            return cls._create(path, token)
        with contextlib.closing(LockedFolder(path.parent)):  # so that one of two calls at the same time comes first
            place = cls._create(path, token)
            others = [each for each in places_of(path) if each.token != place.token and each._is_in_use]
            others = [each for each in others if not (each._is_kept and place._is_kept)]  # one run in parts has both
            if others:
                place.discard()
                raise UnwritableFileError(f"{path} is being written already, in {others[0].folder}: use another file")
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
            except FileNotFoundError:  # another run has removed the folder because its lock was not there yet
                continue
            except BaseException:
                place.discard()
                raise

    @classmethod
    def open(cls, path: Path, token: str) -> Self:
        """Open the folder that another process, or an earlier run, has created.

        Raises
        ------
        MissingFileError
            If the folder no longer exists.
        """
        place = cls(path, token)
        if not os.path.lexists(place.data) or was_exchanged(place.data):
            raise MissingFileError(f"{place.folder} no longer exists: {path} is complete, or its run was stopped")
        return place

    @classmethod
    def resume(cls, path: Path, token: str) -> Self:
        """Take over the folder that an earlier run has left.

        Raises
        ------
        MissingFileError
            If the folder no longer exists.
        UnwritableFileError
            If its run is still going on.
        """
        place = cls.open(path, token)
        try:
            place._lock = LockedFile(place._lock_path)
        except BlockingIOError as error:
            raise UnwritableFileError(f"{place.folder} is in use by another run: wait for its end") from error
        return place

    def commit(self, *, overwrite: bool = False) -> None:
        """Rename the complete output to its final name, and remove the folder.

        At each moment the name shows the whole old output or the whole new one. (Except where a folder is replaced and
        the system cannot exchange two names: if the process ends in between, the next run renames the old output back.)

        Raises
        ------
        OutputExistsError
            If the name exists already and `overwrite` is false.
        """
        if not os.path.lexists(self.data) or was_exchanged(self.data):
            raise MissingFileError(f"{self.folder} no longer exists: {self.path} cannot be completed; run again")
        for left in reversed(range(_TRIES)):
            try:
                self._take_name(overwrite=overwrite)
                break
            except OSError as error:  # another run has taken or removed the name in the meantime
                if not (left and overwrite and error.errno in NAME_CHANGED and os.path.lexists(self.data)):
                    raise
        self.discard()

    def close(self) -> None:
        """Release the lock; the folder stays, for a later run."""
        if self._lock is not None:
            self._lock.close()

    def discard(self) -> None:
        """Remove the folder with everything in it."""
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
            with contextlib.suppress(OSError):  # without it, only a death in the next moment could be misunderstood
                note_identity(self.data, self.folder)
            if not exchange(self.data, self.path):
                self._replace()
        else:
            os.replace(self.data, self.path)

    def _name(self) -> None:
        """Rename the output to its final name if that name is free."""
        try:
            if not rename_unless_there(self.data, self.path):
                refuse_existing(self.path, overwrite=False)
                os.rename(self.data, self.path)
        except FileExistsError as error:
            raise OutputExistsError(f"{_exists(self.path)}. The output of this run is in {self.data}") from error

    def _replace(self) -> None:
        """Replace the old output in two steps; the first is undone if the second fails."""
        os.replace(self.path, self._replaced)
        try:
            os.replace(self.data, self.path)
        except BaseException:
            self._put_back()
            raise

    def _put_back(self) -> None:
        """Rename the old output back if the new one did not get its name."""
        if all(map(os.path.lexists, (self.data, self._replaced))) and not os.path.lexists(self.path):
            os.replace(self._replaced, self.path)

    def _remove(self) -> None:
        """Remove the folder, and its lock last: without the lock the next run could not tell that it was abandoned."""
        with contextlib.suppress(FileNotFoundError):
            for each in self.folder.iterdir():
                if each.is_dir() and not each.is_symlink():
                    shutil.rmtree(each, ignore_errors=True)
                elif each != self._lock_path:
                    each.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        if os.path.lexists(self.folder):  # for example because a process still writes into it; the next run tries again
            _log.warning("%s could not be removed; the next run tries again", self.folder)

    @staticmethod
    def run_folder(path: Path) -> Path:
        """The folder of a run in parts that writes an output; a file in it, named by a token, keeps that place."""
        return path.with_name(f"{path.name}.run")

    @property
    def _is_kept(self) -> bool:
        """Whether a run in parts goes on here later, though no process of it may run now."""
        return os.path.lexists(self.run_folder(self.path) / self.token)

    @property
    def _is_in_use(self) -> bool:
        """Whether a run is known to hold the lock of this folder, or goes on later."""
        if self._is_kept:
            return True
        try:
            LockedFile(self._lock_path, create=False).close()
        except OSError as error:
            return isinstance(error, BlockingIOError)
        return False

    def _remove_abandoned(self) -> None:
        """Remove the folder unless a run is writing in it."""
        if self._is_kept:
            return
        try:
            lock = LockedFile(self._lock_path, create=False, patience=0)
        except FileNotFoundError:  # its run was killed before it made the lock: the folder is empty
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            return
        except OSError:  # a run or another user has it
            return
        if lock.excludes:
            self._put_back()
            self._remove()
        lock.close()


def new_token() -> str:
    """Return a random token, which nobody can guess, for a new folder."""
    return secrets.token_hex(8)


def remove_abandoned(path: Path) -> None:
    """Remove the folders that killed runs have left beside an output."""
    for place in places_of(path):
        place._remove_abandoned()


def places_of(path: Path) -> list[Place]:
    """All folders of an output, in use or left by killed runs."""
    found: list[re.Match[str] | None] = []
    name = re.compile(re.escape(path.name) + PARTIAL)
    with contextlib.suppress(PermissionError), os.scandir(path.parent) as entries:  # the folder may not be listable
        found = [name.fullmatch(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return [Place(path, match[1]) for match in found if match]


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputExistsError` if the output exists and `overwrite` is false."""
    if not overwrite and (os.path.lexists(path) or path.exists()):  # what is no file has a way of its own to tell
        raise OutputExistsError(_exists(path))


@contextlib.contextmanager
def finished(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name, and give it its final name when the ``with`` block succeeds.

    Yields the path to write to, of the same name in another folder. A file of the final name is replaced.
    """
    place = Place.create(Path(os.path.expanduser(path)))
    try:
        yield place.data
        place.commit(overwrite=True)
    except BaseException:
        place.discard()
        raise


def write_in_one_piece(parts: Iterable[bytes | memoryview], path: str, place: str) -> None:
    """Write a file in one step: a reader finds it whole or not at all. `place` is a folder on the same disk for it."""
    temporary = os.path.join(place, f"{secrets.token_hex(8)}.temporary")
    with open(temporary, "xb", buffering=0) as file:  # a link of this name would not be followed
        for part in parts:
            left = memoryview(part).cast("B")
            while left:
                left = left[file.write(left) :]
    os.replace(temporary, path)


def _exists(path: Path) -> str:
    return f"{path} exists already; choose another name, or overwrite it (overwrite=True)"
