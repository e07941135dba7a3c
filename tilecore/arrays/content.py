"""Digests that identify the content of arrays."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tilecore.spreading import spread, threads_for

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["digest_of_array", "digest_of_bytes"]

# Bytes that one thread reads at a time, and copies if they are not contiguous [byte].
_PIECE_BYTES = 2**24


def digest_of_bytes(content: ReadableBuffer) -> str:
    """Compute the digest of bytes, as hexadecimal text."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def digest_of_array(array: npt.NDArray[Any]) -> str:
    """Compute the digest of all elements of an array, in the order of its axes in memory.

    The digest combines a 32-bit checksum of each 16 MiB piece, computed as fast as memory is
    read: a changed piece goes unnoticed once in four billion times.
    """
    # Along an axis whose stride is 0, all elements are the same one.
    distinct = array[tuple([slice(0, 1) if stride == 0 else slice(None) for stride in array.strides])]
    lengths, strides = distinct.shape, distinct.strides
    order = sorted(range(array.ndim), key=lambda axis: (lengths[axis] > 1, -abs(strides[axis]) * (lengths[axis] > 1)))
    pieces = list(_pieces(distinct.transpose(order)))
    checksums = [0] * len(pieces)

    def look(number: int) -> None:
        flat = np.ascontiguousarray(pieces[number]).reshape(-1)
        checksums[number] = zlib.crc32(flat.view(np.uint8).data)

    spread(look, range(len(pieces)), threads_for(array.nbytes))
    return digest_of_bytes(struct.pack(f"<{array.ndim}B{len(checksums)}I", *order, *checksums))


def _pieces(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Split an array along its first axes into parts of at most one piece; the cuts depend on the shape alone."""
    if array.nbytes <= _PIECE_BYTES or array.ndim == 0:
        if array.size:
            yield array
        return
    step = _PIECE_BYTES * len(array) // array.nbytes
    if step == 0:
        for part in array:
            yield from _pieces(part)
    else:
        for first in range(0, len(array), step):
            yield array[first : first + step]
