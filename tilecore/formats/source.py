"""Sources: image files that are read by region from any process."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from tilecore.array_types import Index
from tilecore.bytesize import format_bytes
from tilecore.errors import BoundsError, MemoryBudgetError, ParameterError, ParameterTypeError
from tilecore.formats.access import FileAccess
from tilecore.formats.descriptor import Descriptor, reader_of
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.reader import Reader
from tilecore.geometry.boxes import Box
from tilecore.geometry.indexing import expanded, within_block
from tilecore.machine import available_memory

__all__ = ["FileSource", "Source"]

# Below this, a region is read without asking how much memory is free.
_SMALL_BYTES = 2**26


@runtime_checkable
class Source(Protocol):
    """An image that is read by region, and travels between processes as a descriptor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""

    @property
    def axes(self) -> str:
        """A letter for each axis."""

    @property
    def voxel_size_um(self) -> tuple[float, float, float] | None:
        """Along z, y and x [um]; None if unknown."""

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """What is decoded as one piece."""

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """What is written as one piece."""

    def __getitem__(self, index: Index) -> npt.NDArray[Any]:
        """Read a region."""

    def close(self) -> None:
        """Let go of the file."""


class FileSource:
    """An image file as an array that is cut by slices.

    Made by `open_source`.

    Notes
    -----
    Process-safety: pickles as a descriptor of a few hundred bytes; each process opens the
    file itself when it first reads, once for all sources of the same file, and closes it
    with the last of them. Threads may share a source.
    """

    def __init__(self, descriptor: Descriptor, info: ImageInfo, window: Sequence[int | slice] | None = None) -> None:
        self._descriptor = descriptor
        self._file_info = info
        self._window = tuple([slice(0, length) for length in info.shape] if window is None else window)
        self.info = info.through(self._window)
        self._reader: tuple[int, Reader] | None = None

    @property
    def path(self) -> str:
        """Absolute path of the file or folder."""
        return self._descriptor.path

    @property
    def files(self) -> tuple[str, ...]:
        """The files, and the folders, that the voxels lie in."""
        return tuple(getattr(self._open(), "files", None) or (self.path,))

    @property
    def selection(self) -> str:
        """What of the file this is: series, level, channel, part. Two sources of one file may differ in it."""
        return repr(
            (
                self._descriptor.options,
                [part if isinstance(part, int) else (part.start, part.stop) for part in self._window],
            )
        )

    @property
    def access(self) -> FileAccess:
        """How workers reach it."""
        return FileAccess(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return self.info.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""
        return self.info.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.info.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.info.shape)

    @property
    def nbytes(self) -> int:
        """Memory that all voxels take [byte]."""
        return self.info.n_bytes

    @property
    def axes(self) -> str:
        """A letter for each axis."""
        return self.info.axes

    @property
    def voxel_size_um(self) -> tuple[float, float, float] | None:
        """Along z, y and x [um]; None if unknown."""
        return self.info.voxel_size_um

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """What is decoded as one piece; None if every voxel can be read alone."""
        return self.info.chunks

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """What is written as one piece, where the file is written in pieces."""
        return self.info.write_units

    @property
    def mapped(self) -> npt.NDArray[Any] | None:
        """The image as a read-only map of the file, where its voxels lie there as they are; otherwise None."""
        whole = self._open().mapped
        if whole is None:
            return None
        return whole[self._window]

    def __getitem__(self, index: Index) -> npt.NDArray[Any]:
        """Read a region.

        Parameters
        ----------
        index : int, slice, or tuple of them
            As numpy takes them; steps must not be negative.

        Raises
        ------
        BoundsError, ParameterTypeError
            If the index does not fit.
        MemoryBudgetError
            If the region is larger than the memory that is free.
        UnreadableFileError
            If the file is damaged where the region lies.
        """
        slices, steps = self._as_slices(index)
        if (whole := self.mapped) is not None:
            return whole[tuple(steps)]
        box = Box([each.start for each in slices], [each.stop for each in slices])
        self._check_memory(box.shape, self.dtype)
        reader = self._open()
        block = reader.read(box) if box.size else np.empty(box.shape, self.dtype)
        inner = [0 if isinstance(each, int) else slice(None) for each in self._window]
        selected: npt.NDArray[Any] = block[tuple(inner)][tuple(within_block(step) for step in steps)]
        return selected

    def __len__(self) -> int:
        if not self.info.shape:
            raise ParameterTypeError(f"{self.path} is a single number: it has no axis, and no length")
        return self.info.shape[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all of it, or map the file where that can be done.

        Raises
        ------
        MemoryBudgetError
            If it is larger than the memory that is free.
        ValueError
            If numpy was asked for no copy, and the voxels do not lie in the file as they are.
        """
        kind, is_mapped = self.dtype if dtype is None else np.dtype(dtype), self.mapped is not None
        makes_copy = not is_mapped or kind != self.dtype
        if copy is False and makes_copy:
            raise ParameterError.of("copy", copy, f"{self.path} can be had as an array of {kind} only by a copy")
        if copy or makes_copy:
            self._check_memory(self.shape, kind)
        voxels = self[...]
        return np.array(voxels, dtype=kind) if copy and is_mapped else np.asarray(voxels, dtype=kind)

    def cropped(self, box: Box) -> FileSource:
        """The same file, of which only a box is there.

        Raises
        ------
        BoundsError
            If the box does not lie in the image.
        """
        if not Box.of_shape(self.shape).contains(box):
            raise BoundsError.of("box", box, f"the image has the shape {self.shape}")
        spans = iter(zip(box.start, box.stop, strict=True))
        window: list[int | slice] = []
        for part in self._window:
            if isinstance(part, int):
                window.append(part)
            else:
                first, stop = next(spans)
                window.append(slice(part.start + first, part.start + stop))
        return FileSource(self._descriptor, self._file_info, window)

    def close(self) -> None:
        """Let go of the file; it is opened again when a region is read."""
        self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return FileSource, (self._descriptor, self._file_info, self._window)

    def __repr__(self) -> str:
        return f"<{self.info.kind} source {self.path}: {self.axes} {self.shape} {self.dtype}>"

    def _open(self) -> Reader:
        pid = os.getpid()
        if self._reader is None or self._reader[0] != pid:
            self._reader = (pid, reader_of(self._descriptor, self._file_info))
        return self._reader[1]

    def _check_memory(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        needed = math.prod(shape) * dtype.itemsize
        if needed > _SMALL_BYTES and needed > available_memory():
            raise MemoryBudgetError(
                f"{self.path}: {shape} voxels need {format_bytes(needed)}, more than is free; read smaller regions"
            )

    def _as_slices(self, index: Index) -> tuple[list[slice], list[int | slice]]:
        """The box of the whole file to read, and what to take of each axis of it."""
        steps = expanded(index, self.shape)
        free = iter(steps)
        slices = []
        for part in self._window:
            if isinstance(part, int):
                slices.append(slice(part, part + 1))
                continue
            step = next(free)
            first, stop = (step, step + 1) if isinstance(step, int) else (step.start, step.stop)
            slices.append(slice(part.start + first, part.start + max(first, stop)))
        return slices, steps
