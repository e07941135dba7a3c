"""HDF5 files, written by one process."""

from __future__ import annotations

import math
import weakref
from typing import Any, ClassVar

import numpy as np

from tilecore.errors import UnreadableFileError
from tilecore.formats.file_sink import FileSink
from tilecore.formats.hdf5 import import_h5py
from tilecore.formats.sink import Downsampler, SinkSpec
from tilecore.formats.zarr_sink import default_chunks

__all__ = ["Hdf5Sink"]

_FILTERS: dict[str, dict[str, Any]] = {
    "default": {},
    "none": {},
    "gzip": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    "lzf": {"compression": "lzf", "shuffle": True},
}


class Hdf5Sink(FileSink):
    """A chunked dataset with checksums, ``data`` unless another place is named.

    HDF5 has no two writers: results come back to the process that runs the tiles.
    """

    kind: ClassVar[str] = "hdf5"
    single_writer: ClassVar[bool] = True
    codecs: ClassVar[tuple[str, ...]] = ("default", "none", "gzip", "lzf")
    has_chunks: ClassVar[bool] = True

    def __init__(self, spec: SinkSpec) -> None:
        super().__init__(spec)
        self.chunks = spec.chunks or default_chunks(spec.shape)
        self._h5py = import_h5py(str(spec.path))
        self._closer: weakref.finalize[[], Any] | None = None

    @property
    def write_units(self) -> tuple[int, ...]:
        """Shape of a chunk: one that is cut by two tiles would be compressed twice."""
        return self.chunks

    def _needed_bytes(self, dtype: np.dtype[Any]) -> int:
        return math.prod(self.shape) * dtype.itemsize // (1 if self.spec.codec in ("default", "none") else 2)

    def _make(self, dtype: np.dtype[Any]) -> Any:
        file = self._opened(self._h5py.File(self.partial, "w"))
        whole = {} if 0 in self.shape or not self.shape else {"chunks": self.chunks, "fletcher32": True}
        filters = _FILTERS[self.spec.codec] if whole else {}
        dataset = file.create_dataset(self._place, self.shape, dtype, **whole, **filters)
        for dimension, axis in zip(dataset.dims, self.spec.axes, strict=True):
            dimension.label = axis
        if self.spec.voxel_size_um is not None:
            dataset.attrs["element_size_um"] = self.spec.voxel_size_um
        if self.spec.channel_names:
            dataset.attrs["channel_names"] = list(self.spec.channel_names)
        return dataset

    def _reopened(self, path: str) -> Any:
        dataset = self._opened(self._h5py.File(path, "r+"))[self._place]
        if dataset.shape != self.shape:
            raise UnreadableFileError(
                f"{path} has the shape {dataset.shape}, not {self.shape}: delete it to start over"
            )
        return dataset

    def _complete(self, downsample: Downsampler | None) -> None:
        self._close()

    def discard(self) -> None:
        """Close and remove what was begun."""
        self._close()
        super().discard()

    @property
    def _place(self) -> str:
        return self.spec.dataset or "data"

    def _opened(self, file: Any) -> Any:
        self._closer = weakref.finalize(self, file.close)
        return file

    def _close(self) -> None:
        if self._closer is not None:
            self._closer()
