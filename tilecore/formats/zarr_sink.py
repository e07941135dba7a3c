"""zarr arrays that many processes write at once, each its own chunks or shards."""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tilecore.errors import AlignmentError, ParameterError, UnreadableFileError, UnwritableFileError
from tilecore.formats.chunk_grid import touched
from tilecore.formats.file_sink import FileSink
from tilecore.formats.sink import SinkSpec
from tilecore.formats.stores import FolderStore
from tilecore.formats.zarr_metadata import ArrayMetadata, array_document_v3, parse_array
from tilecore.formats.zarr_shards import join_chunks
from tilecore.geometry.axes import as_integers
from tilecore.geometry.boxes import Box

__all__ = ["ZarrArrayWriter", "ZarrSink", "default_chunks", "default_shards", "marked", "open_writer", "write_json"]

# Voxels of a chunk: enough that a file is no smaller than a disk likes.
_CHUNK_VOXELS = 2**20

# What the file is called that tells a begun folder from one that another run has begun in its place.
_MARK = ".begun-"

# Above this many files, chunks are put into shards.
_MOST_FILES = 1024


@dataclass(frozen=True)
class ZarrArrayWriter:
    """Writes whole chunks or shards of an array; pickles as a descriptor.

    Attributes
    ----------
    root : str
        Folder of the array.
    metadata : ArrayMetadata
    mark : str
        Name of a file that is in the folder while it is this run's; empty if nobody looks.

    Notes
    -----
    Process-safety: a chunk or shard is written under another name and then gets its own,
    so that a reader sees all of it or nothing.
    """

    root: str
    metadata: ArrayMetadata
    mark: str = ""
    _folders: set[str] = field(default_factory=set, compare=False, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""
        return self.metadata.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""
        return self.metadata.dtype.newbyteorder("=")

    @property
    def write_units(self) -> tuple[int, ...]:
        """Shape of a file: what no two processes may write at once."""
        return self.metadata.units

    def __setitem__(self, index: Any, values: Any) -> None:
        """Write a region of whole units.

        Raises
        ------
        AlignmentError
            If it cuts a unit, whose other voxels would be lost.
        UnwritableFileError
            If another run has begun the same array anew meanwhile.
        """
        box = self._box(index)
        block = np.broadcast_to(np.asarray(values), box.shape)
        for position, in_box, in_unit in touched(box, self.write_units):
            self._check_whole(position, in_unit, box)
            self._write_unit(position, block[in_box])

    def _box(self, index: Any) -> Box:
        items = list(index) if isinstance(index, tuple) else [index]
        for place in [number for number, item in enumerate(items) if item is Ellipsis][:1]:
            items[place : place + 1] = [slice(None)] * (len(self.shape) - len(items) + 1)
        items += [slice(None)] * (len(self.shape) - len(items))
        if not all(isinstance(item, slice) and item.step in (None, 1) for item in items):
            raise ParameterError.of("index", index, "slices without a step are written")
        spans = [item.indices(length) for item, length in zip(items, self.shape, strict=True)]
        return Box([first for first, _, _ in spans], [max(first, last) for first, last, _ in spans])

    def _check_whole(self, position: tuple[int, ...], in_unit: tuple[slice, ...], box: Box) -> None:
        for number, span, unit, length in zip(position, in_unit, self.write_units, self.shape, strict=True):
            if span.start != 0 or span.stop != min(unit, length - number * unit):
                raise AlignmentError(
                    f"{box} cuts a storage unit of {self.root}, whose units are {self.write_units} voxels: "
                    "its other voxels would be lost"
                )

    def _write_unit(self, position: tuple[int, ...], block: npt.NDArray[Any]) -> None:
        if self.mark and not os.path.exists(os.path.join(self.root, self.mark)):
            raise UnwritableFileError(f"{self.root} is gone, or another run has begun it anew: give each its own file")
        path = os.path.join(self.root, self.metadata.key(position))
        content = self._shard(block) if self.metadata.is_sharded else self._chunk(block)
        folder = os.path.dirname(path)
        if folder not in self._folders:
            os.makedirs(folder, exist_ok=True)
            self._folders.add(folder)
        partial = f"{path}.{os.getpid()}.partial"
        with open(partial, "wb", buffering=0) as file:
            rest = memoryview(content).cast("B")
            while rest:
                rest = rest[file.write(rest) :]
        os.replace(partial, path)

    def _shard(self, block: npt.NDArray[Any]) -> bytes:
        chunks = []
        for start in np.ndindex(self.metadata.chunks_per_unit):
            first = [number * step for number, step in zip(start, self.metadata.chunks, strict=True)]
            inner = block[tuple([slice(at, at + step) for at, step in zip(first, self.metadata.chunks, strict=True)])]
            chunks.append(bytes(self._chunk(inner)))
        return join_chunks(chunks, self.metadata.chunks_per_unit)

    def _chunk(self, block: npt.NDArray[Any]) -> Any:
        """Compress a chunk; one at the volume's end is filled up, as all have the same shape."""
        if block.shape != self.metadata.chunks:
            whole = np.zeros(self.metadata.chunks, self.metadata.dtype)
            whole[tuple(map(slice, block.shape))] = block
            block = whole
        assert self.metadata.codec is not None
        return self.metadata.codec.encode(block)


class ZarrSink(FileSink):
    """A zarr array of version 3, in shards where there would be too many files."""

    kind: ClassVar[str] = "zarr"
    codecs: ClassVar[tuple[str, ...]] = ("default", "zstd", "blosc", "gzip", "none")
    has_chunks: ClassVar[bool] = True
    has_shards: ClassVar[bool] = True

    def __init__(self, spec: SinkSpec) -> None:
        super().__init__(spec)
        chunks = spec.chunks or default_chunks(spec.shards or spec.shape)
        self.chunks = as_integers(chunks, "chunks", len(spec.shape), 1)
        self.shards = spec.shards or self._default_shards()
        if self.shards is not None and any(
            shard % chunk for shard, chunk in zip(self.shards, self.chunks, strict=True)
        ):
            raise ParameterError.of("shards", self.shards, f"must be a multiple of the chunks {self.chunks}")

    @property
    def write_units(self) -> tuple[int, ...]:
        """Shape of a shard, or of a chunk where there are no shards."""
        return self.shards or self.chunks

    def _identity(self) -> object:
        return next((found.name for found in self._marks()), None)

    def _marks(self) -> Iterator[Path]:
        return _marks(self.partial, self.partial / "0")

    def _rename(self) -> None:
        for found in self._marks():
            found.unlink()
        super()._rename()

    def _default_shards(self) -> tuple[int, ...] | None:
        return default_shards(self.shape, self.chunks)

    def _needed_bytes(self, dtype: np.dtype[Any]) -> int:
        """What the voxels take; half of it where they are compressed, as noise allows no more."""
        return math.prod(self.shape) * dtype.itemsize // (1 if self.spec.codec == "none" else 2)

    def _make(self, dtype: np.dtype[Any]) -> ZarrArrayWriter:
        size, names = self.spec.voxel_size_um, self.spec.channel_names
        attributes: dict[str, Any] = {} if size is None else {"voxel_size_um": list(size)}
        attributes |= {"channel_names": list(names)} if names else {}
        document = array_document_v3(
            self.shape, dtype, self.chunks, self.shards, self.spec.codec, self.spec.axes, attributes
        )
        self.partial.mkdir()
        write_json(self.partial / "zarr.json", document)
        return marked(open_writer(self.partial))

    def _reopened(self, path: str) -> ZarrArrayWriter:
        return marked(_same_as(open_writer(Path(path)), self))


def open_writer(path: Path) -> ZarrArrayWriter:
    """Open an array whose metadata were written."""
    metadata = parse_array(FolderStore(str(path)), "")
    if metadata is None or metadata.codec is None:
        raise UnreadableFileError(f"{path} has no metadata of an array that is written here")
    return ZarrArrayWriter(str(path), metadata)


def marked(writer: ZarrArrayWriter) -> ZarrArrayWriter:
    """The same, which writes only as long as the folder is the one that is there now.

    By a file with a name of its own: a folder's number is soon another's, and its times differ between machines.
    """
    folder = Path(writer.root)
    name = next((found.name for found in _marks(folder)), f"{_MARK}{uuid.uuid4().hex}")
    (folder / name).touch()
    return replace(writer, mark=name)


def _marks(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from folder.glob(f"{_MARK}*")


def _same_as(writer: ZarrArrayWriter, sink: FileSink) -> ZarrArrayWriter:
    if (writer.shape, writer.write_units) != (sink.shape, sink.write_units):
        raise UnreadableFileError(
            f"{writer.root} has the shape {writer.shape} in units of {writer.write_units}, not {sink.shape} in units "
            f"of {sink.write_units}: delete it to start over"
        )
    return writer


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a metadata document."""
    path.write_text(json.dumps(document, indent=2))


def default_chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks of about a million voxels in the last three axes, longer along the rows."""
    if len(shape) < 3:
        spatial: tuple[int, ...] = (1024,) * len(shape) if len(shape) == 2 else (_CHUNK_VOXELS,) * len(shape)
    else:
        spatial = (1,) * (len(shape) - 3) + (64, 128, 128)
    return tuple([max(1, min(step, length)) for step, length in zip(spatial, shape, strict=True)])


def default_shards(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...] | None:
    """Shards of two chunks along each of the last three axes, if chunks in files of their own would be too many."""
    if math.prod([-(-length // chunk) for length, chunk in zip(shape, chunks, strict=True)]) <= _MOST_FILES:
        return None
    doubled = [1] * (len(shape) - 3) + [2] * min(len(shape), 3)
    return tuple(
        [chunk * (times if length > chunk else 1) for chunk, times, length in zip(chunks, doubled, shape, strict=True)]
    )
