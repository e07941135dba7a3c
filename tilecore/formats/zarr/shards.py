"""Shards: files that hold several chunks and an index of their positions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tilecore.errors import UnreadableFileError
from tilecore.formats.zarr.codecs import Crc32c
from tilecore.formats.zarr.metadata import ArrayMetadata
from tilecore.formats.zarr.stores import Store

__all__ = ["join_chunks", "read_index"]

#: Offset and length, in the index, of a chunk that is left out because it holds only the fill value.
ABSENT = 2**64 - 1


def read_index(store: Store, key: str, metadata: ArrayMetadata) -> npt.NDArray[np.uint64] | None:
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


def join_chunks(chunks: Sequence[bytes], counts: tuple[int, ...]) -> bytes:
    """Join compressed chunks and their index into one file's content, with the index at the end."""
    lengths = np.array([len(chunk) for chunk in chunks], np.uint64)
    ends = np.cumsum(lengths, dtype=np.uint64)
    index = np.stack([ends - lengths, lengths], axis=-1).astype("<u8")
    assert len(chunks) == math.prod(counts)
    return b"".join([*chunks, Crc32c().encode(index.tobytes())])
