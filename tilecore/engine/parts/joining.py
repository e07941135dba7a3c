"""Joining a run in parts: from the arguments of a call to the plan and the journal of its part."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tilecore.engine.finished_mark import is_finished, mark_of
from tilecore.engine.identity.comparing import what_is_unknown
from tilecore.engine.identity.fingerprint import fingerprint
from tilecore.engine.jobs import TileJob
from tilecore.engine.journal import Journal
from tilecore.engine.journal_file import lines_of
from tilecore.engine.outputs import Outputs
from tilecore.engine.parts.plan import Plan, described
from tilecore.engine.parts.run_folder import RunFolder
from tilecore.engine.parts.run_part import RunPart
from tilecore.engine.request import Request
from tilecore.errors import JournalError, MissingFileError, OutputExistsError, ParameterError
from tilecore.formats.sink import SinkSpec
from tilecore.formats.zarr.variable_sink import VariableSink
from tilecore.geometry.tiles import TileGrid
from tilecore.objects.paths import ObjectPath
from tilecore.objects.urls import is_url

__all__ = ["JoinedPart", "refuse_runs_in_parts"]

_log = logging.getLogger(__name__)

_NO_URL = "a run in parts keeps its plan and journals in files, not in an object store: give a path in a file system"

_REMEDY = "write a .zarr or .ome.zarr, and convert it when the run is finished (tilecore convert)"


class JoinedPart:
    """A part of a run that this process works on.

    Parameters
    ----------
    part : RunPart
    job : TileJob
    request : Request
    outputs : Outputs or None

    Attributes
    ----------
    part : RunPart
        Which one it is.
    plan : Plan or None
        The run's plan; None if this process is to make it.
    run : dict
        Fingerprint of the run.
    journal : Journal or None
        Journal of this process; None before `begin`.
    is_finished : bool
        Whether the run is finished already.

    Raises
    ------
    ParameterError
        If such a run cannot be done in parts, or has nowhere to keep its results.
    JournalError
        If the part is running, or the plan is one of another run.
    """

    def __init__(self, part: RunPart, job: TileJob, request: Request, outputs: Outputs | None) -> None:
        options = request.options
        self.part, self._request, self._sink = part, request, _sink_of(outputs, options.journal)
        dtypes, datasets = ((), ()) if outputs is None else (outputs.asked_dtypes, outputs.datasets)
        run = fingerprint(job, request.inputs, request.grid, options.identity, dtypes, datasets)
        self.run: dict[str, Any] = json.loads(json.dumps(run))
        self._asked = (None,) * request.grid.ndim if part.proposes_tiles else request.asked
        if unknown := what_is_unknown(self.run):
            raise ParameterError.of("shard", f"{part.number}/{part.count}", unknown)
        self._path = path = _path_of(self._sink, options.journal)
        if not path.parent.is_dir():
            raise MissingFileError.of("journal", str(path), "there is no such folder; create it first")
        self.plan: Plan | None = None
        self.journal: Journal | None = None
        self._folder = RunFolder(path)
        self._turn = self._folder.turn_of(part)
        self.is_finished = self._is_done
        try:
            if not self.is_finished:
                self._find_place(outputs)
        except BaseException:
            self.close()
            raise
        if self.is_finished:
            self._leave(outputs)

    @property
    def request(self) -> Request:
        """The request, with the tiles of the plan."""
        return self._request if self.plan is None else self._request.with_tiles(self.plan.grid)

    def numbers(self, n_tiles: int) -> range:
        """Numbers of the tiles of this part."""
        return self.part.numbers(n_tiles)

    def begin(
        self, grid: TileGrid, outputs: Outputs | None, find_dtypes: Callable[[], Sequence[np.dtype[Any]]]
    ) -> TileGrid:
        """Open the output that another part has created, or create it and make the plan; return the tiles of the run.

        Parameters
        ----------
        grid : TileGrid
            The tiles, if this process chooses them.
        outputs : Outputs or None
        find_dtypes : callable
            Returns the data types of the results, where they have not been seen yet.
        """
        if self.plan is None:
            if outputs is not None:
                self._create(grid, outputs, find_dtypes)
            self.plan = self._publish(grid, outputs)
        elif outputs is not None:
            outputs.prepare(resume=True)
        self._folder.let_go()
        self._open_journal(self.plan)
        return self.plan.grid

    def close(self) -> None:
        """Let another process make the plan, if this one has not, or work on the part."""
        if self.journal is not None:
            self.journal.close()
        self._turn.end()
        self._folder.let_go()

    @property
    def _is_done(self) -> bool:
        """Whether the whole run is finished, and what came of it has its name and has not changed since."""
        if not self._path.exists():
            return False
        run = described(self.part, self.run, self._asked)
        if is_finished(self._path, run) or self._folder.is_marked(mark_of(self._path, run)):
            return True
        return self.plan is not None and not self._differences(self.plan) and self._folder.has_named(self._path)

    def _differences(self, plan: Plan) -> str:
        return plan.differences(self.part, self.run, self._asked)

    def _find_place(self, outputs: Outputs | None) -> None:
        """Join the run, or get the turn to make its plan, unless the run is finished, perhaps just now."""
        self.plan = self._folder.plan_or_turn(self._request.options.cancel)
        self.is_finished = self._is_done
        try:
            if self.plan is not None and not self.is_finished:
                self._join(self.plan, outputs)
            elif outputs is not None and not self.is_finished:
                outputs.refuse_existing()
        except (JournalError, OutputExistsError):
            self.is_finished = self._is_done
            if not self.is_finished:
                raise

    def _leave(self, outputs: Outputs | None) -> None:
        """Do nothing, as the run is finished."""
        self.close()
        _log.warning("%s is finished already: %s has nothing to do", self._path, self.part)
        if outputs is not None:
            outputs.share()

    def _join(self, plan: Plan, outputs: Outputs | None) -> None:
        """Take the turn of this part in the run of a plan, unless it is another run, and use its outputs."""
        if details := self._differences(plan):
            raise self._folder.refuse(f"belongs to another run: {details}")
        if outputs is not None:
            outputs.refuse_existing()
        self._take_turn()
        if outputs is None:
            return
        outputs.share()
        if not outputs.adopt(plan.tokens):
            raise self._folder.refuse("belongs to a run whose output, unfinished, somebody has removed")

    def _take_turn(self) -> None:
        """Be the one process that works on this part; first that, and then look whether somebody finishes the run."""
        try:
            self._turn.take()
            finisher = self._folder.finishing.holder()
        except BlockingIOError as error:
            raise JournalError(f"{self.part} is running already: {error.strerror}. Wait for its end") from error
        except FileNotFoundError as error:
            raise self._folder.has_gone from error
        if finisher is not None:
            raise JournalError(
                f"{self._folder.path}: the run is being finished by {finisher}; {self.part} has nothing to do"
            )

    def _create(self, grid: TileGrid, outputs: Outputs, find_dtypes: Callable[[], Sequence[np.dtype[Any]]]) -> None:
        """Create the output, in a place that nobody takes for one that a killed run has left."""
        self._folder.keep(outputs.tokens)
        outputs.prepare(resume=False)
        if outputs.are_made:
            return
        if grid.size:
            outputs.make_for(find_dtypes())
        else:  # there is no result, so that any kind of number will do
            outputs.make_empty(np.dtype(self._request.inputs.arrays[0].dtype))

    def _publish(self, grid: TileGrid, outputs: Outputs | None) -> Plan:
        """Let the other parts know the tiles and the output; return the plan that counts, in which this part is."""
        if self._is_done:  # by others, who took this process for dead
            raise JournalError(f"{self._path} was finished meanwhile by other processes: nothing is left to be done")
        tokens = [] if outputs is None else outputs.tokens
        plan = Plan.of(grid, tokens, self.run, self._asked, self.part, self._sink)
        if outputs is not None:
            outputs.share()  # first, so that whatever happens here nobody loses what the plan names
        counts = self._folder.publish(plan)
        if counts is plan:
            self._take_turn()
            return plan
        if outputs is not None:
            outputs.share(with_others=False)
            outputs.discard()
        self._join(counts, outputs)
        if outputs is not None:
            outputs.prepare(resume=True)
        return counts

    def _open_journal(self, plan: Plan) -> None:
        """Open a journal for this process, which knows what earlier ones have done."""
        earlier = self._folder.journals_of(self.part, plan)
        path, durable = self._folder.new_journal_of(self.part, plan), self._request.options.durable
        self.journal = Journal(path, self.run, durable=durable)
        self.journal.outputs = plan.tokens
        self.journal.begin(plan.grid)
        for each in earlier:
            self.journal.include(lines_of(each))


def _sink_of(outputs: Outputs | None, journal: object) -> SinkSpec | None:
    """The one file that the parts write; None if there is no output."""
    if outputs is None:
        return None
    sinks = outputs.sinks
    if len(sinks) != 1 or len(outputs.tokens) != 1:
        raise ParameterError("shard: the parts of a run write one new file together: give out= the path of a .zarr")
    if journal not in (None, True):
        raise ParameterError.of(
            "journal", journal, f"each part has one of its own in {sinks[0].path}.run; leave it out"
        )
    if isinstance(sinks[0].path, ObjectPath):
        raise ParameterError.of("out", str(sinks[0].path), _NO_URL)
    if not sinks[0].several_hosts or isinstance(sinks[0], VariableSink):  # what finishes a variable knows no labels
        raise ParameterError.of(
            "out", str(sinks[0].path), f"{sinks[0].kind} files are written by one host, not in parts: {_REMEDY}"
        )
    return sinks[0].spec


def _path_of(sink: SinkSpec | None, journal: object) -> Path:
    """What the run's folder is named after."""
    if sink is not None:
        return sink.path
    if not isinstance(journal, (str, Path)):
        raise ParameterError("shard: the parts of a run need a place for their results: give journal= a path")
    if is_url(str(journal)):
        raise ParameterError.of("journal", str(journal), _NO_URL)
    return Path(journal).expanduser().absolute()


def refuse_runs_in_parts(outputs: Outputs) -> None:
    """Refuse to write what a run in parts writes already."""
    for sink in outputs.sinks:
        if isinstance(sink.path, ObjectPath):  # no parts write there
            continue
        if (folder := RunFolder(sink.path)).is_begun:
            raise OutputExistsError(
                f"{sink.path} is being written in parts already: finish that run (tilecore finish), or remove its "
                f"folder {folder.path}"
            )
