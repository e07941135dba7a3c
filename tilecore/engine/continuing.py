"""What is written down of a run, and what is there of an earlier one to go on with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilecore.engine.identity.comparing import what_is_unknown
from tilecore.engine.identity.fingerprint import fingerprint
from tilecore.engine.jobs import TileJob
from tilecore.engine.journal import Journal
from tilecore.engine.journal_file import is_journal
from tilecore.engine.outputs import Outputs
from tilecore.engine.request import Request
from tilecore.errors import MissingFileError, ParameterError

__all__ = ["Record", "is_beside", "open_record"]


@dataclass(frozen=True)
class Record:
    """What is written down of a run.

    Attributes
    ----------
    run : dict or None
        What makes it the same run, tile shape included; None if nothing is written down.
    journal : Journal or None
    is_finished : bool
        Whether the outputs that were asked for are there already, complete.
    """

    run: dict[str, Any] | None = None
    journal: Journal | None = None
    is_finished: bool = False


def open_record(job: TileJob, request: Request, outputs: Outputs | None) -> Record:
    """Open the journal that was asked for, or that belongs to the outputs.

    Nothing of an earlier run is lost where the call is refused.

    Raises
    ------
    ParameterError
        If there is nothing to continue, or outputs would be gone with this process.
    OutputExistsError
        If an output exists and is not to be replaced.
    MissingFileError
        If the journal's folder is not there.
    JournalError
        If the file is no journal, or in use.
    """
    options = request.options
    path = _journal_path(request, outputs)
    if outputs is not None and not options.resume:
        outputs.refuse_existing()
    if path is None:
        _remove_stale(outputs, None)
        return Record()
    if not path.parent.is_dir():
        raise MissingFileError.of("journal", str(path), "there is no such folder; make it first")
    dtypes = () if outputs is None else outputs.asked_dtypes
    run = fingerprint(job, request.inputs, request.grid, options.identity, dtypes)
    whole = run | {"tile_shape": None if request.planned else list(request.grid.tile_shape)}
    if options.resume and outputs is not None and not what_is_unknown(run) and outputs.are_finished(whole):
        return Record(whole, None, is_finished=True)
    if outputs is not None:
        outputs.refuse_existing()
    journal = Journal(path, run, resume=options.resume, durable=options.durable)
    try:
        _agree(journal, outputs)
    except BaseException:
        journal.close()
        raise
    _remove_stale(outputs, path)
    return Record(whole, journal)


def _journal_path(request: Request, outputs: Outputs | None) -> Path | None:
    """Where the journal is to be; None if there is to be none."""
    options = request.options
    path = options.journal_path(None if outputs is None else outputs.journal_path)
    if path is None and options.resume:
        what = "journal= a path" if outputs is None else "out= a path, or journal= one"
        raise ParameterError(f"resume=True: there is no journal to continue; give {what}")
    if path is None or outputs is None or outputs.persist:
        return path
    if not options.asks_for_journal:  # nobody did: beside a file that is one output of several
        return None
    raise ParameterError.of(
        "journal", str(path), "needs outputs on disk that are no sources: what is done must be there later"
    )


def _remove_stale(outputs: Outputs | None, path: Path | None) -> None:
    """Remove a journal of an output that this run makes anew, or continues by another journal."""
    beside = None if outputs is None else outputs.journal_path
    if beside is not None and not _are_same(beside, path) and is_journal(beside):
        Journal(beside, {}).remove()


def _agree(journal: Journal, outputs: Outputs | None) -> None:
    """Have journal and outputs speak of each other."""
    if outputs is None:
        return
    # Where no tile is done there is nothing to continue: an output may have been half made when its run died.
    if journal.continues and not (journal.has_tiles and outputs.adopt(journal.outputs)):
        journal.restart()
    journal.outputs = outputs.tokens


def is_beside(journal: Journal, outputs: Outputs) -> bool:
    """Whether a journal lies where nobody asked for it: beside the output, with which it goes."""
    return _are_same(journal.path, outputs.journal_path)


def _are_same(path: Path | None, other: Path | None) -> bool:
    """Whether two paths, however they are written, lead to one file."""
    return path is not None and other is not None and os.path.realpath(path) == os.path.realpath(other)
