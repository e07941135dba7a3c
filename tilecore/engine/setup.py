"""Shared value of a run, which jobs get with each task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tilecore.arrays.kinds import access_of
from tilecore.geometry.tiles import TileGrid

__all__ = ["Setup"]


@dataclass(frozen=True)
class Setup:
    """Shared value of a run: everything that jobs need to know about it; it is replaced as a whole when it changes.

    Attributes
    ----------
    grid : TileGrid
        The tiles.
    sources : tuple of array_like
        Sources in the form in which the worker reads them.
    sinks : tuple of array_like, or None
        One array for each output, in the form in which the worker writes it; None: the parent writes the results.
    dtypes : tuple of dtype, or None
        Data types of the outputs; None if not known yet.
    inferred : tuple of bool
        For each output, whether its dtype is that of the first result. Then all other results must have it,
        or the order of the tiles would decide which values are lost.
    checks : bool
        Whether the writer of results also computes their checksums.
    """

    grid: TileGrid
    sources: tuple[Any, ...]
    sinks: tuple[Any, ...] | None = None
    dtypes: tuple[np.dtype[Any], ...] | None = None
    inferred: tuple[bool, ...] = ()
    checks: bool = False

    def verify(self) -> None:
        """Raise an error if a file that is read or written cannot be found here, where another machine's paths lead."""
        for array in (*self.sources, *(self.sinks or ())):
            access_of(array).verify()
