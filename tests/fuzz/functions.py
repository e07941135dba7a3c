"""Functions of blocks with a known reach, and their results on a whole volume."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from tilecore import Tile

Pairs = tuple[tuple[int, int], ...]

#: What is done with each voxel and those around it. The first ones only move voxels.
CORES = ["same", "shifted", "largest", "smallest", "total", "scaled", "located", "scipy"]
MOVES = ("same", "shifted")
#: How a function makes the array that it returns.
MANNERS = ["new", "buffer", "in place", "scribble", "fortran", "backwards", "read-only"]
WRITES = ("in place", "scribble")


@dataclass(frozen=True)
class Placing:
    """Change of the axes between volume and result.

    Attributes
    ----------
    scale : tuple of int
        Per axis of the volume: n voxels for each voxel, or, if negative, one for n of them.
    dropped : int or None
    added : tuple of (int, int)
        Position and length of each new axis, in order.
    """

    scale: tuple[int, ...]
    dropped: int | None = None
    added: tuple[tuple[int, int], ...] = ()

    def __call__(self, result: np.ndarray) -> np.ndarray:
        for axis, factor in enumerate(self.scale):
            if factor < 0:
                result = result[(slice(None),) * axis + (slice(None, None, -factor),)]
            elif factor > 1:
                result = result.repeat(factor, axis)
        if self.dropped is not None:
            kind = result.dtype.newbyteorder("=") if result.dtype.kind in "fc" else np.int64
            result = result.sum(axis=self.dropped, dtype=kind)
        for position, length in self.added:
            copies = [result if result.dtype == bool else result * result.dtype.type(k + 1) for k in range(length)]
            result = np.stack(copies, axis=position)
        return result


@dataclass
class TileFunction:
    """Random function of blocks.

    Attributes
    ----------
    core, manner : str
        Of `CORES` and `MANNERS`.
    halo, reach : tuple of (int, int)
        What blocks have around a tile, and how far the function looks; not farther.
    boundary : str, number or None
        Of the run.
    placing : Placing
    own : bool
        Whether only what the tile owns is returned.
    second : bool
        Whether there is a second result: which voxels of the first are not zero.
    fails : bool
        Whether the first call in each process raises.
    """

    core: str
    manner: str
    halo: Pairs
    reach: Pairs
    boundary: Any
    placing: Placing
    own: bool
    second: bool
    fails: bool
    _called: list[bool] = field(default_factory=list)
    _buffers: dict[Any, np.ndarray] = field(default_factory=dict)

    @property
    def needs_tile(self) -> bool:
        return self.own or self.core == "located"

    def __call__(
        self, block: np.ndarray, mask: np.ndarray | None = None, *, offset: int, tile: Tile | None = None
    ) -> Any:
        if self.fails and not self._called:
            self._called.append(True)
            raise RuntimeError("the first call fails")
        start = None if tile is None else self._start(tile)
        result = self._core(block, start, mask, offset)
        if self.own:
            assert tile is not None and start is not None
            spans = zip(tile.write.start, tile.write.stop, start, strict=True)
            result = result[tuple([slice(low - first, high - first) for low, high, first in spans])]
        result = self.placing(result)
        second = result != 0
        result = self._made(result, block)
        return (result, second) if self.second else result

    def whole(self, volume: np.ndarray, mask: np.ndarray | None, offset: int) -> tuple[np.ndarray, ...]:
        """Compute the results on the whole volume at once."""
        cut = tuple([slice(0, length) for length in volume.shape])
        start = [0] * volume.ndim
        if self.boundary is not None and volume.size:
            cut = tuple([slice(b, b + length) for (b, _), length in zip(self.halo, volume.shape, strict=True)])
            start = [-b for b, _ in self.halo]
            volume = padded(volume, self.halo, self.boundary)
            mask = None if mask is None else padded(mask, self.halo[: mask.ndim], self.boundary)
        result = self.placing(self._core(volume, start, mask, offset)[cut])
        return (result, result != 0) if self.second else (result,)

    def _start(self, tile: Tile) -> list[int]:
        """First voxel of a tile's block, in the volume."""
        firsts = [low - before for low, (before, _) in zip(tile.write.start, self.halo, strict=True)]
        return [max(first, 0) for first in firsts] if self.boundary is None else firsts

    def _core(self, block: np.ndarray, start: Sequence[int] | None, mask: Any, offset: int) -> np.ndarray:
        result = _CORES[self.core](block, self.reach, start, offset)
        if mask is None:
            return result
        mask = mask.reshape(mask.shape + (1,) * (block.ndim - mask.ndim))
        return np.where(mask, result, result.dtype.type(3))

    def _made(self, result: np.ndarray, block: np.ndarray) -> np.ndarray:
        if self.manner == "buffer":
            key = (threading.get_ident(), result.shape, result.dtype.str)
            buffer = self._buffers.setdefault(key, np.empty(result.shape, result.dtype))
            buffer[...] = result
            return buffer
        if self.manner in WRITES:
            result = result.copy()
            same = (block.shape, block.dtype) == (result.shape, result.dtype)
            block[...] = result if same else block.dtype.type(1)
            if self.manner == "in place" and same:
                return block
            block[...] = block.dtype.type(0)
        if self.manner == "fortran":
            return np.asfortranarray(result)
        if self.manner == "backwards":
            turned = (slice(None, None, -1),) * result.ndim
            return result[turned].copy()[turned]
        if self.manner == "read-only":
            result = result.copy()
            result.flags.writeable = False
        return result


def padded(volume: np.ndarray, halo: Pairs, boundary: Any) -> np.ndarray:
    """Pad a whole volume as a boundary mode demands."""
    options: Any = {"mode": boundary} if isinstance(boundary, str) else {"constant_values": boundary}
    return np.pad(volume, halo, **options)


def _windowed(block: np.ndarray, reach: Pairs, combine: Callable[..., Any]) -> np.ndarray:
    """Combine each voxel with all voxels within reach inside the block, axis by axis."""
    result = block
    for axis, (before, after) in enumerate(reach):
        total, n = result.copy(), result.shape[axis]
        for shift in range(-before, after + 1):
            if shift and abs(shift) < n:
                to = (slice(None),) * axis + (slice(max(0, -shift), n - max(0, shift)),)
                other = (slice(None),) * axis + (slice(max(0, shift), n + min(0, shift)),)
                total[to] = combine(total[to], result[other])
        result = total
    return result


def _shifted(block: np.ndarray, reach: Pairs, start: Any, offset: int) -> np.ndarray:
    """Shift the block by the function's reach, filled with zeros."""
    result = np.zeros_like(block)
    to, other = [], []
    for n, (before, after) in zip(block.shape, reach, strict=True):
        shift = after if after > before else -before
        if abs(shift) >= n:
            return result
        to.append(slice(max(0, -shift), n - max(0, shift)))
        other.append(slice(max(0, shift), n + min(0, shift)))
    result[tuple(to)] = block[tuple(other)]
    return result


def _total(block: np.ndarray, reach: Pairs, start: Any, offset: int) -> np.ndarray:
    return _windowed(block if block.dtype.kind in "fc" else block.astype(np.int64), reach, np.add)


def _scaled(block: np.ndarray, reach: Pairs, start: Any, offset: int) -> np.ndarray:
    kind = block.dtype.type
    return block ^ kind(offset % 2) if block.dtype == bool else block * kind(2) + kind(offset)


def _located(block: np.ndarray, reach: Pairs, start: Any, offset: int) -> np.ndarray:
    """Number each place in the volume, and add whether its voxel differs from zero."""
    place = np.zeros(block.shape, np.int64)
    for axis, (first, n) in enumerate(zip(start, block.shape, strict=True)):
        place = 1009 * place + np.arange(first, first + n).reshape(
            [-1 if each == axis else 1 for each in range(block.ndim)]
        )
    return 2 * place + (block != 0)


def _scipy(block: np.ndarray, reach: Pairs, start: Any, offset: int) -> np.ndarray:
    """Apply scipy's maximum filter, symmetric, with the given reach."""
    size = [2 * min(pair) + 1 for pair in reach]
    native = block.astype(np.int64) if block.dtype.kind == "b" else block.astype(block.dtype.newbyteorder("="))
    return ndimage.maximum_filter(native, size, mode="nearest") if native.size else native


_CORES: dict[str, Callable[..., np.ndarray]] = {
    "same": lambda block, *_: block,
    "shifted": _shifted,
    "largest": lambda block, reach, *_: _windowed(block, reach, np.maximum),
    "smallest": lambda block, reach, *_: _windowed(block, reach, np.minimum),
    "total": _total,
    "scaled": _scaled,
    "located": _located,
    "scipy": _scipy,
}
