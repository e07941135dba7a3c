"""Journal in an object store: small objects, one for a batch of tiles, as no object can be added to."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from tilecore.engine.journal_lines import SIGNATURE, parse_line
from tilecore.errors import JournalError, MissingFileError, ObjectStoreError
from tilecore.objects.claims import Claim
from tilecore.objects.paths import ObjectPath
from tilecore.objects.requests import tidying
from tilecore.objects.store import ObjectStore

__all__ = ["JournalObjects"]

_log = logging.getLogger(__name__)

# Time between two objects [s]. Tiles of the last second are made again if the run is killed.
_BATCH_SECONDS = 1.0

# End of the name of an object that holds all lines of those before it.
_WHOLE = ".whole"


class JournalObjects:
    """Lines of JSON, as those of a `JournalFile`, in numbered objects below a URL.

    Lines of a second are one object, which a thread writes if no later line comes. When the journal is closed all are
    merged into one.

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
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        try:
            self._claim.take()
        except BlockingIOError as error:
            raise JournalError(f"{path} is {error}") from error
        self._is_open = True

    @staticmethod
    def exists_at(path: ObjectPath) -> bool:
        """Whether there is a journal, or the claim of one that was being removed."""
        return bool(_names_in(ObjectStore(str(path)))) or Claim(f"{path}/claim").exists

    @staticmethod
    def n_lines_at(path: ObjectPath) -> int:
        """Number of lines of a journal, which another process may be writing."""
        store = ObjectStore(str(path))
        return len(_content(store, _names_in(store)).splitlines())

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
        """Remove all lines, the first one last: without it, what is left is no journal to anybody."""
        self._stop_timer()
        self._waiting = b""
        names = self._names()
        first = _first(names)
        self._store.remove(names[:first])
        self._store.remove(names[first + 1 :])
        self._store.remove(names[first : first + 1])

    def write(self, lines: bytes) -> None:
        """Add lines: at once if the last ones were written a while ago, otherwise together with the next ones."""
        with self._lock:
            self._waiting += lines
            if time.monotonic() - self._last >= _BATCH_SECONDS:
                self.sync()
            elif self._timer is None:
                self._timer = threading.Timer(_BATCH_SECONDS, self._sync_in_time)
                self._timer.daemon = True
                self._timer.start()

    def sync(self) -> None:
        """Write the lines that wait."""
        with self._lock:
            if self._waiting:
                self._store.put(f"{self._count:08}", [self._waiting])
                self._waiting, self._last, self._count = b"", time.monotonic(), self._count + 1

    def _sync_in_time(self) -> None:
        """Write the lines that wait, as no others have come."""
        with self._lock:
            self._timer = None
            try:
                self.sync()
            except (ObjectStoreError, MissingFileError) as error:  # which whoever writes the next lines is told
                _log.info("%s: lines wait, as they could not be written: %s", self._url, error)

    def _stop_timer(self) -> None:
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            timer.join()

    def close(self) -> None:
        """Merge the objects into one, and let go of the journal."""
        if not self._is_open:
            return
        self._is_open = False
        self._stop_timer()
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
        names = _names_in(self._store)
        self._count = max([self._count, *(int(name[:8]) + 1 for name in names)])
        return names

    def _content(self) -> bytes:
        return _content(self._store, self._names())


def _names_in(store: ObjectStore) -> list[str]:
    """Names of the objects, in the order in which they were written."""
    return sorted(name for name in store.names() if name[:8].isdigit())


def _content(store: ObjectStore, names: list[str]) -> bytes:
    """All lines: those of the last object that holds all before it, and of those after it."""
    return b"".join(store.get(name) or b"" for name in names[_first(names) :])


def _first(names: list[str]) -> int:
    """Place of the object that begins with the first line."""
    return max((number for number, name in enumerate(names) if name.endswith(_WHOLE)), default=0)
