"""Atomic renaming on Linux: rename without replacing, and exchange two names, each in one step."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

__all__ = ["NAME_CHANGED", "exchange", "is_noted", "note_identity", "rename_unless_there", "was_exchanged"]

#: Error numbers of the system if another process has taken or removed a name in the meantime.
NAME_CHANGED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)

# Constants of renameat2 on Linux: two flags, the current folder, and errors where the system lacks the call.
_NO_REPLACE, _EXCHANGE, _HERE = 1, 2, -100
_UNKNOWN_THERE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)

# End of the name of a file that notes an identity.
_NOTE = ".identity"


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


def note_identity(file: Path, folder: Path) -> None:
    """Note in a folder which file or folder one is, whatever its name; by a name, for which a full disk has room."""
    _note_of(file, folder).touch()


def is_noted(file: Path, folder: Path) -> bool:
    """Whether a file or folder is there, and was noted in this folder."""
    return os.path.lexists(file) and _note_of(file, folder).exists()


def was_exchanged(file: Path) -> bool:
    """Whether a file or folder is not the one that was noted beside it, as the names were exchanged since."""
    return os.path.lexists(file) and any(file.parent.glob(f"*{_NOTE}")) and not is_noted(file, file.parent)


def _note_of(file: Path, folder: Path) -> Path:
    return folder / f"{os.lstat(file).st_ino}{_NOTE}"
