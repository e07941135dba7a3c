"""Time and memory that one tile takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["TileCosts", "guessed_bytes"]

# Guess before anything is measured: input, output and two double-precision copies of each voxel.
_GUESSED_COPIES = 2
_GUESSED_BYTES = 16.0

Size = TypeVar("Size", float, npt.NDArray[np.float64])


@dataclass(frozen=True)
class TileCosts:
    """Time and memory that one tile takes, measured by a few calls before the run, or guessed.

    Attributes
    ----------
    bytes_per_voxel : float
        Memory that a worker needs for each voxel of the read box [byte].
    seconds_per_voxel : float
        Time of the function for each voxel of the read box [s].
    seconds_per_row : float
        Time to reach another row of contiguous voxels [s].
    seconds_per_tile : float
        Time that a tile takes whatever its size [s]: sending it to a worker and its result back,
        and the fixed part of each call of the function.
    bytes_per_tile : float
        Memory that a worker needs whatever the tile's size [byte].
    seconds_per_decoded_voxel : float
        Time to read and decode one voxel of a source that is stored in chunks [s].
    """

    bytes_per_voxel: float
    seconds_per_voxel: float = 20e-9
    seconds_per_row: float = 0.2e-6
    seconds_per_tile: float = 0.5e-3
    bytes_per_tile: float = 0.0
    seconds_per_decoded_voxel: float = 4e-9

    def needed_bytes(self, n_voxels: Size) -> Size:
        """Memory that a worker needs for a read box of `n_voxels` voxels [byte]."""
        return self.bytes_per_tile + n_voxels * self.bytes_per_voxel


def guessed_bytes(dtype: npt.DTypeLike) -> float:
    """Memory that an unknown function may need for each voxel it reads [byte]."""
    return np.dtype(dtype).itemsize * _GUESSED_COPIES + _GUESSED_BYTES
