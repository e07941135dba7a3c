"""A variable that is being saved, in a folder beside its final name, by any number of tasks and processes."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from zarr.storage import LocalStore

from tilecore.errors import MissingFileError, UnwritableFileError
from tilecore.output_file import Place, places_of

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer

__all__ = ["Draft", "GuardedStore"]

_log = logging.getLogger(__name__)

# How often to remove a folder into which tasks may still be writing.
_TRIES = 20

#: Drafts of lazy objects of this process, by their final path: a later save of the same variable replaces them.
_waiting: weakref.WeakValueDictionary[Path, Draft] = weakref.WeakValueDictionary()

#: Drafts that were sent to other processes: they stay locked as long as this process lives.
_sent: set[Draft] = set()


class Draft:
    """The folder in which one save writes a variable until it is whole.

    Parameters
    ----------
    place : Place
        The folder, created or opened.
    around : sequence of Path
        Folders that were made for it, the innermost first; they go with it if they are empty.

    Attributes
    ----------
    place : Place
    data : Path
        The zarr group of the variable, inside of the folder.

    Notes
    -----
    Process-safety: it pickles as its path and token. The process that created it holds its lock, and removes it when
    nobody needs it any more, unless it was sent to other processes, which may still write.
    """

    def __init__(self, place: Place, around: Sequence[Path] = ()) -> None:
        self.place, self.data = place, place.data
        self._around = around
        self._guard = place.folder / "saving"
        self._cleaner: Any = None
        self._pid = os.getpid()

    @classmethod
    def create(cls, path: Path, *, waits: bool) -> Self:
        """Create the folder; it is removed when this object is dropped.

        Parameters
        ----------
        path : Path
            Final path of the variable.
        waits : bool
            Whether it is for a lazy object, which may never be computed. It replaces others of this process.

        Raises
        ------
        UnwritableFileError
            If another process, or another call, is saving the same variable, or the folder around it cannot be made.
        """
        for sent in [each for each in _sent if not each._guard.exists()]:  # others have completed these
            sent.discard()
        before = _waiting.pop(path, None)
        if before is not None and before not in _sent and before._pid == os.getpid():
            _log.info("%s: what was prepared before, and not computed, is dropped", path)
            before.discard()
        around = _make_folders(path.parent)
        try:
            draft = cls(Place.create(path, alone=True), around)
        except BaseException:
            _remove_empty(around)
            raise
        draft._guard.touch()
        draft._cleaner = weakref.finalize(draft, _discard, draft.place, draft._guard, os.getpid(), around)
        if waits:
            _waiting[path] = draft
        return draft

    @classmethod
    def resumed(cls, path: Path) -> Self | None:
        """The folder that a killed save of a variable has left, if there is one whose group is described."""
        for place in places_of(path):
            with contextlib.suppress(MissingFileError, UnwritableFileError):
                draft = cls(Place.resume(path, place.token))
                if draft._guard.exists():
                    return draft
                draft.discard()
        return None

    def keep(self) -> None:
        """Leave the folder for a later save that resumes."""
        if self._cleaner is not None:
            self._cleaner.detach()
        self.place.close()

    @classmethod
    def opened(cls, path: Path, token: str) -> Self:
        """The folder that another process has created."""
        return cls(Place(path, token))

    def __reduce__(self) -> tuple[Any, ...]:
        if self._cleaner is not None and self._cleaner.detach():
            _sent.add(self)
        return type(self).opened, (self.place.path, self.place.token)

    def store(self, path: Path | None = None) -> GuardedStore:
        """A zarr store in this folder; default: that of the variable."""
        return GuardedStore(path or self.data, guard=self._guard)

    def check(self) -> None:
        """Raise `UnwritableFileError` if the folder is no longer there."""
        if not self._guard.exists():
            raise _is_gone(self.place.folder)

    def commit(self, *, overwrite: bool) -> None:
        """Give the variable its name, in one step.

        Raises
        ------
        OutputExistsError
            If there is one of this name, and it may not be overwritten.
        """
        self.check()
        self.place.commit(overwrite=overwrite)
        self.discard()

    def discard(self) -> None:
        """Remove the folder; what tasks that are still running write there goes, too."""
        if self._cleaner is not None:
            self._cleaner.detach()
        _sent.discard(self)
        _discard(self.place, self._guard, self._pid, self._around)


class GuardedStore(LocalStore):
    """A zarr store in a folder, which nothing is written into once its guard, a file, is gone.

    A plain store creates folders that do not exist: a task that is late would leave half a variable behind.

    Parameters
    ----------
    root : Path
        The folder.
    read_only : bool
        Whether it may not be written.
    guard : Path
        The file beside the folder.

    Notes
    -----
    Process-safety: any number of processes may write; whoever writes last after the end removes what is left.
    """

    def __init__(self, root: Path | str, *, read_only: bool = False, guard: Path) -> None:
        super().__init__(root, read_only=read_only)
        self.guard = guard

    def with_read_only(self, read_only: bool = False) -> GuardedStore:
        """The same store, for reading or writing."""
        return type(self)(self.root, read_only=read_only, guard=self.guard)

    async def _set(self, key: str, value: Buffer, exclusive: bool = False) -> None:
        self._check()
        try:
            await super()._set(key, value, exclusive)
        finally:
            self._check()

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write one file."""
        self._check()
        try:
            super().set_sync(key, value)
        finally:
            self._check()

    def _check(self) -> None:
        if not self.guard.exists():
            _remove(self.guard.parent)
            raise _is_gone(self.guard.parent)


def _is_gone(folder: Path) -> UnwritableFileError:
    return UnwritableFileError(f"{folder} no longer exists: the save was complete, failed, or was replaced; save again")


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those around it; return those that were not there, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UnwritableFileError(f"{folder} is a file, or lies in one: a folder is needed for the variable") from error
    return missing


def _remove_empty(folders: Sequence[Path]) -> None:
    with contextlib.suppress(OSError):  # something else has come into one
        for each in folders:
            each.rmdir()


def _discard(place: Place, guard: Path, pid: int, around: Sequence[Path]) -> None:
    if os.getpid() != pid:  # a forked child drops its copy: the folder is its parent's
        return
    guard.unlink(missing_ok=True)
    place.discard()
    _remove(place.folder)
    _remove_empty(around)


def _remove(folder: Path) -> None:
    for _ in range(_TRIES):
        if not folder.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
