"""Rehearsal of a run: its tiles one after the other, without voxels, to see how often units are decoded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from tilecore.geometry.decoding import AxisUnits, Frontier, orders_of
from tilecore.geometry.retention import ALIGNMENT, Retention
from tilecore.geometry.tile_order import TileOrder
from tilecore.geometry.unit_grid import UnitGrid

__all__ = ["Rehearsed", "choose_order", "reckoned", "rehearse"]

# Largest number of times that tiles read a unit in all rehearsals before a run: each takes about 2 us.
_MOST_READS = 150_000
# Number of reads up to which it is made sure by a rehearsal that each unit is decoded once.
_FEW_READS = 1_000
# Decodes of a unit that are as good as one.
_ONCE = 1.001


class Rehearsed(NamedTuple):
    """What a rehearsal has shown.

    Attributes
    ----------
    decodes : float
        How often a unit is decoded, on average.
    most_bytes : int
        Largest number of bytes that were kept at once.
    """

    decodes: float
    most_bytes: int


def rehearse(units: Sequence[UnitGrid], itemsizes: Sequence[int], order: TileOrder, capacity: int) -> Rehearsed:
    """Go through the tiles of an order, with so many bytes to keep units in."""
    retention, grid, n_decoded = Retention(units, itemsizes, order, capacity), units[0].grid, 0
    for position, number in enumerate(order):
        read, kept = grid[number].read, []
        for key in retention.touched(read):
            if retention.held(key) is None:
                n_decoded += 1
                uses = retention.open_uses(key)
                if not retention.is_kept_for_others(uses, position, is_due=True):
                    continue
                if retention.admit(key, uses, position, is_due=True) is None:
                    continue
                retention.decoded(key)
            kept.append(key)
        retention.begin(kept)
        retention.finish(position, read)
        retention.end(kept)
    return Rehearsed(n_decoded / sum(each.size for each in units), retention.highest_bytes)


def choose_order(
    units: Sequence[UnitGrid],
    itemsizes: Sequence[int],
    capacity: int,
    n_at_once: int = 1,
    orders: Sequence[TileOrder] | None = None,
) -> tuple[TileOrder, Rehearsed]:
    """Choose the order of tiles in which units are decoded least often, and of several such, with least memory.

    Parameters
    ----------
    units : sequence of UnitGrid
        Units of each source.
    itemsizes : sequence of int
        Size of a voxel of each source [byte].
    capacity : int
        Bytes in which units may be kept.
    n_at_once : int
        Number of tiles that are read at once.
    orders : sequence of TileOrder, optional
        The only orders that are allowed.

    Returns
    -------
    order : TileOrder
    expected : Rehearsed
        What to expect of a run in this order.
    """
    expected = reckoned(units, itemsizes, capacity, n_at_once, orders)
    best = min(expected, key=lambda order: expected[order])
    allowed, n_reads = _MOST_READS, sum(map(_n_reads, units))
    tried: dict[TileOrder, Rehearsed] = {}
    if expected[best].decodes <= _ONCE:
        if n_reads > _FEW_READS:
            return best, expected[best]
        # Of few units, a gap between two in the memory may matter, which the formulas do not know.
        tried[best] = rehearse(units, itemsizes, best, capacity)
        if tried[best].decodes <= _ONCE:
            return best, expected[best]
    # Where not everything can be kept, the formulas are a little coarse, and it is better to turn at each end.
    likely = sorted(expected, key=lambda order: expected[order])
    turning = [] if orders else [replace(order, back_and_forth=True) for order in likely]
    for candidate in [*turning, *likely]:
        allowed -= n_reads
        if allowed >= 0:
            tried[candidate] = rehearse(units, itemsizes, candidate, capacity)
    if not tried:
        return best if orders else replace(best, back_and_forth=True), expected[best]
    best = min(tried, key=lambda order: tried[order])
    return best, tried[best]


def reckoned(
    units: Sequence[UnitGrid],
    itemsizes: Sequence[int],
    capacity: int,
    n_at_once: int,
    orders: Sequence[TileOrder] | None = None,
) -> dict[TileOrder, Rehearsed]:
    """What formulas tell of each order; the parameters are those of `choose_order`."""
    grid = units[0].grid
    along = [AxisUnits.of_grid(each) for each in units]
    found = {}
    for order in orders or [TileOrder(grid.counts, axes) for axes in orders_of(grid.ndim)]:
        frontiers = [Frontier.of([own[axis] for axis in order.axes if axis < len(own)], n_at_once) for own in along]
        beside = map(_kept_bytes, units, itemsizes)
        needs = [float(each.voxels[0]) * n_bytes for each, n_bytes in zip(frontiers, beside, strict=True)]
        # Sources share the capacity in proportion to what they need.
        share = min(capacity / max(sum(needs), 1), 1.0)
        decodes = [float(each.decodes_within(each.voxels[0] * share)) for each in frontiers]
        mean = sum(n * each.size for n, each in zip(decodes, units, strict=True)) / sum(each.size for each in units)
        found[order] = Rehearsed(round(mean, 3), int(sum(needs)))
    return found


def _kept_bytes(units: UnitGrid, itemsize: int) -> float:
    """Bytes that are kept for what lies, on the axes that the tiles' grid lacks, at one place of its axes."""
    unit_bytes = math.prod(units.unit) * itemsize
    aligned = -(-unit_bytes // ALIGNMENT) * ALIGNMENT / unit_bytes
    return math.prod(units.shape[units.grid.ndim :]) * itemsize * aligned


def _n_reads(units: UnitGrid) -> int:
    """Number of times that tiles read a unit of a source, all together."""
    return int(units.size * math.prod([float(axis.visits) for axis in AxisUnits.of_grid(units)]))
