"""Joining a run in parts: from the arguments of a call to the plan and the journal of its part."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tilecore.engine.identity.comparing import what_is_unknown
from tilecore.engine.identity.fingerprint import fingerprint
from tilecore.engine.jobs import TileJob
from tilecore.engine.journal import Journal
from tilecore.engine.outputs import Outputs
from tilecore.engine.parts.plan import Plan
from tilecore.engine.parts.run_folder import RunFolder
from tilecore.engine.parts.run_part import RunPart
from tilecore.engine.request import Request
from tilecore.errors import JournalError, MissingFileError, OutputExistsError, ParameterError, UnwritableFileError
from tilecore.formats.sink import SinkSpec
from tilecore.formats.zarr.variable_sink import VariableSink
from tilecore.geometry.tiles import TileGrid
from tilecore.objects.paths import ObjectPath

__all__ = ["JoinedPart", "refuse_runs_in_parts"]

# How long a part waits while others begin, each for a few milliseconds [s].
_PATIENCE = 20.0

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
        Journal of the part; None if the run is finished.
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
        self.plan: Plan | None = None
        self.journal: Journal | None = None
        self.is_finished = outputs is not None and outputs.are_finished(self.run | {"tile_shape": list(self._asked)})
        if outputs is not None and self.is_finished:
            outputs.share()
            return
        path = _path_of(self._sink, options.journal)
        if not path.parent.is_dir():
            raise MissingFileError.of("journal", str(path), "there is no such folder; create it first")
        self._folder = RunFolder(path)
        self.plan = self._folder.plan_or_turn(options.cancel)
        try:
            if outputs is not None:
                outputs.refuse_existing()
            if self.plan is not None:
                self._agree(self.plan, outputs)
            self.journal = self._opened(options.durable)
        except BaseException:
            self.close()
            raise
        if outputs is not None:
            self.journal.outputs = outputs.tokens

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
        if outputs is not None and self.journal is not None:
            self.journal.outputs = outputs.tokens
        self._folder.unlock()
        return self.plan.grid

    def close(self) -> None:
        """Let another process make the plan, if this one has not."""
        if not self.is_finished:
            self._folder.unlock()

    def _agree(self, plan: Plan, outputs: Outputs | None) -> None:
        """Refuse the plan of another run; use its outputs."""
        if details := plan.differences(self.part, self.run, self._asked):
            raise self._folder.refuse(f"belongs to another run: {details}")
        if outputs is None:
            return
        self._folder.keep(plan.tokens)
        outputs.share()
        if not outputs.adopt(plan.tokens):
            raise self._folder.refuse("belongs to a run whose output, unfinished, somebody has removed")

    def _create(self, grid: TileGrid, outputs: Outputs, find_dtypes: Callable[[], Sequence[np.dtype[Any]]]) -> None:
        """Create the output, unless another process has been faster, on a file system without locks."""
        try:
            outputs.prepare(resume=False)
            if outputs.are_made:
                return
            if grid.size:
                outputs.make_for(find_dtypes())
            else:  # there is no result, so that any kind of number will do
                outputs.make_empty(np.dtype(self._request.inputs.arrays[0].dtype))
        except UnwritableFileError:
            if self._folder.plan is None:
                raise

    def _publish(self, grid: TileGrid, outputs: Outputs | None) -> Plan:
        """Let the other parts know the tiles and the output; return the plan that counts."""
        tokens = [] if outputs is None else outputs.tokens
        plan = Plan.of(grid, tokens, self.run, self._asked, self.part, self._sink)
        if outputs is not None:
            outputs.share()  # first, so that whatever happens here nobody loses what the plan names
        counts = self._folder.publish(plan)
        if outputs is not None and counts is not plan:
            outputs.share(with_others=False)
            outputs.discard()
            self._agree(counts, outputs)
            outputs.prepare(resume=True)
        return counts

    def _opened(self, durable: bool) -> Journal:
        """The part's journal, opened while nobody finishes the run."""
        path = self._folder.journal_of(self.part)
        try:
            if self.plan is not None:
                self._folder.lock(_PATIENCE)
            return Journal(path, self.run, resume=True, durable=durable)
        except BlockingIOError as error:
            raise JournalError(
                f"{self._folder.path}: the run is being finished; {self.part} has nothing to do"
            ) from error
        except FileNotFoundError as error:
            raise JournalError(f"{self._folder.path} has just been removed, as the run is finished") from error
        except JournalError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            raise JournalError(f"{self.part} is running already: {path} is in use; wait for its end") from error
        finally:
            if self.plan is not None:
                self._folder.unlock()


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
        raise ParameterError.of("out", str(sinks[0].path), "parts keep their plan beside it: write to a file system")
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
