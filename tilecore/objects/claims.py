"""Claims: notes in an object store that say which process uses something, as there are no locks."""

from __future__ import annotations

import json
import random
import secrets
import time
from weakref import WeakValueDictionary

from tilecore.objects.requests import tidying
from tilecore.objects.store import ObjectStore
from tilecore.process_identity import has_ended, this_process

__all__ = ["Claim"]

# How often to try again if several processes write notes at once, and the longest pause between [s].
_TRIES, _LONGEST_PAUSE = 5, 0.5


class Claim:
    """A note that one process holds at a time.

    Each process writes a note of a name of its own, and then lists all: it holds the claim if no other note is there of
    a process that may be running. Of two that write at once, the later one at least finds the other's note, and takes
    its own back. So no request is needed that only some stores know; but a list must show what was written before.
    That a process has ended is only known on the machine on which it ran.

    Parameters
    ----------
    url : str
        URL of a folder for the notes alone.

    Attributes
    ----------
    took_over : bool
        Whether it was left by a process that has ended.

    Notes
    -----
    A process holds a claim no longer than its object lives, even if the note could not be removed.
    """

    def __init__(self, url: str) -> None:
        self._store = ObjectStore(url)
        self._mine: str | None = None
        self.took_over = False

    def take(self) -> None:
        """Hold the claim.

        Raises
        ------
        BlockingIOError
            If another process holds it, or may hold it; the message says which one, and what to do.
        """
        self._refuse_others()
        for left in reversed(range(_TRIES)):
            try:
                self._write_note()
                return
            except BlockingIOError:  # it was written at the same time, and may be taken back, too
                if not left:
                    raise
                time.sleep(random.uniform(0, _LONGEST_PAUSE))

    def let_go(self) -> None:
        """Leave the note, but say that nobody holds it."""
        mine, self._mine = self._mine, None
        if mine is not None:
            _held.pop(mine, None)
        if mine in self._names():  # else somebody has removed it
            self._store.put(mine, [b"{}"])

    def remove(self) -> None:
        """Remove the note, and those of processes that have ended."""
        if self._mine is not None:
            _held.pop(self._mine, None)
            self._mine = None
        self._store.remove([name for name in self._names() if self._owner(name) is None])

    @property
    def exists(self) -> bool:
        """Whether there is such a note."""
        return bool(self._names())

    @property
    def is_held(self) -> bool:
        """Whether a process holds it, or may hold it."""
        return any(self._owner(name) is not None for name in self._names())

    @property
    def is_left(self) -> bool:
        """Whether there is such a note, and nobody holds it."""
        names = self._names()
        return bool(names) and not any(self._owner(name) is not None for name in names)

    def _write_note(self) -> None:
        """Write a note, and take it back unless it is the only one of a process that may be running."""
        name = secrets.token_hex(8)
        self._mine = name
        _held[name] = self
        try:
            self._store.put(name, [json.dumps(this_process()).encode()])
            others = self._refuse_others()
            self._store.remove(others)
        except BaseException:
            self._mine = None
            _held.pop(name, None)
            with tidying(self._store.url(name)):
                self._store.remove([name])
            raise
        self.took_over = bool(others)

    def _refuse_others(self) -> list[str]:
        """Names of the other notes, whose processes have ended."""
        others = [name for name in self._names() if name != self._mine]
        for name in others:
            if (owner := self._owner(name)) is not None:
                who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
                note = self._store.url(name)
                raise BlockingIOError(f"in use by {who}: wait for its end; if it has ended, remove {note}")
        return others

    def _names(self) -> list[str]:
        return sorted(self._store.names())

    def _owner(self, name: str) -> dict[str, str] | None:
        """The process that has written a note; None if it has ended, or has let go."""
        owner: dict[str, str] = json.loads(self._store.get(name) or b"{}")
        return owner if owner and _may_hold(owner, name) else None


# The claims that this process holds, by the names of their notes.
_held: WeakValueDictionary[str, Claim] = WeakValueDictionary()


def _may_hold(owner: dict[str, str], name: str) -> bool:
    """Whether the process that has written a note may be running, and hold the claim still."""
    return name in _held if owner == this_process() else has_ended(owner) is not True
