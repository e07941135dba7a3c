"""Files that appear in one step, with content of one process: how those of several hosts agree without locks."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tilecore.renaming import rename_unless_there

__all__ = ["appear"]


def appear(file: Path, content: bytes) -> bool:
    """Create a file with its content, unless there is one of its name; whether the one that is there is this one.

    Parameters
    ----------
    file : Path
    content : bytes
        With a token in it, so that no other process writes the same.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    temporary = file.with_name(f"{secrets.token_hex(8)}.temporary")
    try:
        with temporary.open("wb") as new:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
        if not rename_unless_there(temporary, file):
            os.link(temporary, file)
    except FileExistsError:  # a file server whose answer was lost says this to the process that has just succeeded
        return _content_of(file) == content
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _content_of(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:  # removed since
        return None
