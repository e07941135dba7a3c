"""Gathering of what the tiles of a search have found, into one table of blobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tilecore.blobs.detectors import Detector, ScaleSpaceDetector, names_of_columns
from tilecore.blobs.pruning import prune_blobs
from tilecore.blobs.table import Blobs
from tilecore.errors import ParameterError
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = ["RowForm", "Seen", "as_blobs", "gathered", "table_of"]

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """What all searches have seen: where tiles begin, along each axis, and the largest responses."""

    edges: list[set[int]]
    largest: list[float] = field(default_factory=list)

    @classmethod
    def nothing(cls, ndim: int) -> Self:
        """Nothing yet, of a volume with so many axes."""
        return cls([set() for _ in range(ndim)])

    @property
    def tile_edges(self) -> list[list[int]]:
        """Edges between tiles, along each axis [voxel]."""
        return [sorted(starts - {0}) for starts in self.edges]

    @property
    def largest_response(self) -> float | None:
        """Largest response of all; None if there is none."""
        return max((each for each in self.largest if each > -np.inf), default=None)


@dataclass(frozen=True)
class RowForm:
    """What the numbers of a row mean that a detector has found; the first are the position.

    Attributes
    ----------
    ndim : int
        Number of axes of the volume.
    sigmas : tuple of tuple of float
        Sigmas of each scale, whose number stands behind the position, before the response; empty if the columns are
        those of a detector of somebody else.
    is_isotropic : bool
        Whether one sigma stands for all axes.
    detector : str
        Name of the detector.
    columns : tuple of str, or None
        Names of the columns behind the position, as the detector declares them.
    """

    ndim: int
    sigmas: tuple[tuple[float, ...], ...] = ()
    is_isotropic: bool = True
    detector: str = ""
    columns: tuple[str, ...] | None = None

    @classmethod
    def of(cls, detector: Detector, ndim: int) -> Self:
        """The form of the rows of a detector."""
        if isinstance(detector, ScaleSpaceDetector):
            return cls(ndim, detector.space.sigmas, detector.space.is_isotropic)
        return cls(ndim, detector=detector.name, columns=detector.columns)

    @property
    def facts(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)

    def named(self, rows: Rows | None) -> dict[str, Rows]:
        """The columns of rows, by their names; None are rows of volumes that no tile was searched in."""
        ndim, axes = self.ndim, "zyx"[-self.ndim :]
        if rows is None:
            rows = np.empty((0, ndim + (2 if self.sigmas else len(self.columns or ()))))
        named = dict(zip(axes, rows[:, :ndim].T, strict=True))
        if not self.sigmas:
            names = names_of_columns(self.columns, self.detector, rows.shape[1] - ndim, ndim)
            return named | dict(zip(names, rows[:, ndim:].T, strict=True))
        sigmas = np.array(self.sigmas)[rows[:, ndim].astype(np.intp)]
        names = ["sigma"] if self.is_isotropic else [f"sigma_{axis}" for axis in axes]
        return named | dict(zip(names, sigmas.T, strict=False)) | {"response": rows[:, -1]}


def gathered(
    found: Iterable[tuple[Tile, dict[str, Any]]], form: RowForm, place: Mapping[str, int], seen: Seen
) -> dict[str, Any]:
    """The columns of what all tiles of a search have found, with those of their tiles and of the search's place."""
    tables, tiles, largest, low, high = [], [], [], np.inf, -np.inf
    empty: Rows | None = None
    for tile, each in found:
        for edges, start in zip(seen.edges, tile.write.start, strict=True):
            edges.add(start)
        low, high = np.fmin(low, each["low"]), np.fmax(high, each["high"])
        largest.append(each["largest"])
        rows = each["rows"]
        if rows is not None and len(rows):
            tables.append(rows)
            tiles.append(np.tile(tile.index, (len(rows), 1)))
        elif rows is not None:
            empty = rows if empty is None or rows.shape[1] > empty.shape[1] else empty
    if low == high and form.sigmas:  # an image of a single value has no blobs
        tables, largest = [], []
    seen.largest.extend(largest)
    if len({table.shape[1] for table in tables}) > 1:
        raise ParameterError(f"detector {form.detector!r} returned tables with different numbers of columns")
    columns = form.named(np.concatenate(tables) if tables else empty)
    indices = np.concatenate(tiles) if tables else np.empty((0, form.ndim), dtype=np.intp)
    of_tiles = {f"tile_{axis}": column for axis, column in zip("zyx"[-form.ndim :], indices.T, strict=True)}
    return columns | of_tiles | {name: np.full(len(indices), number) for name, number in place.items()}


def as_blobs(tables: list[dict[str, Any]], seen: Seen, told: Mapping[str, Any], overlap: float | None) -> Blobs:
    """Make the table of all searches; blobs that overlap more than `overlap` are pruned, if it is given."""
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in shared}
    blobs = Blobs(columns, tile_edges=seen.tile_edges, largest_response=seen.largest_response, **told)
    return blobs if overlap is None or not blobs.sigmas.shape[1] else prune_blobs(blobs, overlap)


def table_of(grid: TileGrid, values: Mapping[int, Any], facts: Mapping[str, Any]) -> Blobs:
    """Make the table of a search that was done in parts, as the search of the whole does.

    Parameters
    ----------
    grid : TileGrid
        The tiles.
    values : mapping of int to dict
        What each tile has found, by its number.
    facts : mapping
        What the parts were told: ``form``, ``place``, ``told`` and ``overlap``.
    """
    form, seen = RowForm(**facts["form"]), Seen.nothing(grid.ndim)
    found = ((grid[number], values[number]) for number in range(grid.size))
    return as_blobs([gathered(found, form, facts["place"], seen)], seen, facts["told"], facts["overlap"])
