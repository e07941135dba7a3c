"""A run: one call of a verb, as phases that are called one after the other."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from tilecore.engine.cancelling import check_cancel
from tilecore.engine.casting import CastError
from tilecore.engine.continuing import is_beside, open_record
from tilecore.engine.due import Due
from tilecore.engine.events import announcer
from tilecore.engine.jobs import TileJob, Written, checksums_of, fit
from tilecore.engine.journal import Journal
from tilecore.engine.output_locks import locked
from tilecore.engine.outputs import Outputs
from tilecore.engine.progress import choose_progress
from tilecore.engine.request import Request
from tilecore.engine.run_planning import RunPlanning
from tilecore.engine.setup import Setup
from tilecore.engine.supply.supply import Supply
from tilecore.engine.task_loop import TaskLoop
from tilecore.engine.tasks import Result, Tasks
from tilecore.engine.tile_tasks import TileTask, cut_in_two, looking_ahead
from tilecore.errors import OutputExistsError, SourceChangedError, TileError, TileFailure
from tilecore.executors.attempts import describe
from tilecore.executors.base import Crew
from tilecore.formats.pyramids import Level, make_here
from tilecore.geometry.sharing import Sharing
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = ["Run"]


class Run:
    """One call of a verb.

    Its phases are `plan`, `begin`, `work` and `finish`, in this order, inside a ``with``
    block. However it ends, it leaves no worker, no open journal and no useless file.

    Parameters
    ----------
    job : TileJob
    request : Request
    outputs : Outputs, optional
        Outputs for the results; default: results go to the caller.
    whole_axes : sequence of int
        Axes that tiles must span.
    may_start : callable, optional
        Tells whether a task may start, or must wait for another to end.

    Attributes
    ----------
    grid : TileGrid
        The tiles; final after `plan`.

    Raises
    ------
    ParameterError, JournalError
        If the journal cannot be opened.
    """

    def __init__(
        self,
        job: TileJob,
        request: Request,
        *,
        outputs: Outputs | None = None,
        whole_axes: Sequence[int] = (),
        may_start: Callable[[TileTask], bool] | None = None,
    ) -> None:
        self._record = open_record(job, request, outputs)
        self._request, self._outputs, self._whole_axes = self._record.request, outputs, tuple(whole_axes)
        self._executor = request.options.create_executor()
        self._job = replace(job, shares_memory=self._executor.reach == "same")
        self._open, self._locks = contextlib.ExitStack(), contextlib.ExitStack()
        self._crew: Crew | None = None
        self._supply = Supply(request.inputs, self._job, self._executor, may_start)
        self._sharing: Sharing | None = None
        self._stamps: list[Any] = []
        self._planning = RunPlanning(self._request, self._supply, self._executor, self._whole_axes)
        self._journal, self._part = self._record.journal, self._record.part
        self._locks.callback(self._record.close)
        self._setup = Setup(self._request.grid, request.inputs.arrays, checks=self._record.checks)

    @property
    def grid(self) -> TileGrid:
        """Tiles of the run."""
        return self._setup.grid

    def plan(self) -> TileGrid:
        """Decide on the tiles: from the journal, as requested, or by a pilot on small blocks."""
        request = self._request
        check_cancel(request.options.cancel)
        if self._outputs is not None:
            self._locks.enter_context(locked(self._outputs.given))
        self._stamps = request.inputs.stamps()
        if self.is_finished:
            return self.grid
        if self._journal is not None and self._journal.continues:
            self._know(grid=self._journal.begin(self.grid, request.asked))
        elif request.planned and self.grid.size:
            self._know(grid=self._planning.tiles(self._units, self._start))
        return self.grid

    def begin(self) -> None:
        """Create or open the outputs whose dtypes are known, and write the run's description into the journal."""
        journal, outputs = self._journal, self._outputs
        continues = journal is not None and journal.continues
        if self._part is not None:
            found_dtypes = functools.partial(self._planning.found_dtypes, self._units, self._start)
            self._know(grid=self._part.begin(self.grid, outputs, found_dtypes))
            self._journal = self._part.journal
        elif outputs is not None:
            outputs.prepare(resume=continues)
            self._learn(self._planning.dtypes)
        if outputs is not None:
            self._know(**outputs.for_workers(self._executor.reach))
        if journal is not None and not continues:
            journal.begin(self.grid)
        elif journal is not None and outputs is not None and self._setup.checks:
            journal.keep_only(lambda number, checksums: outputs.holds(self.grid[number], checksums))

    def work(self) -> Iterator[tuple[TileTask, Any]]:
        """Run all tiles; yield each task with the return value of its job, in the order in which they finish.

        Raises
        ------
        TileError
            If tiles failed.
        RunCancelledError
            If the run was cancelled.
        WorkerError
            If workers cannot be started, or die too often.
        """
        journal = self._journal
        if journal is not None:
            yield from ((TileTask(number), value) for number, value in sorted(journal.values.items()))
        if not self._due.n_left:
            return
        check_cancel(self._request.options.cancel)
        self._share()
        self._planning.limit(self._start(), self.grid, self._units)
        for result in self._loop().results():
            checksums = None if self._outputs is None else self._write(self._outputs, result.task, result.value)
            yield result.task, result.value
            # The caller asks for the next result after it has used this one, so its tile is finished only now.
            if journal is not None and result.finished:
                self._write_down(journal, result, checksums)

    def finish(self, make_level: Callable[[Level], object] = make_here) -> object:
        """Make the levels of pyramids and give the outputs their names; return what the caller gets.

        Raises
        ------
        SourceChangedError
            If a source was changed during the run.
        """
        self._end_workers()
        written = [] if self._outputs is None else self._outputs.spaces
        try:
            self._request.inputs.check_unchanged(self._stamps, written)
        except SourceChangedError:  # no later run can continue this one
            self._discard()
            raise
        if self._journal is not None:
            self._journal.release()
        if self._outputs is None:
            return None
        is_known = self._journal is not None and not self._journal.is_unknown
        result = self._outputs.commit(make_level, self._record.run if is_known else None)
        if self._journal is not None and is_beside(self._journal, self._outputs):
            self._journal.remove()
        return result

    @property
    def is_finished(self) -> bool:
        """Whether an earlier run has completed all outputs."""
        return self._record.is_finished

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with contextlib.ExitStack() as last:  # each callback runs even if another one fails
            last.callback(self._locks.close)
            last.callback(self._let_go, error)
            self._end_workers()

    def _let_go(self, error: BaseException | None) -> None:
        """Close the journal, and remove outputs that no later run can continue."""
        journal, outputs = self._journal, self._outputs
        is_useless = journal is None or journal.is_useless
        if error is not None and is_useless and not isinstance(error, OutputExistsError):
            self._discard()
        elif error is not None and outputs is not None:  # the error tells where the results are
            outputs.release()
        if journal is not None:
            journal.close()

    def _discard(self) -> None:
        """Remove the outputs and the journal."""
        if self._outputs is not None:
            self._outputs.discard()
        if self._journal is not None:
            self._journal.remove()

    def _learn(self, dtypes: Sequence[np.dtype[Any]]) -> None:
        """Create the outputs once the dtypes of results are known, and tell the workers."""
        if self._outputs is not None and not self._outputs.are_made and dtypes:
            self._outputs.make_for(dtypes)
            self._know(**self._outputs.for_workers(self._executor.reach))

    def _know(self, **facts: Any) -> None:
        """Replace parts of the run's shared value, also in the workers."""
        self._setup = replace(self._setup, **facts)
        if self._crew is not None:
            self._crew.tell(self._setup)

    def _start(self) -> Crew:
        """Return the workers of the run; they are started at the first call."""
        if self._crew is None:
            self._setup = replace(self._setup, sources=self._supply.sources(self.grid))
            self._crew = self._open.enter_context(self._executor.start(self._job, self._setup))
        return self._crew

    def _share(self) -> None:
        """Let tiles share the units of the sources that several of them read, in the order that suits this best."""
        self._sharing = sharing = self._planning.sharing(self.grid, self._units, self._start)
        if sharing is None:
            return
        self._start()
        retries = self._request.options.retries
        self._know(sources=self._supply.share(sharing, retries, self._due.leaves_out, self._setup.sources))

    @property
    def _due(self) -> Due:
        """The tiles to work on."""
        size = self.grid.size
        return Due(size, range(size) if self._part is None else self._part.numbers(size), self._journal)

    @property
    def _units(self) -> tuple[int, ...]:
        """Write units that tiles are made of; a file that is opened again may have others than a new one."""
        return (1,) * self.grid.ndim if self._outputs is None else self._outputs.units

    def _end_workers(self) -> None:
        self._crew = None
        self._open.close()
        self._supply.close()

    def _write(self, outputs: Outputs, task: TileTask, value: Any) -> tuple[int, ...] | None:
        """Write results that no worker has written; return the checksums if the task was a whole tile."""
        if isinstance(value, Written):
            checksums = value.checksums
        else:
            self._learn([array.dtype for array in value])
            tile = task.tile(self.grid)
            try:
                fitting = fit(tile, value, self._setup)  # possibly sent before the worker knew the dtypes
            except CastError as error:
                raise TileError([TileFailure(tile, describe(error), 1)]) from error
            begun = time.perf_counter()
            outputs.write(tile, fitting)
            self._supply.tally.writing += time.perf_counter() - begun
            checksums = checksums_of(fitting) if self._setup.checks else None
        outputs.flush()
        return checksums if task.part is None else None

    def _write_down(self, journal: Journal, result: Result, checksums: tuple[int, ...] | None) -> None:
        if self._job.yields_results:
            journal.record_result(result.task.number, result.value)
        else:
            journal.record(result.task.number, checksums)

    def _loop(self) -> TaskLoop:
        grid, options, due, supply = self.grid, self._request.options, self._due, self._supply
        numbers = due.of(due.numbers if self._sharing is None else self._sharing.order)
        cut = functools.partial(cut_in_two, grid=grid, units=self._units, whole_axes=self._whole_axes)
        tasks = Tasks(
            tasks=looking_ahead(numbers, self._planning.workers) if self._expects else map(TileTask, numbers),
            tile_of=lambda task: task.tile(grid),
            grid=grid,
            n_tiles=len(due.numbers),
            n_done=due.n_done,
            prepare=supply.prepare,
            finish=supply.finish,
            end=None if self._sharing is None else supply.end,
            looks_ahead=self._sharing is not None,
            most_at_once=self._planning.workers if self._planning.workers < self._planning.processes else None,
            summary=lambda seconds: supply.summary(seconds * self._start().workers),
            split=(lambda _: []) if self._job.yields_results else cut,
            bytes_of=self._bytes_of,
            name=self._request.declared.name,
        )
        observers = [*filter(None, [choose_progress(options.progress, tasks.name)]), *options.callbacks]
        return TaskLoop(
            tasks,
            self._start(),
            retries=options.retries,
            on_error=options.on_error,
            announce=announcer(observers) if observers else None,
            cancel=options.cancel,
        )

    @property
    def _expects(self) -> bool:
        """Whether tasks tell what later tiles read; where units are shared, their supply does."""
        return self._sharing is None and self._supply.expects

    def _bytes_of(self, tile: Tile) -> tuple[int, int]:
        return self._request.inputs.bytes_of(tile.read), 0 if self._outputs is None else self._outputs.bytes_of(tile)
