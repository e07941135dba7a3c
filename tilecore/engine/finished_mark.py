"""Marks of finished outputs: which run has made a file, stored as an extended attribute of the file.

The mark stays with the file, is deleted with it, and needs no file of its own. On file systems without extended
attributes, and in object stores, there are no marks; a repeated run then does not recognize its own output. (A run in
parts keeps its mark in its folder there.)
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

__all__ = ["is_finished", "mark_finished", "mark_of"]

_NAME = "user.tilecore.run"


def mark_finished(path: Path, run: dict[str, Any]) -> bool:
    """Mark a complete output as that of a run; whether that is possible there.

    Parameters
    ----------
    path : Path
        The output.
    run : dict
        Fingerprint of the run.
    """
    if isinstance(path, ObjectPath):
        return False
    try:
        os.setxattr(path, _NAME, mark_of(path, run))
    except (OSError, AttributeError):  # no extended attributes on this file system or this system
        return False
    return True


def is_finished(path: Path, run: dict[str, Any]) -> bool:
    """Whether an output was completed by this run, and has not been changed since."""
    with contextlib.suppress(OSError, AttributeError):
        return os.getxattr(path, _NAME) == mark_of(path, run)
    return False


def mark_of(path: Path, run: dict[str, Any]) -> bytes:
    """The mark of a run on an output, as it is now."""
    text = json.dumps([run, describe_files(str(path), [str(path)])], sort_keys=True)
    return digest_of_bytes(text.encode()).encode()
