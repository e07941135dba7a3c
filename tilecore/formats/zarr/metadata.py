"""Metadata of zarr arrays, of version 2 and 3."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tilecore.array_types import Json
from tilecore.errors import UnreadableFileError
from tilecore.formats.reader_errors import reading
from tilecore.formats.zarr.codecs import ChunkCodec, byte_order, codec_of, codecs_of_v3, refuse_unknown, v3_codecs
from tilecore.formats.zarr.stores import Store

__all__ = ["ArrayMetadata", "array_document_v2", "array_document_v3", "parse_array", "read_json"]

_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class ArrayMetadata:
    """Properties of a zarr array that readers and writers of its chunks need.

    Attributes
    ----------
    shape : tuple of int
        Length of each axis [voxel].
    dtype : dtype
        Data type of the voxels.
    units : tuple of int
        Shape of the voxels in one file: a shard, or a chunk if there are no shards.
    chunks : tuple of int
        Shape of a chunk, which is compressed as a whole.
    prefix, separator : str
        Parts of the chunks' keys.
    codec : ChunkCodec or None
        Codec of the chunks; None if only zarr itself can decode them.
    codec_name : str
        Name of the compression, for display.
    fill : number
        Fill value; zero if the file tells none.
    is_sharded, index_first, index_checked : bool
        Whether units have an index of chunks, whether it comes first, and whether it has a checksum.
    index_dtype : str
        Data type of the numbers in the index.
    attributes : dict
        Attributes of the user.
    dimension_names : tuple of str
        Names of the axes; empty if there are none.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    units: tuple[int, ...]
    chunks: tuple[int, ...]
    prefix: str
    separator: str
    codec: ChunkCodec | None
    codec_name: str = "none"
    fill: npt.ArrayLike = 0
    is_sharded: bool = False
    index_first: bool = False
    index_checked: bool = True
    index_dtype: str = "<u8"
    attributes: dict[str, Any] = field(default_factory=dict)
    dimension_names: tuple[str, ...] = ()

    def key(self, index: Sequence[int]) -> str:
        """Key of a unit, for its index per axis."""
        return self.separator.join([self.prefix, *map(str, index)] if self.prefix else map(str, index)) or "0"

    @property
    def chunks_per_unit(self) -> tuple[int, ...]:
        """Number of chunks in a shard, along each axis."""
        return tuple([unit // chunk for unit, chunk in zip(self.units, self.chunks, strict=True)])


def read_json(store: Store, key: str) -> dict[str, Any] | None:
    """Read a JSON document from a store; None if it does not exist.

    Raises
    ------
    UnreadableFileError
        If the document is not a JSON object.
    """
    content = store.get(key)
    if content is None:
        return None
    with reading(f"{store.root}/{key}", "JSON"):
        document = json.loads(content)
        if not isinstance(document, dict):
            raise UnreadableFileError(f"{store.root}/{key} is not a JSON object")
        return document


def parse_array(store: Store, folder: str) -> ArrayMetadata | None:
    """Read the metadata of the array in a folder of a store; None if there is no array.

    The folder ends in ``/``, or is empty.
    """
    name = f"{store.root}/{folder}".rstrip("/")
    with reading(name, "a zarr array"):
        document = read_json(store, folder + "zarr.json")
        if document is not None:
            return _checked(_parse_v3(document, name), name) if document.get("node_type") == "array" else None
        document = read_json(store, folder + ".zarray")
        if document is None:
            return None
        return _checked(_parse_v2(document, read_json(store, folder + ".zattrs") or {}, name), name)


def array_document_v3(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None,
    codec: str,
    axes: str,
    attributes: Mapping[str, Any],
) -> dict[str, Any]:
    """Content of ``zarr.json`` for an array of version 3."""
    codecs = v3_codecs(codec, dtype)
    if shards is not None:
        index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        sharding = {"chunk_shape": list(chunks), "codecs": codecs, "index_codecs": index, "index_location": "end"}
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shards or chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _zero(dtype),
        "codecs": codecs,
        "attributes": dict(attributes),
        "dimension_names": [axis.lower() for axis in axes] or [None] * len(shape),
        "storage_transformers": [],
    }


def array_document_v2(
    shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...], codec: str
) -> dict[str, Any]:
    """Content of ``.zarray`` for an array of version 2."""
    compressors: dict[str, Any] = {
        "none": None,
        "zstd": {"id": "zstd", "level": 1},  # zstd frames have checksums; some readers do not know this key here
        "gzip": {"id": "gzip", "level": 1},
        "blosc": {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 1, "blocksize": 0},
    }
    return {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": dtype.str,
        "compressor": compressors["zstd" if codec == "default" else codec],
        "fill_value": _zero(dtype),
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }


def _zero(dtype: np.dtype[Any]) -> Json:
    zeros: dict[str, Json] = {"b": False, "f": 0.0, "c": [0.0, 0.0]}
    return zeros.get(dtype.kind, 0)


def _parse_v3(document: Mapping[str, Any], name: str) -> ArrayMetadata:
    dtype = _dtype(document["data_type"], name)
    if document["chunk_grid"]["name"] != "regular":
        raise UnreadableFileError(f"{name} has chunks of several shapes, which cannot be read")
    if document.get("storage_transformers"):
        raise UnreadableFileError(f"{name} is stored through storage transformers, which cannot be read")
    units = _lengths(document["chunk_grid"]["configuration"]["chunk_shape"])
    encoding = document["chunk_key_encoding"]
    is_default = encoding["name"] == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if is_default else ".")
    codecs, chunks, sharding = document["codecs"], units, None
    if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
        sharding = codecs[0]["configuration"]
        codecs, chunks = sharding["codecs"], _lengths(sharding["chunk_shape"])
    index_steps = [*(sharding or {}).get("index_codecs", [])]
    index_codecs = [codec["name"] for codec in index_steps]
    known_index = sharding is None or index_codecs in (["bytes"], ["bytes", "crc32c"])
    names = [codec["name"] for codec in codecs if codec["name"] not in ("bytes", "crc32c")]
    codec = codecs_of_v3(codecs, dtype, name) if known_index else None
    if codec is None:
        refuse_unknown(document["codecs"], name)
    return ArrayMetadata(
        shape=_lengths(document["shape"]),
        dtype=dtype,
        units=units,
        chunks=chunks,
        prefix="c" if is_default else "",
        separator=separator,
        codec=codec,
        codec_name="+".join(names) or "none",
        fill=_fill(document.get("fill_value"), dtype),
        is_sharded=sharding is not None,
        index_first=(sharding or {}).get("index_location") == "start",
        index_checked="crc32c" in index_codecs,
        index_dtype=">u8" if index_steps and byte_order(index_steps[0]) == ">" else "<u8",
        attributes=dict(document.get("attributes") or {}),
        dimension_names=tuple([str(each or "") for each in document.get("dimension_names") or ()]),
    )


def _parse_v2(document: Mapping[str, Any], attributes: dict[str, Any], name: str) -> ArrayMetadata:
    dtype = _dtype(document["dtype"], name)
    chunks = _lengths(document["chunks"])
    filters = [step for config in document.get("filters") or () for step in codec_of(config, name)]
    steps = codec_of(document.get("compressor"), name)
    order: Literal["C", "F"] = "F" if document.get("order") == "F" else "C"
    return ArrayMetadata(
        shape=_lengths(document["shape"]),
        dtype=dtype,
        units=chunks,
        chunks=chunks,
        prefix="",
        separator=document.get("dimension_separator") or ".",
        codec=None if filters else ChunkCodec(dtype, steps, order),  # filters may change the dtype on the way
        codec_name="+".join(step.codec_id for step in (*filters, *steps)) or "none",
        fill=_fill(document.get("fill_value"), dtype),
        attributes=attributes,
        dimension_names=tuple(map(str, attributes.get("_ARRAY_DIMENSIONS", ()))),
    )


def _checked(metadata: ArrayMetadata, name: str) -> ArrayMetadata:
    lengths = (metadata.units, metadata.chunks)
    if any(len(each) != len(metadata.shape) or min(each, default=1) < 1 for each in lengths):
        raise UnreadableFileError(f"{name}: chunks of {metadata.chunks} do not fit the shape {metadata.shape}")
    if any(unit % chunk for unit, chunk in zip(metadata.units, metadata.chunks, strict=True)):
        raise UnreadableFileError(f"{name}: shards of {metadata.units} do not fit the chunks {metadata.chunks}")
    if metadata.separator not in (".", "/"):
        raise UnreadableFileError(f"{name}: {metadata.separator!r} cannot separate the parts of a key")
    return metadata


def _dtype(name: Json, file: str) -> np.dtype[Any]:
    """Data type of an array; only plain numbers are accepted: no objects, records or strings."""
    if not isinstance(name, str):
        raise UnreadableFileError(f"{file} has elements of type {str(name)[:80]}: only numbers can be read")
    dtype = np.dtype(name)
    if dtype.kind not in "biufc" or dtype.hasobject:
        raise UnreadableFileError(f"{file} has elements of type {name}: only numbers can be read")
    return dtype


def _lengths(values: Sequence[Any]) -> tuple[int, ...]:
    if any(isinstance(value, bool) or not isinstance(value, int) for value in values):
        raise ValueError(f"lengths must be whole numbers, not {str(values)[:80]}")
    return tuple(values)


def _fill(value: Json, dtype: np.dtype[Any]) -> Any:
    if value is None:  # zarr leaves out chunks of zeros then, and reads missing ones as such
        return dtype.type(0)
    if isinstance(value, list) and dtype.kind == "c":
        parts: list[Any] = value
        return complex(*[_SPECIAL[each] if each in _SPECIAL else float(each) for each in parts])
    if isinstance(value, str) and value.startswith("0x"):
        return np.array([int(value, 16)], f"<u{dtype.itemsize}").view(dtype.newbyteorder("<"))[0]
    return dtype.type(_SPECIAL.get(value, value) if isinstance(value, str) else value)
