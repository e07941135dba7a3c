"""A recording's file as batches are cut out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilecore.array_types import ReadableArray
from tilecore.arrays.padding import read_padded
from tilecore.errors import ParameterError
from tilecore.geometry.tiles import TileGrid
from tilecore.recordings.batches import Selection, observations_per_batch
from tilecore.recordings.excerpt import Excerpt
from tilecore.recordings.opening import open_plain
from tilecore.recordings.reader import RecordingsReader

__all__ = ["BatchedFile"]


@dataclass(frozen=True)
class BatchedFile:
    """A file, and how large its batches may be.

    Attributes
    ----------
    reader : RecordingsReader
    max_bytes : int
        Of a batch with its buffer.
    buffer : int
        Observations before and after a batch.
    """

    reader: RecordingsReader
    max_bytes: int
    buffer: int

    def __post_init__(self) -> None:
        observations_per_batch(self.max_bytes, 1, self.reader.dtype.itemsize)

    def excerpt(self, selection: Selection, *, turned: bool = False) -> Excerpt:
        """The selected part, as workers read it."""
        reader, in_channels = self.reader, self.reader.data_order == "channels"
        recording: ReadableArray
        if isinstance(reader.data, np.ndarray):
            recording = reader.data
        else:
            recording = open_plain(reader.path_to_recordings, reader.layout, reader.observations)
        return selection.excerpt(recording, in_channels=in_channels, turned=turned)

    def batches(self, selection: Selection) -> TileGrid:
        """Batches of all selected channels over some time."""
        n_channels, itemsize = len(selection.channels), self.reader.dtype.itemsize
        n_observations = observations_per_batch(self.max_bytes, n_channels, itemsize, self.buffer)
        return selection.grid(min(n_observations, selection.n_observations), self.buffer)

    def channels(self, selection: Selection, is_complete: bool, processes: int = 1) -> TileGrid:
        """Batches of channels, turned: as many as fit, so that what lies between them is read once for all.

        Raises
        ------
        ParameterError
            If a batch is to be a whole channel, and none fits.
        """
        n_observations, n_channels = selection.n_observations, len(selection.channels)
        room = observations_per_batch(self.max_bytes, 1, self.reader.dtype.itemsize)
        if is_complete and room < n_observations:
            raise ParameterError.of(
                "max_memory",
                self.max_bytes,
                f"a channel has {n_observations} observations, and {room} fit: give more, or "
                "force_complete_channel_batch=False",
            )
        n_fitting = max(1, room // n_observations // processes)
        n_rounds = -(-n_channels // (n_fitting * processes))  # each process has as much to do as any other
        step = -(-n_channels // (n_rounds * processes))
        return TileGrid((n_channels, n_observations), (step, min(room, n_observations)))

    def single_channels(self, selection: Selection, is_complete: bool) -> Iterator[Any]:
        """Go through batches of one channel: its data, and its number where it comes in parts."""
        excerpt = self.excerpt(selection, turned=True)
        for tile in self.channels(selection, is_complete):
            block = read_padded(excerpt, tile.read, tile.pad, 0)
            numbers = selection.channels[tile.write.start[0] : tile.write.stop[0]]
            for number, data in zip(numbers, block, strict=True):
                yield data if is_complete else (data, number)
