"""Files, and parts of files, that one process at a time has for itself."""

from __future__ import annotations

import errno
import os
import struct
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path

__all__ = ["LockedFile", "LockedFolder", "LockedRange"]

# What the system says where files cannot be locked.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)

# Those that are open here. A fork shares their locks, and would hold them when this process is gone.
_locked_files: weakref.WeakSet[LockedFile | LockedFolder | LockedRange] = weakref.WeakSet()

# How often a folder is tried, and how long it is waited for in between.
_FOLDER_TRIES, _FOLDER_SECONDS = 20, 0.02

# The system's record of a lock: kind, whence, first byte, number of bytes, process.
_RECORD = "@hhqqi4x"


class LockedFile:
    """A file that one process at a time has open.

    Parameters
    ----------
    path : Path
        Links are not followed.
    create : bool
        Whether the file is made if it is not there.
    wait : bool
        Whether to wait for another process to close it.

    Attributes
    ----------
    descriptor : int
        Open to read and to append; -1 once it is closed.
    excludes : bool
        Whether others are kept out; not on Windows, and on no file system without locks.

    Raises
    ------
    BlockingIOError
        If another process has it open.

    Notes
    -----
    Process-safety: the kernel releases the lock with the process; a fork of it does not have
    the file open.
    """

    def __init__(self, path: Path, *, create: bool = True, wait: bool = False) -> None:
        self.path = path
        self.descriptor, self.excludes = -1, False
        self._closer: Callable[[], object] = _nothing
        _locked_files.add(self)
        self._open(os.O_CREAT if create else 0, wait=wait)

    def close(self) -> None:
        """Close the file and release its lock."""
        self.descriptor = -1
        self._closer()

    def _open(self, create: int, *, wait: bool) -> None:
        """Open the file and lock it; again, if the process that held the lock has removed it meanwhile."""
        flags = os.O_RDWR | create | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        while True:
            descriptor = os.open(self.path, flags, 0o600)
            try:
                self.excludes = _lock(descriptor, wait=wait)
                if os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                    self.descriptor, self._closer = descriptor, _closed_with(self, descriptor)
                    return
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


class LockedFolder:
    """A folder that one process at a time has for a moment.

    Others lock folders for reasons of their own, and for longer: after a while it goes without.
    """

    def __init__(self, folder: Path) -> None:
        self._closer: Callable[[], object] = _nothing
        _locked_files.add(self)
        try:
            descriptor = os.open(folder, os.O_RDONLY)
            self._closer = _closed_with(self, descriptor)
            for _ in range(_FOLDER_TRIES):
                try:
                    _lock(descriptor, wait=False)
                    break
                except BlockingIOError:
                    time.sleep(_FOLDER_SECONDS)
        except OSError:  # a folder that cannot be read, or a file system that locks no folders
            self.close()

    def close(self) -> None:
        """Release the lock."""
        self._closer()


class LockedRange:
    """Bytes of a file that one owner at a time writes; others may have other bytes.

    Parameters
    ----------
    path : str
    first, length : int
        [byte]; a length of 0 reaches to the file's end, wherever that will be.

    Raises
    ------
    BlockingIOError
        If another owner, in this process or another one, has some of them.

    Notes
    -----
    Process-safety: as of `LockedFile`. Where the system has no such locks (they are
    Linux's), or the file cannot be opened to be written, nobody is kept out.
    """

    def __init__(self, path: str, first: int, length: int) -> None:
        self._closer: Callable[[], object] = _nothing
        if sys.platform != "linux":
            return
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            return
        self._closer = _closed_with(self, descriptor)
        _locked_files.add(self)
        import fcntl

        try:
            record = struct.pack(_RECORD, fcntl.F_WRLCK, os.SEEK_SET, first, length, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, record)
        except OSError as error:
            self.close()
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise BlockingIOError(error.errno, f"{path} is locked") from error

    def close(self) -> None:
        """Close the file and release the lock."""
        self._closer()


def _closed_with(owner: object, descriptor: int) -> Callable[[], object]:
    """Close a file with its owner; gives what closes it before. A ``__del__`` would swallow a Ctrl-C."""
    return weakref.finalize(owner, os.close, descriptor)


def _nothing() -> None:
    """There is nothing to close."""


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock a file; False where there are no locks, and nobody is kept out."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def _let_go() -> None:
    for file in list(_locked_files):
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
