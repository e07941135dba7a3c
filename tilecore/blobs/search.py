"""Search for the blobs of one channel at one time, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.arrays.access import chunk_lengths
from tilecore.blobs.detectors import Detector, OwnDetector, ScaleSpaceDetector, detect_in_tile, extremes_in_tile
from tilecore.blobs.journals import of_extremes
from tilecore.configuration import settings
from tilecore.engine.collecting import iter_tiles
from tilecore.engine.options import RunOptions
from tilecore.errors import ParameterError
from tilecore.geometry.costs import TileCosts
from tilecore.geometry.per_axis import TileShapeLike
from tilecore.geometry.planning import plan_tiles
from tilecore.geometry.tiles import Tile
from tilecore.machine import available_memory

__all__ = ["Search", "Seen"]

# Memory per voxel: a voxel in single precision, two images between the passes, three scales, and their comparison.
_BYTES_PER_VOXEL = 32.0
# Largest memory for the plan [byte]: more gives no larger tiles, so a resumed run chooses the same tiles.
_ENOUGH_BYTES = 2**31


@dataclass(frozen=True)
class Seen:
    """What all searches have seen: where tiles begin, along each axis, and the largest responses."""

    edges: list[set[int]]
    largest: list[float] = field(default_factory=list)

    @property
    def tile_edges(self) -> list[list[int]]:
        """Edges between tiles, along each axis [voxel]."""
        return [sorted(starts - {0}) for starts in self.edges]

    @property
    def largest_response(self) -> float | None:
        """Largest response of all; None if there is none."""
        return max((each for each in self.largest if each > -np.inf), default=None)


@dataclass(frozen=True)
class Search:
    """Search in one channel at one time: its volume, with a mask perhaps, and how its tiles run."""

    sources: list[Any]
    place: dict[str, int]
    tile_shape: TileShapeLike
    run: RunOptions
    seen: Seen

    def scale_space(
        self, detector: ScaleSpaceDetector, threshold: float | None, threshold_rel: float | None
    ) -> dict[str, Any]:
        """Search with one of tilecore's detectors; return the columns of its blobs."""
        if threshold is None or threshold_rel is not None:
            low, high = self._extremes(detector)
            least = low if threshold is None else threshold
            threshold = least if threshold_rel is None else max(least, threshold_rel * high)
        rows, tiles = self._rows(replace(detector, threshold=threshold))
        space, ndim = detector.space, len(detector.shape)
        rows = np.empty((0, ndim + 2)) if rows is None else rows
        sigmas = np.array(space.sigmas)[rows[:, ndim].astype(np.intp)]
        names = ["sigma"] if space.is_isotropic else [f"sigma_{axis}" for axis in "zyx"[-ndim:]]
        columns = dict(zip(names, sigmas.T, strict=False))
        return self._columns(rows[:, :ndim], tiles) | columns | {"response": rows[:, -1]}

    def own(self, detector: OwnDetector) -> dict[str, Any]:
        """Search with a detector of somebody else; return the columns of its blobs."""
        rows, tiles = self._rows(detector)
        ndim = len(self.sources[0].shape)
        if rows is None:
            rows = np.empty((0, ndim + len(detector.columns or ())))
        names = detector.names(rows.shape[1] - ndim, ndim)
        return self._columns(rows[:, :ndim], tiles) | dict(zip(names, rows[:, ndim:].T, strict=True))

    def _columns(self, positions: npt.NDArray[np.float64], tiles: npt.NDArray[np.intp]) -> dict[str, Any]:
        axes = "zyx"[-positions.shape[1] :]
        found: dict[str, Any] = dict(zip(axes, positions.T, strict=True))
        found |= {f"tile_{axis}": column for axis, column in zip(axes, tiles.T, strict=True)}
        return found | {name: np.full(len(positions), number) for name, number in self.place.items()}

    def _rows(self, detector: Detector) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.intp]]:
        """Rows that all tiles found, or None if no tile was searched, and the grid position of each row's tile."""
        tables, places, largest, low, high, empty = [], [], [], np.inf, -np.inf, None
        for tile, found in self._iterate(detect_in_tile, detector, self.run):
            for edges, start in zip(self.seen.edges, tile.write.start, strict=True):
                edges.add(start)
            low, high = np.fmin(low, found["low"]), np.fmax(high, found["high"])
            largest.append(found["largest"])
            if found["rows"] is None:
                continue
            if len(found["rows"]) == 0:
                empty = found["rows"] if empty is None or found["rows"].shape[1] > empty.shape[1] else empty
            else:
                tables.append(found["rows"])
                places.append(np.tile(tile.index, (len(found["rows"]), 1)))
        if low == high and isinstance(detector, ScaleSpaceDetector):
            tables, largest = [], []
        self.seen.largest.extend(largest)
        if len({table.shape[1] for table in tables}) > 1:
            raise ParameterError(f"{detector} returned tables with different numbers of columns")
        if not tables:
            return empty, np.empty((0, len(self.sources[0].shape)), dtype=np.intp)
        return np.concatenate(tables), np.concatenate(places)

    def _extremes(self, detector: ScaleSpaceDetector) -> tuple[float, float]:
        ends = [each for _, each in self._iterate(extremes_in_tile, detector, of_extremes(self.run))]
        return min((low for low, _ in ends), default=np.inf), max((high for _, high in ends), default=-np.inf)

    def _iterate(self, function: Callable[..., Any], detector: Detector, run: RunOptions) -> Iterator[tuple[Tile, Any]]:
        shape, options = detector.tile_shape if self.tile_shape is None else self.tile_shape, run.copy()
        if shape is None and isinstance(detector, ScaleSpaceDetector) and 0 not in detector.shape:
            shape, options["workers"] = self._plan(detector, run)
        return iter_tiles(
            function,
            self.sources,
            tile_shape=shape,
            kwargs={"detector": detector},
            pass_tile=True,
            **options,
        )

    def _plan(self, detector: ScaleSpaceDetector, run: RunOptions) -> tuple[tuple[int, ...], int]:
        """Choose tiles and workers that fit into memory; a pilot's block, nearly all halo, would tell too little."""
        workers = getattr(run.get("executor"), "workers", None) or settings.resolve_workers(run.get("workers"))
        plan = plan_tiles(
            detector.shape,
            self.sources[0].dtype,
            max_memory=run.get("max_memory") or min(available_memory() // 2, _ENOUGH_BYTES),
            workers=workers,
            halo=detector.halo,
            chunks=chunk_lengths(self.sources[0]),
            costs=TileCosts(bytes_per_voxel=_BYTES_PER_VOXEL, seconds_per_voxel=15e-9 * len(detector.space)),
        )
        return plan.grid.tile_shape, plan.workers
