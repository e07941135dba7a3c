"""Reader of zarr arrays, of version 2 and 3, in folders, zip files and object stores, and of OME-Zarr images."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError, UnreadableFileError
from tilecore.formats.image_info import ImageInfo, position_um, positive_size
from tilecore.formats.reader_errors import reading
from tilecore.formats.recorded import Recorded
from tilecore.formats.window import part_of
from tilecore.formats.zarr.metadata import ArrayMetadata, parse_array
from tilecore.formats.zarr.ome import find_image
from tilecore.formats.zarr.shards import Shard
from tilecore.formats.zarr.stores import Store, open_store
from tilecore.geometry.boxes import Box
from tilecore.geometry.chunks_in_box import check_chunk_size, touched
from tilecore.spreading import spread

__all__ = ["ZarrReader", "info_of_array", "open_zarr"]


def open_zarr(
    path: str, *, series: int | None = None, level: int = 0, missing_chunks: str = "error", dataset: str = ""
) -> ZarrReader:
    """Open a zarr array, or one level of an OME-Zarr image; `dataset` is its folder in the path."""
    with reading(path, "zarr"):
        store = open_store(path, dataset)
        array = parse_array(store, "")
        if array is not None:
            if level or series:
                raise ParameterError.of("level", level, f"{path} is a single array; leave out level and series")
            return ZarrReader(store, "", array, info_of_array(array), fill=missing_chunks == "fill")
        image = find_image(store, series)
        folder = image.folder_of(level)
        arrays = [parse_array(store, image.folder_of(number)) for number in range(len(image.paths))]
        array = arrays[level]
        if array is None:
            raise UnreadableFileError(f"{path} lacks the array {folder} that its metadata names")
        levels = tuple([each.shape for each in arrays if each is not None])
        info = ImageInfo(
            f"OME-Zarr {image.version}",
            array.shape,
            array.dtype.newbyteorder("="),
            image.axes,
            image.voxel_size_um(level),
            image.channel_names,
            array.chunks,
            array.units,
            array.codec_name,
            levels,
            image.origin_um(level),
        )
        return ZarrReader(store, folder, array, info.check(path), fill=missing_chunks == "fill")


class ZarrReader:
    """Reader of one array, which decodes chunks when they are needed.

    Parameters
    ----------
    store : Store
        Store that holds the chunks.
    folder : str
        Folder of the array in the store, ending in ``/``, or empty.
    metadata : ArrayMetadata
        Metadata of the array.
    info : ImageInfo
        Properties of the image.
    fill : bool
        Whether missing units have the fill value; otherwise they raise an error.
    """

    mapped = None

    def __init__(self, store: Store, folder: str, metadata: ArrayMetadata, info: ImageInfo, *, fill: bool) -> None:
        self._store, self._folder, self._metadata, self._fill = store, folder, metadata, fill
        self.info = info
        self.files = [store.place(folder)]
        check_chunk_size(metadata.chunks, metadata.dtype, f"{store.root}/{folder}")

    def verify(self) -> None:
        """Do nothing: each chunk is checked when it is read."""

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Read a box."""
        result = np.empty(box.shape, self.info.dtype)
        self.read_into(box, result)
        return result

    def read_into(self, box: Box, out: npt.NDArray[Any]) -> None:
        """Read a box into an array; a whole chunk is decoded in its place if it is contiguous there."""
        if self._metadata.codec is None:
            self._read_by_zarr(box, out)
            return
        n_threads = self._store.threads_for(self.info.decoded_bytes(box))
        spread(self._read_chunk, list(self._chunks_in(box, out)), n_threads)

    def expect(self, box: Box) -> None:
        """Tell the system that a box is read soon; a part of a shard is left out, as its index would be read first."""
        shape, units = self.info.shape, self._metadata.units
        for index, _, within in touched(box, units):
            axes = zip(within, index, units, shape, strict=True)
            is_whole = all(part.start == 0 and part.stop == min(n, end - n * at) for part, at, n, end in axes)
            if is_whole or not self._metadata.is_sharded:
                self._store.expect(self._folder + self._metadata.key(index))

    def _chunks_in(self, box: Box, out: npt.NDArray[Any]) -> Iterator[_Chunk]:
        for index, in_box, in_unit in touched(box, self._metadata.units):
            key, place = self._folder + self._metadata.key(index), part_of(out, in_box)
            if not self._metadata.is_sharded:
                yield _Chunk(key, place, in_unit)
                continue
            shard = Shard(self._store, key, self._metadata)
            for position, in_place, in_chunk in touched(Box.from_slices(in_unit), self._metadata.chunks):
                yield _Chunk(key, part_of(place, in_place), in_chunk, (shard, position))

    def _read_chunk(self, chunk: _Chunk) -> None:
        codec, chunks = self._metadata.codec, self._metadata.chunks
        assert codec is not None
        name = f"{self._store.root}/{chunk.key}"
        with reading(name, "a chunk"), _naming(name):
            if (content := self._content(chunk)) is None:
                chunk.place[...] = self._metadata.fill
            elif chunk.place.shape == chunks:
                codec.decode_into(content, chunk.place)
            else:
                chunk.place[...] = codec.decode(content, chunks)[chunk.within]

    def _content(self, chunk: _Chunk) -> bytes | None:
        """Encoded content of a chunk; None if it holds the fill value."""
        if chunk.in_shard is None:
            content = self._store.get(chunk.key)
        else:
            shard, position = chunk.in_shard
            if shard.index is not None:
                return shard.get(position)
            content = None
        if content is None:
            self._check_missing(chunk.key)
        return content

    def _check_missing(self, key: str) -> None:
        if not self._fill:
            raise UnreadableFileError(
                f'{self._store.root}/{key} is missing; missing_chunks="fill" reads missing chunks as the fill value'
            )

    def _read_by_zarr(self, box: Box, out: npt.NDArray[Any]) -> None:
        """Read a box with the zarr package; it fills missing chunks, so these are looked for first."""
        import zarr

        name = f"{self._store.root}/{self._folder}".rstrip("/")
        with reading(name, "a zarr array"):
            for key in self._keys(box):
                if self._store.get_range(key, 0, 1) is None:
                    self._check_missing(key)
            with self._store.as_zarr() as (place, folder):
                array = zarr.open_array(place, path=(folder + self._folder).rstrip("/"), mode="r")
                out[...] = array[box.slices]  # filters may give another byte order

    def _keys(self, box: Box) -> Iterator[str]:
        for index, _, _ in touched(box, self._metadata.units):
            yield self._folder + self._metadata.key(index)


class _Chunk(NamedTuple):
    """A chunk that is read: its file, where its voxels go, which of them, and where it lies in a shard."""

    key: str
    place: npt.NDArray[Any]
    within: tuple[slice, ...]
    in_shard: tuple[Shard, tuple[int, ...]] | None = None


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Add the name of a chunk to errors about it."""
    try:
        yield
    except UnreadableFileError as error:
        raise UnreadableFileError(f"{name}: {error}") from error


def info_of_array(array: ArrayMetadata) -> ImageInfo:
    """Properties of an array that is no OME-Zarr image."""
    ndim = len(array.shape)
    letters = "".join(array.dimension_names).upper()
    usable = all(len(name) == 1 for name in array.dimension_names) and len(set(letters)) == len(letters) == ndim
    return ImageInfo(
        "zarr",
        array.shape,
        array.dtype.newbyteorder("="),
        letters if usable and letters.isalpha() else "",
        positive_size(array.attributes.get("voxel_size_um") or ()),
        tuple(map(str, array.attributes.get("channel_names") or ())),
        array.chunks,
        array.units,
        array.codec_name,
        (array.shape,) if math.prod(array.shape) else (),
        position_um(array.attributes.get("origin_um") or ()) or (0.0, 0.0, 0.0),
        recorded=Recorded.of(array.attributes, array.shape[-1] if array.shape else None),
    )
