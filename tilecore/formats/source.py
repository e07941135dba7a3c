"""Sources: image files that any process reads by region."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from tilecore.array_types import Index
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.formats.access import FileAccess
from tilecore.formats.descriptor import Descriptor, reader_of
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.reader import Reader, read_into
from tilecore.formats.region_memory import check_memory
from tilecore.formats.window import Window, box_in_file, cropped, with_all_axes, without_chosen_axes
from tilecore.geometry.boxes import Box
from tilecore.geometry.indexing import box_around, expanded, within_block

__all__ = ["FileSource", "Source"]


@runtime_checkable
class Source(Protocol):
    """An image that is read by region, and is sent between processes as a descriptor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""

    @property
    def axes(self) -> str:
        """One letter for each axis."""

    @property
    def voxel_size_um(self) -> tuple[float, float, float] | None:
        """Voxel size along z, y and x [um]; None if unknown."""

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of a chunk, which is decoded as a whole; None if each voxel can be read alone."""

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """Shape of the unit that is written as a whole; None if there is none."""

    def __getitem__(self, index: Index) -> npt.NDArray[Any]:
        """Read a region."""

    def close(self) -> None:
        """Close the file."""


class FileSource:
    """An image file as an array that is indexed by slices.

    Made by `open_source`.

    Notes
    -----
    Process-safety: pickles as a descriptor of a few hundred bytes; each process opens the
    file for itself when it first reads, once for all sources of the same file, and closes it
    with the last of them. Threads may share a source.
    """

    def __init__(self, descriptor: Descriptor, info: ImageInfo, window: Sequence[int | slice] | None = None) -> None:
        self._descriptor = descriptor
        self._file_info = info
        self._window: Window = tuple([slice(0, length) for length in info.shape] if window is None else window)
        self.info = info.through(self._window)
        self._reader: tuple[int, Reader] | None = None

    @property
    def path(self) -> str:
        """Absolute path of the file or folder, or its URL."""
        return self._descriptor.path

    @property
    def files(self) -> tuple[str, ...]:
        """Files and folders that hold the voxels."""
        return tuple(getattr(self._open(), "files", None) or (self.path,))

    @property
    def window(self) -> Window:
        """For each axis of the file the position that was chosen, or the range."""
        return self._window

    @property
    def start(self) -> tuple[int, ...]:
        """Place of this source's first voxel on those axes of the file that it has, as where it is a part [voxel]."""
        return tuple([part.start for part in self._window if isinstance(part, slice)])

    @property
    def whole(self) -> FileSource:
        """The file's image without a choice: all positions of all axes."""
        return FileSource(self._descriptor, self._file_info)

    @property
    def selection(self) -> str:
        """Text that tells which part of the file this source is: series, level, channel and box."""
        return repr(
            (
                self._descriptor.options,
                [part if isinstance(part, int) else (part.start, part.stop) for part in self._window],
            )
        )

    @property
    def access(self) -> FileAccess:
        """Access of workers to this source."""
        return FileAccess(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return self.info.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""
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
        """Size of all voxels in memory [byte]."""
        return self.info.n_bytes

    @property
    def axes(self) -> str:
        """One letter for each axis."""
        return self.info.axes

    @property
    def voxel_size_um(self) -> tuple[float, float, float] | None:
        """Voxel size along z, y and x [um]; None if unknown."""
        return self.info.voxel_size_um

    @property
    def channel(self) -> int | None:
        """Number of the file's channel that was chosen; None if all were, or the file has no axis of channels."""
        return self._chosen("C")

    @property
    def time(self) -> int | None:
        """Number of the file's time point that was chosen; None if all were, or the file has no axis of time."""
        return self._chosen("T")

    @property
    def origin_um(self) -> tuple[float, float, float]:
        """Position of the first voxel's centre along z, y and x [um]; not zero in coarser levels and parts."""
        return self.info.origin_um

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of a chunk, which is decoded as a whole; None if each voxel can be read alone."""
        return self.info.chunks

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """Shape of the unit that is written as a whole; None if each voxel can be written alone."""
        return self.info.write_units

    @property
    def mapped(self) -> npt.NDArray[Any] | None:
        """The image as a read-only memory map; None if its voxels are not stored as plain bytes."""
        whole = self._open().mapped
        if whole is None:
            return None
        return whole[self._window]

    def __getitem__(self, index: Index) -> npt.NDArray[Any]:
        """Read a region.

        Parameters
        ----------
        index : int, slice, or tuple of them
            Index as for numpy; steps must not be negative.

        Raises
        ------
        BoundsError, ParameterTypeError
            If the index does not fit.
        MemoryBudgetError
            If the region is larger than the free memory.
        UnreadableFileError
            If the file is damaged in this region.
        """
        steps = expanded(index, self.shape)
        if (whole := self.mapped) is not None:
            return whole[tuple(steps)]
        box = box_around(steps)
        check_memory(box.size * self.dtype.itemsize, f"{self.path}: {box.shape} voxels")
        block = np.empty(box.shape, self.dtype)
        if box.size:
            block = without_chosen_axes(self._window, self._open().read(box_in_file(self._window, box)))
        selected: npt.NDArray[Any] = block[tuple(within_block(step) for step in steps)]
        return selected

    def read_into(self, box: Box, out: npt.NDArray[Any]) -> None:
        """Read a box into an array that is given, where possible without another copy.

        Parameters
        ----------
        box : Box
            Box to read, in voxels of this source.
        out : ndarray
            Array of the box's shape, whose dtype can hold every value of this source.

        Raises
        ------
        BoundsError
            If the box does not lie inside the image.
        ParameterError
            If `out` has another shape, cannot hold the values, or is read-only.
        UnreadableFileError
            If the file is damaged in this box; `out` may then be filled in part.
        """
        within = box_in_file(self._window, box)
        self._check_out(out, box.shape)
        if box.size == 0:
            return
        whole = with_all_axes(self._window, out)
        if out.dtype == self._file_info.dtype:
            read_into(self._open(), within, whole)
        else:
            whole[...] = self._open().read(within)

    def expect(self, box: Box) -> None:
        """Tell the system that a box is read soon, if the kind of file allows it; nobody waits for the disk."""
        own: Callable[[Box], None] | None = getattr(self._open(), "expect", None)
        if own is not None and box.size:
            own(box_in_file(self._window, box))

    def __len__(self) -> int:
        if not self.info.shape:
            raise ParameterTypeError(f"{self.path} is a single number: it has no axis, so it has no length")
        return self.info.shape[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read the whole image, or map the file if possible.

        Raises
        ------
        MemoryBudgetError
            If the image is larger than the free memory.
        ValueError
            If numpy was asked for no copy, but the voxels are not stored as plain bytes.
        """
        kind, is_mapped = self.dtype if dtype is None else np.dtype(dtype), self.mapped is not None
        makes_copy = not is_mapped or kind != self.dtype
        if copy is False and makes_copy:
            raise ParameterError.of("copy", copy, f"{self.path} cannot become an array of {kind} without a copy")
        if copy or makes_copy:
            check_memory(self.size * kind.itemsize, f"{self.path}: {self.shape} voxels")
        voxels = self[...]
        return np.array(voxels, dtype=kind) if copy and is_mapped else np.asarray(voxels, dtype=kind)

    def cropped(self, box: Box) -> FileSource:
        """Return a source of the same file that is limited to a box.

        Raises
        ------
        BoundsError
            If the box does not lie inside the image.
        """
        return FileSource(self._descriptor, self._file_info, cropped(self._window, box))

    def close(self) -> None:
        """Close the file; it is opened again when a region is read."""
        self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return FileSource, (self._descriptor, self._file_info, self._window)

    def __repr__(self) -> str:
        return f"<{self.info.kind} source {self.path}: {self.axes} {self.shape} {self.dtype}>"

    def _chosen(self, letter: str) -> int | None:
        """Position on an axis that has this name in the file; None if it was not chosen."""
        parts = [part for part, name in zip(self._window, self._file_info.axes, strict=True) if name == letter]
        return next((part for part in parts if isinstance(part, int)), None)

    def _open(self) -> Reader:
        pid = os.getpid()
        if self._reader is None or self._reader[0] != pid:
            self._reader = (pid, reader_of(self._descriptor, self._file_info))
        return self._reader[1]

    def _check_out(self, out: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
        if out.shape != shape or not out.flags.writeable or not np.can_cast(self.dtype, out.dtype):
            found = f"{out.shape} of {out.dtype}" + ("" if out.flags.writeable else ", read-only")
            raise ParameterError.of("out", found, f"must be {shape} of {self.dtype}, and writable")
