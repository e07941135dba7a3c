"""Batches of a recording: which observations and channels each has, and how they are cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tilecore.array_types import ReadableArray
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.geometry.per_axis import as_integer
from tilecore.geometry.tiles import Tile, TileGrid
from tilecore.recordings.excerpt import Excerpt

__all__ = ["Channels", "Index", "Selection", "local_index", "observations_per_batch"]

#: Which channels: all, one, or several in the order asked for.
Channels: TypeAlias = int | slice | Iterable[int] | str

#: Observations and channels, as ``recording[index]`` takes them.
Index: TypeAlias = tuple[slice, Any]


@dataclass(frozen=True)
class Selection:
    """Some time and some channels of a recording.

    Attributes
    ----------
    first, stop : int
        Observations.
    channels : tuple of int
        In the order asked for.
    asked : slice, list of int
        The same as an index that keeps the axis of the channels.
    """

    first: int
    stop: int
    channels: tuple[int, ...]
    asked: Any

    @classmethod
    def of(
        cls,
        shape: tuple[int, int],
        from_time: int | None = None,
        to_time: int | None = None,
        channels: Channels = "all",
    ) -> Selection:
        """Check what is asked for against a recording's shape.

        Raises
        ------
        ParameterError
            If there is no such time or channel, or none is left.
        """
        n_observations, n_channels = shape
        if n_observations == 0:
            raise ParameterError("the recording has no observations: there is nothing to work on")
        first = 0 if from_time is None else as_integer(from_time, "from_time", minimum=0)
        stop = n_observations if to_time is None else as_integer(to_time, "to_time", minimum=0)
        if stop > n_observations:
            raise ParameterError.of("to_time", stop, f"the recording has {n_observations} observations")
        if first >= stop:
            raise ParameterError.of("from_time", first, f"must be less than to_time={stop}")
        return cls(first, stop, *_as_channels(channels, n_channels))

    @property
    def n_observations(self) -> int:
        """Number of observations of each channel."""
        return self.stop - self.first

    def excerpt(self, recording: ReadableArray, *, in_channels: bool, turned: bool = False) -> Excerpt:
        """The part of the recording."""
        return Excerpt(recording, self.first, self.stop, self.channels, in_channels, turned)

    def grid(self, n_observations: int, buffer: int) -> TileGrid:
        """Batches of all channels, of so many observations each."""
        shape = (self.n_observations, len(self.channels))
        return TileGrid(shape, (n_observations, shape[1]), [(buffer, buffer), (0, 0)])

    def index_of(self, tile: Tile) -> Index:
        """What a batch has of the recording, without its buffer."""
        return slice(self.first + tile.write.start[0], self.first + tile.write.stop[0]), self.asked


def local_index(tile: Tile, buffer: int) -> Index:
    """What of a batch's data is not buffer."""
    return slice(buffer, buffer + tile.write.shape[0]), slice(None)


def observations_per_batch(max_bytes: int, n_channels: int, itemsize: int, buffer: int = 0) -> int:
    """How many observations a batch has beside its buffer, so that both together take at most so much memory.

    Raises
    ------
    ParameterError
        If there is room for none, or the buffer is longer than the batch.
    """
    room = max_bytes // (n_channels * itemsize)
    if room < 1:
        needed = n_channels * itemsize
        raise ParameterError.of(
            "max_memory", max_bytes, f"one observation of {n_channels} channels takes {needed} bytes"
        )
    if room - 2 * buffer < max(buffer, 1):
        raise ParameterError.of(
            "buffer_size",
            buffer,
            f"longer than a batch: {max_bytes} bytes hold {room} observations, buffers included; give more max_memory",
        )
    return room - 2 * buffer


def _as_channels(channels: Channels, n_channels: int) -> tuple[tuple[int, ...], Any]:
    if isinstance(channels, str):
        if channels != "all":
            raise ParameterError.of("channels", channels, "'all', a number, a slice, or a list of numbers")
        return tuple(range(n_channels)), slice(0, n_channels, None)
    if isinstance(channels, slice):
        numbers = tuple(range(*channels.indices(n_channels)))
        asked: Any = channels
    elif isinstance(channels, (int, np.integer)):
        numbers = (_as_channel(channels, n_channels),)
        asked = slice(numbers[0], numbers[0] + 1)
    elif isinstance(channels, Iterable):
        asked = list(channels)
        numbers = tuple([_as_channel(each, n_channels) for each in asked])
    else:
        raise ParameterTypeError.of("channels", channels, "'all', a number, a slice, or a list of numbers")
    if not numbers:
        raise ParameterError.of("channels", channels, f"selects none of {n_channels} channels")
    return numbers, asked


def _as_channel(channel: object, n_channels: int) -> int:
    if isinstance(channel, (bool, np.bool_)):
        raise ParameterTypeError.of("channels", channel, "numbers of channels are needed, not a mask")
    number = as_integer(channel, "channels")
    if not -n_channels <= number < n_channels:
        raise ParameterError.of("channels", channel, f"the recording has {n_channels}, counted from 0")
    return number % n_channels
