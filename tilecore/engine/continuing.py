"""Records of runs: what a run writes down, and what it can continue of an earlier run."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilecore.engine.identity.comparing import what_is_unknown
from tilecore.engine.identity.fingerprint import fingerprint
from tilecore.engine.jobs import TileJob
from tilecore.engine.journal import Journal
from tilecore.engine.journal_file import is_journal
from tilecore.engine.outputs import Outputs
from tilecore.engine.request import Request
from tilecore.errors import JournalError, MissingFileError, ParameterError
from tilecore.objects.paths import ObjectPath
from tilecore.objects.places import remove_left
from tilecore.objects.requests import tidying

if TYPE_CHECKING:
    from tilecore.engine.parts.joining import JoinedPart

__all__ = ["Record", "is_beside", "open_record"]


@dataclass(frozen=True)
class Record:
    """Record of a run: its description and its journal.

    Attributes
    ----------
    request : Request
        The request, with the tiles that another part of the run has chosen, if so.
    run : dict or None
        Fingerprint of the run, tile shape included; None if nothing is recorded, or this is a part of the run.
    journal : Journal or None
        Open journal of the run; None if there is none, or none yet.
    is_finished : bool
        Whether all outputs exist already and are complete.
    part : JoinedPart or None
        The part of the run that this process works on; None if it does the whole run.
    checks : bool
        Whether finished tiles have checksums, as they lie in arrays of the caller, who may change them.
    """

    request: Request
    run: dict[str, Any] | None = None
    journal: Journal | None = None
    is_finished: bool = False
    part: JoinedPart | None = None
    checks: bool = False

    def close(self) -> None:
        """End the work of this process on its part of a run."""
        if self.part is not None:
            self.part.close()


def open_record(job: TileJob, request: Request, outputs: Outputs | None) -> Record:
    """Open the journal that the caller asked for, or that belongs to the outputs.

    If the call is refused, nothing of an earlier run is lost.

    Raises
    ------
    ParameterError
        If there is no journal to continue, or the outputs would not outlive this process.
    OutputExistsError
        If an output exists and may not be replaced.
    MissingFileError
        If the journal's folder does not exist.
    JournalError
        If the file is not a journal, or is in use.
    """
    options = request.options
    if options.part is not None:
        from tilecore.engine.parts.joining import JoinedPart

        joined = JoinedPart(options.part, job, request, outputs)
        return Record(joined.request, None, None, joined.is_finished, joined)
    if outputs is not None and outputs.sinks:
        from tilecore.engine.parts.joining import refuse_runs_in_parts

        refuse_runs_in_parts(outputs)
    path = _journal_path(request, outputs)
    if outputs is not None and not options.resume:
        outputs.refuse_existing()
    if path is None:
        _remove_stale(outputs, None)
        return Record(request)
    if not (isinstance(path, ObjectPath) or path.parent.is_dir()):
        raise MissingFileError.of("journal", str(path), "there is no such folder; create it first")
    dtypes, datasets = ((), ()) if outputs is None else (outputs.asked_dtypes, outputs.datasets)
    run = fingerprint(job, request.inputs, request.grid, options.identity, dtypes, datasets)
    whole = run | {"tile_shape": list(request.asked)}
    if options.resume and outputs is not None and not what_is_unknown(run) and outputs.are_finished(whole):
        _tidy_up(outputs, run)
        return Record(request, whole, None, is_finished=True)
    if outputs is not None:
        outputs.refuse_existing()
    journal = Journal(path, run, resume=options.resume, durable=options.durable)
    try:
        _agree(journal, outputs)
    except BaseException:
        journal.close()
        raise
    _remove_stale(outputs, path)
    return Record(request, whole, journal, checks=outputs is not None and bool(outputs.given))


def _journal_path(request: Request, outputs: Outputs | None) -> Path | None:
    """Path of the journal; None if the run has none."""
    options = request.options
    path = options.journal_path(None if outputs is None else outputs.journal_path)
    if path is None and options.resume:
        what = "journal= a path" if outputs is None else "out= a path, or journal= one"
        raise ParameterError(f"resume=True: there is no journal to continue; set {what}")
    if path is None or outputs is None or outputs.persist:
        return path
    if not options.asks_for_journal:  # default path beside a file that is one output of several
        return None
    raise ParameterError.of(
        "journal", str(path), "needs outputs on disk that are not sources, as finished tiles must still exist later"
    )


def _remove_stale(outputs: Outputs | None, path: Path | None) -> None:
    """Remove the old journal of an output that this run writes from the start, or continues by another journal."""
    beside = None if outputs is None else outputs.journal_path
    if beside is not None and not _are_same(beside, path) and is_journal(beside):
        Journal(beside, {}).remove()


def _tidy_up(outputs: Outputs, run: dict[str, Any]) -> None:
    """Remove what this run has left in an object store, if it was killed after it had completed its outputs."""
    beside = outputs.journal_path
    if not (isinstance(beside, ObjectPath) and is_journal(beside)):
        return
    with tidying(str(beside)), contextlib.suppress(JournalError):  # that run is just ending
        journal = Journal(beside, run, resume=True)
        try:
            if not journal.is_of_this_run:
                return
            for sink in outputs.sinks:
                if isinstance(sink.path, ObjectPath):
                    remove_left(sink.path)
            journal.remove()
        finally:
            journal.close()


def _agree(journal: Journal, outputs: Outputs | None) -> None:
    """Make the journal and the outputs refer to each other."""
    if outputs is None:
        return
    # Without finished tiles there is nothing to continue: an output may be half created when its run dies.
    if journal.continues and not (journal.has_tiles and outputs.adopt(journal.outputs)):
        journal.restart()
    journal.outputs = outputs.tokens


def is_beside(journal: Journal, outputs: Outputs) -> bool:
    """Whether the journal has its default path beside the output, with which it is removed."""
    return _are_same(journal.path, outputs.journal_path)


def _are_same(path: Path | None, other: Path | None) -> bool:
    """Whether two paths lead to the same file, however they are written."""
    return path is not None and other is not None and os.path.realpath(path) == os.path.realpath(other)
