"""Synthetic sample volumes: nuclei whose positions and sizes are known, in volumes of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from tilecore.geometry.boxes import Box
from tilecore.geometry.per_axis import as_integer, as_integers
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = ["SyntheticNuclei"]

# Shape of the cells for noise [voxel]; each cell has its own stream of random numbers.
_NOISE_CELL = (16, 64, 64)
_NUCLEUS_STREAM, _NOISE_STREAM = 0, 1

# Width of the blurred edge of a nucleus beyond its radius [voxel].
_EDGE_REACH = 4


@dataclass(frozen=True)
class SyntheticNuclei:
    """A volume of blurred ellipsoids on an uneven background, with Poisson and read noise.

    Every voxel depends only on its coordinates and the seed: any part of the
    volume can be computed alone, and a larger volume continues a smaller one.

    Parameters
    ----------
    shape : sequence of int, (Z, Y, X)
        Length of each axis [voxel].
    seed : int
        Seed of the random numbers.
    spacing : int
        Edge of the cubes of which each holds at most one nucleus [voxel].
    radius : (float, float)
        Smallest and largest mean radius [voxel].
    occupancy : float
        Fraction of the cubes that hold a nucleus.
    contrast, background, read_noise : float
        Mean brightness of the nuclei and of the background [photon], and standard deviation
        of the read noise [photon].

    Notes
    -----
    Process-safety: immutable; the same voxels everywhere, whatever the tiles and the
    version of numpy.

    Examples
    --------
    >>> volume = SyntheticNuclei((32, 64, 64), seed=1)
    >>> block = volume[8:24, 0:32, 16:48]
    >>> block.shape, block.dtype, bool((block == volume[:, :, :][8:24, 0:32, 16:48]).all())
    ((16, 32, 32), dtype('uint16'), True)
    """

    shape: tuple[int, ...]
    seed: int = 0
    spacing: int = 16
    radius: tuple[float, float] = (3.0, 5.0)
    occupancy: float = 0.9
    contrast: float = 400.0
    background: float = 100.0
    read_noise: float = 4.0

    dtype = np.dtype(np.uint16)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", as_integers(self.shape, "shape", 3, 0))
        object.__setattr__(self, "seed", as_integer(self.seed, "seed", minimum=0))
        object.__setattr__(self, "spacing", as_integer(self.spacing, "spacing", minimum=4))

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.NDArray[np.uint16]:
        bounds = [axis.indices(length)[:2] for axis, length in zip(slices, self.shape, strict=True)]
        return self.block(Box([first for first, _ in bounds], [max(bound) for bound in bounds]))

    def block(self, box: Box) -> npt.NDArray[np.uint16]:
        """Compute the voxels of a box, as an array of its shape."""
        cells = Box(
            [first // step * step for first, step in zip(box.start, _NOISE_CELL, strict=True)],
            [-(-last // step) * step for last, step in zip(box.stop, _NOISE_CELL, strict=True)],
        )
        photons = self._photons(cells)
        for cell in _cells(cells):
            part = photons[cell.relative_to(cells.start).slices]
            noise = self._random(
                [first // step for first, step in zip(cell.start, _NOISE_CELL, strict=True)], _NOISE_STREAM
            )
            part[...] = noise.poisson(part) + noise.normal(0.0, self.read_noise, part.shape)
        inner = box.relative_to(cells.start)
        return np.rint(photons[inner.slices]).clip(0, 2**16 - 1).astype(np.uint16)

    def nuclei(self, box: Box | None = None) -> npt.NDArray[np.float64]:
        """Return the nuclei whose centres lie in a box, or in the whole volume.

        Returns
        -------
        ndarray, shape (n_nuclei, 7)
            Centre z, y, x and radius along z, y, x [voxel]; brightness [photon].
        """
        region = box or Box.of_shape(self.shape)
        rows = [nucleus for nucleus in self._nuclei_near(region, 0) if region.contains(nucleus[:3].tolist())]
        return np.array(rows, dtype=np.float64).reshape(-1, 7)

    def _photons(self, box: Box) -> npt.NDArray[np.float64]:
        """Compute the expected brightness in a box, without noise [photon]."""
        photons = self._background(box)
        for nucleus in self._nuclei_near(box, _EDGE_REACH + int(np.ceil(1.3 * self.radius[1]))):
            center, radii, brightness = nucleus[:3], nucleus[3:6], float(nucleus[6])
            low = np.floor(center - radii - _EDGE_REACH).astype(int)
            high = np.ceil(center + radii + _EDGE_REACH).astype(int) + 1
            part = Box(low.tolist(), high.tolist()).clipped(box)
            if part.size:
                photons[part.relative_to(box.start).slices] += brightness * _nucleus(part, center, radii)
        return photons

    def _background(self, box: Box) -> npt.NDArray[np.float64]:
        z, y, x = np.ogrid[box.slices]
        waves = np.cos(z / 90.0 + 0.3) + np.cos(y / 170.0 + 1.1) + np.cos(x / 130.0 + 2.0)
        return self.background * (1.0 + 0.2 * waves)

    def _nuclei_near(self, box: Box, reach: int) -> Iterator[npt.NDArray[np.float64]]:
        """Iterate over the nuclei of all cubes within `reach` of a box, in a fixed order, as sums depend on it."""
        near = box.grown(reach).clipped(self.shape)
        ranges = [
            range(first // self.spacing, -(-last // self.spacing))
            for first, last in zip(near.start, near.stop, strict=True)
        ]
        for cube in product(*ranges):
            random = self._random(cube, _NUCLEUS_STREAM)
            present, radius, brightness = random.uniform(), random.uniform(*self.radius), random.uniform(0.6, 1.4)
            radii = radius * random.uniform(0.85, 1.15, 3)
            room = max(0.0, self.spacing / 2 - self.radius[0])
            center = (np.array(cube) + 0.5) * self.spacing + random.uniform(-room, room, 3)
            if present < self.occupancy and (center < self.shape).all():
                yield np.array([*center, *radii, self.contrast * brightness])

    def _random(self, cell: Sequence[int], stream: int) -> np.random.RandomState:
        """Random number generator of a cell; numpy must not change its numbers in later versions."""
        bits = np.random.Philox(counter=[0, *cell], key=[self.seed, stream])
        return np.random.RandomState(bits)


def _cells(box: Box) -> Iterator[Box]:
    grid: TileGrid = TileGrid(box.shape, _NOISE_CELL)
    tile: Tile
    for tile in grid:
        yield tile.write.translated(box.start)


def _nucleus(box: Box, center: npt.NDArray[np.float64], radii: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ellipsoid of brightness 1, blurred by a voxel on each side of its surface."""
    axes = np.ogrid[box.slices]
    squares = [((axis - at) / radius) ** 2 for axis, at, radius in zip(axes, center, radii, strict=True)]
    depth = (1.0 - np.sqrt(squares[0] + squares[1] + squares[2])) * radii.mean()
    blurred: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(np.clip(-2.0 * depth, -50.0, 50.0)))
    return blurred
