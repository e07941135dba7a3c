"""Reader of N5 datasets, whose blocks are files and whose axes are reversed."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError, TilecoreError, UnreadableFileError
from tilecore.formats.image_info import MICROMETRES, ImageInfo, level_origin_um, positive_size
from tilecore.formats.reader_errors import reading
from tilecore.formats.zarr.codecs import ChunkCodec, codec_of
from tilecore.formats.zarr.metadata import read_json
from tilecore.formats.zarr.stores import Store, open_store
from tilecore.geometry.boxes import Box
from tilecore.geometry.chunks_in_box import check_chunk_size, touched
from tilecore.spreading import spread

__all__ = ["N5Reader", "datasets_in", "open_n5"]

_JSON = "attributes.json"
_RESOLUTIONS = ("pixelResolution", "resolution")

_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")


def open_n5(path: str, *, level: int = 0, missing_chunks: str = "error") -> N5Reader:
    """Open an N5 dataset, or one level of a group whose datasets are called ``s0``, ``s1``, ..."""
    with reading(path, "N5"):
        store = open_store(path)
        attributes = read_json(store, _JSON) or {}
        folder = ""
        if "dimensions" not in attributes:
            folder = f"s{level}/"
            group, attributes = attributes, read_json(store, folder + _JSON) or {}
            if "dimensions" not in attributes:
                raise UnreadableFileError(f"{path} holds no dataset {folder[:-1]}: add the dataset's name to the path")
            attributes = {**_of_level(group, level, attributes), **attributes}
        elif level:
            raise ParameterError.of("level", level, f"{path} is a single dataset")
        return N5Reader(store, folder, attributes, fill=missing_chunks == "fill")


def datasets_in(store: Store, folder: str = "") -> Iterator[tuple[str, ImageInfo | TilecoreError]]:
    """Find the datasets in a folder and in the groups below it; the levels of a group's pyramid are not listed."""
    try:
        levels = [inner for inner in ("", "s0/") if "dimensions" in (read_json(store, f"{folder}{inner}{_JSON}") or {})]
        if levels:
            yield folder, open_n5(store.place(folder)).info
    except TilecoreError as error:
        yield folder, error
        return
    for name in () if levels else store.children(folder):
        yield from datasets_in(store, f"{folder}{name}/")


class N5Reader:
    """Reader of the blocks of one N5 dataset.

    Parameters
    ----------
    store : Store
        Store that holds the blocks.
    folder : str
        Folder of the dataset, ending in ``/``, or empty.
    attributes : dict
        Metadata of the dataset.
    fill : bool
        Whether missing blocks are zero; otherwise they raise an error.
    """

    mapped = None

    def __init__(self, store: Store, folder: str, attributes: Mapping[str, Any], *, fill: bool) -> None:
        self._store, self._folder, self._fill = store, folder, fill
        self.files = [store.place(folder)]
        name = f"{store.root}/{folder}".rstrip("/")
        if attributes["dataType"] not in _DTYPES:
            raise UnreadableFileError(f"{name} has elements of type {attributes['dataType']}: only numbers can be read")
        dtype = np.dtype(attributes["dataType"])
        shape, chunks = _lengths(attributes["dimensions"]), _lengths(attributes["blockSize"])
        if len(shape) != len(chunks) or min(chunks, default=1) < 1:
            raise UnreadableFileError(f"{name}: blocks of {chunks} do not fit the shape {shape}")
        check_chunk_size(chunks, dtype, name)
        compression = _compression(attributes)
        self._codec = ChunkCodec(dtype.newbyteorder(">"), _steps(compression, name))
        finest = _voxel_size(attributes)
        voxel_size = _coarser(finest, attributes.get("downsamplingFactors"))
        info = ImageInfo(
            "n5",
            shape,
            dtype,
            "",
            voxel_size,
            chunks=chunks,
            write_units=chunks,
            codec=str(compression.get("type", "raw")),
            levels=_levels(store, shape),
            origin_um=level_origin_um(finest, voxel_size),
        )
        self.info = info.check(name)

    def verify(self) -> None:
        """Do nothing: each block is checked when it is read."""

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Read a box."""
        result = np.empty(box.shape, self.info.dtype)
        self.read_into(box, result)
        return result

    def read_into(self, box: Box, out: npt.NDArray[Any]) -> None:
        """Read a box into an array."""
        assert self.info.chunks is not None

        def read_block(block: tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]) -> None:
            index, in_box, in_chunk = block
            key = self._key(index)
            with reading(f"{self._store.root}/{key}", "an N5 block"):
                if (content := self._store.get(key)) is None:
                    out[in_box] = self._missing(key)
                else:
                    self._decode(key, memoryview(content), out[in_box], in_chunk)

        n_threads = self._store.threads_for(self.info.decoded_bytes(box))
        spread(read_block, list(touched(box, self.info.chunks)), n_threads)

    def expect(self, box: Box) -> None:
        """Tell the system that a box is read soon."""
        assert self.info.chunks is not None
        for index, _, _ in touched(box, self.info.chunks):
            self._store.expect(self._key(index))

    def _key(self, index: tuple[int, ...]) -> str:
        return self._folder + "/".join(map(str, reversed(index)))

    def _missing(self, key: str) -> int:
        if not self._fill:
            raise UnreadableFileError(
                f'{self._store.root}/{key} is missing; missing_chunks="fill" reads missing blocks as zeros'
            )
        return 0

    def _decode(self, key: str, content: memoryview, result: npt.NDArray[Any], wanted: tuple[slice, ...]) -> None:
        """Decode a part of a block, which may be smaller at the volume's end."""
        name = f"{self._store.root}/{key}"
        mode, ndim = struct.unpack_from(">HH", content)
        lengths = struct.unpack_from(f">{ndim}I", content, 4)
        if mode != 0 or ndim != len(wanted):
            raise UnreadableFileError(f"{name}: a block of mode {mode} and {ndim} axes cannot be read")
        shape = tuple(reversed(lengths))
        chunks = self.info.chunks or ()
        if any(length > chunk for length, chunk in zip(shape, chunks, strict=True)):
            raise UnreadableFileError(f"{name} declares {shape} voxels, more than a block of {chunks}")
        if any(span.stop > length for span, length in zip(wanted, shape, strict=True)):
            raise UnreadableFileError(f"{name} holds {shape} voxels, fewer than needed")
        try:
            if result.shape == shape:
                self._codec.decode_into(content[4 + 4 * ndim :], result)
            else:
                result[...] = self._codec.decode(content[4 + 4 * ndim :], shape)[wanted]
        except UnreadableFileError as error:
            raise UnreadableFileError(f"{name}: {error}") from error


def _lengths(values: list[Any]) -> tuple[int, ...]:
    """Lengths of the axes in the order z, y, x, from N5's order x, y, z."""
    if any(isinstance(value, bool) or not isinstance(value, int) or value < 0 for value in values):
        raise ValueError(f"lengths must be whole numbers, not {str(values)[:80]}")
    return tuple(reversed(values))


def _compression(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    found = attributes.get("compression", attributes.get("compressionType", "raw"))
    return found if isinstance(found, Mapping) else {"type": str(found)}


def _steps(compression: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    kind = compression.get("type")
    configs: dict[Any, dict[str, Any] | None] = {
        "raw": None,
        "gzip": {"id": "zlib" if compression.get("useZlib") else "gzip"},
        "bzip2": {"id": "bz2"},
        "xz": {"id": "lzma"},
        "blosc": {"id": "blosc"},
        "zstd": {"id": "zstd"},
    }
    if kind not in configs:
        raise UnreadableFileError(
            f"{name}: blocks compressed with {kind} cannot be read; only {', '.join(map(str, configs))} can"
        )
    return codec_of(configs[kind], name)


def _voxel_size(attributes: Mapping[str, Any]) -> tuple[float, float, float] | None:
    found = attributes.get("pixelResolution")
    sizes, unit = (found.get("dimensions"), found.get("unit")) if isinstance(found, Mapping) else (found, "um")
    if sizes is None:
        units = attributes.get("units") or [None]
        sizes, unit = attributes.get("resolution"), units[0]
    factor = MICROMETRES.get(str(unit), math.nan)
    return positive_size([float(size) * factor for size in reversed(sizes[:3])]) if sizes else None


def _of_level(group: Mapping[str, Any], level: int, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of a group that hold for one of its levels, too; its voxel size is that of the finest level."""
    factors = group.get("scales") or []
    if level < len(factors):
        return {**group, "downsamplingFactors": factors[level]}
    is_known = level == 0 or "downsamplingFactors" in attributes
    return {name: value for name, value in group.items() if is_known or name not in _RESOLUTIONS}


def _coarser(
    size: tuple[float, float, float] | None, factors: Sequence[float] | None
) -> tuple[float, float, float] | None:
    """Voxel size of a level, for that of the finest level and the factors along x, y, z."""
    if size is None or factors is None:
        return size
    z, y, x = [float(factor) for factor in reversed([*factors, 1, 1][:3])]
    return positive_size((size[0] * z, size[1] * y, size[2] * x))


def _levels(store: Store, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    shapes = []
    for level in range(64):
        document = read_json(store, f"s{level}/{_JSON}")
        if document is None or "dimensions" not in document:
            break
        shapes.append(_lengths(document["dimensions"]))
    return tuple(shapes) or (shape,)
