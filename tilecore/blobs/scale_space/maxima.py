"""Maxima in a tile's scale space: those that scikit-image finds in the whole volume's."""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tilecore.blobs.scale_space.tile_scale_space import ScaleResponse, TileScaleSpace

__all__ = ["Maxima", "extremes", "find_maxima"]

Indices = npt.NDArray[np.intp]

# Number of voxels that are compared together; they stay in the processor's cache.
_STRETCH = 2**15
# Number of candidates that are compared with all their neighbours together.
_BATCH = 2**14


class Maxima(NamedTuple):
    """Maxima of a tile.

    Attributes
    ----------
    positions : ndarray of int, shape (n, ndim)
        Positions in the volume [voxel].
    scales : ndarray of int, shape (n,)
        Number of each maximum's scale.
    responses : ndarray of float, shape (n,)
        Responses, rounded to fourteen bits.
    largest : float
        Largest response, also if it is below the threshold, in single precision; -inf if there is none.
    """

    positions: npt.NDArray[np.intp]
    scales: Indices
    responses: npt.NDArray[np.float64]
    largest: float


def find_maxima(tile_space: TileScaleSpace, threshold: float) -> Maxima:
    """Find the voxels of a tile whose response is above the threshold and not below that of any neighbour.

    Parameters
    ----------
    tile_space : TileScaleSpace
        Responses of the tile.
    threshold : float
        Limit that a response must exceed.

    Returns
    -------
    Maxima
        The maxima. Neighbours are those in space and scale, also diagonal ones. If neighbours have
        exactly the same response, each is a maximum.

    Notes
    -----
    At most three scales are in memory. Decisions that single precision leaves open are made with
    exact responses, so that the result depends neither on the tile nor on the library for matrix
    products.
    """
    n_scales = len(tile_space.space)
    found = []
    window: list[ScaleResponse | None] = [None, tile_space.at_scale(0)]
    for number in range(n_scales):
        window = [*window[-2:], tile_space.at_scale(number + 1) if number + 1 < n_scales else None]
        found.append(_maxima_at(tile_space, window, number, threshold))
    positions, scales, responses, largest = zip(*found, strict=True)
    return Maxima(np.concatenate(positions), np.concatenate(scales), np.concatenate(responses), max(largest))


def extremes(tile_space: TileScaleSpace) -> tuple[float, float]:
    """Return the exact smallest and largest response in a tile's write box; (inf, -inf) if there is none."""
    ends = [_extremes_at(tile_space, number) for number in range(len(tile_space.space))]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _maxima_at(tile_space: TileScaleSpace, window: list[ScaleResponse | None], number: int, threshold: float) -> Maxima:
    """Return the maxima at one scale, which is the second level in `window`."""
    settled = _settled(tile_space, window, number, threshold)
    if settled is None:  # if too many decisions are open, computing whole scales is faster
        steps = zip((-1, 0, 1), window, strict=True)
        window = [None if each is None else tile_space.exact_at_scale(number + step) for step, each in steps]
        possible = _possible(window, np.dtype(tile_space.space.dtype).type(threshold))
        settled = possible, _present(window[1]).response.ravel()[possible].astype(np.float64)
        unit, zero = 1.0, 0.0
    else:
        unit, zero = tile_space.unit, tile_space.middle * tile_space.space.scales[number].constant
    indices, responses = settled
    # Where something is found, nothing needs to look at all responses once more.
    largest = responses.max() if len(responses) else _present(window[1]).response.max() * unit + zero
    return Maxima(tile_space.positions(indices), np.full(len(indices), number), _rounded(responses), float(largest))


def _possible(window: list[ScaleResponse | None], floor: float) -> Indices:
    """Indices, in the flat response, of voxels that may be maxima, after fast comparisons with their neighbours."""
    layer = _present(window[1])
    indices = _above_those_beside(layer, floor)
    values = layer.response.ravel()[indices].astype(np.float64)  # offsets may need more than single precision
    for other in window:
        if other is None:
            continue
        responses = other.response.ravel()
        slack = layer.error + other.error + layer.offset - other.offset
        for step in _steps(layer.response.shape):
            keep = values + slack >= responses[indices + step]
            indices, values = indices[keep], values[keep]
    return indices


def _above_those_beside(layer: ScaleResponse, floor: float) -> Indices:
    """Indices of voxels with a response above `floor` and not below that of their four neighbours in the plane."""
    shape, responses = layer.response.shape, layer.response.ravel()
    rows = shape[-1]
    edge = sum(_strides(shape))  # index of the first voxel with neighbours on all sides
    found = [np.empty(0, dtype=np.intp)]
    for first in range(edge, len(responses) - edge, _STRETCH):
        last = min(first + _STRETCH, len(responses) - edge)
        here = responses[first:last]
        keep = here > floor
        if keep.any():
            upper = here + 2 * layer.error
            for step in (-1, 1, -rows, rows):
                keep &= responses[first + step : last + step] <= upper
            found.append(np.flatnonzero(keep) + first)
    indices = np.concatenate(found)
    inside = [(at > 0) & (at < length - 1) for at, length in zip(np.unravel_index(indices, shape), shape, strict=True)]
    return indices[np.logical_and.reduce(inside)]


def _settled(
    tile_space: TileScaleSpace, window: list[ScaleResponse | None], number: int, threshold: float
) -> tuple[Indices, npt.NDArray[np.float64]] | None:
    """Maxima and their responses; open decisions use exact responses. None if that would take too long."""
    layer = _present(window[1])
    if layer.error == 0:
        return None
    scale = tile_space.space.scales[number]
    floor = (threshold - tile_space.middle * scale.constant) / tile_space.unit
    possible = _possible(window, floor - layer.error)
    values = layer.response.ravel()[possible].astype(np.float64)
    responses = values * tile_space.unit + tile_space.middle * scale.constant
    margin = layer.error * tile_space.unit
    is_open = (values <= floor + layer.error) | (_rounded(responses - margin) != _rounded(responses + margin))
    pairs = []
    for step, other in zip((-1, 0, 1), window, strict=True):
        if other is not None:
            candidates, rivals = _open_pairs(layer, other, possible)
            is_open[candidates] = True
            pairs.append((step, candidates, rivals))
    n_open = int(is_open.sum()) + sum(len(candidates) for _, candidates, _ in pairs)
    if not tile_space.exact.pays(scale, n_open, layer.response.size):
        return None
    responses[is_open] = tile_space.exact.at(scale, tile_space.positions(possible[is_open]))
    keep = ~is_open | (responses.astype(tile_space.space.dtype) > np.dtype(tile_space.space.dtype).type(threshold))
    for step, candidates, rivals in pairs:
        due = keep[candidates]
        points, where = np.unique(rivals[due], return_inverse=True)
        exact = tile_space.exact.at(tile_space.space.scales[number + step], tile_space.positions(points))
        beaten = exact[where] > responses[candidates[due]]
        keep[candidates[due][beaten]] = False
    return possible[keep], responses[keep]


def _open_pairs(layer: ScaleResponse, other: ScaleResponse, possible: Indices) -> tuple[Indices, Indices]:
    """Pairs of a candidate (by number) and a neighbour (by index) that may have a larger response."""
    steps = _steps(layer.response.shape, itself=other is not layer)
    slack = layer.error + other.error + other.offset - layer.offset
    responses = other.response.ravel()
    candidates, rivals = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for first in range(0, len(possible), _BATCH):
        batch = possible[first : first + _BATCH, None]
        near = responses[batch + steps] >= layer.response.ravel()[batch].astype(np.float64) - slack
        rows, columns = np.nonzero(near)
        candidates.append(rows + first)
        rivals.append(batch[rows, 0] + steps[columns])
    return np.concatenate(candidates), np.concatenate(rivals)


def _steps(shape: tuple[int, ...], *, itself: bool = True) -> Indices:
    """Steps from an index in a flat array to its neighbours, the nearest first."""
    moves = sorted(product((-1, 0, 1), repeat=len(shape)), key=lambda move: sum(map(abs, move)))
    return np.array([int(np.dot(move, _strides(shape))) for move in moves if itself or any(move)], dtype=np.intp)


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Steps along each axis in the flat array."""
    return tuple([math.prod(shape[axis + 1 :]) for axis in range(len(shape))])


def _extremes_at(tile_space: TileScaleSpace, number: int) -> tuple[float, float]:
    layer = tile_space.at_scale(number)
    core = layer.response[(slice(1, -1),) * layer.response.ndim]
    known = np.isfinite(core)
    if not known.any():
        return np.inf, -np.inf
    low, high = core[known].min(), core[known].max()
    extreme = known & ((core <= low + 2 * layer.error) | (core >= high - 2 * layer.error))
    if layer.error > 0 and tile_space.exact.pays(
        scale := tile_space.space.scales[number], int(extreme.sum()), core.size
    ):
        exact = tile_space.exact.at(scale, np.argwhere(extreme) + np.add(tile_space.target.start, 1))
    else:
        core = tile_space.exact_at_scale(number).response[(slice(1, -1),) * core.ndim]
        exact = core[np.isfinite(core)]
    return float(exact.min()), float(exact.max())


def _rounded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round values to fourteen bits (four digits), which single precision can nearly always determine."""
    mantissas, exponents = np.frexp(values)
    rounded: npt.NDArray[np.float64] = np.ldexp(np.rint(np.ldexp(mantissas, 14)), exponents - 14)
    return rounded


def _present(layer: ScaleResponse | None) -> ScaleResponse:
    assert layer is not None
    return layer
