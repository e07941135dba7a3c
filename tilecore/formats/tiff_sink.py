"""BigTIFF files that many processes write at once, memory-mapped."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError
from tilecore.formats.file_sink import MappedSink

__all__ = ["TiffSink"]

# Kinds of numbers that OME-XML has names for.
_OME_DTYPES = ("i1", "i2", "i4", "u1", "u2", "u4", "f4", "f8", "c8", "c16")


class TiffSink(MappedSink):
    """A BigTIFF of uncompressed planes, with OME-XML where that can say what it holds.

    Fiji, napari and QuPath open it with axes, voxel size and names of channels.
    """

    kind: ClassVar[str] = "tiff"

    def _make(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        import tifffile

        if dtype.kind == "b" or dtype.itemsize > 16 or min(self.shape, default=0) == 0:
            raise ParameterError.of("dtype", dtype, f"TIFF files hold no such image of shape {self.shape}; use uint8")
        ome = dtype.str[1:] in _OME_DTYPES and set(self.spec.axes) <= set("TZCYX")
        array: npt.NDArray[Any] = tifffile.memmap(
            self.partial,
            shape=self.shape,
            dtype=dtype,
            bigtiff=True,
            ome=ome,
            photometric="minisblack",
            metadata=self._ome_metadata() if ome else self._own_metadata(),
        )
        self._reserve(os.path.getsize(self.partial))
        return array

    def _reopened(self, path: str) -> npt.NDArray[Any]:
        import tifffile

        array: npt.NDArray[Any] = tifffile.memmap(path, mode="r+")
        return array.reshape(self.shape)  # lengths of one are not kept by every reader

    def _ome_metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {"axes": self.spec.axes, "Name": self.path.name}
        for axis, size in zip("ZYX", self.spec.voxel_size_um or (), strict=False):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
        if self.spec.channel_names and "C" in self.spec.axes:
            metadata["Channel"] = {"Name": list(self.spec.channel_names)}
        return metadata

    def _own_metadata(self) -> dict[str, Any]:
        size, names = self.spec.voxel_size_um, self.spec.channel_names
        metadata: dict[str, Any] = {"axes": self.spec.axes}
        metadata |= {} if size is None else {"voxel_size_um": list(size)}
        return metadata | ({"channel_names": list(names)} if names else {})
