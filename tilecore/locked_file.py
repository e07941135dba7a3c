"""Locks on files, folders and byte ranges, each held by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import struct
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["LockedFile", "LockedFolder", "LockedRange"]

Result = TypeVar("Result")

# Error numbers of the system where files cannot be locked.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)

# Locked files open in this process. A forked child shares their locks, and would keep them after this process ends.
_locked_files: weakref.WeakSet[_Locked] = weakref.WeakSet()

# Longest time for which a process being forked may keep the locks of its killed parent [s].
_FORK_SECONDS = 1.0

# How long to wait for a folder's lock, and between two tries of any lock [s].
_FOLDER_SECONDS, _PAUSE_SECONDS = 0.4, 0.01

# Layout of the system's lock record: kind, whence, first byte, number of bytes, process.
_RECORD = "@hhqqi4x"


class _Locked:
    """An open file that is closed with the object that owns it; forked children do not keep it open."""

    def __init__(self) -> None:
        self.descriptor = -1
        self._closer: Callable[[], object] | None = None
        _locked_files.add(self)

    def close(self) -> None:
        """Close the file and release its lock."""
        self.descriptor = -1
        if self._closer is not None:
            self._closer()

    def _open(self, path: Path | str, flags: int) -> None:
        """Open a file so that Ctrl-C cannot leave it open: Ctrl-C comes between two steps of Python, never of C."""
        descriptors: list[int] = []
        # A `__del__` or a Python function would swallow a Ctrl-C that comes while it runs.
        self._closer = weakref.finalize(self, deque, map(os.close, descriptors), 0)
        descriptors.extend(map(os.open, [path], [flags], [0o600]))
        self.descriptor = descriptors[0]


class LockedFile(_Locked):
    """A file that is locked: one process at a time can open it.

    Parameters
    ----------
    path : Path
        Path of the file; symbolic links are not followed.
    create : bool
        Whether to create the file if it does not exist.
    patience : float
        How long to wait for another process to release the lock [s].

    Attributes
    ----------
    descriptor : int
        Descriptor of the file, open for reading and appending; -1 once it is closed.
    excludes : bool
        Whether the lock excludes other processes; False on Windows, and on file systems without locks.

    Raises
    ------
    BlockingIOError
        If another process holds the lock for longer than `patience`.

    Notes
    -----
    Process-safety: the kernel releases the lock when the process ends; a forked child does not
    have the file open.
    """

    def __init__(self, path: Path, *, create: bool = True, patience: float = _FORK_SECONDS) -> None:
        super().__init__()
        self.path = path
        self.excludes = False
        flags = os.O_RDWR | (os.O_CREAT if create else 0) | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        while not self._is_locked(flags, patience):
            self.close()

    def _is_locked(self, flags: int, patience: float) -> bool:
        """Open the file and lock it; False if the process that held the lock has removed it meanwhile."""
        self._open(self.path, flags)
        try:
            self.excludes = _patiently(functools.partial(_lock, self.descriptor), patience)
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False
        except BaseException:
            self.close()
            raise


class LockedFolder(_Locked):
    """A folder that is locked for a short time by one process.

    Other programs may lock a folder for longer; after 0.4 s this class continues without the lock.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        # The folder may be unreadable, be locked by others for longer, or lie on a file system without such locks.
        with contextlib.suppress(OSError):
            self._open(folder, os.O_RDONLY)
            _patiently(functools.partial(_lock, self.descriptor), _FOLDER_SECONDS)


class LockedRange(_Locked):
    """A byte range of a file that one owner at a time writes; others may lock other ranges.

    Parameters
    ----------
    path : str
        Path of the file.
    first, length : int
        First byte and number of bytes [byte]; a length of 0 means: up to the end of the file, even if it grows.

    Raises
    ------
    BlockingIOError
        If another owner, in this process or another one, has locked some of these bytes.

    Notes
    -----
    Process-safety: as for `LockedFile`. On systems other than Linux, or if the file cannot be
    opened for writing, there is no lock and nobody is excluded.
    """

    def __init__(self, path: str, first: int, length: int) -> None:
        super().__init__()
        if sys.platform != "linux":
            return
        try:
            self._open(path, os.O_RDWR)
        except OSError:
            return
        try:
            _patiently(functools.partial(_lock_bytes, self.descriptor, first, length), _FORK_SECONDS)
        except OSError as error:
            self.close()
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise BlockingIOError(error.errno, f"{path} is locked: another run writes it") from error


def _patiently(lock: Callable[[], Result], patience: float) -> Result:
    """Call `lock` until it succeeds or `patience` seconds have passed."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return lock()
        except (BlockingIOError, PermissionError):  # the system may raise either of them
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_SECONDS)


def _lock_bytes(descriptor: int, first: int, length: int) -> None:
    import fcntl

    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_RECORD, fcntl.F_WRLCK, os.SEEK_SET, first, length, 0))


def _lock(descriptor: int) -> bool:
    """Lock a file; False if the system or file system has no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
