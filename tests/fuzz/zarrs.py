"""Fuzzer of the readers of zarr 2, zarr 3 and N5, compared with zarr-python and tensorstore, which write the files."""

from __future__ import annotations

import json
import lzma
import random as randomness
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec

from tests.fuzz.regions import check_regions
from tests.fuzz.voxels import draw_shape, voxels
from tilecore import UnreadableFileError, open_source

_DTYPES = ["?", "|u1", "|i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16"]


@dataclass(frozen=True)
class Case:
    """Random array, and how it is stored.

    Attributes
    ----------
    missing : bool
        Whether some files of chunks are removed.
    place : str
        Where the array lies: in a folder, or in a zip file with or without the name of its folder.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    compressor: str
    filter: str
    endian: str
    index: tuple[str, str, bool]
    order: str
    separator: str
    fill: float | None
    missing: bool
    place: str
    detail: int

    @property
    def leaves_out_empty(self) -> bool:
        """Whether zarr-python leaves out chunks without any other value than the fill value, and shards of such."""
        return self.kind == "zarr 3" and self.shards is not None and self.detail % 2 == 1


COMPRESSORS_2: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "zlib": lambda: numcodecs.Zlib(1),
    "gzip": lambda: numcodecs.GZip(1),
    "bz2": lambda: numcodecs.BZ2(1),
    "lz4": numcodecs.LZ4,
    "zstd": numcodecs.Zstd,
    "zstd checksum": lambda: numcodecs.Zstd(1, checksum=True),
    "blosc": numcodecs.Blosc,
    "blosc bits": lambda: numcodecs.Blosc("zstd", 3, numcodecs.Blosc.BITSHUFFLE, blocksize=256),
    "blosc none": lambda: numcodecs.Blosc("lz4", 0, numcodecs.Blosc.NOSHUFFLE),
    "lzma": numcodecs.LZMA,
    "lzma alone": lambda: numcodecs.LZMA(lzma.FORMAT_ALONE),
    "lzma raw": lambda: numcodecs.LZMA(
        lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_DELTA, "dist": 2}, {"id": lzma.FILTER_LZMA2, "preset": 1}]
    ),
    "lzma raw 1": lambda: numcodecs.LZMA(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "preset": 1}]),
    "crc32": numcodecs.CRC32,
    "adler32": numcodecs.Adler32,
    "fletcher32": numcodecs.Fletcher32,
}
COMPRESSORS_3: dict[str, Callable[[], list[Any]]] = {
    "none": list,
    "gzip": lambda: [GzipCodec(level=1)],
    "zstd": lambda: [ZstdCodec(level=1)],
    "zstd checksum": lambda: [ZstdCodec(level=1, checksum=True)],
    "blosc": lambda: [BloscCodec(cname="lz4")],
    "blosc bits": lambda: [BloscCodec(cname="zstd", shuffle="bitshuffle")],
    "crc32c": lambda: [Crc32cCodec()],
    "zstd crc32c": lambda: [ZstdCodec(level=1), Crc32cCodec()],
    "gzip zstd": lambda: [GzipCodec(level=1), ZstdCodec(level=1)],
}
COMPRESSORS_N5: dict[str, dict[str, Any]] = {
    "none": {"type": "raw"},
    "gzip": {"type": "gzip"},
    "zlib": {"type": "gzip", "useZlib": True},
    "bzip2": {"type": "bzip2"},
    "xz": {"type": "xz"},
    "blosc": {"type": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1},
    "zstd": {"type": "zstd"},
}
_COMPRESSORS = {"zarr 2": COMPRESSORS_2, "zarr 3": COMPRESSORS_3, "tensorstore 3": COMPRESSORS_3, "n5": COMPRESSORS_N5}


def draw(random: randomness.Random) -> Case:
    """Draw a random case."""
    kind = random.choices(["zarr 2", "zarr 3", "tensorstore 2", "tensorstore 3", "n5"], [4, 4, 1, 1, 2])[0]
    ndim = random.choices([0, 1, 2, 3, 4], [1, 3, 5, 8, 2])[0]
    if kind == "n5":
        ndim = max(ndim, 1)
    shape = draw_shape(random, ndim, 3000) if ndim else ()
    chunks = tuple([random.randint(1, max(n + 3, 1)) for n in shape])
    known = {"tensorstore 2": ["none", "zlib", "bz2", "blosc", "zstd"]}.get(kind) or list(_COMPRESSORS[kind])
    dtype = random.choice(_DTYPES)
    return Case(
        kind=kind,
        shape=shape,
        dtype=dtype if dtype[0] in "?|" else random.choice("<>") + dtype,
        chunks=chunks,
        shards=tuple([random.randint(1, 3) * n for n in chunks]) if shape and random.random() < 0.4 else None,
        compressor=random.choice(known),
        filter=random.choice(["none", "none", "delta", "shuffle", "transpose", "zlib"]),
        endian=random.choice(["little", "big"]),
        index=(random.choice(["little", "big"]), random.choice(["start", "end"]), random.random() < 0.6),
        order=random.choice("CF"),
        separator=random.choice("./"),
        fill=random.choice([0, 0, 1, None, float("nan")]),
        missing=random.random() < 0.3 and not (kind == "tensorstore 2" and dtype[0] == "c"),  # needs a fill value
        place=random.choice(["folder", "folder", "zip", "zip with folder"]),
        detail=random.getrandbits(32),
    )


def check(case: Case) -> None:
    """Write the array with another library, and compare regions that tilecore reads."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        folder = Path(name) / "v.zarr"
        values = voxels(case.detail, case.shape, case.dtype, wild=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what zarr-python thinks of formats
            expected = _WRITERS[case.kind](case, values, folder)
            if case.missing:
                _remove_some(folder, case.detail)
                expected = _READERS[case.kind](folder)
        path = folder if case.kind == "n5" else _in_place(case.place, folder)
        source = open_source(path, missing_chunks="fill")
        assert source.dtype.isnative, f"dtype {source.dtype}"
        check_regions(source, expected, case.detail)
        try:
            check_regions(open_source(path), expected, case.detail, n_regions=2)
        except UnreadableFileError as error:
            if not (case.missing or case.leaves_out_empty) or "missing" not in str(error):
                raise


def _fill(case: Case) -> Any:
    kind = np.dtype(case.dtype)
    if case.fill is None or (case.fill != case.fill and kind.kind not in "fc"):
        return kind.type(0)
    return kind.type(case.fill)


def _zarr_2(case: Case, values: np.ndarray, folder: Path) -> np.ndarray:
    filters = {"delta": [numcodecs.Delta(case.dtype)], "zlib": [numcodecs.Zlib(1)]}
    size = values.dtype.itemsize
    filters["shuffle"] = [numcodecs.Shuffle(size)]
    chosen = filters.get(case.filter, [])
    if case.filter == "delta" and values.dtype.kind not in "iu":
        chosen = []
    array = zarr.create_array(
        folder,
        shape=case.shape,
        dtype=case.dtype,
        chunks=case.chunks,
        zarr_format=2,
        order=case.order,  # type: ignore[arg-type]
        filters=chosen or None,
        compressors=COMPRESSORS_2[case.compressor](),
        fill_value=_fill(case),
        chunk_key_encoding={"name": "v2", "separator": case.separator},
        config={"write_empty_chunks": True},
    )
    array[...] = values
    return _read_zarr(folder)


def _zarr_3(case: Case, values: np.ndarray, folder: Path) -> np.ndarray:
    inner = BytesCodec(endian=case.endian)
    index_endian, location, is_checked = case.index
    serializer: Any = inner
    compressors = COMPRESSORS_3[case.compressor]()
    if case.shards is not None:
        index: list[Any] = [BytesCodec(endian=index_endian)]
        codecs = [inner, *compressors]
        if case.filter == "transpose":
            codecs = [TransposeCodec(order=tuple(reversed(range(len(case.shape))))), *codecs]
        serializer = ShardingCodec(
            chunk_shape=case.chunks,
            codecs=codecs,
            index_codecs=[*index, Crc32cCodec()] if is_checked else index,
            index_location=location,
        )
        compressors = []
    is_turned = case.filter == "transpose" and case.shards is None
    array = zarr.create_array(
        folder,
        shape=case.shape,
        dtype=np.dtype(case.dtype).newbyteorder("="),
        chunks=case.shards or case.chunks,
        zarr_format=3,
        serializer=serializer,
        filters=[TransposeCodec(order=tuple(reversed(range(len(case.shape)))))] if is_turned else None,
        compressors=compressors or None,
        fill_value=_fill(case).newbyteorder("=") if hasattr(_fill(case), "newbyteorder") else _fill(case),
        chunk_key_encoding={"name": "default" if case.order == "C" else "v2", "separator": case.separator},
        config={"write_empty_chunks": not case.leaves_out_empty},
    )
    array[...] = values
    return _read_zarr(folder)


def _tensorstore_2(case: Case, values: np.ndarray, folder: Path) -> np.ndarray:
    compressor: dict[str, Any] | None = {"id": case.compressor} if case.compressor != "none" else None
    if case.compressor == "blosc":
        compressor = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": -1}
    metadata = {
        "shape": case.shape,
        "chunks": case.chunks,
        "dtype": "|b1" if case.dtype == "?" else case.dtype,
        "order": case.order if len(case.shape) > 1 else "C",
        "compressor": compressor,
        "fill_value": None,
        "filters": None,
        "dimension_separator": case.separator,
    }
    return _by_tensorstore("zarr", metadata, values, folder)


def _tensorstore_3(case: Case, values: np.ndarray, folder: Path) -> np.ndarray:
    codecs: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": case.endian}}]
    codecs += [codec.to_dict() for codec in COMPRESSORS_3[case.compressor]()]
    if case.shards is not None:
        index_endian, location, is_checked = case.index
        index = [{"name": "bytes", "configuration": {"endian": index_endian}}, *[{"name": "crc32c"}] * is_checked]
        sharding = {"chunk_shape": case.chunks, "codecs": codecs, "index_codecs": index, "index_location": location}
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    metadata = {
        "shape": case.shape,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": case.shards or case.chunks}},
        "data_type": np.dtype(case.dtype).name,
        "codecs": codecs,
        "chunk_key_encoding": {
            "name": "default" if case.order == "C" else "v2",
            "configuration": {"separator": case.separator},
        },
    }
    return _by_tensorstore("zarr3", metadata, values, folder)


def _n5(case: Case, values: np.ndarray, folder: Path) -> np.ndarray:
    kind = np.dtype(case.dtype)
    if kind.kind in "bc" or kind.str[1:] == "f2":  # N5 has no such numbers
        values = values.astype("u1") if kind.kind == "b" else values.real.astype("f4")
    metadata = {
        "dimensions": case.shape[::-1],
        "blockSize": case.chunks[::-1],
        "dataType": values.dtype.name,
        "compression": COMPRESSORS_N5[case.compressor],
    }
    return _by_tensorstore("n5", metadata, values.T, folder).T


def _by_tensorstore(driver: str, metadata: dict[str, Any], values: np.ndarray, folder: Path) -> np.ndarray:
    tensorstore = pytest.importorskip("tensorstore", reason="tensorstore is not installed")
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(folder)}, "metadata": metadata, "create": True}
    store = tensorstore.open({**spec, "store_data_equal_to_fill_value": True}).result()
    store.write(values.astype(values.dtype.newbyteorder("="))).result()
    return np.asarray(store.read().result())


def _read_zarr(folder: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(folder, mode="r")[...])


def _read_tensorstore(driver: str, folder: Path) -> np.ndarray:
    tensorstore = pytest.importorskip("tensorstore", reason="tensorstore is not installed")
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(folder)}}
    return np.asarray(tensorstore.open(spec, read=True).result().read().result())


_WRITERS: dict[str, Callable[[Case, np.ndarray, Path], np.ndarray]] = {
    "zarr 2": _zarr_2,
    "zarr 3": _zarr_3,
    "tensorstore 2": _tensorstore_2,
    "tensorstore 3": _tensorstore_3,
    "n5": _n5,
}
_READERS: dict[str, Callable[[Path], np.ndarray]] = {
    "zarr 2": _read_zarr,
    "zarr 3": _read_zarr,
    "tensorstore 2": lambda folder: _read_tensorstore("zarr", folder),
    "tensorstore 3": lambda folder: _read_tensorstore("zarr3", folder),
    "n5": lambda folder: _read_tensorstore("n5", folder).T,
}
_METADATA = (".zarray", ".zattrs", "zarr.json", "attributes.json")


def _remove_some(folder: Path, seed: int) -> None:
    """Remove some of the files that hold chunks."""
    random = randomness.Random(seed)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in _METADATA and random.random() < 0.5:
            path.unlink()
    document = folder / ".zarray"
    if document.exists() and (content := json.loads(document.read_text())).get("fill_value") is None:
        document.write_text(json.dumps({**content, "fill_value": False if content["dtype"] == "|b1" else 0}))


def _in_place(place: str, folder: Path) -> Path:
    if place == "folder":
        return folder
    root, base = (folder, None) if place == "zip" else (folder.parent, folder.name)
    return Path(shutil.make_archive(str(folder.parent / "packed"), "zip", root, base))
