"""Codecs of chunks in zarr and N5: compression, checksums, and limits on the decoded size."""

from __future__ import annotations

import bz2
import lzma
import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.errors import MissingDependencyError, UnreadableFileError
from tilecore.extras import needs_extra

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["ChunkCodec", "Content", "Crc32c", "byte_order", "codec_of", "codecs_of_v3", "refuse_unknown", "v3_codecs"]

#: Bytes, or an array that holds them.
Content: TypeAlias = bytes | memoryview | npt.NDArray[Any]

# Codecs that numcodecs has if a package of the same name is installed.
_OF_NUMCODECS = ("pcodec", "zfpy")

# Codecs that decode to Python objects, or execute content.
_REFUSED = ("pickle", "json", "json2", "msgpack", "msgpack2", "vlen", "categorize")

_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


class Crc32c:
    """Checksum codec that appends a CRC-32C to the bytes, like zarr's codec of that name."""

    codec_id = "crc32c"

    def encode(self, content: ReadableBuffer) -> bytes:
        """Append the checksum."""
        return b"".join([content, _checksum(content)])

    def decode(self, content: Content) -> memoryview:
        """Check the checksum, and return what stands before it, without a copy."""
        whole = (content.data if isinstance(content, np.ndarray) else memoryview(content)).cast("B")
        plain, stored = whole[:-4], whole[-4:]
        if stored != _checksum(plain):
            raise UnreadableFileError("its checksum is wrong")
        return plain


def _checksum(content: ReadableBuffer) -> bytes:
    import google_crc32c

    view = memoryview(content)
    return struct.pack("<I", google_crc32c.value(np.frombuffer(view, np.uint8) if view.nbytes else b""))


@dataclass(frozen=True)
class ChunkCodec:
    """Codec that turns a chunk into bytes and back into an array.

    Attributes
    ----------
    dtype : dtype
        Data type as stored.
    steps : tuple
        Codecs for bytes, in the order of encoding.
    order : {"C", "F"}
        Whether the last or the first axis varies fastest.
    """

    dtype: np.dtype[Any]
    steps: tuple[Any, ...] = ()
    order: Literal["C", "F"] = "C"

    def encode(self, chunk: npt.NDArray[Any]) -> bytes | memoryview:
        """Compress a chunk; the result has the buffer interface."""
        steps = list(self.steps)
        if steps and isinstance(steps[0], Crc32c):  # room is left for the checksum, so that nothing is copied again
            del steps[0]
            whole = np.empty(chunk.size * self.dtype.itemsize + 4, np.uint8)
            whole[:-4].view(self.dtype).reshape(chunk.shape, order=self.order)[...] = chunk
            whole[-4:] = np.frombuffer(_checksum(whole[:-4].data), np.uint8)
            content: Content = whole
        else:
            content = np.asarray(chunk, dtype=self.dtype, order=self.order).ravel(order="K")
        for step in steps:
            content = step.encode(content)
        return content.data if isinstance(content, np.ndarray) else content

    def decode(self, content: Content, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Decompress a chunk of the given shape.

        Raises
        ------
        UnreadableFileError
            If the chunk is damaged or has another size.
        """
        n_bytes = math.prod(shape) * self.dtype.itemsize
        return np.frombuffer(self._decoded(content, n_bytes), self.dtype).reshape(shape, order=self.order)

    def decode_into(self, content: Content, out: npt.NDArray[Any]) -> None:
        """Decompress a chunk into an array of its shape, without another copy if the array's layout is the chunk's.

        Raises
        ------
        UnreadableFileError
            If the chunk is damaged or has another size; the array may then be filled in part.
        """
        is_in_order = out.flags.c_contiguous if self.order == "C" else out.flags.f_contiguous
        if not is_in_order or out.dtype != self.dtype:
            out[...] = self.decode(content, out.shape)
            return
        place = out.reshape(-1, order=self.order).view(np.uint8)
        decoded = self._decoded(content, out.nbytes, place)
        if decoded is not place:
            place[...] = np.frombuffer(decoded, np.uint8)

    def _decoded(self, content: Content, n_bytes: int, out: npt.NDArray[np.uint8] | None = None) -> Content:
        """Decompress to this number of bytes, into `out` if it is given and the codec can."""
        try:
            for number, step in enumerate(reversed(self.steps)):
                last = number == len(self.steps) - 1
                content = _decoded(step, content, n_bytes if last else None, out)
            if len(content) != n_bytes:
                raise UnreadableFileError(f"it has {len(content)} bytes instead of {n_bytes}")
        except UnreadableFileError:
            raise
        except Exception as error:  # each codec has its own errors
            raise UnreadableFileError(f"it cannot be decoded: {error}") from error
        return content


def codec_of(config: Mapping[str, Any] | None, name: str) -> tuple[Any, ...]:
    """Create one of numcodecs' codecs from its configuration, as a tuple; an empty tuple for None.

    Raises
    ------
    UnreadableFileError
        If the codec creates Python objects.
    MissingDependencyError
        If the codec needs an optional package.
    """
    if config is None:
        return ()
    identity = str(config.get("id", ""))
    if identity.startswith(_REFUSED):
        raise UnreadableFileError(f"{name} is stored with the codec {identity}, which creates Python objects: refused")
    if identity == "crc32c":
        return (Crc32c(),)
    import numcodecs

    if identity == "blosc":
        numcodecs.blosc.use_threads = False  # workers already use every core
    if identity == "zstd":
        config = {**config, "checksum": True}  # adds a checksum when writing; on reading it is checked if present
    if identity.startswith("imagecodecs_"):
        _register_imagecodecs(name, identity)
    try:
        return (numcodecs.get_codec(dict(config)),)
    except numcodecs.errors.UnknownCodecError as error:
        raise _unknown(name, identity) from error


def codecs_of_v3(codecs: Sequence[Mapping[str, Any]], dtype: np.dtype[Any], name: str) -> ChunkCodec | None:
    """Create the codec of a zarr version 3 array from its list; None if only zarr itself can run one of its parts."""
    if not codecs or codecs[0]["name"] != "bytes":
        return None
    steps: list[Any] = []
    for codec in codecs[1:]:
        make = _V3.get(codec["name"])
        if make is None:
            return None
        steps += codec_of(make(codec.get("configuration", {})), name)
    return ChunkCodec(dtype.newbyteorder(byte_order(codecs[0])), tuple(steps))


def byte_order(codec: Mapping[str, Any]) -> Literal["<", ">"]:
    """Byte order of zarr version 3's codec ``bytes``."""
    return ">" if codec.get("configuration", {}).get("endian") == "big" else "<"


def refuse_unknown(codecs: Sequence[Mapping[str, Any]], name: str) -> None:
    """Refuse a zarr version 3 array that not even zarr can decode, as a package with the codec is not installed.

    Raises
    ------
    MissingDependencyError
        If a codec is missing; the message names the package that brings it, if that is known.
    """
    from zarr.registry import get_codec_class

    for codec in codecs:
        identity, options = str(codec["name"]), codec.get("configuration") or {}
        if identity.startswith("numcodecs."):  # zarr looks for these only when it reads
            codec_of({**options, "id": identity.removeprefix("numcodecs.")}, name)
            continue
        try:
            get_codec_class(identity)
        except (KeyError, ValueError) as error:
            raise _unknown(name, identity) from error
        refuse_unknown([*options.get("codecs", ()), *options.get("index_codecs", ())], name)


def v3_codecs(codec: str, dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    """Metadata of the codecs, as in zarr version 3, for the one name that a caller chose."""
    start: dict[str, Any] = {"name": "bytes"}
    if dtype.itemsize > 1:
        start["configuration"] = {"endian": "little"}
    blosc = {"cname": "zstd", "clevel": 1, "shuffle": "shuffle", "typesize": dtype.itemsize, "blocksize": 0}
    further: dict[str, list[dict[str, Any]]] = {
        "none": [{"name": "crc32c"}],
        "zstd": [{"name": "zstd", "configuration": {"level": 1, "checksum": True}}],
        "gzip": [{"name": "gzip", "configuration": {"level": 1}}],
        "blosc": [{"name": "blosc", "configuration": blosc}, {"name": "crc32c"}],
    }
    return [start, *further["blosc" if codec == "default" else codec]]


# Configurations of the same codecs for numcodecs.
_V3: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "crc32c": lambda _: {"id": "crc32c"},
    "gzip": lambda options: {"id": "gzip", "level": options.get("level", 1)},
    "zstd": lambda options: {
        "id": "zstd",
        "level": options.get("level", 0),
        "checksum": options.get("checksum", False),
    },
    "blosc": lambda options: {
        "id": "blosc",
        "cname": options.get("cname", "zstd"),
        "clevel": options.get("clevel", 1),
        "shuffle": _SHUFFLES.get(options.get("shuffle", "noshuffle"), 0),
        "blocksize": options.get("blocksize", 0),
    },
}


def _decoded(step: Any, content: Content, n_bytes: int | None, out: npt.NDArray[np.uint8] | None) -> Content:
    """Decode one step; if the final size is known, never more than that is produced, in `out` where that can be."""
    identity = step.codec_id
    if n_bytes is None or identity == "crc32c":
        decoded: Content = step.decode(content)
        return decoded
    if identity in _STREAMS:
        stream = _STREAMS[identity](step)
        plain: Content = stream.decompress(content, n_bytes + 1)
        if not stream.eof:
            raise UnreadableFileError(f"it is cut off, or larger than {n_bytes} bytes")
        return plain
    declared = _declared_size(identity, content)
    if declared is not None and declared != n_bytes:
        raise UnreadableFileError(f"it declares {declared} bytes instead of {n_bytes}")
    if declared is None:
        plain = step.decode(content)
        return plain.reshape(-1).view(np.uint8) if isinstance(plain, np.ndarray) else plain
    place = np.empty(n_bytes, np.uint8) if out is None else out
    step.decode(content, out=place)
    return place


_STREAMS: dict[str, Callable[[Any], Any]] = {
    "gzip": lambda _: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "zlib": lambda _: zlib.decompressobj(),
    "bz2": lambda _: bz2.BZ2Decompressor(),
    "lzma": lambda step: (
        lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=step.filters)
        if step.format == lzma.FORMAT_RAW
        else lzma.LZMADecompressor()
    ),
}


def _declared_size(identity: str, content: Content) -> int | None:
    """Decoded size of compressed content, as its header declares it; None if it does not."""
    head = bytes(content[:18])
    if identity == "blosc":
        return int(struct.unpack_from("<I", head, 4)[0])
    if identity == "lz4":
        return int(struct.unpack_from("<I", head)[0])
    if identity != "zstd":
        return None
    flags = head[4]
    single, kind = flags >> 5 & 1, flags >> 6
    start = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    if kind == 0:
        return head[start] if single else None
    layout, extra = {1: ("<H", 256), 2: ("<I", 0), 3: ("<Q", 0)}[kind]
    return int(struct.unpack_from(layout, head, start)[0]) + extra


def _unknown(name: str, identity: str) -> MissingDependencyError:
    """The error for a codec that no installed package has."""
    what = f"{name}, stored with the codec {identity},"
    if "imagecodecs" in identity:
        return needs_extra(what, "imagecodecs", "codecs")
    if identity in _OF_NUMCODECS:
        return MissingDependencyError(f'{what} needs the package {identity}: pip install "numcodecs[{identity}]"')
    return MissingDependencyError(f"{what} cannot be read: no installed package has this codec")


def _register_imagecodecs(name: str, identity: str) -> None:
    try:
        from imagecodecs.numcodecs import register_codecs
    except ImportError as error:
        raise _unknown(name, identity) from error
    register_codecs(verbose=False)
