"""Hints to the system about bytes of files that are read soon, so that the disk works while the cores compute."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

__all__ = ["expect_bytes"]


def expect_bytes(path: str, ranges: Iterable[tuple[int, int]] = ((0, 0),)) -> None:
    """Tell the system that ranges of a file are read soon; it begins to read them, and nobody waits for it.

    A file that cannot be opened is left to whoever reads it, and so is a system that takes no hints.

    Parameters
    ----------
    path : str
        Path of the file.
    ranges : iterable of (int, int)
        Offset and length of each [byte]; a length of 0 is all up to the end. Default: the whole file.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            for offset, length in ranges:
                os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)
