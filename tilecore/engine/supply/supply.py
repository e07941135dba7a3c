"""Supply of a run: its sources in the form in which workers read them, and what each task needs of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tilecore.arrays.access import chunk_lengths
from tilecore.engine.inputs import Inputs, refuse_to_send
from tilecore.engine.jobs import TileJob
from tilecore.engine.supply.slot_feeder import Feeder
from tilecore.engine.tally import Tally
from tilecore.engine.tasks import WAIT, Preparation
from tilecore.engine.tile_tasks import DecodeTask, TileTask
from tilecore.executors.base import Executor, Outcome
from tilecore.executors.processes.interrupts import interrupts_deferred
from tilecore.formats.source import FileSource
from tilecore.geometry.sharing import ChunkedSource, Sharing
from tilecore.geometry.tiles import TileGrid

if TYPE_CHECKING:
    from tilecore.engine.supply.unit_supply import UnitSupply

__all__ = ["Supply"]


class Supply:
    """Brings the sources of a run to its workers.

    Parameters
    ----------
    inputs : Inputs
        The sources.
    job : TileJob
        Job that reads blocks.
    executor : Executor
        Executor of the run.
    may_start : callable, optional
        Tells whether a task may start, or must wait for another to end.

    Attributes
    ----------
    tally : Tally
        Times of what the workers did.
    """

    def __init__(
        self, inputs: Inputs, job: TileJob, executor: Executor, may_start: Callable[[TileTask], bool] | None
    ) -> None:
        self._inputs, self._job, self._executor, self._may_start = inputs, job, executor, may_start
        self._feeder: Feeder | None = None
        self._units: UnitSupply | None = None
        self.tally = Tally()

    @functools.cached_property
    def _reached(self) -> tuple[Any, ...]:
        """The sources in the form in which workers read them; None for those that they cannot reach."""
        found = self._inputs.for_workers(self._executor.reach)
        for source, form in zip(self._inputs.arrays, found, strict=True):
            if form is None and self._is_elsewhere:
                refuse_to_send(source)
        return found

    @property
    def _is_elsewhere(self) -> bool:
        """Whether workers share no memory with this process, so that only files can be shared."""
        return self._executor.reach == "elsewhere"

    @property
    def is_stranded(self) -> bool:
        """Whether workers cannot reach one of the sources."""
        return any(source is None for source in self._reached)

    @property
    def is_ordered(self) -> bool:
        """Whether tasks must start in the order of their tiles' numbers."""
        return self._may_start is not None

    @functools.cached_property
    def chunked(self) -> dict[int, ChunkedSource]:
        """Sources that workers reach, decode chunk by chunk, and can share, by their numbers."""
        found: dict[int, ChunkedSource] = {}
        if self._is_elsewhere:
            return found
        for number, array in enumerate(self._inputs.arrays):
            chunks = chunk_lengths(array)
            if chunks is not None and self._reached[number] is not None:
                shape = tuple([int(length) for length in array.shape])
                start = array.start if isinstance(array, FileSource) else ()
                found[number] = ChunkedSource(shape, chunks, np.dtype(array.dtype).itemsize, start)
        return found

    @property
    def expects(self) -> bool:
        """Whether a source can be told what is read soon."""
        return any(isinstance(self._inputs.arrays[number], FileSource) for number in self.chunked)

    def sources(self, grid: TileGrid) -> tuple[Any, ...]:
        """What workers read: the sources, or slots for those that they cannot reach."""
        if not self.is_stranded:
            return self._reached
        stranded = {n: self._inputs.arrays[n] for n, each in enumerate(self._reached) if each is None}
        self._feeder = Feeder(self._job, grid, stranded, 2 * self._executor.workers + 2)
        return tuple([self._feeder.slots.get(n, each) for n, each in enumerate(self._reached)])

    def share(
        self, sharing: Sharing, retries: int, was_done: Callable[[int], bool] | None, sources: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Replace the sources that are decoded by ones whose units workers share."""
        from tilecore.engine.supply.unit_supply import UnitSupply  # sources that need no decoding do without it

        chunked = {number: sources[number] for number in self.chunked}
        self._units = UnitSupply(sharing, chunked, retries, was_done)
        return tuple([self._units.shared.get(number, each) for number, each in enumerate(sources)])

    @property
    def prepare(self) -> Callable[..., Preparation] | None:
        """Function that brings what a task needs to where workers can read it, as of `Tasks`; None for nothing."""
        needs_nothing = self._may_start is None and self._feeder is None and self._units is None
        return None if needs_nothing else self._prepare

    def _prepare(self, task: TileTask, *, is_due: bool, has_room: bool) -> Preparation:
        if self._may_start is not None and not self._may_start(task):
            return WAIT
        if self._feeder is not None and not self._feeder.has_room:
            return WAIT
        preparation = (
            Preparation(task) if self._units is None else self._units.prepare(task, is_due=is_due, has_room=has_room)
        )
        if self._feeder is None or preparation.ready is None:
            return preparation
        try:
            return Preparation(self._feeder.fill(preparation.ready))
        except BaseException:
            if self._units is not None:
                self._units.take_back(preparation.ready)
            raise

    def finish(self, outcome: Outcome) -> TileTask | None:
        """Take back what a task was given; return the task without it, None if it was none of a tile."""
        if outcome.phases:  # also those of tiles, if others have not told them
            self.tally.add(outcome.phases)
        task: TileTask | DecodeTask = outcome.task
        if isinstance(task, DecodeTask):
            assert self._units is not None
            self._units.decoded(task, outcome.failure)
            self.tally.decoding += outcome.seconds
            return None
        if self._feeder is not None:
            task = self._feeder.empty(task)
        if self._units is not None:
            task = self._units.take_back(task)
        return task

    def close(self) -> None:
        """Free the memory in which units lie."""
        with interrupts_deferred():  # Python swallows a Ctrl-C that comes while it frees it
            if self._units is not None:
                self._units.close()

    def summary(self, total: float) -> dict[str, Any]:
        """What the run's last event tells of `total` seconds of all workers."""
        facts: dict[str, Any] = {"shares": self.tally.shares(total)}
        if self._units is not None:
            n_units = self._units.sharing.n_units
            facts |= {"chunks": n_units, "decodes": self._units.n_decoded / n_units}
        return facts

    def end(self, number: int) -> None:
        """Take note that a tile is finished, or has failed for good."""
        if self._units is not None:
            self._units.end(number)
