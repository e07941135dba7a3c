"""A detector for tilecore: the brightest voxels of their surroundings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter

from tilecore import declare


def _halo(radius: int = 2, **_: float) -> int:
    """How far it looks around a voxel, given its parameters."""
    return radius


@declare(halo=_halo, columns=("radius", "brightness"))
def bright_spots(block: npt.NDArray[np.generic], radius: int = 2, brightness: float = 0) -> npt.NDArray[np.float64]:
    """Find voxels that nothing within a radius outshines; columns: position, radius, brightness."""
    brightest = maximum_filter(block, 2 * radius + 1)
    spots = np.argwhere((block == brightest) & (block > brightness))
    return np.column_stack([spots, np.full(len(spots), radius), block[tuple(spots.T)]])
