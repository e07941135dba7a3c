"""Journal in an object store: small objects, one for a batch of tiles, as no object can be added to."""

from __future__ import annotations

import time
from typing import Any

from tilecore.engine.journal_lines import SIGNATURE, parse_line
from tilecore.errors import JournalError
from tilecore.objects.claims import Claim
from tilecore.objects.paths import ObjectPath
from tilecore.objects.requests import tidying
from tilecore.objects.store import ObjectStore

__all__ = ["JournalObjects"]

# Time between two objects [s]. Tiles of the last second are made again if the run is killed.
_BATCH_SECONDS = 1.0

# End of the name of an object that holds all lines of those before it.
_WHOLE = ".whole"


class JournalObjects:
    """Lines of JSON, as those of a `JournalFile`, in numbered objects below a URL.

    A batch of lines is one object. When the journal is closed they are merged into one.

    Parameters
    ----------
    path : ObjectPath
        Where the objects lie: ``<path>/00000000``, ``<path>/00000001``, ...

    Raises
    ------
    JournalError
        If another run uses the journal.

    Notes
    -----
    Process-safety: a claim excludes other processes; see `Claim`.
    """

    def __init__(self, path: ObjectPath) -> None:
        self._url, self._store = str(path), ObjectStore(str(path))
        self._claim = Claim(f"{path}/claim")
        self._waiting, self._last, self._count = b"", time.monotonic() - _BATCH_SECONDS, 0
        self._is_open = False
        try:
            self._claim.take()
        except BlockingIOError as error:
            raise JournalError(f"{path} is {error}") from error
        self._is_open = True

    @staticmethod
    def exists_at(path: ObjectPath) -> bool:
        """Whether there is a journal."""
        store = ObjectStore(str(path))
        return any(name[:8].isdigit() for name in store.names())

    def read(self) -> list[dict[str, Any]]:
        """Read all lines.

        Raises
        ------
        JournalError
            If the objects are no journal, or are damaged.
        """
        content = self._content()
        if not content.startswith(SIGNATURE[: len(content)]):
            raise JournalError(f"{self._url} exists and is not a journal; choose another path")
        parsed = [parse_line(line) for line in content.splitlines()]
        damaged = [number for number, line in enumerate(parsed, 1) if line is None]
        if damaged:
            raise JournalError(f"{self._url} is damaged in line {damaged[0]}; delete it to start over")
        return [line for line in parsed if line is not None]

    def clear(self) -> None:
        """Remove all lines."""
        self._waiting = b""
        self._store.remove(self._names())

    def write(self, lines: bytes) -> None:
        """Add lines: at once if the last ones were written a while ago, otherwise together with the next."""
        self._waiting += lines
        if time.monotonic() - self._last >= _BATCH_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Write the lines that wait."""
        if self._waiting:
            self._store.put(f"{self._count:08}", [self._waiting])
            self._waiting, self._last, self._count = b"", time.monotonic(), self._count + 1

    def close(self) -> None:
        """Merge the objects into one, and let go of the journal."""
        if not self._is_open:
            return
        self._is_open = False
        with tidying(self._url):
            self.sync()
            names = self._names()
            if len(names) > 1:
                self._store.put(f"{self._count:08}{_WHOLE}", [self._content()])
                self._store.remove(names)
            if names:
                self._claim.let_go()
            else:
                self._claim.remove()

    def remove(self) -> None:
        """Remove the journal."""
        self._is_open = False
        with tidying(self._url):
            self.clear()
            self._claim.remove()

    def _names(self) -> list[str]:
        """Names of the objects, in the order in which they were written."""
        names = sorted(name for name in self._store.names() if name[:8].isdigit())
        self._count = max([self._count, *(int(name[:8]) + 1 for name in names)])
        return names

    def _content(self) -> bytes:
        """All lines: those of the last object that holds all before it, and of those after it."""
        names = self._names()
        last = max((number for number, name in enumerate(names) if name.endswith(_WHOLE)), default=0)
        return b"".join(self._store.get(name) or b"" for name in names[last:])
