"""Points of a table in the voxels of another image: of a part of its own image, of the whole, or of another level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilecore.blobs.columns import Table

__all__ = ["Placed", "are_comparable", "placed"]


@dataclass(frozen=True)
class Placed:
    """Points in the voxels of an image, in the order of their table.

    Attributes
    ----------
    positions : ndarray, shape (n_points, ndim)
        Positions [voxel].
    sigmas : ndarray, shape (n_points, 1), (n_points, ndim) or (n_points, 0)
        Sigmas; none in the last case [voxel].
    """

    positions: npt.NDArray[np.float64]
    sigmas: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.positions)


def are_comparable(table: Table, voxel_size_um: Sequence[float] | None, origin_um: Sequence[float] | None) -> bool:
    """Whether both a table and an image tell where they lie, so that neither has to begin where the other does."""
    return None not in (table.voxel_size_um, table.origin_um, voxel_size_um, origin_um)


def placed(table: Table, voxel_size_um: Sequence[float] | None, origin_um: Sequence[float] | None) -> Placed:
    """Move points into the voxels of an image.

    Parameters
    ----------
    table : Blobs
        The points.
    voxel_size_um, origin_um : sequence of float, or None
        Voxel size and position of the first voxel of the image, along each axis [um].

    Returns
    -------
    Placed
        The points as they are, if the table or the image does not tell both: then they are of the same voxels.
    """
    if not are_comparable(table, voxel_size_um, origin_um):
        return Placed(table.positions, table.sigmas)
    size = np.asarray(voxel_size_um)
    sigmas = table.sigmas * (np.asarray(table.voxel_size_um) / size) if table.sigmas.shape[1] else table.sigmas
    return Placed((table.positions_um - np.asarray(origin_um)) / size, sigmas)
