"""The function `read_boxes`: many boxes of one image at once, with each chunk decoded once."""

from __future__ import annotations

import contextlib
import math
import operator
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.array_types import Index, OneSource, ReadableArray
from tilecore.arrays.access import chunk_lengths
from tilecore.arrays.foreign import as_readable, is_of
from tilecore.arrays.kinds import as_array
from tilecore.errors import BoundsError
from tilecore.formats.opening import open_source
from tilecore.formats.region_memory import check_memory
from tilecore.formats.source import FileSource, Source
from tilecore.formats.window import Window, box_in_file, part_of, with_all_axes
from tilecore.geometry.boxes import Box
from tilecore.geometry.chunks_in_box import touched
from tilecore.geometry.indexing import box_around, expanded, within_block
from tilecore.spreading import spread, threads_for

__all__ = ["read_boxes"]

# A part of a chunk that a box needs, and the place in the box's result.
_Use: TypeAlias = tuple[tuple[slice, ...], npt.NDArray[Any]]


def read_boxes(source: OneSource, boxes: Sequence[Box | Index]) -> list[npt.NDArray[Any]]:
    """Read many boxes of one image, such as the surroundings of cells or patches for training.

    Each chunk is decoded once, however many boxes touch it, and on all cores; it is held only while its voxels are
    copied. So this is faster than slices one after the other, and needs hardly more memory than the result.

    Parameters
    ----------
    source : path, Source or array
        Path of a file that `open_source` opens, or an array: one of numpy, a `FileSource`, of zarr or another library.
    boxes : sequence of Box or of indices
        What to read, in any order. A `Box` must lie inside the image; an index, such as a tuple of slices, means the
        same as in ``source[index]``.

    Returns
    -------
    list of ndarray
        For each box its voxels, in the order of `boxes`. Where voxels are stored as plain bytes, they are views of a
        read-only memory map, or of the array in memory.

    Raises
    ------
    BoundsError, ParameterError, ParameterTypeError
        If a box does not fit into the image.
    MemoryBudgetError
        If all boxes together are larger than the free memory.
    MissingFileError, UnreadableFileError
        If the path leads to no image, or the file is damaged in one of the boxes.

    Notes
    -----
    Process-safety: may be called from several threads and processes at once.

    Examples
    --------
    >>> import numpy as np
    >>> from tilecore import Box, read_boxes
    >>> volume = np.arange(24).reshape(2, 3, 4)
    >>> [block.shape for block in read_boxes(volume, [Box((0, 0, 0), (2, 2, 2)), np.s_[1, :, 2:]])]
    [(2, 2, 2), (3, 2)]
    """
    with contextlib.ExitStack() as opened:
        if isinstance(source, (str, os.PathLike)):
            source = opened.enter_context(open_source(source))
        array = as_readable(as_array(source), "source")
        steps = [_steps(each, array.shape) for each in boxes]
        around, chunked = [box_around(each) for each in steps], _Chunked.of(array)
        blocks = chunked.read(around) if chunked else [np.asarray(array[box.slices]) for box in around]
        return [block[_within(each)] for block, each in zip(blocks, steps, strict=True)]


@dataclass(frozen=True)
class _Chunked:
    """An image that is read by chunks.

    Attributes
    ----------
    shape, chunks : tuple of int
        Shape of the whole image, and of a chunk; the first one begins at the first voxel [voxel].
    dtype : dtype
        Data type of the voxels.
    window : tuple of int or slice
        Part of the whole image in which boxes lie.
    read_into : callable
        Function ``read_into(box, out)`` that reads a box of the whole image.
    has_threads : bool
        Whether several threads may read at once.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    window: Window
    read_into: Callable[[Box, npt.NDArray[Any]], None]
    has_threads: bool

    @classmethod
    def of(cls, array: ReadableArray) -> _Chunked | None:
        """The chunks of an array; None if it has none, or some of several shapes."""
        dtype, shape = np.dtype(array.dtype), tuple([int(length) for length in array.shape])
        if isinstance(array, FileSource):
            file = array.whole
            if file.chunks is None:
                return None
            return cls(file.shape, file.chunks, dtype, array.window, file.read_into, True)
        told: Any = getattr(array, "chunks", None)
        chunks = chunk_lengths(array)
        if told is None or chunks is None or not all(isinstance(length, SupportsIndex) for length in told):
            return None

        def read_into(box: Box, out: npt.NDArray[Any]) -> None:
            out[...] = array[box.slices]

        window = tuple([slice(0, length) for length in shape])
        return cls(shape, chunks, dtype, window, read_into, isinstance(array, Source) or is_of("zarr", array))

    def read(self, boxes: Sequence[Box]) -> list[npt.NDArray[Any]]:
        """Read boxes, each chunk that they touch once."""
        check_memory(sum([box.size for box in boxes]) * self.dtype.itemsize, f"{len(boxes)} boxes")
        blocks = [np.empty(box.shape, self.dtype) for box in boxes]
        uses: dict[tuple[int, ...], list[_Use]] = {}
        for box, block in zip(boxes, blocks, strict=True):
            if box.size:
                place = with_all_axes(self.window, block)
                for index, in_box, in_chunk in touched(box_in_file(self.window, box), self.chunks):
                    uses.setdefault(index, []).append((in_chunk, part_of(place, in_box)))
        n_bytes = len(uses) * math.prod(self.chunks) * self.dtype.itemsize
        spread(
            self._read_chunk,
            sorted(uses.items(), key=operator.itemgetter(0)),
            threads_for(n_bytes) if self.has_threads else 1,
        )
        return blocks

    def _read_chunk(self, chunk: tuple[tuple[int, ...], list[_Use]]) -> None:
        """Read a chunk, and copy from it what boxes need."""
        index, uses = chunk
        start = [number * length for number, length in zip(index, self.chunks, strict=True)]
        if len(uses) == 1:
            (in_chunk, place), *_ = uses
            self.read_into(Box.from_slices(in_chunk).translated(start), place)
            return
        all_of_it = Box(start, list(map(operator.add, start, self.chunks))).clipped(self.shape)
        voxels = np.empty(all_of_it.shape, self.dtype)
        self.read_into(all_of_it, voxels)
        for in_chunk, place in uses:
            place[...] = voxels[in_chunk]


def _steps(box: Box | Index, shape: tuple[int, ...]) -> list[int | slice]:
    """Index per axis, for a box that lies inside, or for any index."""
    if not isinstance(box, Box):
        return expanded(box, shape)
    if not Box.of_shape(shape).contains(box):
        raise BoundsError.of("box", box, f"the image has the shape {shape}")
    return list(box.slices)


def _within(steps: Sequence[int | slice]) -> tuple[int | slice | EllipsisType, ...]:
    """Index to apply to the box that was read; with the dots it is a view, also of a single voxel."""
    return (*map(within_block, steps), ...)
