"""Planes in PNG and JPEG files, which imageio decodes."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from tilecore.errors import UnreadableFileError
from tilecore.formats.reader_errors import reading
from tilecore.geometry.boxes import Box
from tilecore.geometry.chunks_in_box import check_chunk_size

if TYPE_CHECKING:
    from imageio.core.v3_plugin_api import PluginV3

__all__ = ["SUFFIXES", "Picture"]

#: Suffixes of the pictures that are read.
SUFFIXES = (".png", ".jpg", ".jpeg")
# First bytes of a PNG file; bits and kind of colour follow at fixed places.
_PNG, _BITS, _COLOUR = b"\x89PNG\r\n\x1a\n", 24, 25

# Pillow has one limit of voxels for the whole process, which is lifted while a header is read.
_limit = threading.Lock()
if hasattr(os, "register_at_fork"):
    # No forked child begins without the limit, or with a lock that nobody gives back.
    os.register_at_fork(before=_limit.acquire, after_in_parent=_limit.release, after_in_child=_limit.release)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[PluginV3]:
    """Open a picture of any size: Pillow refuses large ones, as those of the web may be made to exhaust the memory."""
    import imageio.v3 as imageio
    from PIL import Image

    with _limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            file = imageio.imopen(path, "r", plugin="pillow")
        finally:
            Image.MAX_IMAGE_PIXELS = before
    with file:
        yield file


@dataclass(frozen=True)
class Picture:
    """A plane in a PNG or JPEG file, which is decoded as a whole.

    Attributes
    ----------
    path : str
    shape : tuple of int
        Length, width, and the number of colours if there are several.
    dtype : dtype
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    voxel_size_um = None

    @classmethod
    def of(cls, path: str) -> Self:
        """Read the header of a file.

        Raises
        ------
        UnreadableFileError
            If it is no picture, is too large for memory, or its numbers would be changed.
        """
        with reading(path, "a picture"):
            with open(path, "rb") as file:
                start = file.read(32)
            if start.startswith(_PNG) and start[_BITS] == 16 and start[_COLOUR] != 0:
                raise UnreadableFileError(
                    f"{path} has colours of 16 bits, of which imageio reads 8; save the planes as TIFF"
                )
            with _opened(path) as file:
                found = file.properties(index=0)
            dtype = np.dtype(found.dtype)
            check_chunk_size(found.shape, dtype, path)
            return cls(path, found.shape, dtype)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of what is decoded as a whole: all of it."""
        return self.shape

    @property
    def codec(self) -> str:
        """Name of the compression."""
        return "png" if self.path.lower().endswith(".png") else "jpeg"

    def read_into(self, result: npt.NDArray[Any], box: Box, n_threads: int) -> None:
        """Read a box.

        Raises
        ------
        UnreadableFileError
            If the voxels are not those that the header tells.
        """
        with _opened(self.path) as file:
            voxels = file.read(index=0)
        if (voxels.shape, voxels.dtype) != (self.shape, self.dtype):
            raise UnreadableFileError(
                f"{self.path} has {voxels.shape} voxels of {voxels.dtype}; its header says {self.shape} of {self.dtype}"
            )
        result[...] = voxels[box.slices]
