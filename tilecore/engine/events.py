"""Events of a run, which observers receive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
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
    """Base class of the events of a run.

    Attributes
    ----------
    time : float
        Time of the event, since 1970 [s].
    run : str
        Identity of the run, the same in all of its events.
    """

    time: float = field(default_factory=time.time)
    run: str = ""


@dataclass(frozen=True, slots=True)
class RunStarted(RunEvent):
    """A run begins; the event describes its plan.

    Attributes
    ----------
    n_tiles : int
        Number of tiles.
    n_done : int
        Number of tiles that an earlier run, which this one continues, has finished.
    n_voxels : int
        Number of voxels that the tiles own together.
    workers : int
        Number of tiles worked on at once.
    grid : TileGrid or None
        The tiles.
    name : str
        Name of the run in messages: the function's name.
    """

    n_tiles: int
    n_done: int
    n_voxels: int
    workers: int
    grid: TileGrid | None = field(default=None, kw_only=True)
    name: str = field(default="tiles", kw_only=True)


@dataclass(frozen=True, slots=True)
class TileDone(RunEvent):
    """A tile is finished, and its result is written or ready for the caller.

    Attributes
    ----------
    tile : Tile
        The tile.
    seconds : float
        Time of the function in the worker [s].
    worker : int
        Number of the worker's place, from 0.
    peak_bytes : int or None
        Largest memory that the worker's process has used so far [byte], measured ten times a second: for shorter
        tiles it may come from an earlier tile. None if the system does not tell.
    bytes_read : int
        Size of the boxes read for the tile, as voxels in memory, not in a file [byte].
    bytes_written : int
        Size of the tile's results, likewise; 0 if they go to the caller [byte].
    """

    tile: Tile
    seconds: float
    worker: int
    peak_bytes: int | None = field(default=None, kw_only=True)
    bytes_read: int = field(default=0, kw_only=True)
    bytes_written: int = field(default=0, kw_only=True)


@dataclass(frozen=True, slots=True)
class _FailedAttempt(RunEvent):
    """Data of a failed attempt at a tile."""

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
        The tile.
    failure : TileFailure
        Description of the failure.
    seconds : float
        Time of the attempt [s].
    worker : int
        Number of the worker's place, from 0.
    peak_bytes : int or None
        As for `TileDone`; None also if the worker died.
    """


@dataclass(frozen=True, slots=True)
class TileFailed(_FailedAttempt):
    """A tile failed and is not tried again; the attributes are those of `TileRetried`."""


@dataclass(frozen=True, slots=True)
class RunWaits(RunEvent):
    """No tile has ended for some seconds; sent repeatedly, so that observers can show that the run goes on."""


@dataclass(frozen=True, slots=True)
class RunEnded(RunEvent):
    """A run is over.

    Attributes
    ----------
    seconds : float
        Time of the run [s].
    n_done : int
        Number of tiles finished in this run.
    n_failed : int
        Number of tiles that failed.
    complete : bool
        Whether every tile is finished.
    cancelled : bool
        Whether the run ended because its ``cancel`` event was set.
    bytes_read, bytes_written : int
        Sums of those of all tiles, see `TileDone` [byte].
    chunks : int
        Number of chunks that tiles shared, small ones several together; 0 if no two tiles read the same.
    decodes : float
        How often each of them was decoded, on average.
    shares : mapping of str to float
        Part of the workers' time that went into each of ``"decoding"`` (of chunks that tiles share), ``"reading"`` (of
        blocks, decoding of chunks that are not shared included), ``"computing"``, ``"writing"`` and ``"waiting"``.
    """

    seconds: float
    n_done: int
    n_failed: int
    complete: bool
    cancelled: bool = field(default=False, kw_only=True)
    bytes_read: int = field(default=0, kw_only=True)
    bytes_written: int = field(default=0, kw_only=True)
    chunks: int = field(default=0, kw_only=True)
    decodes: float = field(default=0.0, kw_only=True)
    shares: Mapping[str, float] = field(default_factory=dict, kw_only=True)


Event: TypeAlias = RunStarted | TileDone | TileRetried | TileFailed | RunWaits | RunEnded
#: Function that is called with every event of a run, in the calling thread; an exception from it ends the run.
Observer: TypeAlias = Callable[[Event], None]


def announcer(observers: Iterable[Observer]) -> Observer:
    """Return one observer that passes events on to several observers, in order."""
    listeners = tuple(observers)

    def announce(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return announce
