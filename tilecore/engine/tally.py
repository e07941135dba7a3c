"""What a run did, and for how long: counted while it goes on, told at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Tally", "Worked"]


class Worked(NamedTuple):
    """What a worker sends for a tile.

    Attributes
    ----------
    value : object
        Return value of the job.
    reading, computing, writing : float
        Time for the blocks, for the function, and for what became of its result [s].
    """

    value: Any
    reading: float
    computing: float
    writing: float

    @property
    def carried(self) -> object:
        """What messages name if it cannot be sent."""
        return self.value


class Tally:
    """Times of all workers together, by what they did.

    Attributes
    ----------
    seconds : dict of str to float
        Time for ``"reading"``, ``"decoding"``, ``"computing"`` and ``"writing"`` [s].
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("reading", "decoding", "computing", "writing"), 0.0)

    def add(self, worked: Worked) -> None:
        """Count a tile."""
        for name in ("reading", "computing", "writing"):
            self.seconds[name] += getattr(worked, name)

    def shares(self, total: float) -> Mapping[str, float]:
        """Part of the workers' time, `total` seconds, that went into each; the rest was ``"waiting"``."""
        total = max(total, sum(self.seconds.values()), 1e-9)
        shares = {name: seconds / total for name, seconds in self.seconds.items()}
        return shares | {"waiting": max(1 - sum(shares.values()), 0.0)}
