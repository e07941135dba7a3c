"""Readers: what a new kind of file has to bring."""

from __future__ import annotations

import os
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tilecore.errors import UnreadableFileError
from tilecore.formats.image_info import ImageInfo
from tilecore.geometry.boxes import Box

__all__ = ["MappedReader", "Reader"]


class Reader(Protocol):
    """An open file of one kind, in one process: what a new kind has to bring.

    It closes its file when it is dropped (`weakref.finalize`). Kinds of other packages are registered among
    the entry points ``tilecore.readers``, and can be tested by `tilecore.testing.ReaderContract`.

    Attributes
    ----------
    info : ImageInfo
    mapped : memmap or None
        The whole image as a map of the file, where its voxels lie there as they are.
    files : sequence of str, optional
        The files and folders that the voxels lie in, where that is not the path as a whole.
    """

    @property
    def info(self) -> ImageInfo:
        """What the file says of itself."""

    @property
    def mapped(self) -> npt.NDArray[Any] | None:
        """The whole image, where it can be mapped."""

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Read a box that lies inside the image."""

    def verify(self) -> None:
        """Compare what the file declares with what it holds, before the first read."""


class MappedReader:
    """A file in which the voxels lie as they are.

    Parameters
    ----------
    path : str
    info : ImageInfo
    offset : int
        Where the voxels begin [byte].
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
        """Cut a box out of the map."""
        return self.mapped[box.slices]

    def verify(self) -> None:
        """Nothing to do: the size was compared before the file was mapped."""
