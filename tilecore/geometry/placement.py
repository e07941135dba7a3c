"""Position of a tile's result in an output whose resolution or axes differ from the volume's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TypeAlias

from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.geometry.boxes import Box
from tilecore.geometry.per_axis import as_integer
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = ["Placement", "ScaleLike"]

#: What a caller may write for a scale, for all axes or each: a whole number, or the fraction 1/n.
ScaleLike: TypeAlias = float | Fraction | Sequence[float | Fraction]


@dataclass(frozen=True)
class Placement:
    """Rule that maps a tile's write box to the box of the output that it owns.

    Attributes
    ----------
    scale : tuple of Fraction
        Output voxels per volume voxel, for each axis of the volume: ``n`` or ``1/n``.
    Axes of the volume that the result does not have; each tile spans them.
        Axes of the volume that the result does not have; tiles span them.
    added : tuple of (int, int)
        Position in the output, and length, of each axis that the volume does not have.
    """

    scale: tuple[Fraction, ...]
    dropped: tuple[int, ...] = ()
    added: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(
        cls,
        ndim: int,
        scale: ScaleLike | None = None,
        drop_axis: int | Sequence[int] = (),
        new_axis: Mapping[int, int] | None = None,
    ) -> Placement:
        """Build a placement from the arguments that a caller gives.

        Parameters
        ----------
        ndim : int
            Number of axes of the volume.
        scale : number, sequence of numbers or None
            One number per axis or one for all: a whole number, or the fraction 1/n.
        drop_axis : int or sequence of int
            Axes to drop; negative numbers count from the last axis.
        new_axis : dict of int to int, optional
            Position of each new axis in the output, and its length.
        """
        if new_axis is not None and not isinstance(new_axis, Mapping):
            raise ParameterTypeError.of("new_axis", new_axis, "a dict of position to length is needed, such as {0: 3}")
        dropped = tuple(sorted({_axis(axis, ndim) for axis in _listed(drop_axis)}))
        n_output = ndim - len(dropped) + len(new_axis or {})
        added = tuple(
            sorted(
                (_axis(axis, n_output, "new_axis"), as_integer(length, "new_axis", minimum=0))
                for axis, length in (new_axis or {}).items()
            )
        )
        return cls(_as_scale(scale, ndim), dropped, added)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether the output has exactly the volume's voxels, so that no box has to be converted."""
        return not (self.dropped or self.added) and all(scale == 1 for scale in self.scale)

    def shape(self, volume_shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of the output for a volume of the given shape."""
        if self._is_plain:
            return tuple(volume_shape)
        return self._rearranged(self._scaled(volume_shape))

    def box(self, write: Box) -> Box:
        """Box of the output that a write box owns."""
        if self._is_plain:
            return write
        start = [self._exact(first, axis) for axis, first in enumerate(write.start)]
        stop = self._scaled(write.stop)
        return Box(self._rearranged(start, first=True), self._rearranged(stop))

    def inner(self, tile: Tile, block: Box, result_shape: tuple[int, ...]) -> tuple[slice, ...]:
        """Index that cuts the part that a tile owns out of the tile's result.

        Parameters
        ----------
        tile : Tile
            Tile that the result belongs to.
        block : Box
            Box of the function's block, in the volume's coordinates: the read box, or more with padding.
        result_shape : tuple of int
            Shape of the returned array: it must fit the block or the write box.

        Raises
        ------
        ParameterError
            If it fits neither of them.
        """
        own = self.box(tile.write)
        if result_shape == own.shape:
            return Box.of_shape(own.shape).slices
        offset = [first - low for first, low in zip(tile.write.start, block.start, strict=True)]
        whole = self.shape(block.shape)
        if result_shape != whole:
            other = "" if whole == own.shape else f", or {own.shape}, that of the tile's write box"
            raise ParameterError(
                f"the function returned an array of shape {result_shape} for {tile}: "
                f"shape {whole}, that of the block{other}, is needed"
            )
        first = tuple(offset)
        if not self._is_plain:
            first = self._rearranged([self._exact(step, axis) for axis, step in enumerate(offset)], first=True)
        return Box.of_shape(own.shape).translated(first).slices

    def check(self, grid: TileGrid) -> None:
        """Refuse a grid whose tiles do not begin on voxels of the output, or do not span the dropped axes.

        Raises
        ------
        ParameterError
            If the tile shape, the halo or a dropped axis does not fit.
        """
        if grid.size == 0 and 0 not in self.shape(grid.shape):
            raise ParameterError.of(
                "drop_axis", self.dropped, f"the volume of shape {grid.shape} has no voxel to compute a result from"
            )
        for axis in self.dropped:
            if grid.counts[axis] > 1:
                raise ParameterError.of(
                    "tile_shape",
                    grid.tile_shape,
                    f"must span axis {axis} ({grid.shape[axis]} voxels), which is dropped",
                )
        for axis, scale in enumerate(self.scale):
            step, (before, after) = scale.denominator, grid.halo[axis]
            if step > 1 and (before % step or after % step):
                raise ParameterError.of(
                    "halo", grid.halo, f"must be a multiple of {step} along axis {axis}, as the scale is {scale}"
                )
            if step > 1 and grid.counts[axis] > 1 and (grid.tile_shape[axis] % step or grid.ragged != "keep"):
                raise ParameterError.of(
                    "tile_shape",
                    grid.tile_shape,
                    f"must be a multiple of {step} along axis {axis}, as the scale is {scale}",
                )

    def units(self, output_units: Sequence[int] | None) -> tuple[int, ...]:
        """Write units along the volume's axes, for given write units of the output; tiles must be multiples of them."""
        steps = [scale.denominator for scale in self.scale]
        if output_units is None:
            return tuple(steps)
        kept = [axis for axis in range(len(self.scale)) if axis not in self.dropped]
        rest = [unit for position, unit in enumerate(output_units) if position not in dict(self.added)]
        for axis, unit in zip(kept, rest, strict=True):
            # Smallest number of voxels that makes whole units and whole output voxels.
            steps[axis] *= Fraction(unit, self.scale[axis].numerator).numerator
        return tuple(steps)

    def _scaled(self, lengths: Sequence[int]) -> list[int]:
        return [
            -(-length * scale.numerator // scale.denominator) for length, scale in zip(lengths, self.scale, strict=True)
        ]

    def _exact(self, coordinate: int, axis: int) -> int:
        scaled = coordinate * self.scale[axis]
        if scaled.denominator != 1:
            raise ParameterError(
                f"coordinate {coordinate} of axis {axis} is not on a voxel of the output (scale {self.scale[axis]})"
            )
        return scaled.numerator

    def _rearranged(self, values: Sequence[int], *, first: bool = False) -> tuple[int, ...]:
        """Convert per-axis values of the volume to per-axis values of the output."""
        kept = [value for axis, value in enumerate(values) if axis not in self.dropped]
        for position, length in self.added:
            kept.insert(position, 0 if first else length)
        return tuple(kept)


def _as_scale(scale: ScaleLike | None, ndim: int) -> tuple[Fraction, ...]:
    values = [1 if scale is None else scale] * ndim if not isinstance(scale, Iterable) else list(scale)
    if len(values) != ndim:
        raise ParameterError.of("scale", scale, f"{ndim} numbers are needed, one per axis")
    return tuple(_as_factor(value, scale) for value in values)


def _as_factor(value: float | Fraction, scale: object) -> Fraction:
    try:
        factor = Fraction(value).limit_denominator(10**6)
    except (TypeError, ValueError):
        raise ParameterTypeError.of("scale", scale, "whole numbers or fractions 1/n") from None
    if factor <= 0 or 1 not in (factor.numerator, factor.denominator):
        raise ParameterError.of("scale", scale, "whole numbers or fractions 1/n")
    return factor


def _listed(axes: int | Sequence[int]) -> list[int]:
    return list(axes) if isinstance(axes, Iterable) else [axes]


def _axis(axis: int, ndim: int, name: str = "drop_axis") -> int:
    number = as_integer(axis, name)
    if not -ndim <= number < ndim:
        raise ParameterError.of(name, axis, f"there are {ndim} axes")
    return number % ndim
