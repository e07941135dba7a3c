"""Renaming as only Linux can: unless there is something of the new name, and two names exchanged, in one step each."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

__all__ = ["NAME_CHANGED", "exchange", "rename_unless_there"]

#: What the system says if a name was taken, or given up, since it was looked at.
NAME_CHANGED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)

# Of Linux' renameat2: two ways, what stands for the current folder, and what it says where it does not know them.
_NO_REPLACE, _EXCHANGE, _HERE = 1, 2, -100
_UNKNOWN_THERE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def rename_unless_there(old: Path, new: Path) -> bool:
    """Give a file or folder another name, which nobody must have; False where the system cannot.

    Raises
    ------
    FileExistsError
        If somebody has it.
    """
    return _renamed(old, new, _NO_REPLACE)


def exchange(one: Path, other: Path) -> bool:
    """Give each of two files or folders the other's name; False where the system cannot."""
    return _renamed(one, other, _EXCHANGE)


def _renamed(old: Path, new: Path, how: int) -> bool:
    """Rename in one step as only Linux can; False where that is unknown."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(old), _HERE, os.fsencode(new), how) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN_THERE:
        return False
    raise OSError(number, os.strerror(number), str(old), None, str(new))
