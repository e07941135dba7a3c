"""Where the time of a run's workers went: counted while it goes on, told at its end."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Tally"]

# Number of phases of a tile's task: there is a `lap` between each two.
_PHASES = 3


class Tally:
    """Times of all workers together, by what they did [s].

    Attributes
    ----------
    reading, decoding, computing, writing : float
        Time for blocks, for units of several tiles, for the function, and for what became of its results.
    """

    def __init__(self) -> None:
        self.reading = self.decoding = self.computing = self.writing = 0.0

    def add(self, phases: tuple[float, ...]) -> None:
        """Count what an outcome tells of the phases of tiles."""
        if len(phases) == _PHASES:
            reading, computing, writing = phases
            self.reading += reading
            self.computing += computing
            self.writing += writing

    def shares(self, total: float) -> Mapping[str, float]:
        """Part of the workers' time, `total` seconds, that went into each; the rest was ``"waiting"``."""
        names = ("reading", "decoding", "computing", "writing")
        total = max(total, sum(getattr(self, name) for name in names), 1e-9)
        shares = {name: getattr(self, name) / total for name in names}
        return shares | {"waiting": max(1 - sum(shares.values()), 0.0)}
