"""The mark of a finished output: which run has made it, kept with the file as an attribute of it.

It goes where the file goes and is gone with it, and it takes no file of its own. File systems that keep no such
attributes have no marks: then a run that is asked for again does not know its own output.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from tilecore.arrays.content import digest_of_bytes
from tilecore.arrays.file_stamps import describe_files

__all__ = ["is_finished", "mark_finished"]

_NAME = "user.tilecore.run"


def mark_finished(path: Path, run: dict[str, Any]) -> None:
    """Mark a complete output as that of a run.

    Parameters
    ----------
    path : Path
    run : dict
        Its fingerprint.
    """
    with contextlib.suppress(OSError, AttributeError):  # no attributes here, or none on this system
        os.setxattr(path, _NAME, _mark(path, run))


def is_finished(path: Path, run: dict[str, Any]) -> bool:
    """Whether an output is the complete one of a run, and has not been changed since."""
    with contextlib.suppress(OSError, AttributeError):
        return os.getxattr(path, _NAME) == _mark(path, run)
    return False


def _mark(path: Path, run: dict[str, Any]) -> bytes:
    text = json.dumps([run, describe_files(str(path), [str(path)])], sort_keys=True)
    return digest_of_bytes(text.encode()).encode()
