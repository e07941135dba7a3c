"""Reader and sink for ``.npy`` files, which are memory-mapped."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.errors import UnreadableFileError
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.mapped_sink import MappedSink
from tilecore.formats.reader import MappedReader
from tilecore.formats.reader_errors import reading

__all__ = ["NpySink", "open_npy"]


def open_npy(path: str) -> MappedReader:
    """Open a ``.npy`` file as a memory map."""
    with reading(path, "a .npy file"):
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
            else:
                shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(file)
            offset = file.tell()
        info = ImageInfo("npy", shape, dtype, axes="").check(path)
        return MappedReader(path, info, offset, "F" if fortran_order else "C")


class NpySink(MappedSink):
    """A ``.npy`` file that any number of processes write at once, memory-mapped."""

    kind = "npy"

    def _make(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        data = self.place.data
        array: npt.NDArray[Any] = np.lib.format.open_memmap(data, mode="w+", dtype=dtype, shape=self.shape)
        self._reserve(os.path.getsize(data))
        return array

    def _reopened(self, path: str) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r+")
        if array.shape != self.shape:
            raise UnreadableFileError(f"{path} has the shape {array.shape}, not {self.shape}: delete it to start over")
        return array
