"""Part of a recording: some time and some channels, which knows what lies around it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.arrays.access import chunk_lengths
from tilecore.arrays.views import ViewAccess
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.recorded import NOT_TOLD, Recorded
from tilecore.geometry.boxes import Box
from tilecore.geometry.per_axis import Halo

__all__ = ["Excerpt"]

# Samples of all channels are read in pieces of this size, and turned while they lie in the processor's cache [byte].
_PIECE_BYTES = 2**18


@dataclass(frozen=True)
class Excerpt:
    """Observations `first` to `stop` of some channels, as an array of two axes that is read by workers.

    Parameters
    ----------
    source : array_like, shape (observations, channels)
    first, stop : int
    channels : tuple of int
    in_channels : bool
        Whether the recording keeps the observations of a channel beside each other.
    turned : bool
        Whether the array has the axes (channels, observations) instead, each channel in one piece.
    names : tuple of str
        Of the channels; empty if they are not known.
    recorded : Recorded
        What the numbers mean.

    Notes
    -----
    Blocks are copies of the recording's, and may be written into. What a block has beyond the excerpt along time are
    the recording's own values, and zeros where it has none.

    Process-safety: travels as the recording does.
    """

    source: ReadableArray
    first: int
    stop: int
    channels: tuple[int, ...]
    in_channels: bool = False
    turned: bool = False
    names: tuple[str, ...] = ()
    recorded: Recorded = NOT_TOLD

    @property
    def info(self) -> ImageInfo:
        """What an output file is told of the axes and the numbers."""
        axes = "CT" if self.turned else "TC"
        return ImageInfo("recording", self.shape, self.dtype, axes, channel_names=self.names, recorded=self.recorded)

    @property
    def shape(self) -> tuple[int, int]:
        """Length of each axis."""
        lengths = (self.stop - self.first, len(self.channels))
        return lengths[::-1] if self.turned else lengths

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""
        dtype: np.dtype[Any] = np.dtype(self.source.dtype)
        return dtype

    @property
    def chunks(self) -> tuple[int, int] | None:
        """Shape of a chunk of the recording, which is decoded as a whole; None if each number can be read alone."""
        chunks = chunk_lengths(self.source)
        if chunks is None:
            return None
        lengths = (chunks[0], min(chunks[1], len(self.channels)))
        return lengths[::-1] if self.turned else lengths

    @property
    def access(self) -> ViewAccess:
        """How workers reach it."""
        return ViewAccess(self)

    def describe(self) -> dict[str, Any]:
        """What tells it from other parts of the recording."""
        return {"part": [self.first, self.stop, list(self.channels), self.turned]}

    def __getitem__(self, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
        starts, stops, _ = zip(*[each.indices(n) for each, n in zip(slices, self.shape, strict=True)], strict=True)
        return self.read_padded(Box(starts, stops), ((0, 0), (0, 0)))

    def read_padded(self, box: Box, pad: Halo) -> npt.NDArray[Any]:
        """Read a box and what lies around it: values of the recording, and zeros beyond its ends."""
        axis = 1 if self.turned else 0
        chosen = self.channels[box.start[1 - axis] : box.stop[1 - axis]]
        low = self.first + box.start[axis] - pad[axis][0]
        high = self.first + box.stop[axis] + pad[axis][1]
        n_observations = int(self.source.shape[0])
        inside = slice(min(max(low, 0), n_observations), max(min(high, n_observations), 0))
        if self.turned:
            return self._turned(inside, chosen)
        if (inside.start, inside.stop) == (low, high) and (run := _as_run(chosen)) is not None:
            return _own(self.source, (inside, run))
        block = np.zeros((high - low, len(chosen)), dtype=self.dtype)
        self._fill(block[inside.start - low : inside.stop - low], inside, chosen)
        return block

    def _fill(self, block: npt.NDArray[Any], rows: slice, channels: tuple[int, ...]) -> None:
        """Read channels, those that lie beside each other at once."""
        if len(block) == 0:
            return
        cuts = [0, *(at for at in range(1, len(channels)) if channels[at] != channels[at - 1] + 1), len(channels)]
        runs = list(pairwise(cuts))
        if len(runs) == 1 or self.in_channels:
            for begin, end in runs:
                block[:, begin:end] = self.source[rows, channels[begin] : channels[end - 1] + 1]
            return
        lowest, numbers = min(channels), np.array(channels) - min(channels)
        for piece in self._pieces(rows, max(channels) + 1 - lowest):
            at = slice(piece.start - rows.start, piece.stop - rows.start)
            block[at] = _own(self.source, (piece, slice(lowest, max(channels) + 1)))[:, numbers]

    def _turned(self, rows: slice, channels: tuple[int, ...]) -> npt.NDArray[Any]:
        block = np.empty((len(channels), rows.stop - rows.start), dtype=self.dtype)
        if self.in_channels:
            self._fill(block.T, rows, channels)
            return block
        lowest, stop, is_run = min(channels), max(channels) + 1, _as_run(channels) is not None
        numbers = slice(None) if is_run else np.array(channels) - lowest
        for piece in self._pieces(rows, stop - lowest):
            at = slice(piece.start - rows.start, piece.stop - rows.start)
            samples = _own(self.source, (piece, slice(lowest, stop)))  # read in the order of the file, then turned
            block[:, at].T[...] = samples[:, numbers]
        return block

    def _pieces(self, rows: slice, n_channels: int) -> list[slice]:
        step = max(1, _PIECE_BYTES // max(1, n_channels * self.dtype.itemsize))
        return [slice(at, min(at + step, rows.stop)) for at in range(rows.start, rows.stop, step)]


def _as_run(channels: tuple[int, ...]) -> slice | None:
    """Channels that lie beside each other as a slice."""
    first = channels[0] if channels else 0
    return slice(first, first + len(channels)) if channels == tuple(range(first, first + len(channels))) else None


def _own(source: ReadableArray, slices: tuple[slice, slice]) -> npt.NDArray[Any]:
    """A block of the recording that is no view of it."""
    copy_of = getattr(type(source), "copy_of", None)
    if copy_of is not None:
        block: npt.NDArray[Any] = copy_of(source, slices)
        return block
    array = np.asarray(source[slices])
    return array if array.flags.owndata and array.flags.writeable else np.array(array, order="K")
