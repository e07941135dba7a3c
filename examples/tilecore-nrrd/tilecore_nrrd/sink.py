"""Writing NRRD: the file is mapped by every process that writes, each its own boxes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore import ParameterError, UnreadableFileError
from tilecore.formats.mapped_sink import MappedSink
from tilecore.formats.sink import SinkSpec
from tilecore_nrrd.reader import TYPES, open_nrrd

__all__ = ["NrrdSink"]


class NrrdSink(MappedSink):
    """An NRRD file with axes and voxel size, whose voxels are not compressed.

    Parameters
    ----------
    spec : SinkSpec
        What the file is to be: path, shape, axes, voxel size.
    """

    kind = "nrrd"

    def __init__(self, spec: SinkSpec) -> None:
        super().__init__(spec)
        if not spec.shape or 0 in spec.shape:
            raise ParameterError.of("shape", spec.shape, "NRRD files hold no empty volumes; .npy takes any")

    def _make(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Write the header, and reserve the room for all voxels."""
        header = self._header(dtype).encode()
        with open(self.place.data, "wb") as file:
            file.write(header)
            file.truncate(len(header) + dtype.itemsize * int(np.prod(self.shape)))
        self._reserve(self.place.data.stat().st_size)
        return self._reopened(str(self.place.data))

    def _reopened(self, path: str) -> npt.NDArray[Any]:
        """Map a file that was begun, for writing."""
        mapped: Any = open_nrrd(path).mapped
        if mapped.shape != self.shape:
            raise UnreadableFileError(f"{path} has the shape {mapped.shape}, not {self.shape}: delete it to start over")
        return np.memmap(path, mapped.dtype, "r+", mapped.offset, mapped.shape)

    def _header(self, dtype: np.dtype[Any]) -> str:
        if dtype.str[1:] not in TYPES:
            raise ParameterError.of("dtype", str(dtype), f"NRRD files hold {', '.join(TYPES)}; use another")
        sizes = dict(zip("ZYX", self.spec.voxel_size_um or (), strict=False))
        axes = self.spec.axes[::-1]  # the fastest first
        lines = [
            "NRRD0005",
            f"type: {TYPES[dtype.str[1:]][0]}",
            f"dimension: {len(self.shape)}",
            f"sizes: {' '.join(map(str, self.shape[::-1]))}",
            f"spacings: {' '.join(str(sizes.get(axis, 'nan')) for axis in axes)}",
            f"units: {_quoted('um' if axis in sizes else '' for axis in axes)}",
            f"labels: {_quoted(axes.lower())}",
            *({"<": ["endian: little"], ">": ["endian: big"]}.get(dtype.str[0], [])),
            "encoding: raw",
        ]
        return "\n".join(lines) + "\n\n"


def _quoted(texts: Iterable[str]) -> str:
    return " ".join([f'"{text}"' for text in texts])
