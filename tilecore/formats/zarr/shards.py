"""Shards: files that hold several chunks and an index of their positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tilecore.errors import UnreadableFileError
from tilecore.formats.zarr.codecs import Crc32c
from tilecore.formats.zarr.metadata import ArrayMetadata
from tilecore.formats.zarr.stores import Store

__all__ = ["Shard", "shard_index"]

# Offset and length, in the index, of a chunk that is left out because it holds only the fill value.
_ABSENT = 2**64 - 1


@dataclass(frozen=True)
class Shard:
    """A shard whose chunks are read, by several threads if they like.

    Attributes
    ----------
    store : Store
        Store that holds it.
    key : str
        Its key in the store.
    metadata : ArrayMetadata
        Metadata of its array.
    """

    store: Store
    key: str
    metadata: ArrayMetadata

    @cached_property
    def index(self) -> npt.NDArray[np.uint64] | None:
        """Offset and length of each chunk [byte]; None if there is no shard."""
        return _read_index(self.store, self.key, self.metadata)

    def get(self, position: tuple[int, ...]) -> bytes | None:
        """Encoded content of a chunk; None if the index tells that it holds only the fill value.

        Raises
        ------
        UnreadableFileError
            If the shard is cut off.
        """
        assert self.index is not None
        offset, length = map(int, self.index[position])
        if offset == _ABSENT == length:
            return None
        content = self.store.get_range(self.key, offset, length)
        if content is None or len(content) != length:
            raise UnreadableFileError(f"it is cut off in chunk {position}")
        return content


def _read_index(store: Store, key: str, metadata: ArrayMetadata) -> npt.NDArray[np.uint64] | None:
    """Read the index of a shard: offset and length of each chunk, shape (..., 2) [byte]; None if there is no shard.

    Raises
    ------
    UnreadableFileError
        If the shard is cut off, or the checksum of its index is wrong.
    """
    counts = metadata.chunks_per_unit
    length = 16 * math.prod(counts) + 4 * metadata.index_checked
    content = store.get_range(key, 0 if metadata.index_first else -length, length)
    if content is None:
        return None
    if len(content) != length:
        raise UnreadableFileError("it is cut off: its index of chunks is not complete")
    plain = Crc32c().decode(content) if metadata.index_checked else content
    return np.frombuffer(plain, metadata.index_dtype).reshape(*counts, 2)


def shard_index(chunks: Sequence[bytes | memoryview]) -> bytes:
    """Index of compressed chunks that lie one after the other, to be written behind them."""
    lengths = np.array([memoryview(chunk).nbytes for chunk in chunks], np.uint64)
    ends = np.cumsum(lengths, dtype=np.uint64)
    return Crc32c().encode(np.stack([ends - lengths, lengths], axis=-1).astype("<u8").tobytes())
