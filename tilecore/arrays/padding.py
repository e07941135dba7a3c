"""Reading of blocks, with padding where they reach beyond the volume."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.arrays.inherited import InheritedArray
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.geometry.boxes import Box
from tilecore.geometry.per_axis import Halo
from tilecore.geometry.tiles import Tile

__all__ = ["Boundary", "as_boundary", "block_box", "check_boundary", "read_box_into", "read_padded"]

#: Boundary mode beyond the volume: None for no voxels, a mode of `numpy.pad`, or a value.
Boundary: TypeAlias = Literal["reflect", "symmetric", "edge", "wrap", "constant"] | float | None

_MODES = ("reflect", "symmetric", "edge", "wrap", "constant")


def as_boundary(boundary: Any) -> Boundary:
    """Accept a boundary: a mode, a value to pad with, or None."""
    if boundary is None or boundary in _MODES:
        return boundary  # type: ignore[no-any-return]
    if isinstance(boundary, str):
        raise ParameterError.of("boundary", boundary, f"None, a number, or one of {', '.join(_MODES)}")
    if not isinstance(boundary, (int, float, np.integer, np.floating, np.bool_)):
        raise ParameterTypeError.of("boundary", boundary, f"None, a number, or one of {', '.join(_MODES)}")
    return boundary  # type: ignore[return-value]


def check_boundary(boundary: Boundary, dtype: np.dtype[Any]) -> None:
    """Refuse a value beyond the volume's edges that voxels cannot have; floats may be rounded, all but 0 is True.

    Raises
    ------
    ParameterError
        If a volume of this dtype would have another value there.
    """
    if boundary is None or isinstance(boundary, str) or dtype.kind not in "iufc":
        return
    with np.errstate(all="ignore"):
        try:
            kept = np.asarray(boundary).astype(dtype)
        except OverflowError:  # of an integer of many digits
            same = False
        else:
            # An integer that numpy has no dtype for is finite, too.
            is_finite = isinstance(boundary, int) or np.isfinite(boundary)
            same = np.isfinite(kept) == is_finite if dtype.kind in "fc" else kept == boundary
    if not same:
        raise ParameterError.of("boundary", boundary, f"voxels of dtype {dtype} cannot have this value")


def block_box(tile: Tile, boundary: Boundary) -> Box:
    """Box of a tile's block: the read box, with the pad if a boundary mode fills it."""
    return tile.read if boundary is None else tile.read.grown(tile.pad)


def read_padded(array: ReadableArray, box: Box, pad: Halo, boundary: Boundary) -> npt.NDArray[Any]:
    """Read a box and the padding around it that `boundary` defines.

    Parameters
    ----------
    array : array_like
        The whole volume.
    box : Box
        Box to read, inside the volume.
    pad : sequence of (int, int)
        Voxels before and after the box, per axis, that lie outside the volume.
    boundary : Boundary
        None reads the box alone. Otherwise the block equals the same part of the whole
        volume padded by `numpy.pad`, bit for bit, however small the box is.

    Returns
    -------
    ndarray
        A view of `array` if nothing had to be padded and `array` gives views.

    Notes
    -----
    An array with a method ``read_padded(box, pad)`` knows itself what lies around it.
    """
    reads_itself = getattr(type(array), "read_padded", None)
    if reads_itself is not None:
        return np.asarray(reads_itself(array, box, pad))
    if boundary is None or not any(before or after for before, after in pad):
        return _read(array, box)
    padded = box.grown(pad)
    if boundary == "constant" or not isinstance(boundary, str):
        block = np.full(padded.shape, 0 if boundary == "constant" else boundary, dtype=array.dtype)
        block[box.relative_to(padded.start).slices] = _read(array, box)
        return block
    return _gather(array, padded, boundary)


def _read(array: ReadableArray, box: Box) -> npt.NDArray[Any]:
    """Read a box; an array of another library must give what it says, or its voxels would be changed unnoticed."""
    found = array[box.slices]
    block = np.asarray(found)
    if type(array) is np.ndarray:
        return block
    if block.shape != box.shape:
        raise ParameterError.of("source", type(array), f"{box} of it has the shape {block.shape}, not {box.shape}")
    if isinstance(found, np.ma.MaskedArray) and np.ma.is_masked(found):
        raise ParameterError.of("source", type(array), "its blocks are masked, which would lose the mask; fill them")
    if block.dtype != array.dtype and not np.can_cast(block.dtype, array.dtype, "equiv"):
        raise ParameterError.of("source", type(array), f"its blocks have the dtype {block.dtype}, not {array.dtype}")
    return block


def read_box_into(array: ReadableArray, box: Box, out: npt.NDArray[Any]) -> None:
    """Read a box into an array of its shape and of the source's dtype; a source that can do so writes there itself."""
    source = array.array if isinstance(array, InheritedArray) else array
    own = getattr(type(source), "read_into", None)
    if own is None:
        out[...] = _read(array, box)
    else:
        own(source, box, out)


def _gather(array: ReadableArray, padded: Box, mode: str) -> npt.NDArray[Any]:
    """Fill a block that reaches beyond the volume, piece by piece, at most 3 pieces per axis."""
    block = np.empty(padded.shape, dtype=array.dtype)
    axes = [
        _pieces(first, last, length, mode)
        for first, last, length in zip(padded.start, padded.stop, array.shape, strict=True)
    ]
    for pieces in product(*axes):
        source = Box([int(index.min()) for _, index in pieces], [int(index.max()) + 1 for _, index in pieces])
        part = _read(array, source)
        inside = [index - start for (_, index), start in zip(pieces, source.start, strict=True)]
        block[tuple(target for target, _ in pieces)] = part[np.ix_(*inside)]
    return block


def _pieces(first: int, last: int, length: int, mode: str) -> Sequence[tuple[slice, npt.NDArray[np.intp]]]:
    """Split an axis into the parts before, in and after the volume, each with its source coordinates."""
    cuts = [first, min(max(first, 0), last), max(min(last, length), first), last]
    return [
        (slice(low - first, high - first), _source_coordinates(np.arange(low, high), length, mode))
        for low, high in pairwise(cuts)
        if high > low
    ]


def _source_coordinates(coordinates: npt.NDArray[np.intp], length: int, mode: str) -> npt.NDArray[np.intp]:
    """Coordinates in the volume from which `numpy.pad` takes the voxels."""
    if mode == "edge" or (mode == "reflect" and length == 1):
        return coordinates.clip(0, length - 1)
    if mode == "wrap":
        return coordinates % length
    # A mirrored volume repeats after one pass forth and one back.
    period = 2 * (length - 1) if mode == "reflect" else 2 * length
    there = coordinates % period
    back = period - there if mode == "reflect" else period - 1 - there
    return np.minimum(there, back)
