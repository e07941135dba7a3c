"""Tiles that are due: those that a run works on, without those that are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tilecore.engine.journal import Journal

__all__ = ["Due"]


@dataclass(frozen=True)
class Due:
    """The tiles that a run works on: all of a grid, or those of a part of the run.

    Attributes
    ----------
    n_tiles : int
        Number of tiles of the grid.
    numbers : range
        Numbers of the tiles to work on, those included that are done.
    journal : Journal or None
        The journal, which knows the tiles that an earlier run has finished.
    """

    n_tiles: int
    numbers: range
    journal: Journal | None

    @property
    def n_done(self) -> int:
        """Number of these tiles that are done."""
        return 0 if self.journal is None else self.journal.n_done

    @property
    def n_left(self) -> int:
        """Number of these tiles that are not done."""
        return len(self.numbers) - self.n_done

    @property
    def leaves_out(self) -> Callable[[int], bool] | None:
        """Function that tells, by its number, whether a tile of the grid is not due; None if all are due."""
        return self._leaves_out if self.n_left < self.n_tiles else None

    def of(self, order: Iterable[int]) -> Iterable[int]:
        """Those numbers of all tiles, in some order, that are due."""
        leaves_out = self.leaves_out
        return order if leaves_out is None else (number for number in order if not leaves_out(number))

    def _leaves_out(self, number: int) -> bool:
        return number not in self.numbers or (self.journal is not None and self.journal.is_done(number))
