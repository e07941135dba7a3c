"""What happens in a run, told to whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from tilecore.errors import TileFailure
from tilecore.geometry.tiles import Tile

__all__ = ["Event", "Observer", "RunEnded", "RunStarted", "TileDone", "TileFailed", "TileRetried", "announcer"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins.

    Attributes
    ----------
    n_tiles : int
        Tiles in all.
    n_done : int
        Those that an earlier run, which this one continues, has finished.
    n_voxels : int
        Voxels that the tiles own together.
    workers : int
    """

    n_tiles: int
    n_done: int
    n_voxels: int
    workers: int


@dataclass(frozen=True, slots=True)
class TileDone:
    """A tile is finished and its result is where it belongs.

    Attributes
    ----------
    tile : Tile
    seconds : float
        How long its function took in the worker.
    worker : int
        Which worker's place ran it, from 0.
    """

    tile: Tile
    seconds: float
    worker: int


@dataclass(frozen=True, slots=True)
class TileRetried:
    """An attempt at a tile failed; it is tried again."""

    tile: Tile
    failure: TileFailure


@dataclass(frozen=True, slots=True)
class TileFailed:
    """A tile failed for good."""

    tile: Tile
    failure: TileFailure


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run is over.

    Attributes
    ----------
    seconds : float
    n_done : int
        Tiles finished in this run.
    n_failed : int
    complete : bool
        Whether every tile is finished.
    """

    seconds: float
    n_done: int
    n_failed: int
    complete: bool


Event: TypeAlias = RunStarted | TileDone | TileRetried | TileFailed | RunEnded
#: Called with every event of a run, in the calling thread; what it raises ends the run.
Observer: TypeAlias = Callable[[Event], None]


def announcer(observers: Iterable[Observer]) -> Observer:
    """One observer that passes events on to several, in their order."""
    listeners = tuple(observers)

    def announce(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return announce
