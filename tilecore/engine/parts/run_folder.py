"""Folder of a run in parts: its plan, which is made once, and a journal for each process that works on a part."""

from __future__ import annotations

import errno
import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path

from tilecore.engine.cancelling import POLL_SECONDS, Cancel, check_cancel
from tilecore.engine.parts.appearing import appear
from tilecore.engine.parts.plan import SIGNATURE, Plan
from tilecore.engine.parts.run_part import RunPart
from tilecore.engine.parts.turns import Turn
from tilecore.errors import JournalError, UnwritableFileError
from tilecore.output_file import Place, new_token
from tilecore.renaming import is_noted, note_identity

__all__ = ["RunFolder"]

_log = logging.getLogger(__name__)

_PLAN, _FINISHED = "plan", "finished"

# Looks for the plan before somebody is told what is waited for, and the longest time between two of them [s].
_MANY_LOOKS, _LONGEST_PAUSE = 15, 2.0

# How long to wait for the plan of another process, which lives, before making one here, too [s].
_LONGEST_WAIT = 3600.0

# Why a folder cannot be removed: a process has put something into it, or has a file open that was removed (NFS).
_IN_USE = (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY)


class RunFolder:
    """The folder ``<name>.run`` beside an output, or beside the name of a run that has no output file.

    Parameters
    ----------
    path : Path
        The output, or the name.

    Attributes
    ----------
    path : Path
        The folder.
    making, finishing : Turn
        Of the process that makes the plan, and of the one that finishes the run.

    Notes
    -----
    Process-safety: processes of any hosts use it at once, and need no locks. The plan appears in it as a whole, and the
    first that is there counts. A journal has one writer. Nobody removes what another process has made, until the run is
    finished.
    """

    def __init__(self, path: Path) -> None:
        self.path = Place.run_folder(path)
        self.making, self.finishing = Turn(self.path, "plan"), Turn(self.path, "finish")
        self._kept: list[Path] = []

    @property
    def plan(self) -> Plan | None:
        """The plan; None if it has not been made yet.

        Raises
        ------
        JournalError
            If it is damaged, or of another version of tilecore.
        """
        path = self.path / _PLAN
        try:
            plan = Plan.read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if plan is None:
            raise JournalError(f"{path} is damaged, or of another version of tilecore: {self._to_start_over}")
        return plan

    @property
    def is_begun(self) -> bool:
        """Whether the folder is that of a run in parts, whose plan has been made."""
        try:
            with (self.path / _PLAN).open("rb") as file:
                return file.read(len(SIGNATURE)) == SIGNATURE
        except OSError:
            return False

    def plan_or_turn(self, cancel: Cancel | None) -> Plan | None:
        """Return the plan; None if this process is to make it.

        Waits while another process makes it and lives, an hour at most: one that is made in vain does no harm.
        """
        n_looks, until = 0, time.monotonic() + _LONGEST_WAIT
        while (plan := self.plan) is None:
            check_cancel(cancel)
            self._make()
            try:
                self.making.take()
            except FileNotFoundError:  # whoever could not make a plan has removed the folder
                continue
            except BlockingIOError as maker:
                n_looks += 1
                if n_looks == _MANY_LOOKS:
                    _log.warning("%s: waiting for the plan of this run, which %s makes", self.path, maker.strerror)
                if time.monotonic() > until:
                    _log.warning("%s: %s has made no plan in an hour; making one", self.path, maker.strerror)
                    return None
                time.sleep(min(n_looks * POLL_SECONDS, _LONGEST_PAUSE))
                continue
            if (plan := self.plan) is None:
                return None
            self.let_go()
        return plan

    def keep(self, tokens: Sequence[str | None]) -> None:
        """Mark the places in which outputs will be written as those of this run: nobody removes them then.

        Raises
        ------
        JournalError
            If somebody has removed the folder.
        """
        self._kept = [self.path / token for token in tokens if token is not None]
        try:
            for mark in self._kept:
                mark.touch()
        except FileNotFoundError as error:
            raise self.has_gone from error

    def publish(self, plan: Plan) -> Plan:
        """Give the plan its name; return the one that counts, which may be another process's.

        Raises
        ------
        JournalError
            If somebody has removed the folder, or the plan that counts.
        """
        try:
            if appear(self.path / _PLAN, plan.line()):
                self._kept = []
                return plan
        except FileNotFoundError as error:
            raise self.has_gone from error
        counts = self.plan
        if counts is None:
            raise self.has_gone
        return counts

    def let_go(self) -> None:
        """Let another process make the plan, if this one has not; then its marks are removed, and an empty folder."""
        while self._kept:
            self._kept.pop().unlink(missing_ok=True)
        if self.making.is_taken:
            self.making.end()
            if not self.is_begun:
                self._remove_if_empty()

    def turn_of(self, part: RunPart) -> Turn:
        """The turn of the process that works on a part."""
        return Turn(self.path, _name_of(part))

    def at_work(self, plan: Plan) -> list[tuple[RunPart, str]]:
        """The parts that are worked on, and by whom."""
        numbers = {match[1] for each in self.path.iterdir() if (match := re.match(r"part-(\d+)-.*\.turn$", each.name))}
        parts = [plan.part.numbered(number) for number in sorted(map(int, numbers))]
        return [(part, who) for part in parts if (who := self.turn_of(part).holder()) is not None]

    def journals_of(self, part: RunPart, plan: Plan) -> list[Path]:
        """Journals of the processes that have worked on a part of the run."""
        return sorted(self.path.glob(f"{_name_of(part)}.{plan.token}.*.journal"))

    def new_journal_of(self, part: RunPart, plan: Plan) -> Path:
        """Path of a journal for this process alone."""
        return self.path / f"{_name_of(part)}.{plan.token}.{new_token()}.journal"

    def note_output(self, data: Path) -> None:
        """Note which file or folder is the output, before it gets its name."""
        note_identity(data, self.path)

    def has_named(self, path: Path) -> bool:
        """Whether what has the output's name is that output."""
        return is_noted(path, self.path)

    def mark_finished(self, mark: bytes) -> None:
        """Keep the mark of the finished run, where its output cannot carry it."""
        (self.path / _FINISHED).write_bytes(mark)

    def is_marked(self, mark: bytes) -> bool:
        """Whether this is the mark of the run that was finished here."""
        try:
            return (self.path / _FINISHED).read_bytes() == mark
        except OSError:
            return False

    def rivals(self, plan: Plan) -> list[str]:
        """Tokens of places that were made for a plan that does not count, by a process that has died since."""
        names = (each.name for each in self.path.iterdir())
        return [name for name in names if re.fullmatch("[0-9a-f]{16}", name) and name not in plan.tokens]

    def remove(self) -> None:
        """Remove the folder when the run is finished, except for the mark that its output cannot carry.

        The plan is the first to go, so that nobody continues what is left.
        """
        (self.path / _PLAN).unlink(missing_ok=True)
        for each in self.path.iterdir():
            if each.name != _FINISHED and not each.is_dir():
                _remove(each)
        self.finishing.end()
        if not (self.path / _FINISHED).exists():
            self._remove_if_empty()
            if self.path.exists():
                _log.warning("%s is of no use any more, but something in it is in use: remove it later", self.path)

    @property
    def _to_start_over(self) -> str:
        return f"remove {self.path} to start over"

    @property
    def has_gone(self) -> JournalError:
        """The error that the folder was removed while this process was about to work in it."""
        return JournalError(f"{self.path} has just been removed: the run was finished, or given up")

    def refuse(self, why: str) -> JournalError:
        """The error that a run cannot go on in this folder."""
        return JournalError(f"{self.path} {why}: {self._to_start_over}")

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UnwritableFileError(
                error.errno, f"{self.path}, the folder of the run in parts, cannot be created: {error.strerror}"
            ) from error

    def _remove_if_empty(self) -> None:
        try:
            self.path.rmdir()
        except OSError as error:
            if error.errno not in (*_IN_USE, errno.ENOENT):
                raise


def _name_of(part: RunPart) -> str:
    return f"part-{part.number:04}-of-{part.count:04}"


def _remove(file: Path) -> None:
    """Remove a file; what NFS keeps in its place as long as a process has it open is left."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in _IN_USE:
            raise
