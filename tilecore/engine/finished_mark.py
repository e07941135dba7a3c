"""Marks of finished outputs: which run has made a file, stored as an extended attribute of the file.

The mark stays with the file, is deleted with it, and needs no file of its own. On file systems without extended
attributes, and in object stores, there are no marks; a repeated run then does not recognize its own output.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from tilecore.arrays.content import digest_of_bytes
from tilecore.arrays.file_stamps import describe_files
from tilecore.objects.paths import ObjectPath

__all__ = ["is_finished", "mark_finished"]

_NAME = "user.tilecore.run"


def mark_finished(path: Path, run: dict[str, Any]) -> None:
    """Mark a complete output as that of a run.

    Parameters
    ----------
    path : Path
        The output.
    run : dict
        Fingerprint of the run.
    """
    if isinstance(path, ObjectPath):
        return
    with contextlib.suppress(OSError, AttributeError):  # no extended attributes on this file system or this system
        os.setxattr(path, _NAME, _mark(path, run))


def is_finished(path: Path, run: dict[str, Any]) -> bool:
    """Whether an output was completed by this run, and has not been changed since."""
    with contextlib.suppress(OSError, AttributeError):
        return os.getxattr(path, _NAME) == _mark(path, run)
    return False


def _mark(path: Path, run: dict[str, Any]) -> bytes:
    text = json.dumps([run, describe_files(str(path), [str(path)])], sort_keys=True)
    return digest_of_bytes(text.encode()).encode()
