"""Planes in PNG and JPEG files, which imageio decodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tilecore.errors import UnreadableFileError
from tilecore.formats.reader_errors import reading
from tilecore.geometry.boxes import Box

__all__ = ["SUFFIXES", "Picture"]

#: Suffixes of the pictures that are read.
SUFFIXES = (".png", ".jpg", ".jpeg")
# First bytes of a PNG file; bits and kind of colour follow at fixed places.
_PNG, _BITS, _COLOUR = b"\x89PNG\r\n\x1a\n", 24, 25


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
            If it is no picture, or its numbers would be changed.
        """
        import imageio.v3 as imageio

        with reading(path, "a picture"):
            with open(path, "rb") as file:
                start = file.read(32)
            if start.startswith(_PNG) and start[_BITS] == 16 and start[_COLOUR] != 0:
                raise UnreadableFileError(
                    f"{path} has colours of 16 bits, of which imageio reads 8; save the planes as TIFF"
                )
            found = imageio.improps(path, plugin="pillow", index=0)
            return cls(path, found.shape, np.dtype(found.dtype))

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of what is decoded as a whole: all of it."""
        return self.shape

    @property
    def codec(self) -> str:
        """Name of the compression."""
        return "png" if self.path.lower().endswith(".png") else "jpeg"

    def read_into(self, result: npt.NDArray[Any], box: Box) -> None:
        """Read a box.

        Raises
        ------
        UnreadableFileError
            If the voxels are not those that the header tells.
        """
        import imageio.v3 as imageio

        voxels = imageio.imread(self.path, plugin="pillow", index=0)
        if (voxels.shape, voxels.dtype) != (self.shape, self.dtype):
            raise UnreadableFileError(
                f"{self.path} has {voxels.shape} voxels of {voxels.dtype}; its header says {self.shape} of {self.dtype}"
            )
        result[...] = voxels[box.slices]
