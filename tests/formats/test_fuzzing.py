"""Tests with randomly damaged headers: the result is a TilecoreError or an image, and no other error."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats import test_sources as kinds
from tilecore import TilecoreError, open_source

VOLUME = np.arange(3 * 20 * 24, dtype=np.uint16).reshape(3, 20, 24)

EDITS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["uint16", "|O", "../x", "/", "0", 2**40]),
)

VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "id", "path", "x"]), inner),
    max_leaves=5,
)


def only_our_errors(path: Path) -> None:
    """Open a file and read a little; only a TilecoreError may be raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with open_source(path) as source:
                source[tuple(slice(0, 30) for _ in source.shape)]
        except TilecoreError:
            return


def damaged(content: bytes, edits: list[tuple[int, int]]) -> bytes:
    found = bytearray(content)
    for place, value in edits:
        found[place % len(found)] = value
    return bytes(found)


@pytest.fixture(scope="module")
def tiffs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiffs")
    kinds = ({}, {"tile": (16, 16), "compression": "zlib"}, {"imagej": True}, {"ome": True, "bigtiff": True})
    for number, options in enumerate(kinds):
        tifffile.imwrite(folder / f"{number}.tif", VOLUME, photometric="minisblack", **options)
    return folder


@settings(max_examples=250)
@given(edits=EDITS, kind=st.integers(0, 3), cut=st.none() | st.integers(0, 4000))
def test_tiff(tiffs: Path, edits: Any, kind: int, cut: Any) -> None:
    path = tiffs / "fuzzed.tif"
    path.write_bytes(damaged((tiffs / f"{kind}.tif").read_bytes(), edits)[:cut])
    only_our_errors(path)


@settings(max_examples=250)
@given(edits=st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=4))
def test_npy(tmp_path_factory: pytest.TempPathFactory, edits: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.npy"
    np.save(path, VOLUME)
    path.write_bytes(damaged(path.read_bytes(), edits))
    only_our_errors(path)


@pytest.mark.parametrize(
    "header", ["{'descr': '<u2', 'fortran_order': False, 'shape': (%s,), }", "(" * 300, "'\0", "%s"]
)
@settings(max_examples=20)
@given(value=SCALARS)
def test_npy_headers(tmp_path_factory: pytest.TempPathFactory, header: str, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.npy"
    text = (header % (value,) if "%" in header else header).encode(errors="replace").ljust(118) + b"\n"
    path.write_bytes(b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(100))
    only_our_errors(path)


def paths_of(document: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All paths in a JSON document."""
    yield prefix
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield from paths_of(value, (*prefix, key))


def replaced(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[place[0]] = replaced(document[place[0]], place[1:], value)
    return copy


def fuzz_json(path: Path, original: str, data: Any) -> None:
    document = json.loads(original)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(list(paths_of(document))))
        document = replaced(document, place, data.draw(VALUES))
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("zarr_format", "name"), [(3, "zarr.json"), (3, "0/zarr.json"), (2, ".zattrs"), (2, "0/.zarray"), (2, "1/.zarray")]
)
@settings(max_examples=120)
@given(data=st.data())
def test_ome_zarr(tmp_path: Path, zarr_format: int, name: str, data: Any) -> None:
    image = tmp_path / "v.ome.zarr"
    if not image.exists():
        kinds.write_ome_zarr(image, VOLUME, zarr_format)
        (tmp_path / "original").write_text((image / name).read_text())
    fuzz_json(image / name, (tmp_path / "original").read_text(), data)
    only_our_errors(image)


@settings(max_examples=150)
@given(data=st.data())
def test_n5(tmp_path: Path, data: Any) -> None:
    image = tmp_path / "v.n5"
    if not image.exists():
        (image / "0" / "0").mkdir(parents=True)
        (image / "0" / "0" / "0").write_bytes(b"\0\0\0\3\0\0\0\x18\0\0\0\x14\0\0\0\3" + VOLUME.astype(">u2").tobytes())
    document = {
        "dimensions": [24, 20, 3],
        "blockSize": [24, 20, 3],
        "dataType": "uint16",
        "compression": {"type": "raw"},
        "pixelResolution": {"dimensions": [1.0, 1.0, 2.0], "unit": "um"},
    }
    (image / "attributes.json").write_text(json.dumps(document))
    np.testing.assert_array_equal(open_source(image)[...], VOLUME)
    fuzz_json(image / "attributes.json", json.dumps(document), data)
    only_our_errors(image)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff\xfe", "[" * 100_000, '{"a":' * 2000, "1e999"], ids=repr)
@pytest.mark.parametrize("name", ["zarr.json", "attributes.json"])
def test_no_json_at_all(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "v.zarr").mkdir()
    (tmp_path / "v.zarr" / name).write_text(text, encoding="latin-1")
    with pytest.raises(TilecoreError):
        open_source(tmp_path / "v.zarr")
