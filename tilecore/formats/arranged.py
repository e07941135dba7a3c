"""Sources with their axes in another order, or with one position chosen on some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import Index, ReadableArray
from tilecore.arrays.access import chunk_lengths
from tilecore.arrays.views import ViewAccess
from tilecore.formats.image_info import ImageInfo
from tilecore.geometry.indexing import expanded, within_block

__all__ = ["arranged"]


def arranged(source: ReadableArray, order: Sequence[int], chosen: Mapping[int, int] | None = None) -> ReadableArray:
    """Return a source with its axes in another order, without reading it.

    Parameters
    ----------
    source : array_like
        The source.
    order : sequence of int
        Axis of the source behind each axis.
    chosen : mapping of int to int, optional
        Position on each axis of the source that is not in `order`.
    """
    chosen = chosen or {}
    if list(order) == list(range(len(source.shape))):
        return source
    if isinstance(source, np.ndarray):
        moved = source.transpose([*order, *chosen])
        picked: tuple[Any, ...] = (..., *chosen.values())
        view: ReadableArray = moved[picked]
        return view
    return _Arranged(source, tuple(order), tuple(chosen.items()))


@dataclass(frozen=True)
class _Arranged:
    """A source that is not in memory, with its axes in another order; it is sent to workers as the source is."""

    source: Any
    order: tuple[int, ...]
    chosen: tuple[tuple[int, int], ...]

    @property
    def access(self) -> ViewAccess:
        """How workers reach it."""
        return ViewAccess(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return self._in_order(self.source.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""
        dtype: np.dtype[Any] = np.dtype(self.source.dtype)
        return dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of a chunk; None if each voxel can be read alone."""
        chunks = chunk_lengths(self.source)
        return None if chunks is None else self._in_order(chunks)

    @property
    def info(self) -> ImageInfo | None:
        """Properties of the image, if it is a file."""
        info = getattr(self.source, "info", None)
        return info.arranged(self.order) if isinstance(info, ImageInfo) else None

    def describe(self) -> dict[str, Any]:
        """What is made of the source."""
        return {"order": self.order, "chosen": self.chosen}

    def __getitem__(self, index: Index) -> npt.NDArray[Any]:
        """Read a region."""
        steps = expanded(index, self.shape)
        ranges = [slice(step, step + 1) if isinstance(step, int) else slice(step.start, step.stop) for step in steps]
        places = dict(zip(self.order, ranges, strict=True))
        places |= {axis: slice(position, position + 1) for axis, position in self.chosen}
        block = np.asarray(self.source[tuple([places[axis] for axis in sorted(places)])])
        block = block.transpose([*self.order, *[axis for axis, _ in self.chosen]])
        selected: npt.NDArray[Any] = block[(*map(within_block, steps), *(0 for _ in self.chosen))]
        return selected

    def _in_order(self, lengths: Sequence[int]) -> tuple[int, ...]:
        return tuple([int(lengths[axis]) for axis in self.order])
