"""detect_blobs: the blobs of a whole volume, found tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from tilecore.engine.collecting import iter_tiles
from tilecore.engine.options import RunOptions
from tilecore.errors import ParameterError
from tilecore.geometry.tiles import Tile

__all__ = ["detect_blobs", "halo_for"]


def detect_blobs(
    source: Any,
    *,
    min_sigma: float = 1,
    max_sigma: float = 50,
    num_sigma: int = 10,
    threshold: float = 0.2,
    overlap: float = 0.5,
    tile_shape: int | Sequence[int] | None = None,
    **run: Unpack[RunOptions],
) -> npt.NDArray[np.float64]:
    """Find bright blobs in a volume by the Laplacian of Gaussian.

    Parameters
    ----------
    source : array_like or path, shape (Z, Y, X)
        The volume; whole numbers are scaled to 0 .. 1 as `skimage.util.img_as_float` does.
    min_sigma, max_sigma : float
        Scales of the smallest and the largest blobs sought [voxel].
    num_sigma : int
        Number of scales between them.
    threshold : float
        Smallest response of a blob.
    overlap : float
        Of two blobs that share more than this part of the smaller one, only the larger stays.
    tile_shape : int or sequence of int, optional
        As of `map_tiles`.
    **run
        Who runs the tiles, and what happens when one fails: see `RunOptions`.

    Returns
    -------
    ndarray, shape (n_blobs, 4)
        z, y, x and sigma [voxel], sorted by z, y, x and sigma. The same for any tiles.

    Raises
    ------
    ParameterError
        If a parameter does not fit.
    TileError
        If tiles failed.

    References
    ----------
    .. [1] Parameters and meaning from `skimage.feature.blob_log`.
    """
    from skimage.feature.blob import _prune_blobs

    if not 0 < min_sigma <= max_sigma:
        raise ParameterError.of("min_sigma", min_sigma, f"more than 0 and at most max_sigma={max_sigma}")
    scales = {"min_sigma": min_sigma, "max_sigma": max_sigma, "num_sigma": num_sigma, "threshold": threshold}
    found = iter_tiles(
        _detect, source, tile_shape=tile_shape, halo=halo_for(max_sigma), kwargs=scales, pass_tile=True, **run
    )
    tables = [table for _, table in found]
    blobs = np.concatenate(tables) if tables else np.empty((0, 4))
    blobs = blobs[np.lexsort(blobs.T[::-1])]
    pruned: npt.NDArray[np.float64] = _prune_blobs(blobs, overlap) if len(blobs) else blobs  # type: ignore[no-untyped-call]
    return pruned


def halo_for(max_sigma: float) -> int:
    """Context that the Laplacian of Gaussian needs to be exact: its kernel's reach, and a neighbour to compare with."""
    return int(4.0 * max_sigma + 0.5) + 1


def _detect(block: npt.NDArray[Any], *, tile: Tile, **scales: Any) -> npt.NDArray[np.float64]:
    """Blobs that a tile owns, in coordinates of the volume."""
    from skimage.feature import blob_log

    blobs = blob_log(block, overlap=1, exclude_border=False, **scales)  # type: ignore[no-untyped-call]
    blobs[:, :3] += tile.read.start
    start, stop = np.array(tile.write.start), np.array(tile.write.stop)
    own = ((blobs[:, :3] >= start) & (blobs[:, :3] < stop)).all(axis=1)
    result: npt.NDArray[np.float64] = blobs[own]
    return result
