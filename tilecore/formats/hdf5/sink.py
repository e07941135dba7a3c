"""Sink for HDF5 files, which one process writes."""

from __future__ import annotations

import logging
import math
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tilecore.errors import UnreadableFileError
from tilecore.formats.chunk_shapes import choose_chunks
from tilecore.formats.file_sink import FileSink
from tilecore.formats.hdf5.reader import import_h5py
from tilecore.formats.opening import open_source
from tilecore.formats.sink import SinkSpec
from tilecore.formats.source import FileSource

if TYPE_CHECKING:
    import h5py

__all__ = ["Hdf5Sink"]

_log = logging.getLogger(__name__)

_FILTERS: dict[str, dict[str, Any]] = {
    "default": {},
    "none": {},
    "gzip": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    "lzf": {"compression": "lzf", "shuffle": True},
}


class Hdf5Sink(FileSink):
    """An HDF5 file with a chunked dataset and checksums, named ``data`` by default.

    HDF5 allows no two writers at once: results come back to the process that runs the tiles. It has
    no journal of its own: a file whose writer was killed may be damaged, and is then written again.
    """

    kind: ClassVar[str] = "hdf5"
    single_writer: ClassVar[bool] = True
    codecs: ClassVar[tuple[str, ...]] = ("default", "none", "gzip", "lzf")
    has_chunks: ClassVar[bool] = True

    def __init__(self, spec: SinkSpec) -> None:
        super().__init__(spec)
        self._h5py = import_h5py(str(spec.path))
        self._closer: weakref.finalize[[], Any] | None = None

    def _lay_out(self) -> None:
        chunks = self.spec.chunks or choose_chunks(self.shape, self.spec.steps)
        # HDF5 has no chunk that is longer than its image.
        self.chunks = tuple([min(chunk, max(length, 1)) for chunk, length in zip(chunks, self.shape, strict=True)])

    @property
    def write_units(self) -> tuple[int, ...]:
        """Shape of a chunk, as a chunk that two tiles cut would be compressed twice."""
        return self.chunks

    def _needed_bytes(self, dtype: np.dtype[Any]) -> int:
        return math.prod(self.shape) * dtype.itemsize // (1 if self.spec.codec in ("default", "none") else 2)

    def _make(self, dtype: np.dtype[Any]) -> h5py.Dataset:
        file = self._open(self._h5py.File(self.place.data, "w"))
        whole = {} if 0 in self.shape or not self.shape else {"chunks": self.chunks, "fletcher32": True}
        filters = _FILTERS[self.spec.codec] if whole else {}
        dataset = file.create_dataset(self._dataset, self.shape, dtype, **whole, **filters)
        for dimension, axis in zip(dataset.dims, self.spec.told_axes, strict=False):
            dimension.label = axis
        if self.spec.voxel_size_um is not None:
            dataset.attrs["element_size_um"] = self.spec.voxel_size_um
        if self.spec.channel_names:
            dataset.attrs["channel_names"] = list(self.spec.channel_names)
        return dataset

    def _reopened(self, path: str) -> h5py.Dataset:
        dataset = self._open(self._h5py.File(path, "r+"))[self._dataset]
        if dataset.shape != self.shape:
            raise UnreadableFileError(
                f"{path} has the shape {dataset.shape}, not {self.shape}: delete it to start over"
            )
        self.chunks = dataset.chunks or self.chunks
        return dataset

    def flush(self) -> None:
        """Write the data that the library still keeps in memory."""
        dataset: h5py.Dataset = self.target
        dataset.file.flush()

    def result(self) -> FileSource:
        """Open the dataset of the complete file."""
        return open_source(f"{self.path}:/{self._dataset}")

    def _is_sound(self, data: Path) -> bool:
        """Whether every chunk can be read; their checksums show which ones are damaged."""
        try:
            with self._h5py.File(data, "r") as file:
                dataset = file[self._dataset]
                for number in range(dataset.id.get_num_chunks()):
                    start = dataset.id.get_chunk_info(number).chunk_offset
                    dataset[tuple(slice(first, first + n) for first, n in zip(start, dataset.chunks, strict=True))]
        except (OSError, KeyError, RuntimeError) as error:
            _log.warning("%s was damaged when its writer died, and is written again from the start: %s", data, error)
            return False
        return True

    def _check(self) -> None:
        dataset: h5py.Dataset = self.target
        expected = math.prod(-(-length // step) for length, step in zip(self.shape, dataset.chunks or (), strict=True))
        if dataset.chunks and dataset.id.get_num_chunks() < expected:
            raise UnreadableFileError(
                f"{self.place.data} lost chunks when its writer died: delete it and its journal to start over"
            )

    @property
    def _dataset(self) -> str:
        return self.spec.dataset or "data"

    def _open(self, file: h5py.File) -> h5py.File:
        self._closer = weakref.finalize(self, file.close)
        return file

    def _close(self) -> None:
        super()._close()
        if self._closer is not None:
            self._closer()
