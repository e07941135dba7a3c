"""Tasks of a run, as the loop over them sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tilecore.executors.base import Outcome
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = ["WAIT", "Preparation", "Result", "Tasks"]


class Preparation(NamedTuple):
    """Answer to the question whether a task can be sent now.

    Attributes
    ----------
    ready : object or None
        The task as it is sent; None if it must wait.
    before : sequence
        Tasks to send now, for which it waits.
    """

    ready: Any | None
    before: Sequence[Any] = ()


#: The task must wait for others that have been sent already.
WAIT = Preparation(None)


def _itself(outcome: Outcome) -> object:
    return outcome.task


def _nothing(_: float) -> dict[str, Any]:
    return {}


def _indivisible(_: object) -> list[Any]:
    return []


def _no_bytes(_: Tile) -> tuple[int, int]:
    return 0, 0


@dataclass(frozen=True)
class Tasks:
    """Tasks of a loop, and the functions that handle them.

    Attributes
    ----------
    tasks : iterable
        The tasks, hashable; taken one by one when there is room for them.
    tile_of : callable
        Function that returns the tile of a task, for messages and events.
    grid : TileGrid
        Tiles of the run.
    n_tiles : int, optional
        Number of tiles to work on, if these are not all tiles of the grid.
    n_done : int
        Number of tiles that an earlier run has finished.
    prepare : callable, optional
        Function ``prepare(task, is_due=, has_room=)`` that tells whether a task can be sent; its errors are failures.
        `has_room`: whether it may be sent now; otherwise only what it waits for is. `is_due`: whether, besides, no task
        before it waits.
    finish : callable
        Function that is called with the outcome of each attempt. It returns the task as it was given to `prepare`;
        None for a task that was sent before others.
    end : callable, optional
        Function that is called with the number of each tile that is finished, or has failed for good.
    looks_ahead : bool
        Whether later tasks may be sent while one waits.
    most_at_once : int or None
        Number of these tasks that may be sent at once; None: as many as the crew has room for.
    summary : callable
        Function that is called with the time of the run [s], and returns further attributes of its last event.
    split : callable
        Function that cuts a task that does not fit into memory into smaller ones; an empty list if it cannot be cut.
    bytes_of : callable
        Function that returns the number of bytes read, and written, for a tile.
    name : str
        Name of the run in messages.
    """

    tasks: Iterable[Any]
    tile_of: Callable[[Any], Any]
    grid: TileGrid
    n_tiles: int | None = None
    n_done: int = 0
    prepare: Callable[..., Preparation] | None = None
    finish: Callable[[Outcome], Any] = _itself
    end: Callable[[int], object] | None = None
    looks_ahead: bool = False
    most_at_once: int | None = None
    summary: Callable[[float], dict[str, Any]] = _nothing
    split: Callable[[Any], list[Any]] = _indivisible
    bytes_of: Callable[[Tile], tuple[int, int]] = _no_bytes
    name: str = "tiles"

    @property
    def total(self) -> int:
        """Number of tiles to work on, those included that an earlier run has finished."""
        return self.grid.size if self.n_tiles is None else self.n_tiles


class Result(NamedTuple):
    """Result of a task.

    Attributes
    ----------
    task : object
        The task.
    value : object
        Return value of the job.
    finished : bool
        Whether the task's tile is finished; False for all parts of a tile except the last.
    """

    task: Any
    value: Any
    finished: bool
