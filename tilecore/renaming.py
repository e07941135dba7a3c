"""Atomic renaming on Linux: rename without replacing, and exchange two names, each in one step."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

__all__ = ["NAME_CHANGED", "exchange", "rename_unless_there"]

#: Error numbers of the system if another process has taken or removed a name in the meantime.
NAME_CHANGED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)

# Constants of renameat2 on Linux: two flags, the current folder, and errors where the system lacks the call.
_NO_REPLACE, _EXCHANGE, _HERE = 1, 2, -100
_UNKNOWN_THERE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def rename_unless_there(old: Path, new: Path) -> bool:
    """Rename a file or folder if the new name is free; False if the system has no such call.

    Raises
    ------
    FileExistsError
        If the new name exists already.
    """
    return _renamed(old, new, _NO_REPLACE)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two files or folders in one step; False if the system cannot."""
    return _renamed(one, other, _EXCHANGE)


def _renamed(old: Path, new: Path, how: int) -> bool:
    """Rename in one step with Linux' renameat2; False if the system does not have it."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(old), _HERE, os.fsencode(new), how) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN_THERE:
        return False
    raise OSError(number, os.strerror(number), str(old), None, str(new))
