"""An execution: sources, tiles, workers and a run, brought together for one call of a verb."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tilecore.arrays.shipping import Parcel, is_reachable
from tilecore.engine.events import announcer
from tilecore.engine.feeding import Feeder
from tilecore.engine.jobs import PilotTask, TileJob, TileTask
from tilecore.engine.journal import Journal
from tilecore.engine.measuring import Measurement
from tilecore.engine.options import Options
from tilecore.engine.progress import choose_progress
from tilecore.engine.running import Plan, Result, Run
from tilecore.engine.sources import within_reach
from tilecore.executors.base import Executor, Job, Reach
from tilecore.geometry.axes import HaloLike
from tilecore.geometry.boxes import Box
from tilecore.geometry.planning import TileCosts, guessed_bytes, plan_tiles
from tilecore.geometry.tiles import TileGrid

__all__ = ["Execution", "Here", "first_grid", "packed"]

_log = logging.getLogger(__name__)

# The pilot's blocks: of a slow function a few voxels are enough, of a quick one it takes many.
_PILOT_VOXELS = (2**9, 2**12, 2**15, 2**18)
_PILOT_LENGTH = 64
# In blocks with fewer voxels than this the function's own arrays are lost among all else.
_TELLING_VOXELS = 2**16
_CALL_BYTES = 2**25


@dataclass(frozen=True)
class Here:
    """A job or a note for workers that share this process's memory: it needs no packing."""

    item: Any

    def open(self) -> Any:
        """The item itself."""
        return self.item


def packed(item: Any, reach: Reach) -> Job:
    """Pack a job or a note for workers of the given reach."""
    return Parcel(item) if reach == "shipped" else Here(item)


def first_grid(shape: tuple[int, ...], tile_shape: int | Sequence[int] | None, halo: HaloLike) -> TileGrid:
    """The grid a caller asked for; where the tiles are left to us, for now one that is as large as the volume."""
    return TileGrid(shape, [max(length, 1) for length in shape] if tile_shape is None else tile_shape, halo)


class Execution:
    """One call of a verb.

    Parameters
    ----------
    job : TileJob
        With the sources as they were opened; its grid gives the volume's shape and the halo,
        and the tiles if the caller chose them.
    options : Options
    planned : bool
        Whether the tiles are to be chosen here.
    units : tuple of int
        What tiles must be multiples of [voxel].
    whole_axes : sequence of int
        Axes that tiles must span.
    single_axes : sequence of int
        Axes along which tiles are as short as they can be.
    divisible : bool
        Whether the function may be given a part of a tile instead.
    journal : Journal, optional
        Closed when the results end.
    learn : callable, optional
        Called with what the pilot measured, if there was one, before the tiles are run.
    may_start : callable, optional
        Whether a task may be started yet, or has to wait for another to end.
    description : str
        For the progress bar.
    """

    def __init__(
        self,
        job: TileJob,
        options: Options,
        *,
        planned: bool,
        units: tuple[int, ...] | None = None,
        whole_axes: Sequence[int] = (),
        single_axes: Sequence[int] = (),
        divisible: bool = False,
        journal: Journal | None = None,
        learn: Callable[[Measurement], None] | None = None,
        may_start: Callable[[TileTask], bool] | None = None,
        description: str = "tiles",
    ) -> None:
        self._options, self._planned, self._divisible = options, planned, divisible
        self._journal, self._may_start = journal, may_start
        self._learn = learn
        self._units = units or (1,) * job.grid.ndim
        self._whole_axes, self._single_axes = tuple(whole_axes), tuple(single_axes)
        self._description = description
        self._chunks = getattr(job.sources[0], "chunks", None)
        self.executor: Executor = options.create_executor()
        reach = self.executor.reach
        sources = tuple([within_reach(each, reach) for each in job.sources])
        self.job = replace(job, sources=sources, shares_memory=reach == "same")

    @property
    def grid(self) -> TileGrid:
        """The tiles; final once the first result is there."""
        return self.job.grid

    def tell(self, **attributes: Any) -> None:
        """Give the job attributes that were not known when it was sent."""
        self.job.receive(attributes)
        if self.executor.reach != "same":
            self.executor.tell(Parcel(attributes))

    def results(self) -> Iterator[tuple[TileTask, Any]]:
        """Run all tiles; yield each task and what its job returned, in the order in which they finish."""
        journal = self._journal
        try:
            with journal or contextlib.nullcontext():
                if journal is not None and journal.continues:
                    self.job.receive({"grid": journal.begin(self.grid, planned=self._planned)})
                    self._planned = False
                    yield from ((TileTask(number), value) for number, value in sorted(journal.values.items()))
                if self.grid.size > (0 if journal is None else journal.n_done):
                    yield from self._compute(journal)
        except BaseException:
            if journal is not None and journal.is_useless:
                journal.remove()
            raise

    def _compute(self, journal: Journal | None) -> Iterator[tuple[TileTask, Any]]:
        with self.executor as executor:
            feeder = self._feed()
            executor.start(packed(self.job, executor.reach))
            if self._planned and feeder is None:
                measurement = self._pilot()
                self.tell(grid=self._plan(measurement))
                if measurement is not None and self._learn is not None:
                    self._learn(measurement)
            if journal is not None and not journal.continues:
                journal.begin(self.grid)
            for result in self._run(feeder, journal).results():
                yield result.task, result.value
                # Whoever asks for the next result has dealt with this one: only now is its tile finished.
                if journal is not None and result.finished:
                    self._record(journal, result)

    def _record(self, journal: Journal, result: Result) -> None:
        if self.job.yields_results:
            journal.record_result(result.task.number, result.value)
        else:
            journal.record(result.task.number)

    def _run(self, feeder: Feeder | None, journal: Journal | None) -> Run:
        grid, options = self.grid, self._options
        numbers: Iterable[int] = range(grid.size)
        if journal is not None and journal.n_done:
            numbers = (number for number in numbers if not journal.is_done(number))
        plan = Plan(
            tasks=map(TileTask, numbers),
            tile_of=lambda task: task.tile(grid),
            n_tiles=grid.size,
            n_done=0 if journal is None else journal.n_done,
            n_voxels=grid.volume.size,
            prepare=self._prepare if feeder is None else feeder.prepare,
            finish=(lambda task: task) if feeder is None else feeder.finish,
            split=self._split if self._divisible else (lambda _: []),
        )
        shown = choose_progress(options.progress, self._description)
        observers = [*([] if shown is None else [shown]), *options.callbacks]
        return Run(
            plan,
            self.executor,
            retries=options.retries,
            on_error=options.on_error,
            announce=announcer(observers) if observers else None,
        )

    def _prepare(self, task: TileTask) -> TileTask | None:
        return task if self._may_start is None or self._may_start(task) else None

    def _feed(self) -> Feeder | None:
        """Set up slots for plain arrays that workers cannot reach; there is no pilot then."""
        if self.executor.reach != "shipped":
            return None
        sources = self.job.sources
        stranded = [n for n, each in enumerate(sources) if isinstance(each, np.ndarray) and not is_reachable(each)]
        if not stranded:
            return None
        if self._planned:
            self.job.receive({"grid": self._plan(None)})
        feeder = Feeder(self.job, stranded, self._prepare, n_slots=2 * self.executor.workers + 2)
        self.job.receive({"sources": feeder.sources})
        return feeder

    def _plan(self, measurement: Measurement | None) -> TileGrid:
        grid = self.grid
        plan = plan_tiles(
            grid.shape,
            self.job.sources[0].dtype,
            max_memory=self._options.max_memory,
            workers=self.executor.workers,
            halo=grid.halo,
            chunks=None if self._chunks is None else [int(each) for each in self._chunks[: grid.ndim]],
            write_units=self._units,
            whole_axes=self._whole_axes,
            single_axes=self._single_axes,
            costs=None if measurement is None else _costs(measurement, self.job),
        )
        self.executor.restrict(plan.workers)
        _log.info("plan:\n%s", plan)
        return plan.grid

    def _pilot(self) -> Measurement | None:
        """Run the function on a small block in a worker, to learn what it needs."""
        boxes = [self._pilot_box(n_voxels) for n_voxels in _PILOT_VOXELS]
        self.executor.submit(PilotTask(tuple(dict.fromkeys(boxes))))
        for outcome in self.executor.wait():
            if isinstance(outcome.value, Measurement):
                _log.info("pilot: %s", outcome.value)
                return outcome.value
            if outcome.failure is not None:  # a block of this size is not to its liking: the run will tell
                _log.info("the pilot failed (%s); the plan is a guess", outcome.failure.reason)
        return None

    def _pilot_box(self, n_voxels: int) -> Box:
        """A small box in the middle of the volume that begins and ends between write units."""
        grid, units = self.grid, self._units
        lengths = [
            length if axis in self._whole_axes else 1 if axis in self._single_axes else min(length, _PILOT_LENGTH)
            for axis, length in enumerate(grid.shape)
        ]
        while math.prod(lengths) > n_voxels and max(lengths, default=1) > 1:
            longest = lengths.index(max(lengths))
            lengths[longest] = -(-lengths[longest] // 2)
        lengths = [
            min(-(-each // unit) * unit, whole) for each, unit, whole in zip(lengths, units, grid.shape, strict=True)
        ]
        start = [
            (whole - each) // 2 // unit * unit for each, unit, whole in zip(lengths, units, grid.shape, strict=True)
        ]
        return Box(start, [first + each for first, each in zip(start, lengths, strict=True)])

    def _split(self, task: TileTask) -> list[TileTask]:
        """Cut a tile in two along its longest axis, between write units."""
        write = task.tile(self.grid).write
        halves = [
            (length // 2 // unit * unit, axis)
            for axis, (length, unit) in enumerate(zip(write.shape, self._units, strict=True))
            if axis not in self._whole_axes
        ]
        half, axis = max(halves, default=(0, 0))
        if half == 0:
            return []
        cut = write.start[axis] + half
        stop, start = list(write.stop), list(write.start)
        stop[axis] = start[axis] = cut
        return [TileTask(task.number, Box(write.start, stop)), TileTask(task.number, Box(start, write.stop))]


def _costs(measurement: Measurement, job: TileJob) -> TileCosts:
    # Voxels that were never written cost nothing yet: a block and a result are the least to reckon with.
    sizes = [np.dtype(source.dtype).itemsize * job.extra_voxels(source) for source in job.sources]
    peak, least = measurement.peak_bytes or 0, sum(sizes) + sizes[0]
    if not peak or measurement.n_voxels < _TELLING_VOXELS:
        # Of a small block most is what any call takes, such as the pages of a library used for the first time.
        peak, least = max(peak - _CALL_BYTES, 0), max(least, guessed_bytes(job.sources[0].dtype))
    return TileCosts(
        bytes_per_voxel=max(peak / measurement.n_voxels, least),
        seconds_per_voxel=measurement.seconds / measurement.n_voxels,
    )
