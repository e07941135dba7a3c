"""Sink for zarr arrays: many processes write at once, each its own chunks or shards."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tilecore.array_types import Index
from tilecore.errors import AlignmentError, ParameterError, UnreadableFileError
from tilecore.formats.chunk_shapes import choose_chunks, default_shards
from tilecore.formats.file_sink import FileSink
from tilecore.formats.opening import open_source
from tilecore.formats.source import FileSource
from tilecore.formats.zarr.metadata import ArrayMetadata, array_document_v3, parse_array
from tilecore.formats.zarr.shards import shard_index
from tilecore.formats.zarr.stores import FolderWriter, ObjectFolder, WritableStore, open_store
from tilecore.geometry.boxes import Box
from tilecore.geometry.chunks_in_box import touched
from tilecore.geometry.indexing import expanded
from tilecore.objects.paths import output_path
from tilecore.spreading import spread, threads_for

__all__ = ["ZarrArrayWriter", "ZarrSink", "open_writer", "write_json"]


@dataclass(frozen=True)
class ZarrArrayWriter:
    """Writer of whole chunks or shards of an array; pickles as a descriptor.

    Attributes
    ----------
    store : WritableStore
        Folder of the array, and how files are written in it.
    metadata : ArrayMetadata
        Metadata of the array.

    Notes
    -----
    Process-safety: readers see all of a chunk or shard, or nothing.
    """

    store: WritableStore
    metadata: ArrayMetadata

    @property
    def root(self) -> str:
        """Folder of the array."""
        return self.store.root

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return self.metadata.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""
        return self.metadata.dtype.newbyteorder("=")

    @property
    def write_units(self) -> tuple[int, ...]:
        """Shape of the voxels in one file, which no two processes may write at once."""
        return self.metadata.units

    def verify(self) -> None:
        """Raise `MissingFileError` if this machine does not find the array's folder."""
        self.store.verify()

    def __setitem__(self, index: Index, values: npt.ArrayLike) -> None:
        """Write a region of whole units.

        Raises
        ------
        AlignmentError
            If the region cuts a unit, whose other voxels would be lost.
        UnwritableFileError
            If the array is already complete, or was discarded.
        """
        items = expanded(index, self.shape)
        if any(isinstance(item, slice) and item.step != 1 for item in items):
            raise ParameterError.of("index", index, "only slices without a step can be written")
        spans = [slice(item, item + 1) if isinstance(item, int) else item for item in items]
        box = Box([span.start for span in spans], [span.stop for span in spans])
        given = [length for item, length in zip(items, box.shape, strict=True) if isinstance(item, slice)]
        block = np.broadcast_to(np.asarray(values), given).reshape(box.shape)
        units = []
        for position, in_box, in_unit in touched(box, self.write_units):
            self._check_whole(position, in_unit, box)
            units.append((position, block[in_box]))
        # Chunks of one shard are encoded at once, not several shards: these may be large.
        spread(self._write_unit, units, 1 if self.metadata.is_sharded else self.store.threads_for(block.nbytes))

    def _check_whole(self, position: tuple[int, ...], in_unit: tuple[slice, ...], box: Box) -> None:
        for number, span, unit, length in zip(position, in_unit, self.write_units, self.shape, strict=True):
            if span.start != 0 or span.stop != min(unit, length - number * unit):
                raise AlignmentError(
                    f"{box} cuts a storage unit of {self.root}, whose units are {self.write_units} voxels: "
                    "write whole units, or the unit's other voxels are lost"
                )

    def _write_unit(self, unit: tuple[tuple[int, ...], npt.NDArray[Any]]) -> None:
        position, block = unit
        parts = self._shard(block) if self.metadata.is_sharded else [self._chunk(block)]
        self.store.put(self.metadata.key(position), parts)

    def _shard(self, block: npt.NDArray[Any]) -> list[bytes | memoryview]:
        """Compressed chunks of a shard, and their index."""
        starts = list(np.ndindex(self.metadata.chunks_per_unit))
        chunks: list[bytes | memoryview] = [b""] * len(starts)

        def encode(number: int) -> None:
            first = [at * step for at, step in zip(starts[number], self.metadata.chunks, strict=True)]
            spans = [slice(at, at + step) for at, step in zip(first, self.metadata.chunks, strict=True)]
            chunks[number] = self._chunk(block[tuple(spans)])

        spread(encode, range(len(starts)), threads_for(block.nbytes))
        return [*chunks, shard_index(chunks)]

    def _chunk(self, block: npt.NDArray[Any]) -> bytes | memoryview:
        """Compress a chunk; at the volume's end it is filled up with zeros, as all chunks have the same shape."""
        if block.shape != self.metadata.chunks:
            whole = np.zeros(self.metadata.chunks, self.metadata.dtype)
            whole[tuple(map(slice, block.shape))] = block
            block = whole
        assert self.metadata.codec is not None
        return self.metadata.codec.encode(block)


class ZarrSink(FileSink):
    """A zarr array of version 3, with shards if there would be too many files."""

    kind: ClassVar[str] = "zarr"
    takes_urls: ClassVar[bool] = True
    dtypes: ClassVar[frozenset[str]] = frozenset(
        {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"}
    )
    codecs: ClassVar[tuple[str, ...]] = ("default", "zstd", "blosc", "gzip", "none")
    has_chunks: ClassVar[bool] = True
    has_shards: ClassVar[bool] = True
    several_hosts: ClassVar[bool] = True

    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None

    def _lay_out(self) -> None:
        spec = self.spec
        if spec.chunks is not None:
            self.chunks = spec.chunks
        else:
            self.chunks = choose_chunks(spec.shards or spec.shape, spec.shards or spec.steps)
        self.shards = spec.shards or self._default_shards()
        if self.shards is not None and any(
            shard % chunk for shard, chunk in zip(self.shards, self.chunks, strict=True)
        ):
            raise ParameterError.of("shards", self.shards, f"must be a multiple of the chunks {self.chunks}")

    @property
    def write_units(self) -> tuple[int, ...]:
        """Shape of a shard, or of a chunk if there are no shards."""
        return self.shards or self.chunks

    def _default_shards(self) -> tuple[int, ...] | None:
        return default_shards(self.shape, self.chunks, self.spec.steps)

    def _needed_bytes(self, dtype: np.dtype[Any]) -> int:
        """Estimated disk space [byte]: that of the voxels, or half of it if they are compressed."""
        return math.prod(self.shape) * dtype.itemsize // (1 if self.spec.codec == "none" else 2)

    def _make(self, dtype: np.dtype[Any]) -> ZarrArrayWriter:
        size, origin, names = self.spec.voxel_size_um, self.spec.origin_um, self.spec.channel_names
        attributes: dict[str, Any] = {} if size is None else {"voxel_size_um": list(size)}
        attributes |= {"origin_um": list(origin)} if any(origin) else {}
        attributes |= {"channel_names": list(names)} if names else {}
        attributes |= self.spec.recorded.attributes
        document = array_document_v3(
            self.shape, dtype, self.chunks, self.shards, self.spec.codec, self.spec.told_axes, attributes
        )
        data = self.place.data
        data.mkdir()
        write_json(data / "zarr.json", document)
        return open_writer(data, data.parent)

    def _reopened(self, path: str) -> ZarrArrayWriter:
        data = output_path(path)
        return self._same(open_writer(data, data.parent))

    def _same(self, writer: ZarrArrayWriter) -> ZarrArrayWriter:
        """Keep the chunks of an unfinished array; refuse it if its shape, chunks or shards are not as asked for."""
        spec, found = self.spec, writer.metadata
        shards = found.units if found.is_sharded else None
        if (found.shape, spec.chunks or found.chunks, spec.shards or shards) != (spec.shape, found.chunks, shards):
            raise UnreadableFileError(
                f"{writer.root} has the shape {writer.shape} in units of {writer.write_units}, not {self.shape} in "
                f"units of {self.write_units}: delete it to start over"
            )
        self.chunks, self.shards = found.chunks, shards
        return writer

    def _written(self) -> FileSource:
        return open_source(self.place.data, missing_chunks="fill")


def open_writer(path: Path, place: Path) -> ZarrArrayWriter:
    """Open an array whose metadata have been written, in the folder of its run."""
    store = open_store(str(path))
    metadata = parse_array(store, "")
    if metadata is None or metadata.codec is None:
        raise UnreadableFileError(f"{path} has no metadata of an array that can be written here")
    return ZarrArrayWriter(store if isinstance(store, ObjectFolder) else FolderWriter(str(path), str(place)), metadata)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a metadata document."""
    path.write_text(json.dumps(document, indent=2))
