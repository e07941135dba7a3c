"""What happens in a run, told to whoever listens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from tilecore.errors import TileFailure
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = [
    "Event",
    "Observer",
    "RunEnded",
    "RunEvent",
    "RunStarted",
    "RunWaits",
    "TileDone",
    "TileFailed",
    "TileRetried",
    "announcer",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """What all events tell.

    Attributes
    ----------
    time : float
        When it happened, since 1970 [s].
    run : str
        Tells one run from all others; the same in all events of a run.
    """

    time: float = field(default_factory=time.time)
    run: str = ""


@dataclass(frozen=True, slots=True)
class RunStarted(RunEvent):
    """A run begins; tells its plan.

    Attributes
    ----------
    n_tiles : int
        Tiles in all.
    n_done : int
        Those that an earlier run, which this one continues, has finished.
    n_voxels : int
        Voxels that the tiles own together.
    workers : int
        Tiles worked on at once.
    grid : TileGrid or None
        The tiles.
    name : str
        What the run is called where it is shown: the function's name.
    """

    n_tiles: int
    n_done: int
    n_voxels: int
    workers: int
    grid: TileGrid | None = field(default=None, kw_only=True)
    name: str = field(default="tiles", kw_only=True)


@dataclass(frozen=True, slots=True)
class TileDone(RunEvent):
    """A tile is finished and its result is where it belongs.

    Attributes
    ----------
    tile : Tile
    seconds : float
        How long its function took in the worker.
    worker : int
        Which worker's place ran it, from 0.
    peak_bytes : int or None
        The most memory that the worker's process has had by then; looked at ten times a second, so that shorter
        tiles may tell what an earlier one saw. None where the system does not tell.
    bytes_read : int
        Of the boxes read for it, as voxels in memory, whatever they take in a file.
    bytes_written : int
        Of its results, likewise; 0 where they go to the caller.
    """

    tile: Tile
    seconds: float
    worker: int
    peak_bytes: int | None = field(default=None, kw_only=True)
    bytes_read: int = field(default=0, kw_only=True)
    bytes_written: int = field(default=0, kw_only=True)


@dataclass(frozen=True, slots=True)
class _FailedAttempt(RunEvent):
    """What is told of an attempt at a tile that failed."""

    tile: Tile
    failure: TileFailure
    seconds: float = field(default=0.0, kw_only=True)
    worker: int = field(default=0, kw_only=True)
    peak_bytes: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class TileRetried(_FailedAttempt):
    """An attempt at a tile failed; it is tried again.

    Attributes
    ----------
    tile : Tile
    failure : TileFailure
    seconds : float
    worker : int
    peak_bytes : int or None
        As of `TileDone`; None also where the worker died.
    """


@dataclass(frozen=True, slots=True)
class TileFailed(_FailedAttempt):
    """A tile failed for good; the attributes are those of `TileRetried`."""


@dataclass(frozen=True, slots=True)
class RunWaits(RunEvent):
    """No tile has ended for some seconds; told again and again, so that observers can say that the run goes on."""


@dataclass(frozen=True, slots=True)
class RunEnded(RunEvent):
    """A run is over.

    Attributes
    ----------
    seconds : float
    n_done : int
        Tiles finished in this run.
    n_failed : int
    complete : bool
        Whether every tile is finished.
    cancelled : bool
        Whether it ended because somebody set ``cancel=``.
    """

    seconds: float
    n_done: int
    n_failed: int
    complete: bool
    cancelled: bool = field(default=False, kw_only=True)


Event: TypeAlias = RunStarted | TileDone | TileRetried | TileFailed | RunWaits | RunEnded
#: Called with every event of a run, in the calling thread; what it raises ends the run.
Observer: TypeAlias = Callable[[Event], None]


def announcer(observers: Iterable[Observer]) -> Observer:
    """One observer that passes events on to several, in their order."""
    listeners = tuple(observers)

    def announce(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return announce
