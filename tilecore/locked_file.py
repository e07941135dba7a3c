"""Files, and parts of files, that one process at a time has for itself."""

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

# What the system says where files cannot be locked.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)

# Those that are open here. A fork shares their locks, and would hold them when this process is gone.
_locked_files: weakref.WeakSet[_Locked] = weakref.WeakSet()

# How long it may take until a process, that was being forked as its parent was killed, has let go [s].
_FORK_SECONDS = 1.0

# How long a folder is waited for, and how long between two tries of anything.
_FOLDER_SECONDS, _PAUSE_SECONDS = 0.4, 0.01

# The system's record of a lock: kind, whence, first byte, number of bytes, process.
_RECORD = "@hhqqi4x"


class _Locked:
    """An open file that is closed with its owner; a fork of this process does not have it."""

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
        """Open a file, so that no Ctrl-C leaves it open: those come between two steps of Python, never of C."""
        descriptors: list[int] = []
        # A `__del__`, or a function of ours, would swallow a Ctrl-C that comes while it runs.
        self._closer = weakref.finalize(self, deque, map(os.close, descriptors), 0)
        descriptors.extend(map(os.open, [path], [flags], [0o600]))
        self.descriptor = descriptors[0]


class LockedFile(_Locked):
    """A file that one process at a time has open.

    Parameters
    ----------
    path : Path
        Links are not followed.
    create : bool
        Whether the file is made if it is not there.
    patience : float
        How long to wait for another process to close it [s].

    Attributes
    ----------
    descriptor : int
        Open to read and to append; -1 once it is closed.
    excludes : bool
        Whether others are kept out; not on Windows, and on no file system without locks.

    Raises
    ------
    BlockingIOError
        If another process has it open for longer.

    Notes
    -----
    Process-safety: the kernel releases the lock with the process; a fork of it does not have
    the file open.
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
    """A folder that one process at a time has for a moment.

    Others lock folders for reasons of their own, and for longer: after a while it goes without.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        # A folder that cannot be read, one that others have for longer, or a file system that locks no folders.
        with contextlib.suppress(OSError):
            self._open(folder, os.O_RDONLY)
            _patiently(functools.partial(_lock, self.descriptor), _FOLDER_SECONDS)


class LockedRange(_Locked):
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
                raise BlockingIOError(error.errno, f"{path} is locked") from error


def _patiently(lock: Callable[[], Result], patience: float) -> Result:
    """Lock something, if need be when others have let go."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return lock()
        except (BlockingIOError, PermissionError):  # the system says either
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_SECONDS)


def _lock_bytes(descriptor: int, first: int, length: int) -> None:
    import fcntl

    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_RECORD, fcntl.F_WRLCK, os.SEEK_SET, first, length, 0))


def _lock(descriptor: int) -> bool:
    """Lock a file; False where there are no locks, and nobody is kept out."""
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
