"""Turns: what one process at a time does in the folder of a run in parts, on whichever host."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tilecore.engine.parts.appearing import appear
from tilecore.process_identity import has_ended, this_process

__all__ = ["Turn"]

# How often a process shows that it lives, and after what time without a sign one on another host counts as dead [s].
_RENEWAL, _SILENCE = 5.0, 60.0

# How long to wait between two looks for a sign [s].
_PAUSE = 0.5


class Turn:
    """A file that one process at a time has, and renews as long as it lives.

    File systems differ in whether hosts see each other's locks; that a file is made once is known to all. Turns have
    numbers, as ``<name>.0.turn``: whoever takes over from a process that has ended makes the file of the next number.
    Whether it has ended is known on its own host; elsewhere, by the time for which it has not renewed the file.

    Parameters
    ----------
    folder : Path
        The folder.
    name : str
        What is done.

    Attributes
    ----------
    is_taken : bool
        Whether this process has the turn.

    Notes
    -----
    Process-safety: a process that stood still for a minute may find that another host has taken over. What both do must
    bear that: turns save work, and let people know who works; what counts is what appears in one step.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._file: Path | None = None
        self._ended = threading.Event()

    @property
    def is_taken(self) -> bool:
        """Whether this process has the turn."""
        return self._file is not None

    def take(self) -> None:
        """Take the turn.

        Raises
        ------
        BlockingIOError
            If another process has it; its text tells which one.
        FileNotFoundError
            If there is no such folder.
        """
        content = json.dumps(this_process() | {"token": secrets.token_hex(8)}).encode()
        while True:
            if (holder := self.holder()) is not None:
                raise BlockingIOError(errno.EAGAIN, holder)
            number = max(self._numbers(), default=-1) + 1
            if appear(self._path(number), content):
                break
            time.sleep(_PAUSE)  # another process was faster, though a file server may not list its file yet
        self._file = self._path(number)
        for each in self._numbers():
            if each > number:  # made since by one that has seen the file which this one has seen
                self.end()
                return self.take()
            if each < number:
                self._path(each).unlink(missing_ok=True)
        self._ended = threading.Event()
        threading.Thread(target=_renew, args=(self._file, self._ended), name="tilecore-turn", daemon=True).start()
        return None

    def end(self) -> None:
        """Let others have the turn, if this process has it."""
        self._ended.set()
        if self._file is not None:
            self._file.unlink(missing_ok=True)
            self._file = None

    def holder(self) -> str | None:
        """Who has the turn, in words; None if nobody who lives has it.

        Looks for a minute at most: until a process on another host gives a sign, or counts as dead.
        """
        first: _Sight | None = None
        while (sight := self._sight()) is not None:
            ended = has_ended(sight.process)
            if ended is None and first is not None and (first.number, first.renewed) != (sight.number, sight.renewed):
                ended = False
            if ended is not None:
                return None if ended else sight.told
            if sight.age > _SILENCE:
                return None
            first = first or sight
            time.sleep(_PAUSE)
        return None

    def _sight(self) -> _Sight | None:
        """What can be seen of the process that was the last to take the turn; None if it has ended the turn."""
        numbers = self._numbers()
        try:
            return _Sight.of(self._path(numbers[-1]), numbers[-1]) if numbers else None
        except FileNotFoundError:
            return None

    def _numbers(self) -> list[int]:
        matches = (re.fullmatch(rf"{re.escape(self._name)}\.(\d+)\.turn", name) for name in os.listdir(self._folder))
        return sorted(int(match[1]) for match in matches if match)

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._name}.{number}.turn"


@dataclass(frozen=True)
class _Sight:
    """A look at the file of a turn: who has made it, when it was renewed, and how long ago that was [s]."""

    number: int
    process: Mapping[str, str]
    renewed: float
    age: float

    @classmethod
    def of(cls, path: Path, number: int) -> _Sight:
        """Look at it; how late it is tells the file system's own clock."""
        with path.open("rb") as file:  # a file server tells the latest time to whoever opens a file
            content, renewed = file.read(), os.fstat(file.fileno()).st_mtime
        clock = path.with_name(f"{secrets.token_hex(8)}.temporary")
        try:
            clock.touch()
            os.utime(clock)
            now = clock.stat().st_mtime
        finally:
            clock.unlink(missing_ok=True)
        return cls(number, json.loads(content), renewed, now - renewed)

    @property
    def told(self) -> str:
        """Who it is, in words."""
        return f"process {self.process['pid']} on {self.process['host']} (its last sign is {self.age:.0f} s old)"


def _renew(file: Path, ended: threading.Event) -> None:
    while not ended.wait(_RENEWAL):
        try:
            os.utime(file)
        except FileNotFoundError:  # another process has taken over
            return
        except OSError:  # the file server does not answer just now
            continue
