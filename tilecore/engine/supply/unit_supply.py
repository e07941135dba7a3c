"""Supply of decoded units: each is decoded by one worker, for all tiles that read it."""

from __future__ import annotations

import enum
import functools
import logging
import math
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from tilecore.array_types import ReadableArray
from tilecore.arrays.shared import SharedArray
from tilecore.engine.supply.shared_units import SharedUnits
from tilecore.engine.tasks import WAIT, Preparation
from tilecore.engine.tile_tasks import Ahead, DecodeTask, TileTask
from tilecore.errors import TilecoreError, WorkerError
from tilecore.executors.base import Failure
from tilecore.geometry.retention import Place, Retention, UnitKey
from tilecore.geometry.sharing import Sharing

__all__ = ["UnitSupply"]

_log = logging.getLogger(__name__)

# Size of the units of one task together [byte]: a message costs 0.1 ms, and tiles wait for the last of these units.
_TASK_BYTES = 2**22


class _Verdict(enum.Enum):
    """What becomes of a unit that is not in memory."""

    DECODE = enum.auto()  # a task of its own decodes it for all tiles
    ALONE = enum.auto()  # the tile decodes it for itself
    WAIT = enum.auto()  # there is no room yet


class UnitSupply:
    """Hands out the decoding of units, and holds tiles back until what they read is there.

    Parameters
    ----------
    sharing : Sharing
        What is shared, in which order of tiles, and in how many bytes.
    sources : mapping of int to array_like
        Sources that are shared, in the form in which workers read them, by their numbers.
    retries : int
        Number of further attempts at a unit after a failure.
    was_done : callable, optional
        Tells whether an earlier run has finished the tile of a number.

    Attributes
    ----------
    sharing : Sharing
        What is shared.
    shared : dict of SharedUnits
        What replaces the sources, by the same numbers.
    n_decoded : int
        Number of times that a unit was decoded so far, also by tiles for themselves.

    Notes
    -----
    All decisions are made in the calling process, which hears of each task's end. A worker that dies leaves nothing
    that others wait for: its task has failed, and its units are decoded again.
    """

    def __init__(
        self,
        sharing: Sharing,
        sources: Mapping[int, ReadableArray],
        retries: int,
        was_done: Callable[[int], bool] | None = None,
    ) -> None:
        self.sharing, self._numbers, self._retries = sharing, tuple(sources), retries
        memory = SharedArray((sharing.capacity,), "u1", reserve=False)
        self.shared = {
            number: SharedUnits(source, units, min(sharing.order.axes[0], len(units.shape) - 1), memory)
            for (number, source), units in zip(sources.items(), sharing.units, strict=True)
        }
        # Nothing here refers to this object in a circle: the memory is freed with the last reference to it.
        move = functools.partial(_move, list(self.shared.values()))
        spare = max(sharing.capacity - sharing.expected.most_bytes, 0)
        self._retention = Retention(
            sharing.units,
            sharing.itemsizes,
            sharing.order,
            sharing.capacity,
            was_done,
            move,
            n_at_once=sharing.workers,
            spare=spare,
        )
        self._reading: dict[TileTask, list[UnitKey]] = {}
        self._failures: Counter[UnitKey] = Counter()
        self._damaged: dict[UnitKey, BaseException] = {}
        self._alone: set[UnitKey] = set()
        self.n_decoded = 0

    def prepare(self, task: TileTask, *, is_due: bool, has_room: bool) -> Preparation:
        """Find out what a task reads from memory, and what has to be decoded before it.

        Parameters
        ----------
        task : TileTask
            The task.
        is_due : bool
            Whether it comes next, and there is room for it. For a later one nothing else is let go.
        has_room : bool
            Whether it may be sent now; otherwise only what it reads is decoded.

        Raises
        ------
        TilecoreError
            If a unit that it reads is damaged, as another task has found.
        """
        tile = task.tile(self.sharing.grid)
        position = self.sharing.order.position(tile.index)
        there: list[UnitKey] = []
        missing: list[UnitKey] = []
        masks = [0] * (max(self._numbers) + 1)
        n_read, must_wait = 0, False
        for source, units in enumerate(self.sharing.units):
            for bit, number in enumerate(units.touched(tile.read)):
                key, n_read = (source, number), n_read + 1
                held = self._retention.held(key)
                if held is None:
                    verdict = self._admit(key, position, is_due=is_due)
                    missing += [key] * (verdict is _Verdict.DECODE)
                    must_wait = must_wait or verdict is _Verdict.WAIT
                elif held.is_decoded:
                    there.append(key)
                    masks[self._numbers[source]] |= 1 << bit
                else:
                    must_wait = True
        if missing or must_wait or not has_room:
            return Preparation(None, list(self._tasks(missing))) if missing else WAIT
        self._retention.begin(there)
        self._reading[task] = there
        self.n_decoded += n_read - len(there)
        return Preparation(task._replace(shared=tuple(masks), ahead=self._ahead(position)))

    def take_back(self, task: TileTask) -> TileTask:
        """Take note of the end of a tile's task; return it as it was given."""
        given = task._replace(shared=(), ahead=None)
        self._retention.end(self._reading.pop(given))
        return given

    def decoded(self, task: DecodeTask, failure: Failure | None) -> None:
        """Take note of the end of a task that decodes."""
        keys = [(self._numbers.index(task.source), number) for number in task.units]
        for key in keys:
            if failure is None:
                self._retention.decoded(key)
            else:
                self._retention.forget(key)
        self.n_decoded += len(keys)
        if failure is not None:
            self._fail(keys, failure)

    def end(self, number: int) -> None:
        """Take note that a tile is finished, or has failed for good."""
        tile = self.sharing.grid[number]
        self._retention.finish(self.sharing.order.position(tile.index), tile.read)

    def close(self) -> None:
        """Free the memory, as soon as no task uses it any more."""
        for shared in self.shared.values():
            shared.close()

    def _ahead(self, position: int) -> Ahead | None:
        """What has to be read, soon after the tile at a position, for the one that its worker may get next."""
        position += self.sharing.workers
        if position >= self.sharing.order.size:
            return None
        number = self.sharing.order.number(position)
        read, missing = self.sharing.grid[number].read, [0] * (max(self._numbers) + 1)
        for source, units in enumerate(self.sharing.units):
            for bit, unit in enumerate(units.touched(read)):
                if self._retention.held((source, unit)) is None:
                    missing[self._numbers[source]] |= 1 << bit
        return Ahead(number, tuple(missing)) if any(missing) else None

    def _admit(self, key: UnitKey, position: int, *, is_due: bool) -> _Verdict:
        """Decide what becomes of a unit that is not in memory."""
        if key in self._damaged:
            raise self._damaged[key].with_traceback(None)
        uses = self._retention.open_uses(key)
        if key in self._alone or not self._retention.is_kept_for_others(uses, position, is_due=is_due):
            return _Verdict.ALONE
        held = self._retention.admit(key, uses, position, is_due=is_due)
        if held is None:
            return _Verdict.ALONE if is_due else _Verdict.WAIT
        self.shared[self._numbers[key[0]]].place(key[1], held.place)
        return _Verdict.DECODE

    def _tasks(self, keys: Sequence[UnitKey]) -> Iterator[DecodeTask]:
        """Tasks that decode some units; those that have failed before are alone in theirs."""
        for source, number in enumerate(self._numbers):
            units = [unit for each, unit in keys if each == source]
            single = [unit for unit in units if self._failures[source, unit]]
            others = [unit for unit in units if not self._failures[source, unit]]
            unit_bytes = math.prod(self.sharing.units[source].unit) * self.sharing.itemsizes[source]
            n_together = max(_TASK_BYTES // unit_bytes, 1)
            yield from (DecodeTask(number, (unit,)) for unit in single)
            for first in range(0, len(others), n_together):
                yield DecodeTask(number, tuple(others[first : first + n_together]))

    def _fail(self, keys: Sequence[UnitKey], failure: Failure) -> None:
        """Decide what becomes of units whose decoding has failed."""
        _log.warning("%d unit%s could not be decoded: %s", len(keys), "s" * (len(keys) != 1), failure.reason)
        error = failure.exception
        if isinstance(error, MemoryError) or failure.exitcode == -signal.SIGKILL:
            self._alone.update(keys)  # tiles that run out of memory are cut
            return
        self._failures.update(keys)
        for key in keys if len(keys) == 1 else ():  # of several it is not known which one it was
            if isinstance(error, TilecoreError) or self._failures[key] > self._retries:
                self._damaged[key] = error or WorkerError(failure.reason)


def _move(shared: Sequence[SharedUnits], source: int, number: int, old: Place, new: Place) -> None:
    """Move a part of a unit to another place."""
    shared[source].move(old, new)
    shared[source].place(number, new)
