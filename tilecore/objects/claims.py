"""Claims: notes in an object store that say which process uses something, as there are no locks."""

from __future__ import annotations

import json
import secrets
from typing import Any

from tilecore.objects.store import ObjectStore
from tilecore.process_identity import has_ended, this_process

__all__ = ["Claim"]


class Claim:
    """A note that one process holds at a time.

    Notes have numbers, as ``<url>/0``: a process takes over from one that has ended by writing the next number, which
    one process alone can do. That a process has ended is only known on the machine on which it ran.

    Parameters
    ----------
    url : str
        URL of a folder for the notes alone.

    Attributes
    ----------
    took_over : bool
        Whether it was left by a process that has ended.
    """

    def __init__(self, url: str) -> None:
        self._store = ObjectStore(url)
        self.took_over = False

    def take(self) -> None:
        """Hold the claim.

        Raises
        ------
        BlockingIOError
            If another process holds it, or may hold it; the message says which one, and what to do.
        """
        last = self._last()
        if last is not None and (owner := self._owner(last)) is not None and has_ended(owner) is not True:
            raise BlockingIOError(self._in_use(owner, last))
        number = 0 if last is None else last + 1
        mine = json.dumps(this_process() | {"token": secrets.token_hex(8)}).encode()
        if not self._store.create(str(number), mine):
            raise BlockingIOError(self._in_use(self._owner(number) or {}, number))
        self.took_over = last is not None
        if last is not None:
            self._store.remove([str(each) for each in self._numbers() if each < number])

    def let_go(self) -> None:
        """Leave the note, but say that nobody holds it."""
        last = self._last()
        if last is not None:
            self._store.put(str(last), [b"{}"])

    def remove(self) -> None:
        """Remove the note."""
        self._store.remove([str(number) for number in self._numbers()])

    @property
    def exists(self) -> bool:
        """Whether there is such a note."""
        return self._last() is not None

    @property
    def is_held(self) -> bool:
        """Whether a process holds it, or may hold it."""
        last = self._last()
        return last is not None and (owner := self._owner(last)) is not None and has_ended(owner) is not True

    @property
    def is_left(self) -> bool:
        """Whether there is such a note, and nobody holds it."""
        return self.exists and not self.is_held

    def _numbers(self) -> list[int]:
        return sorted(int(name) for name in self._store.names() if name.isdigit())

    def _last(self) -> int | None:
        return max(self._numbers(), default=None)

    def _owner(self, number: int) -> dict[str, Any] | None:
        """The process that holds a claim; None if nobody does."""
        content = self._store.get(str(number))
        owner: dict[str, Any] = json.loads(content or b"{}")
        return owner or None

    def _in_use(self, owner: dict[str, Any], number: int) -> str:
        who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
        note = self._store.url(str(number))
        return f"in use by {who}: wait for its end; if it has ended, remove {note}"
