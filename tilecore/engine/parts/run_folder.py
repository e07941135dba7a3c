"""Folder of a run in parts: its plan, which is made once, and a journal for each part."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from tilecore.engine.cancelling import POLL_SECONDS, Cancel, check_cancel
from tilecore.engine.parts.plan import SIGNATURE, Plan
from tilecore.engine.parts.run_part import RunPart
from tilecore.errors import JournalError, UnwritableFileError
from tilecore.locked_file import LockedFile
from tilecore.output_file import Place
from tilecore.renaming import is_noted, note_identity, rename_unless_there

__all__ = ["RunFolder"]

_log = logging.getLogger(__name__)

_PLAN, _LOCK = "plan", "lock"

# Looks at a lock before somebody is told what is waited for, and the longest time between two of them [s].
_MANY_LOOKS, _LONGEST_PAUSE = 15, 2.0


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

    Notes
    -----
    Process-safety: processes of any hosts use it at once. The plan appears in it as a whole. One process at a time
    holds its lock: to make the plan, to begin a part, or to finish the run. On file systems without locks several may
    make a plan; the first that is there counts.
    """

    def __init__(self, path: Path) -> None:
        self.path = Place.run_folder(path)
        self._lock: LockedFile | None = None

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
        with contextlib.suppress(OSError), (self.path / _PLAN).open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
        return False

    def journal_of(self, part: RunPart) -> Path:
        """Path of the journal of a part."""
        return self.path / f"part-{part.number:04}-of-{part.count:04}.journal"

    def plan_or_turn(self, cancel: Cancel | None) -> Plan | None:
        """Return the plan; None if this process is to make it, for which it now holds the lock.

        Waits while another process makes it. If that one dies, it is the turn of another.
        """
        n_looks = 0
        while (plan := self.plan) is None:
            check_cancel(cancel)
            self._make()
            try:
                self.lock()
            except FileNotFoundError:  # whoever could not make a plan has removed the folder
                continue
            except BlockingIOError:
                n_looks += 1
                if n_looks == _MANY_LOOKS:
                    _log.warning("%s: another process makes the plan of this run; waiting for it", self.path)
                time.sleep(min(n_looks * POLL_SECONDS, _LONGEST_PAUSE))
                continue
            if (plan := self.plan) is None:
                self._remove_remains()
                return None
            self.unlock()
        return plan

    def lock(self, patience: float = 0) -> None:
        """Take the lock; BlockingIOError if another process holds it, FileNotFoundError if there is no folder."""
        self._lock = LockedFile(self.path / _LOCK, patience=patience)

    def unlock(self) -> None:
        """Release the lock, if this process holds it. A folder that has no plan is removed."""
        if self._lock is None:
            return
        if not (self.path / _PLAN).exists():
            self._remove_remains()
            with contextlib.suppress(OSError):
                (self.path / _LOCK).unlink()
                self.path.rmdir()
        self._lock.close()
        self._lock = None

    def publish(self, plan: Plan) -> Plan:
        """Give the plan its name; return the one that counts, which may be another process's."""
        temporary, final = self.path / f"{secrets.token_hex(8)}.temporary", self.path / _PLAN
        with temporary.open("xb") as file:
            file.write(plan.line())
            file.flush()
            os.fsync(file.fileno())
        try:
            if not rename_unless_there(temporary, final):
                os.link(temporary, final)
        except FileExistsError:
            counts = self.plan
            assert counts is not None
            return counts
        finally:
            temporary.unlink(missing_ok=True)
        self.keep(plan.tokens)
        return plan

    def keep(self, tokens: Sequence[str | None]) -> None:
        """Mark the places in which outputs are written as those of this run: nobody removes them then."""
        for token in filter(None, tokens):
            (self.path / token).touch()

    def note_output(self, data: Path) -> None:
        """Note which file or folder is the output, before it gets its name."""
        note_identity(data, self.path)

    def has_named(self, path: Path) -> bool:
        """Whether what has the output's name is that output."""
        return is_noted(path, self.path)

    def remove(self) -> None:
        """Remove the folder when the run is finished; the plan first, so that nobody continues what is left of it."""
        (self.path / _PLAN).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def _to_start_over(self) -> str:
        return f"remove {self.path} to start over"

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

    def _remove_remains(self) -> None:
        """Remove what a process has left that died before its plan was there; without locks it may be alive."""
        if self._lock is not None and self._lock.excludes:
            for each in self.path.iterdir():
                if each.name != _LOCK:
                    each.unlink(missing_ok=True)
