"""Locks on output arrays: only one run at a time writes an array of the caller."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence

from tilecore.arrays.access import Access
from tilecore.arrays.extents import Extent, overlap
from tilecore.errors import UnwritableFileError
from tilecore.locked_file import LockedRange

__all__ = ["locked"]

# Extents of the arrays that runs of this process write, and the lock for this list.
_written: list[tuple[Extent, ...]] = []
_lock = threading.Lock()


@contextlib.contextmanager
def locked(outputs: Sequence[Access]) -> Iterator[None]:
    """Lock output arrays for a ``with`` block, against other runs in this process and in others.

    Parameters
    ----------
    outputs : sequence of Access
        The arrays to lock.

    Raises
    ------
    UnwritableFileError
        If another run writes one of them.
    """
    extents = [output.extents for output in outputs]
    with _lock:
        if any(overlap(mine, others) for mine in extents for others in _written):
            raise UnwritableFileError("out is being written by another run of this process: give each its own array")
        _written.extend(extents)
    try:
        with contextlib.ExitStack() as ranges:
            for part in filter(None, [output.file_range for output in outputs]):
                ranges.enter_context(contextlib.closing(_locked_range(*part)))
            yield
    finally:
        with _lock:
            _written[:] = [each for each in _written if not any(each is mine for mine in extents)]


def _locked_range(path: str, first: int, length: int) -> LockedRange:
    try:
        return LockedRange(path, first, length)
    except BlockingIOError as error:
        raise UnwritableFileError(error.errno, f"{path} is being written by another run: use another") from error


def _forget() -> None:
    """Reset the list and the lock in a forked child: it writes its own copies, and the lock may be held."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _written.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
