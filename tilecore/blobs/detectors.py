"""Detectors: tilecore's own, and any function that finds points in a block."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tilecore import plugins
from tilecore.arrays.padding import Boundary, as_boundary, block_box
from tilecore.blobs.columns import is_filled
from tilecore.blobs.scale_space.maxima import extremes, find_maxima
from tilecore.blobs.scale_space.scales import ScaleSpace
from tilecore.blobs.scale_space.tile_scale_space import HessianTileScaleSpace, TileScaleSpace, voxel_range
from tilecore.engine.declared import Declared, declare, first_given
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.geometry.per_axis import HaloLike
from tilecore.geometry.tiles import Tile

__all__ = ["ENTRY_POINTS", "Detector", "OwnDetector", "ScaleSpaceDetector", "names_of_columns", "own_detector"]

#: Group of entry points in which packages register detectors.
ENTRY_POINTS = "tilecore.detectors"

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScaleSpaceDetector:
    """Detector of maxima in scale space, as scikit-image finds them in the whole volume.

    Attributes
    ----------
    space : ScaleSpace
        Scales and kernels.
    shape : tuple of int
        Shape of the volume.
    threshold : float
        Limit that a blob's response must exceed.
    border : tuple of int
        Width of the volume's border in which blobs are dropped, per axis [voxel].
    """

    space: ScaleSpace
    shape: tuple[int, ...]
    threshold: float
    border: tuple[int, ...]

    #: None: blocks end at the volume's edges.
    boundary: ClassVar[None] = None

    @property
    def halo(self) -> tuple[int, ...]:
        """Context around a tile [voxel]."""
        return self.shape if self.space.kind == "doh" else self.space.halo

    @property
    def tile_shape(self) -> tuple[int, ...] | None:
        """Tile shape that suits the detector; None if the planner chooses it."""
        return tuple([max(length, 1) for length in self.shape]) if self.space.kind == "doh" else None

    def find(self, block: npt.NDArray[Any], tile: Tile) -> tuple[Rows, float]:
        """Find the blobs that a tile owns: rows of position in the volume, number of the scale, and response.

        Also returned is the largest response, which tells more where nothing is found.
        """
        tile_space = self._tile_space(block, tile)
        if tile_space.is_empty:
            return np.empty((0, len(self.shape) + 2)), -np.inf
        maxima = find_maxima(tile_space, self.threshold)
        inside = (maxima.positions >= self.border) & (maxima.positions < np.subtract(self.shape, self.border))
        rows = np.column_stack([maxima.positions, maxima.scales, maxima.responses])[inside.all(axis=1)]
        return rows, maxima.largest

    def extremes(self, block: npt.NDArray[Any], tile: Tile) -> tuple[float, float]:
        """Return the smallest and the largest response among the voxels that a tile owns."""
        tile_space = self._tile_space(block, tile)
        return (np.inf, -np.inf) if tile_space.is_empty else extremes(tile_space)

    def _tile_space(self, block: npt.NDArray[Any], tile: Tile) -> TileScaleSpace:
        kind = HessianTileScaleSpace if self.space.kind == "doh" else TileScaleSpace
        return kind(block, tile, self.shape, self.space)


@dataclass(frozen=True)
class OwnDetector:
    """Detector that is a function of somebody else.

    Attributes
    ----------
    function : callable
        ``function(block, **params)``.
    name : str
        Name of the detector in messages.
    params : mapping
        Arguments of the function.
    halo : HaloLike
        Context around a tile [voxel].
    boundary : Boundary
        Boundary mode beyond the volume.
    columns : tuple of str, or None
        Names of the columns after the position. None: sigma, or one sigma for each axis, if their
        number fits, otherwise ``column_0`` and so on.
    """

    function: Callable[..., Any]
    name: str
    params: Mapping[str, Any]
    halo: HaloLike
    boundary: Boundary
    columns: tuple[str, ...] | None

    #: None: the planner chooses the tiles.
    tile_shape: ClassVar[None] = None

    def find(self, block: npt.NDArray[Any], tile: Tile) -> tuple[Rows, float]:
        """Find the blobs whose nearest voxel a tile owns: rows of position in the volume, and other columns.

        Responses are not known: the largest is -inf.

        Raises
        ------
        ParameterError
            If the function does not return a table of points in its block.
        """
        rows = self._checked(self.function(block, **self.params), tile)
        if len(rows) == 0:
            return rows, -np.inf
        ndim = len(tile.read.start)
        rows[:, :ndim] += block_box(tile, self.boundary).start
        nearest = np.floor(rows[:, :ndim] + 0.5)
        own = (nearest >= tile.write.start) & (nearest < np.array(tile.write.stop))
        return rows[own.all(axis=1)], -np.inf

    def names(self, n_columns: int, ndim: int) -> Sequence[str]:
        """Return the names of the columns after the position."""
        return names_of_columns(self.columns, self.name, n_columns, ndim)

    def _checked(self, result: object, tile: Tile) -> Rows:
        shape = np.array(block_box(tile, self.boundary).shape)
        if isinstance(result, tuple) and all(isinstance(each, np.ndarray) for each in result):
            # As many arrays as axes, and as many points as axes or more: their numbers would be taken for rows.
            needed = "it must return one array, with a row for each point: np.argwhere, or np.column_stack(...)"
            raise self._error(tile, f"a tuple of {len(result)} arrays, as np.nonzero does,", needed)
        try:
            rows = np.array(result, dtype=np.float64)
        except (TypeError, ValueError):
            raise self._error(tile, f"{type(result).__name__}", "it must return a table of numbers") from None
        if rows.size == 0:
            return np.empty((0, rows.shape[1] if rows.ndim == 2 and rows.shape[1] >= len(shape) else len(shape)))
        if rows.ndim != 2 or rows.shape[1] < len(shape):
            raise self._error(tile, f"shape {rows.shape}", f"the shape must be (n, {len(shape)} or more)")
        positions = rows[:, : len(shape)]
        if not np.isfinite(positions).all():
            raise self._error(tile, str(rows[~np.isfinite(positions).all(axis=1)][0]), "positions must be finite")
        outside = ((positions < -0.5) | (positions >= shape - 0.5)).any(axis=1)
        if outside.any():
            raise self._error(tile, str(rows[outside][0]), f"positions must lie in the block of shape {tuple(shape)}")
        return rows

    def _error(self, tile: Tile, what: str, needed: str) -> ParameterError:
        return ParameterError(f"detector {self.name!r} returned {what} for {tile}: {needed}")


Detector = ScaleSpaceDetector | OwnDetector


def names_of_columns(declared: tuple[str, ...] | None, detector: str, n_columns: int, ndim: int) -> Sequence[str]:
    """Return the names of the columns after the position, as a detector declares them, or by their number."""
    if declared is not None and len(declared) != n_columns:
        raise ParameterError.of(f"detector {detector!r}", n_columns, f"columns expected after the position: {declared}")
    if declared is not None or n_columns == 0:
        return declared or ()
    if n_columns == 1:
        return ("sigma",)
    if n_columns == ndim:
        return [f"sigma_{axis}" for axis in "zyx"[-ndim:]]
    return [f"column_{number}" for number in range(n_columns)]


def own_detector(
    detector: str | Callable[..., Any], params: Mapping[str, Any] | None, halo: HaloLike | None
) -> OwnDetector:
    """Find a detector that is not tilecore's, with its declarations.

    Raises
    ------
    ParameterError
        If the detector is unknown, does not take the parameters, or declares columns that tilecore fills, or its halo
        is not known.
    """
    function = _found(detector)
    _check_params(function, dict(params or {}))
    # What is given is declared anew: then what the function itself declares is not computed.
    declared = Declared.of(function if halo is None else declare(halo=halo)(partial(function)), params)
    name = detector if isinstance(detector, str) else declared.name
    needed = first_given(halo, declared.halo)
    if needed is None:
        raise ParameterError(
            f"detector={name!r}: its halo is not known; pass halo=, or let the function declare it (tilecore.declare)"
        )
    columns = None if declared.columns is None else tuple(declared.columns)
    taken = [each for number, each in enumerate(columns or ()) if is_filled(each) or each in (columns or ())[:number]]
    if taken:
        raise ParameterError(
            f"detector={name!r} declares the columns {columns}: {taken[0]} is there already; choose another name"
        )
    return OwnDetector(function, name, dict(params or {}), needed, as_boundary(declared.boundary), columns)


def _check_params(function: Callable[..., Any], params: dict[str, Any]) -> None:
    """Refuse parameters that a detector does not take, or that it lacks, before any work."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some that are written in C do not tell
        return
    try:
        signature.bind(None, **params)
    except TypeError as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise ParameterError.of("params", params, f"the detector is {name}{signature}: {error}") from None


def _found(detector: str | Callable[..., Any]) -> Callable[..., Any]:
    function: Any = detector
    if isinstance(detector, str):
        named = ":" in detector
        function = plugins.load(detector, "detector") if named else plugins.find(ENTRY_POINTS, detector)
        if function is None:
            raise ParameterError.of(
                "detector",
                detector,
                f"'log', 'dog', 'doh', 'module:name', or the name of an entry point {ENTRY_POINTS}",
            )
    if not callable(function):
        raise ParameterTypeError.of("detector", detector, "must be a function")
    return function  # type: ignore[no-any-return]


# Decorator for functions of tiles: their halo, boundary and name are those of the detector.
_as_detector = declare(
    halo=lambda detector: detector.halo,
    boundary=lambda detector: detector.boundary,
    name=lambda detector: detector.name if isinstance(detector, OwnDetector) else "detect_blobs",
)


@_as_detector
def detect_in_tile(block: npt.NDArray[Any], *masks: npt.NDArray[Any], tile: Tile, detector: Detector) -> dict[str, Any]:
    """Find the blobs that a tile owns, and the range of its voxels, as an image of a single value has no blobs.

    Returns
    -------
    dict
        ``rows``, ``low``, ``high`` and ``largest`` (response), of types that a journal can keep.
    """
    low, high = voxel_range(block)
    found = {"low": float(low), "high": float(high)}
    own = tile.write.relative_to(block_box(tile, detector.boundary).start)
    mask = masks[0][own.slices] if masks else None
    if mask is not None and not mask.any():
        return {**found, "rows": None, "largest": -np.inf}
    rows, largest = detector.find(block, tile)
    if mask is not None and len(rows):
        positions = np.floor(rows[:, : block.ndim] + 0.5).astype(np.intp) - tile.write.start
        rows = rows[mask[tuple(positions.T)] != 0]
    return {**found, "rows": rows, "largest": largest}


@_as_detector
def extremes_in_tile(block: npt.NDArray[Any], *, tile: Tile, detector: ScaleSpaceDetector) -> tuple[float, float]:
    """Return the smallest and the largest response among the voxels that a tile owns."""
    return detector.extremes(block, tile)
