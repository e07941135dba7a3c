"""How many blobs there are in each cube of a volume, and in each tile."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tilecore.blobs.columns import Table
from tilecore.errors import ParameterError

__all__ = ["counts_per_tile_of", "density_of"]

# Relative error of a length that is computed from voxels, and that must not matter.
_ROUNDING = 1e-12


def counts_per_tile_of(blobs: Table) -> dict[tuple[int, ...], int]:
    """Count the blobs of each tile that found any: see `tilecore.Blobs.counts_per_tile`."""
    names = [f"tile_{axis}" for axis in "zyx"[-blobs.ndim :]]
    if not set(names) <= set(blobs.columns):
        raise ParameterError.of("blobs", blobs, "the table has no columns of tiles")
    tiles, counts = np.unique(np.stack([blobs[name] for name in names], axis=1), axis=0, return_counts=True)
    return {tuple(tile): count for tile, count in zip(tiles.tolist(), counts.tolist(), strict=True)}


def density_of(blobs: Table, bin_um: float) -> npt.NDArray[np.float64]:
    """Compute the density of blobs in cubes: see `tilecore.Blobs.density`."""
    if not bin_um > 0:
        raise ParameterError.of("bin_um", bin_um, "must be more than zero")
    size = np.asarray(blobs.voxel_size_um or (1.0,) * blobs.ndim)
    positions = blobs.positions
    farthest = positions.max(axis=0, initial=0) + 1 if blobs.shape is None else np.asarray(blobs.shape)
    lengths = np.maximum(farthest * size / bin_um, 1.0)  # in cubes
    # Rounding makes no cube without a volume at the end, and moves no blob into the cube before its own.
    n_cubes = np.ceil(lengths * (1 - _ROUNDING)).astype(np.intp)
    # A blob of the first voxel may lie up to half a voxel before it.
    inside = ((positions >= -0.5) & (positions <= farthest)).all(axis=1)
    cubes = np.floor(positions[inside] * size / bin_um * (1 + _ROUNDING))
    density = np.zeros(n_cubes)
    np.add.at(density, tuple(np.clip(cubes, 0, n_cubes - 1).astype(np.intp).T), 1)
    edges = [np.append(np.ones(n - 1), length - (n - 1)) for n, length in zip(n_cubes, lengths, strict=True)]
    for each in np.ix_(*edges):
        density /= each * bin_um
    return density
