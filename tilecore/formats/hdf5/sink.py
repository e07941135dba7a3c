"""Sink for HDF5 files, which one process writes."""

from __future__ import annotations

import logging
import math
import shutil
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tilecore.errors import OutputExistsError, ParameterError, UnreadableFileError
from tilecore.formats.chunk_shapes import choose_chunks
from tilecore.formats.descriptor import stamp_of
from tilecore.formats.file_sink import FileSink
from tilecore.formats.hdf5.reader import import_h5py
from tilecore.formats.opening import open_source
from tilecore.formats.reader_errors import reading
from tilecore.formats.sink import SinkSpec
from tilecore.formats.source import FileSource

if TYPE_CHECKING:
    import h5py

__all__ = ["Hdf5Sink"]

_log = logging.getLogger(__name__)

# File beside the new file: size and time of change of the file that was copied into it, or None if there was no file.
_COPIED = "copied"

_FILTERS: dict[str, dict[str, Any]] = {
    "default": {},
    "none": {},
    "gzip": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    "lzf": {"compression": "lzf", "shuffle": True},
}


class Hdf5Sink(FileSink):
    """An HDF5 file with a chunked dataset and checksums, named ``data`` by default.

    If the dataset's name is given and the file exists, the other datasets of the file are kept: the file is copied,
    the dataset is written into the copy, and the copy takes the file's name in the end. So readers see the old file
    or the new one. If another program changes the file in the meantime, the copy does not replace it.

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

    def refuse_existing(self) -> None:
        """Raise an error for a file that may not be replaced, or that the dataset cannot be written into."""
        super().refuse_existing()
        if self.is_created:
            self._refuse_changed()
        if self._keeps_others:
            with reading(str(self.path), "HDF5"), self._h5py.File(self.path, "r") as file:
                self._check_place(file)

    def commit(self) -> None:
        """Complete the file and give it its final name, unless another program has changed the file that it replaces.

        Raises
        ------
        OutputExistsError
            If it has been changed, or has appeared: what is in it would be lost.
        """
        self._refuse_changed()
        super().commit()

    def _refuse_changed(self) -> None:
        if self._is_outdated(self.place.folder):
            raise OutputExistsError(
                f"{self.path} has changed since this run began: its changes would be lost. "
                f"What this run has written is in {self.place.data}; run again to write into the changed file"
            )

    def _is_outdated(self, folder: Path) -> bool:
        """Whether the file has changed, or has appeared, since the one in this folder was begun."""
        copied = folder / _COPIED
        return copied.exists() and copied.read_text() != self._stamp

    @property
    def _stamp(self) -> str:
        return repr(stamp_of(str(self.path)))

    @property
    def _keeps_others(self) -> bool:
        """Whether the file exists and has other datasets to be kept."""
        return bool(self.spec.dataset) and self.spec.overwrite and self.path.is_file()

    def _check_place(self, file: h5py.File) -> None:
        """Refuse a name that stands for a group, or leads through something else or into another file."""
        parts = self._dataset.split("/")
        for number in range(1, len(parts) + 1):
            name = "/".join(parts[:number])
            if file.get(name, getlink=True) is None:
                return
            found = file.get(name)
            is_group = isinstance(found, self._h5py.Group)
            if is_group == (number == len(parts)) or (is_group and found.file.filename != file.filename):
                kind = "a group" if is_group else "no group"
                raise ParameterError.of("path", f"{self.path}:/{self._dataset}", f"/{name} is {kind} of this file")

    def _copy(self) -> None:
        """Copy the file that exists, while no other program writes it."""
        with self._h5py.File(self.path, "r") as file:
            self._check_place(file)
            (self.place.folder / _COPIED).write_text(self._stamp)
            shutil.copy(self.path, self.place.data)

    def _needed_bytes(self, dtype: np.dtype[Any]) -> int:
        kept = self.path.stat().st_size if self._keeps_others else 0
        return kept + math.prod(self.shape) * dtype.itemsize // (1 if self.spec.codec in ("default", "none") else 2)

    def _make(self, dtype: np.dtype[Any]) -> h5py.Dataset:
        if self._keeps_others:
            self._copy()
        elif self.spec.dataset and self.spec.overwrite:
            (self.place.folder / _COPIED).write_text(repr(None))
        file = self._open(self._h5py.File(self.place.data, "a"))
        if file.get(self._dataset, getlink=True) is not None:
            del file[self._dataset]
        whole = {} if 0 in self.shape or not self.shape else {"chunks": self.chunks, "fletcher32": True}
        filters = _FILTERS[self.spec.codec] if whole else {}
        dataset = file.create_dataset(self._dataset, self.shape, dtype, **whole, **filters)
        for dimension, axis in zip(dataset.dims, self.spec.told_axes, strict=False):
            dimension.label = axis
        if self.spec.voxel_size_um is not None:
            dataset.attrs["element_size_um"] = self.spec.voxel_size_um
        if any(self.spec.origin_um):
            dataset.attrs["origin_um"] = self.spec.origin_um
        if self.spec.channel_names:
            dataset.attrs["channel_names"] = list(self.spec.channel_names)
        for name, value in self.spec.recorded.attributes.items():
            # Attributes have no None: a channel without a gain has NaN.
            dataset.attrs[name] = np.array(value, np.float64) if name == "gains_uv" else value
        return dataset

    def _reopened(self, path: str) -> h5py.Dataset:
        dataset = self._open(self._h5py.File(path, "r+"))[self._dataset]
        asked = self.chunks if self.spec.chunks and dataset.chunks else dataset.chunks
        if (dataset.shape, dataset.chunks) != (self.shape, asked):
            raise UnreadableFileError(
                f"{path} has the shape {dataset.shape} in chunks of {dataset.chunks}, not {self.shape} in chunks of "
                f"{self.chunks}: delete it to start over"
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
        """Whether its file is the newest, and every chunk can be read; checksums show which ones are damaged."""
        if self._is_outdated(data.parent):
            _log.warning("%s has changed since %s was begun, which is written again from the start", self.path, data)
            return False
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
        if dataset.chunks is None:  # a single number, or no voxel
            return
        expected = math.prod(-(-length // step) for length, step in zip(self.shape, dataset.chunks, strict=True))
        if dataset.id.get_num_chunks() < expected:
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
