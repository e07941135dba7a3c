"""Search for the blobs of one channel at one time, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tilecore.arrays.access import chunk_lengths
from tilecore.blobs.detectors import Detector, ScaleSpaceDetector, detect_in_tile, extremes_in_tile
from tilecore.blobs.gathering import RowForm, Seen, gathered
from tilecore.blobs.journals import of_extremes
from tilecore.configuration import settings
from tilecore.engine.collecting import iter_tiles
from tilecore.engine.options import RunOptions
from tilecore.engine.parts.run_part import RunPart
from tilecore.errors import ParameterError
from tilecore.geometry.costs import TileCosts
from tilecore.geometry.per_axis import TileShapeLike
from tilecore.geometry.planning import plan_tiles
from tilecore.geometry.tiles import Tile
from tilecore.machine import available_memory

__all__ = ["Search"]

# Memory per voxel: a voxel in single precision, two images between the passes, three scales, and their comparison.
_BYTES_PER_VOXEL = 32.0
# Largest memory for the plan [byte]: more gives no larger tiles, so a resumed run chooses the same tiles.
_ENOUGH_BYTES = 2**31


@dataclass(frozen=True)
class Search:
    """Search in one channel at one time: its volume, with a mask perhaps, and how its tiles run."""

    sources: list[Any]
    place: dict[str, int]
    tile_shape: TileShapeLike
    run: RunOptions
    seen: Seen
    told: Mapping[str, Any]
    overlap: float

    def scale_space(
        self, detector: ScaleSpaceDetector, threshold: float | None, threshold_rel: float | None
    ) -> dict[str, Any]:
        """Search with one of tilecore's detectors; return the columns of its blobs."""
        if threshold is None or threshold_rel is not None:
            low, high = self._extremes(detector)
            least = low if threshold is None else threshold
            threshold = least if threshold_rel is None else max(least, threshold_rel * high)
        return self.columns(replace(detector, threshold=threshold))

    def columns(self, detector: Detector) -> dict[str, Any]:
        """Search with a detector; return the columns of its blobs."""
        form, options = RowForm.of(detector, len(self.sources[0].shape)), self.run.copy()
        if (shard := options.get("shard")) is not None:
            facts = {"form": form.facts, "place": self.place, "told": dict(self.told), "overlap": self.overlap}
            options["shard"] = replace(RunPart.of(shard), application="blobs", facts=facts)
        return gathered(self._iterate(detect_in_tile, detector, options), form, self.place, self.seen)

    def _extremes(self, detector: ScaleSpaceDetector) -> tuple[float, float]:
        if self.run.get("shard") is not None:
            raise ParameterError("shard: threshold_rel needs the largest response of all parts: give the threshold")
        ends = [each for _, each in self._iterate(extremes_in_tile, detector, of_extremes(self.run))]
        return min((low for low, _ in ends), default=np.inf), max((high for _, high in ends), default=-np.inf)

    def _iterate(self, function: Callable[..., Any], detector: Detector, run: RunOptions) -> Iterator[tuple[Tile, Any]]:
        shape, options = detector.tile_shape if self.tile_shape is None else self.tile_shape, run.copy()
        if shape is None and isinstance(detector, ScaleSpaceDetector) and 0 not in detector.shape:
            shape, options["workers"] = self._plan(detector, run)
            if (shard := run.get("shard")) is not None:
                options["shard"] = replace(RunPart.of(shard), proposes_tiles=True)
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
