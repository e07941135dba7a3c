"""File of a journal: lines that are complete or absent, written by one process."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from tilecore.engine.journal_lines import SIGNATURE, parse_line
from tilecore.engine.journal_objects import JournalObjects
from tilecore.errors import JournalError
from tilecore.locked_file import LockedFile
from tilecore.objects.paths import ObjectPath

__all__ = ["JournalFile", "has_tiles", "is_journal", "lines_of", "open_journal"]


class JournalFile:
    """Lines of JSON, each with its own checksum, in a locked file.

    Parameters
    ----------
    path : Path
        Path of the file; it is created if it does not exist. Symbolic links are not followed.

    Raises
    ------
    JournalError
        If another run has the file open.

    Notes
    -----
    Process-safety: the kernel releases the lock with the process; forked children do not have
    the file open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = LockedFile(path)
        except BlockingIOError as error:
            raise JournalError(f"{path} is in use by another run; wait for its end, or choose another path") from error

    def read(self) -> list[dict[str, Any]]:
        """Read all complete lines; an incomplete one at the end is cut off the file.

        Raises
        ------
        JournalError
            If the file is not a journal, or is damaged.
        """
        parsed, n_bytes = _parsed(self.path)
        os.ftruncate(self._file.descriptor, n_bytes)
        return parsed

    def clear(self) -> None:
        """Remove all lines."""
        os.ftruncate(self._file.descriptor, 0)

    def write(self, lines: bytes) -> None:
        """Append lines, in one write if possible."""
        while lines:
            lines = lines[os.write(self._file.descriptor, lines) :]

    def sync(self) -> None:
        """Ask the system to write the lines to the disk."""
        os.fsync(self._file.descriptor)

    def close(self) -> None:
        """Close the file and release its lock."""
        self._file.close()

    def remove(self) -> None:
        """Remove the file, and close it."""
        if os.name == "nt":  # an open file keeps its name
            self.close()
        with contextlib.suppress(FileNotFoundError):  # still locked: no other run has begun another
            self.path.unlink()
        self.close()


def open_journal(path: Path) -> JournalFile | JournalObjects:
    """Open a journal, in a file or in an object store; see `JournalFile`."""
    return JournalObjects(path) if isinstance(path, ObjectPath) else JournalFile(path)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Read all complete lines of a file that another process may be writing just now, and leave it as it is.

    Raises
    ------
    JournalError
        If the file is not a journal, or is damaged.
    """
    return _parsed(path)[0]


def is_journal(path: Path) -> bool:
    """Whether a file, or what lies at a URL, exists and begins like a journal."""
    if isinstance(path, ObjectPath):
        return JournalObjects.exists_at(path)
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE
    return False


def has_tiles(path: Path) -> bool:
    """Whether a journal, in a file or at a URL, lists a tile, after its first line; one that is not there does not."""
    if isinstance(path, ObjectPath):
        return JournalObjects.n_lines_at(path) > 1
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        return sum(1 for _ in file) > 1
    return False


def _parsed(path: Path) -> tuple[list[dict[str, Any]], int]:
    """All complete lines of a file, and the number of bytes up to the end of the last."""
    content = path.read_bytes()
    if not content.startswith(SIGNATURE[: len(content)]):
        raise JournalError(f"{path} exists and is not a journal; choose another path")
    whole, newline, _ = content.rpartition(b"\n")
    lines = whole.split(b"\n") if newline else []
    parsed = [parse_line(line) for line in lines]
    while parsed and parsed[-1] is None:  # after a crash of the machine, only the end may be garbage
        parsed.pop()
    damaged = [number for number, line in enumerate(parsed, 1) if line is None]
    if damaged:
        raise JournalError(f"{path} is damaged in line {damaged[0]}; delete it to start over")
    n_bytes = sum(len(line) + 1 for line in lines[: len(parsed)])
    return [line for line in parsed if line is not None], n_bytes
