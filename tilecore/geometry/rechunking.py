"""Ways from one chunk shape to another: one pass, or two passes through a temporary file, and what they move.

All is counted in voxels and bytes, so that any two ways can be compared. One pass reads tiles that are
made of whole units of the target, and decodes a chunk of the source again for each tile that touches it. Two passes
decode each chunk once: the first one writes tiles of whole chunks into a temporary file, in which any voxel can be
written alone, and the second one writes tiles of whole units from there. So they move every voxel four times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilecore.bytesize import format_bytes
from tilecore.geometry.per_axis import times

__all__ = ["RechunkPass", "RechunkPlan", "Rechunking", "decoded_length"]

# Buffers of a chunk while it is read (compressed, and as voxels), and of a unit while it is written.
_OF_CHUNK, _OF_UNIT = 2, 3


@dataclass(frozen=True)
class RechunkPass:
    """One pass over the volume.

    Attributes
    ----------
    tile_shape : tuple of int
        Shape of a tile [voxel].
    n_tiles : int
        Number of tiles.
    bytes_read, bytes_written : int
        Voxels that are read (with those of each chunk that is decoded again), and written [byte].
    worker_bytes : int
        Memory that a worker needs [byte].
    """

    tile_shape: tuple[int, ...]
    n_tiles: int
    bytes_read: int
    bytes_written: int
    worker_bytes: int

    @property
    def bytes_per_voxel(self) -> float:
        """Memory that a worker needs for each voxel of a tile [byte]."""
        return self.worker_bytes / max(math.prod(self.tile_shape), 1)

    def __str__(self) -> str:
        tiles = f"{self.n_tiles} tile{'s' * (self.n_tiles != 1)} of {times(self.tile_shape)} voxels"
        return f"{tiles}: reads {format_bytes(self.bytes_read)}, writes {format_bytes(self.bytes_written)}"


@dataclass(frozen=True)
class RechunkPlan:
    """Way from one chunk shape to another: one pass, or two through a temporary file.

    Attributes
    ----------
    problem : Rechunking
        What has to be done.
    passes : tuple of RechunkPass
        One or two passes.
    workers : int
        Number of tiles worked on at once.
    max_memory : int
        Memory limit for all workers together [byte].
    """

    problem: Rechunking
    passes: tuple[RechunkPass, ...]
    workers: int
    max_memory: int

    @property
    def moved_bytes(self) -> int:
        """Voxels that all passes together read and write [byte]."""
        return sum(each.bytes_read + each.bytes_written for each in self.passes)

    @property
    def memory_bytes(self) -> int:
        """Memory of all workers together [byte]."""
        return self.workers * max([each.worker_bytes for each in self.passes], default=0)

    def with_tiles(self, tile_shapes: Sequence[tuple[int, ...]]) -> RechunkPlan:
        """The plan with tiles that an earlier run has begun with, for as many workers as fit."""
        if len(tile_shapes) == 1:
            passes: tuple[RechunkPass, ...] = (self.problem.one_pass(tile_shapes[0]),)
        else:
            passes = self.problem.two_passes(tile_shapes[0], tile_shapes[1])
        n_fitting = self.max_memory // max(each.worker_bytes for each in passes)
        return replace(self, passes=passes, workers=max(1, min(self.workers, n_fitting)))

    @property
    def temporary_bytes(self) -> int:
        """Size of the temporary file [byte]; 0 if there is none."""
        return self.problem.n_bytes if len(self.passes) > 1 else 0

    def __str__(self) -> str:
        problem, whole = self.problem, max(self.problem.n_bytes, 1)
        temporary = f", through a temporary file of {format_bytes(self.temporary_bytes)}" * bool(self.temporary_bytes)
        source = "single voxels" if problem.chunks is None else f"chunks of {times(problem.chunks)}"
        per_worker = self.memory_bytes // self.workers
        return "\n".join(
            [
                f"volume     {times(problem.shape)} voxels, {format_bytes(problem.n_bytes)}",
                f"from       {source}",
                f"to         units of {times(problem.units)}, each written as a whole",
                f"way        {len(self.passes)} pass{'es' * (len(self.passes) != 1)}{temporary}",
                *[f"pass {number}     {each}" for number, each in enumerate(self.passes, 1)],
                f"moved      {format_bytes(self.moved_bytes)}, {self.moved_bytes / whole:.2f} times the volume",
                f"memory     {format_bytes(per_worker)} per worker, {format_bytes(self.memory_bytes)} for "
                f"{self.workers} worker{'s' * (self.workers != 1)}, of {format_bytes(self.max_memory)} allowed",
            ]
        )


@dataclass(frozen=True)
class Rechunking:
    """What has to be done: a volume, the chunks that it is read by, and the units that it is written by.

    Attributes
    ----------
    shape : tuple of int
        Shape of the volume [voxel].
    itemsize : int
        Size of a voxel [byte].
    chunks : tuple of int, or None
        Chunks of the source, which are decoded as a whole [voxel]; None if each voxel can be read alone.
    units : tuple of int
        Units of the target, which are written as a whole: shards, or chunks [voxel].
    """

    shape: tuple[int, ...]
    itemsize: int
    chunks: tuple[int, ...] | None
    units: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Size of the volume [byte]."""
        return math.prod(self.shape) * self.itemsize

    def one_pass(self, tile_shape: tuple[int, ...]) -> RechunkPass:
        """The pass that reads and writes tiles of a shape, which is made of whole units."""
        needed = self._bytes(tile_shape) + self._reading_bytes + self._writing_bytes
        return RechunkPass(tile_shape, self.count(tile_shape), self._bytes_read(tile_shape), self.n_bytes, needed)

    def two_passes(self, first: tuple[int, ...], second: tuple[int, ...]) -> tuple[RechunkPass, RechunkPass]:
        """Both passes through a temporary file: over tiles of whole chunks, then over tiles of whole units."""
        piece = self._bytes([min(pair) for pair in zip(first, second, strict=True)])
        filling = self._bytes(first) + piece + self._reading_bytes
        emptying = self._bytes(second) + piece + self._writing_bytes
        return (
            RechunkPass(first, self.count(first), self._bytes_read(first), self.n_bytes, filling),
            RechunkPass(second, self.count(second), self.n_bytes, self.n_bytes, emptying),
        )

    def clipped(self, lengths: Sequence[int] | None) -> tuple[int, ...]:
        """A shape that is nowhere longer than the volume; of single voxels for None."""
        pairs = zip(lengths or (1,) * len(self.shape), self.shape, strict=True)
        return tuple([max(min(pair), 1) for pair in pairs])

    def count(self, tile_shape: Sequence[int]) -> int:
        """Number of tiles of a shape."""
        return math.prod([-(-length // step) for length, step in zip(self.shape, tile_shape, strict=True)])

    @property
    def _reading_bytes(self) -> int:
        """Buffers for reading a chunk [byte]; the edge chunks of many formats are stored whole, too."""
        return 0 if self.chunks is None else _OF_CHUNK * self._bytes(self.chunks)

    @property
    def _writing_bytes(self) -> int:
        return _OF_UNIT * self._bytes(self.units)

    def _bytes_read(self, tile_shape: Sequence[int]) -> int:
        """Voxels that are decoded for all tiles of a shape [byte]."""
        axes = zip(self.shape, tile_shape, self.chunks or (1,) * len(self.shape), strict=True)
        return self._bytes([decoded_length(*each) for each in axes])

    def _bytes(self, shape: Sequence[int]) -> int:
        return math.prod(shape) * self.itemsize


def decoded_length(length: int, step: int, chunk: int) -> int:
    """Voxels along one axis that are decoded when tiles of a length are read one after the other.

    Each edge between two tiles that cuts a chunk makes it be decoded once more. With a cache of decoded chunks, this
    is what changes.

    Parameters
    ----------
    length, step, chunk : int
        Length of the axis, of a tile and of a chunk [voxel].

    Examples
    --------
    >>> decoded_length(10, 4, 2), decoded_length(10, 5, 2), decoded_length(10, 1, 10)
    (10, 12, 100)
    """
    n_edges, n_between_chunks = (length - 1) // step, (length - 1) // math.lcm(step, chunk)
    rest = length % chunk  # the last chunk may be shorter
    n_in_rest = n_edges - (length - rest) // step if rest else 0
    return length + (n_edges - n_between_chunks - n_in_rest) * chunk + n_in_rest * rest if length else 0
