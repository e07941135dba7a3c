"""File of a journal: lines that are complete or absent, written by one process."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

from tilecore.errors import JournalError
from tilecore.locked_file import LockedFile

__all__ = ["JournalFile", "content_of", "is_journal", "line_of"]

_SIGNATURE = b'{"tilecore_journal":'


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
        content = self.path.read_bytes()
        if not content.startswith(_SIGNATURE[: len(content)]):
            raise JournalError(f"{self.path} exists and is not a journal; choose another path")
        whole, newline, _ = content.rpartition(b"\n")
        lines = whole.split(b"\n") if newline else []
        parsed = [content_of(line) for line in lines]
        while parsed and parsed[-1] is None:  # after a crash of the machine, only the end may be garbage
            parsed.pop()
        damaged = [number for number, line in enumerate(parsed, 1) if line is None]
        if damaged:
            raise JournalError(f"{self.path} is damaged in line {damaged[0]}; delete it to start over")
        os.ftruncate(self._file.descriptor, sum(len(line) + 1 for line in lines[: len(parsed)]))
        return [line for line in parsed if line is not None]

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


def line_of(content: dict[str, Any]) -> bytes:
    """Format a line of JSON that ends with a checksum of the text before it."""
    text = json.dumps(content, separators=(",", ":"))
    return f'{text[:-1]},"crc":{zlib.crc32(text[:-1].encode())}}}\n'.encode()


def content_of(line: bytes) -> dict[str, Any] | None:
    """Read such a line; None if its checksum is not that of its text."""
    text, comma, rest = line.rpartition(b',"crc":')
    if not comma or not rest.endswith(b"}") or not rest[:-1].isdigit() or zlib.crc32(text) != int(rest[:-1]):
        return None
    content: dict[str, Any] = json.loads(text + b"}")
    return content


def is_journal(path: Path) -> bool:
    """Whether a file exists and begins like a journal."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE
    return False
