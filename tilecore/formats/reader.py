"""Protocol of readers: the interface that a new kind of file must provide."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tilecore.errors import UnreadableFileError
from tilecore.formats.image_info import ImageInfo
from tilecore.geometry.boxes import Box

__all__ = ["MappedReader", "Reader", "read_into"]


class Reader(Protocol):
    """An open file of one kind, in one process.

    A new kind of file must provide this interface. A reader closes its file when it is deleted (`weakref.finalize`).
    Kinds of other packages are registered among the entry points ``tilecore.readers``, and can be tested by
    `tilecore.testing.ReaderContract`.

    Attributes
    ----------
    info : ImageInfo
        Properties of the image.
    mapped : memmap or None
        The whole image as a memory map, if its voxels are stored as plain bytes; otherwise None.
    files : sequence of str, optional
        Files and folders that hold the voxels, if these are not the whole path.

    Notes
    -----
    A reader may also have a method ``read_into(box, out)``, which reads a box that lies inside the image into an
    array of its shape and of the image's dtype, without a copy where it can; the array's voxels need not be
    contiguous. Without this method, what `read` returns is copied.

    A method ``expect(box)`` tells the system that a box is read soon (see `expect_bytes`); it must not wait for a disk.
    """

    @property
    def info(self) -> ImageInfo:
        """Properties of the image, as the file tells them."""

    @property
    def mapped(self) -> npt.NDArray[Any] | None:
        """The whole image as a memory map; None if it cannot be mapped."""

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Read a box that lies inside the image."""

    def verify(self) -> None:
        """Compare the properties that the file declares with its real content, before the first read."""


def read_into(reader: Reader, box: Box, out: npt.NDArray[Any]) -> None:
    """Read a box into an array of its shape and of the image's dtype."""
    own: Callable[[Box, npt.NDArray[Any]], None] | None = getattr(reader, "read_into", None)
    if own is None:
        out[...] = reader.read(box)
    else:
        own(box, out)


class MappedReader:
    """Reader of a file whose voxels are stored as plain bytes.

    Parameters
    ----------
    path : str
        Path of the file.
    info : ImageInfo
        Properties of the image.
    offset : int
        Position of the first voxel in the file [byte].
    order : {"C", "F"}
        Whether the last or the first axis varies fastest.
    """

    def __init__(self, path: str, info: ImageInfo, offset: int, order: Literal["C", "F"] = "C") -> None:
        self.info = info
        needed, size = offset + info.n_bytes, os.path.getsize(path)
        if needed > size:
            raise UnreadableFileError(f"{path} is cut off: {info.shape} voxels need {needed} bytes, and it has {size}")
        if info.n_bytes:
            self.mapped: npt.NDArray[Any] = np.memmap(
                path, dtype=info.dtype, mode="r", offset=offset, shape=info.shape, order=order
            )
        else:  # nothing to map
            self.mapped = np.empty(info.shape, info.dtype, order=order)

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Return a box as a view of the memory map."""
        return self.mapped[box.slices]

    def verify(self) -> None:
        """Do nothing: the size was checked before the file was mapped."""
