"""A temporary file of voxels between two runs: what a tile of either run needs is long pieces of the file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from itertools import product
from types import EllipsisType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from tilecore.array_types import Index
from tilecore.arrays.access import Access, Reach
from tilecore.arrays.extents import Extent, of_files
from tilecore.errors import UnreadableFileError
from tilecore.geometry.indexing import expanded

__all__ = ["TileOrderedFile"]


class TileOrderedAccess(Access):
    """A file that each process opens for itself, and of which each voxel can be written alone."""

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The file."""
        return of_files([self.array.path])

    @property
    def persists(self) -> bool:
        """True, as a file stays after the process."""
        return True

    @property
    def write_units(self) -> None:
        """None, as each voxel can be written alone."""
        return

    def content(self) -> dict[str, Any]:
        """Its name: it belongs to the runs that write and read it, and may be made again in another folder."""
        return {"name": os.path.basename(self.array.path)}

    def writable(self, reach: Reach) -> TileOrderedFile | None:
        """The file, which is sent as its description; None for other machines, which would write one page at once."""
        file: TileOrderedFile = self.array
        return None if reach == "elsewhere" else file


@dataclass(frozen=True)
class TileOrderedFile:
    """Voxels in a file, ordered for two grids of tiles: those that are written, and those that are read.

    A tile that is read is one piece of the file. Inside it, what it has in common with each tile that was written is
    one piece, too. Where tiles meet the end of the volume, their pieces are shorter, so the file is as large as the
    volume. It is read and written by the system's calls, not mapped: pages of a map would count as memory of the
    process for as long as it is open.

    Attributes
    ----------
    path : str
        Path of the file, which must exist and have its size before voxels are read.
    shape : tuple of int
        Shape of the volume [voxel].
    dtype : dtype
        Data type of the voxels.
    written, read : tuple of int
        Shape of the tiles that are written, and of those that are read [voxel]; other boxes take more calls.

    Notes
    -----
    Process-safety: each call opens the file for itself, so any processes and threads may write other voxels at once.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    written: tuple[int, ...]
    read: tuple[int, ...]

    #: Each voxel can be read and written alone.
    write_units: ClassVar[None] = None

    @property
    def access(self) -> TileOrderedAccess:
        """Access of workers to this file."""
        return TileOrderedAccess(self)

    @property
    def nbytes(self) -> int:
        """Size of the file [byte]."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __setitem__(self, index: Index, values: npt.ArrayLike) -> None:
        """Write a box."""
        box = _slices(index, self.shape)
        block = np.asarray(values, self.dtype).reshape([part.stop - part.start for part in box])
        with open(self.path, "r+b", buffering=0) as file:
            for piece in self._pieces(box):
                for position, run in self._runs(piece, np.ascontiguousarray(block[piece.in_box])):
                    file.seek(position)
                    _write(file, run)

    def __getitem__(self, index: Index) -> npt.NDArray[Any]:
        """Read a box.

        Raises
        ------
        UnreadableFileError
            If the file is shorter than it was made.
        """
        box = _slices(index, self.shape)
        block = np.empty([part.stop - part.start for part in box], self.dtype)
        with open(self.path, "rb", buffering=0) as file:
            for piece in self._pieces(box):
                index_of_piece: tuple[slice | EllipsisType, ...] = (*piece.in_box, ...)
                place = block[index_of_piece]  # a view, also if there are no axes
                voxels = place if place.flags.c_contiguous else np.empty(place.shape, self.dtype)
                for position, run in self._runs(piece, voxels):
                    file.seek(position)
                    self._fill(file, run)
                if voxels is not place:
                    place[...] = voxels
        return block

    def _fill(self, file: FileIO, run: memoryview) -> None:
        while run:
            n_read = file.readinto(run)
            if not n_read:
                raise UnreadableFileError(f"{self.path} is cut off: somebody has changed it")
            run = run[n_read:]

    def _pieces(self, box: Sequence[slice]) -> Iterator[_Piece]:
        """Cut a box at the edges of both grids, which are the edges of pieces in the file."""
        axes = zip(box, self.shape, self.written, self.read, strict=True)
        cuts = [list(_cut(part, *each)) for part, *each in axes]
        for spans in product(*cuts):
            columns = list(zip(*spans, strict=True)) or [()] * len(_Span._fields)
            tile, tile_lengths, brick, brick_lengths, start, lengths, in_box = columns
            first = _position(tile, tile_lengths, self.shape) + _position(brick, brick_lengths, tile_lengths)
            yield _Piece(first, start, lengths, brick_lengths, in_box)

    def _runs(self, piece: _Piece, voxels: npt.NDArray[Any]) -> Iterator[tuple[int, memoryview]]:
        """Positions of a piece's voxels in the file [byte], with those voxels: one run if it is a whole brick."""
        plain = voxels.reshape(-1).view(np.uint8).data
        partial = [n for n, (a, b) in enumerate(zip(piece.lengths, piece.brick, strict=True)) if a != b]
        axis = partial[-1] if partial else 0
        n_bytes = math.prod(piece.lengths[axis:]) * self.dtype.itemsize
        for number, index in enumerate(np.ndindex(*piece.lengths[:axis])):
            at = [start + step for start, step in zip(piece.start, index, strict=False)] + list(piece.start[axis:])
            position = piece.first + _position(at, (1,) * len(at), piece.brick)
            yield position * self.dtype.itemsize, plain[number * n_bytes : (number + 1) * n_bytes]


def _write(file: FileIO, run: memoryview) -> None:
    while run:
        run = run[file.write(run) :]


class _Span(NamedTuple):
    """Part of one axis that lies in one tile that is read, and in one that is written: in one brick [voxel]."""

    tile: int  # start in the volume
    tile_length: int
    brick: int  # start in the tile
    brick_length: int
    start: int  # start in the brick
    length: int
    in_box: slice


class _Piece(NamedTuple):
    """Part of a box that lies in one brick.

    Attributes
    ----------
    first : int
        Position of the brick in the file [voxel].
    start, lengths : tuple of int
        Position in the brick, and shape.
    brick : tuple of int
        Shape of the brick.
    in_box : tuple of slice
        Position in the box.
    """

    first: int
    start: tuple[int, ...]
    lengths: tuple[int, ...]
    brick: tuple[int, ...]
    in_box: tuple[slice, ...]


def _cut(part: slice, length: int, written: int, read: int) -> Iterator[_Span]:
    """Cut a part of one axis at the edges of both grids."""
    at = part.start
    while at < part.stop:
        tile = at // read * read
        tile_end = min(tile + read, length)
        brick = max(at // written * written, tile)
        brick_end = min((at // written + 1) * written, tile_end)
        end = min(part.stop, brick_end)
        in_box = slice(at - part.start, end - part.start)
        yield _Span(tile, tile_end - tile, brick - tile, brick_end - brick, at - brick, end - at, in_box)
        at = end


def _position(starts: Sequence[int], lengths: Sequence[int], shape: Sequence[int]) -> int:
    """Number of voxels before a box, where a shape is cut into boxes that are stored one after the other."""
    before, across, rest = 0, 1, math.prod(shape)
    for start, length, whole in zip(starts, lengths, shape, strict=True):
        rest //= whole
        before += across * start * rest
        across *= length
    return before


def _slices(index: Index, shape: tuple[int, ...]) -> list[slice]:
    """A box as slices; an integer is a box of one voxel along its axis."""
    steps = expanded(index, shape)
    return [slice(step, step + 1) if isinstance(step, int) else slice(step.start, step.stop) for step in steps]
