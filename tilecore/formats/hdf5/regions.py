"""Reading of regions of HDF5 datasets, where possible on several threads.

The library holds a lock while it decodes. So chunks of the most common compression, gzip, are taken from it as they
are stored, and are decoded here. Whatever is unusual about a chunk is left to the library.
"""

from __future__ import annotations

import math
import operator
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.errors import UnreadableFileError
from tilecore.extras import needs_extra
from tilecore.formats.reader_errors import reading
from tilecore.geometry.boxes import Box
from tilecore.geometry.chunks_in_box import count_touched, touched
from tilecore.spreading import spread, threads_for

if TYPE_CHECKING:
    import h5py

__all__ = ["read_dataset"]

_Voxels: TypeAlias = npt.NDArray[Any]

# Filters of HDF5, by their numbers, in the order in which they encode: gzip alone, and behind a shuffle of the bytes.
_KNOWN = _GZIP, _SHUFFLED_GZIP = (1,), (2, 1)


def read_dataset(dataset: h5py.Dataset, path: str, box: Box, out: npt.NDArray[Any]) -> None:
    """Read a box with voxels of a dataset into an array."""
    chunks = dataset.chunks
    n_bytes = 0 if chunks is None else count_touched(box, chunks) * math.prod(chunks) * dataset.dtype.itemsize
    n_threads = threads_for(n_bytes)
    if n_threads < 2 or n_bytes <= _cache_bytes(dataset) or (filters := _filters(dataset)) not in _KNOWN:
        _read_by_library(dataset, path, box, out)
        return

    def read_chunk(chunk: tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]) -> None:
        index, in_box, in_chunk = chunk
        start = tuple(map(operator.mul, index, chunks))
        voxels = _decoded(dataset, path, start, is_shuffled=filters == _SHUFFLED_GZIP)
        if voxels is None:
            _read_by_library(dataset, path, Box.from_slices(in_chunk).translated(start), out[in_box])
        else:
            out[in_box] = voxels[in_chunk]

    spread(read_chunk, list(touched(box, chunks)), n_threads)


def _read_by_library(dataset: h5py.Dataset, path: str, box: Box, out: npt.NDArray[Any]) -> None:
    """Read a box into an array; the library itself writes there if the array is contiguous."""
    with reading(path, "HDF5"):
        try:
            if out.flags.c_contiguous and box.ndim:
                dataset.read_direct(out, box.slices)
            else:
                out[...] = dataset[box.slices]
        except OSError as error:
            if "filter" in str(error) and "plugin" in str(error):
                raise needs_extra(f"{path}, compressed with another filter,", "hdf5plugin", "hdf5") from error
            raise


def _cache_bytes(dataset: h5py.Dataset) -> int:
    """Size of the decoded chunks that the library keeps, so that regions beside each other do not decode them again."""
    return int(dataset.id.get_access_plist().get_chunk_cache()[1])


def _filters(dataset: h5py.Dataset) -> tuple[int, ...]:
    """Filters of a dataset; none if its numbers are stored in another way than numpy has them in memory."""
    import h5py

    if not dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype)):
        return ()
    creation = dataset.id.get_create_plist()
    return tuple([creation.get_filter(number)[0] for number in range(creation.get_nfilters())])


def _decoded(dataset: h5py.Dataset, path: str, start: tuple[int, ...], *, is_shuffled: bool) -> _Voxels | None:
    """Decode the chunk that begins at a voxel; None if it is missing, damaged, or stored without one of the filters."""
    n_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
    stream = zlib.decompressobj()
    try:
        left_out, content = dataset.id.read_direct_chunk(start)
        plain = stream.decompress(content, n_bytes + 1)
    except (OSError, RuntimeError, ValueError, zlib.error):
        return None
    if left_out or (not stream.eof and len(plain) < n_bytes):
        return None
    if len(plain) != n_bytes:  # the library would not notice
        raise UnreadableFileError(f"{path}: the chunk at {start} is damaged: it does not hold {n_bytes} bytes")
    ordered = _in_order(plain, dataset.dtype) if is_shuffled else plain
    return np.frombuffer(ordered, dataset.dtype).reshape(dataset.chunks)


def _in_order(plain: bytes, dtype: np.dtype[Any]) -> npt.NDArray[np.uint8]:
    """Bytes of numbers, of which the first bytes of all were stored before the second ones of all, and so on."""
    columns = np.frombuffer(plain, np.uint8).reshape(dtype.itemsize, -1)
    numbers = np.empty(columns.shape[::-1], np.uint8)
    for place, column in enumerate(columns):
        numbers[:, place] = column
    return numbers.reshape(-1)
