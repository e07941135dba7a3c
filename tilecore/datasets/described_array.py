"""Sink for the array of a variable whose metadata were written before by zarr or xarray."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tilecore.errors import UnreadableFileError
from tilecore.formats.file_sink import FileSink
from tilecore.formats.sink import SinkSpec
from tilecore.formats.zarr.metadata import ArrayMetadata, parse_array
from tilecore.formats.zarr.sink import ZarrArrayWriter, open_writer
from tilecore.formats.zarr.stores import FolderStore

__all__ = ["METADATA_FILES", "DescribedArraySink", "can_be_written"]

#: Files that describe a zarr array, in the formats 3 and 2.
METADATA_FILES = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


class DescribedArraySink(FileSink):
    """An array that is described at its path, without chunks; the whole one takes its name.

    Parameters
    ----------
    spec : SinkSpec
        Its path, which holds the metadata, and its shape; it has to be allowed to overwrite.

    Notes
    -----
    Process-safety: that of any zarr array here, each process writes its own chunks or shards.
    """

    kind = "zarr variable"
    has_chunks = has_shards = several_hosts = True

    def _lay_out(self) -> None:
        self._units = described(self.path).units

    @classmethod
    def at(cls, path: Path) -> DescribedArraySink:
        """The sink of an array that is described at this path."""
        metadata = described(path)
        shards = metadata.units if metadata.is_sharded else None
        return cls(SinkSpec(path, metadata.shape, "", chunks=metadata.chunks, shards=shards, overwrite=True))

    @property
    def write_units(self) -> tuple[int, ...]:
        """Shape of a shard, or of a chunk if there are no shards."""
        return self._units

    def _make(self, dtype: np.dtype[Any]) -> ZarrArrayWriter:
        data = self.place.data
        data.mkdir()
        for name in METADATA_FILES:
            if (self.path / name).exists():
                shutil.copyfile(self.path / name, data / name)
        return open_writer(data, data.parent)

    def _reopened(self, path: str) -> ZarrArrayWriter:
        return open_writer(Path(path), Path(path).parent)


def described(path: Path) -> ArrayMetadata:
    """Metadata of the array at this path.

    Raises
    ------
    UnreadableFileError
        If there is none.
    """
    metadata = parse_array(FolderStore(str(path)), "")
    if metadata is None:
        raise UnreadableFileError(f"{path} has no metadata of a zarr array")
    return metadata


def can_be_written(path: Path) -> bool:
    """Whether the array at this path holds numbers, in codecs that tilecore writes itself."""
    try:
        metadata = described(path)
    except UnreadableFileError:
        return False
    return metadata.codec is not None and metadata.dtype.kind in "biufc"
