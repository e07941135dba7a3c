"""Sink for BigTIFF files, which many processes write at once, memory-mapped."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError
from tilecore.formats.axes import in_usual_order
from tilecore.formats.mapped_sink import MappedSink
from tilecore.formats.sink import SinkSpec
from tilecore.formats.tiff.metadata import NAMESPACE, as_written

__all__ = ["TiffSink"]

# Dtypes that OME-XML has names for.
_OME_DTYPES = ("i1", "i2", "i4", "u1", "u2", "u4", "f4", "f8", "c8", "c16")


class TiffSink(MappedSink):
    """A BigTIFF file of uncompressed planes, with OME-XML if it can describe them.

    Fiji, napari and QuPath open it with axes, voxel size and channel names. Channels on the
    last axis are the samples of a pixel; three or four of them in uint8 or uint16 are colours.
    TIFF has no bool of one byte: it is written as uint8, 0 and 1, and a note in the file lets tilecore read bool.

    Raises
    ------
    ParameterError
        If the shape has no plane: fewer than two axes, or an empty axis.
    """

    kind: ClassVar[str] = "tiff"
    dtypes: ClassVar[frozenset[str]] = frozenset(
        {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"}
    )

    def __init__(self, spec: SinkSpec) -> None:
        super().__init__(spec)
        if len(spec.shape) < 2 or 0 in spec.shape:
            raise ParameterError.of(
                "shape", spec.shape, "TIFF files need two axes or more and no empty one; .npy files take any shape"
            )

    @classmethod
    def order_of_axes(cls, axes: str) -> str:
        """Pages of y and x, perhaps with the samples of each pixel."""
        return axes if axes[-2:] == "YX" or axes[-3:] in ("YXC", "YXS") else in_usual_order(axes)

    def _make(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        import tifffile

        samples = self.spec.axes[-3:] in ("YXC", "YXS") and self.shape[-1] > 1
        colours = samples and self.shape[-1] in (3, 4) and dtype.str[1:] in ("u1", "u2")
        axes = self.spec.axes[:-1] + "S" if samples else self.spec.axes
        stored = np.dtype("u1") if dtype.kind == "b" else dtype
        ome = stored.str[1:] in _OME_DTYPES and self._fits_ome(axes)
        array: npt.NDArray[Any] = tifffile.memmap(
            self.place.data,
            shape=self.shape,
            dtype=stored,
            bigtiff=True,
            ome=ome,
            photometric="rgb" if colours else "minisblack",
            planarconfig="contig" if samples else None,
            metadata=self._ome_metadata(axes, dtype) if ome else self._own_metadata(axes, dtype),
        )
        self._reserve(os.path.getsize(self.place.data))
        return array.view(dtype.newbyteorder(array.dtype.byteorder))

    def _fits_ome(self, axes: str) -> bool:
        """Whether OME-XML can describe the axes and the channel names; samples of a pixel share one name."""
        if axes.endswith("YXS"):
            return set(axes) <= set("TZCYXS") and not self.spec.channel_names
        return set(axes) <= set("TZCYX") and axes.endswith("YX")

    def _reopened(self, path: str) -> npt.NDArray[Any]:
        import tifffile

        with tifffile.TiffFile(path) as tif:
            _, is_bool = as_written(tif, 0)
        array: npt.NDArray[Any] = tifffile.memmap(path, mode="r+")
        array = array.reshape(self.shape)  # some readers drop axes of length one
        return array.view(bool) if is_bool else array

    def _ome_metadata(self, axes: str, dtype: np.dtype[Any]) -> dict[str, Any]:
        metadata: dict[str, Any] = {"axes": axes, "Name": self.path.name}
        if dtype.kind == "b" or 1 in self.shape:  # OME-XML itself cannot tell which axes of length 1 there are
            note = {"axes": axes} | ({"dtype": "bool"} if dtype.kind == "b" else {})
            metadata["MapAnnotation"] = {"Namespace": NAMESPACE, **note}
        for axis, size in zip("ZYX", self.spec.voxel_size_um or (), strict=False):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
        if self.spec.channel_names and "C" in axes:
            metadata["Channel"] = {"Name": list(self.spec.channel_names)}
        return metadata

    def _own_metadata(self, axes: str, dtype: np.dtype[Any]) -> dict[str, Any]:
        size, names = self.spec.voxel_size_um, self.spec.channel_names
        metadata: dict[str, Any] = {"axes": axes} | ({"dtype": "bool"} if dtype.kind == "b" else {})
        metadata |= {} if size is None else {"voxel_size_um": list(size)}
        return metadata | ({"channel_names": list(names)} if names else {})
