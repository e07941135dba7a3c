"""Fuzzer of reading TIFF: files of random layouts, compared with tifffile."""

from __future__ import annotations

import random as randomness
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tests.fuzz.voxels import assert_same, voxels
from tilecore import UnreadableFileError, open_source

KINDS = ["shaped", "shaped", "ome", "imagej", "plain", "plain", "some shaped", "stack"]
INTEGERS, FLOATS, COMPLEX = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"], ["f2", "f4", "f8"], ["c8", "c16"]
LOSSLESS = ["zlib", "deflate", "lzw", "lzma", "zstd", "packbits"]
#: Text that makes a file a stack to ImageJ.
IMAGEJ = "ImageJ=1.54f\nimages={0}\nslices={0}\n"


@dataclass(frozen=True)
class Series:
    """One image of a file: what is written, and how."""

    shape: tuple[int, ...]
    dtype: str
    options: tuple[tuple[str, Any], ...]
    seed: int
    #: Options of each page, if they differ.
    pages: tuple[tuple[tuple[str, Any], ...], ...] = ()


@dataclass(frozen=True)
class Case:
    """Random parameters of one file."""

    kind: str
    byteorder: str
    bigtiff: bool
    series: tuple[Series, ...]
    seed: int


def draw(random: randomness.Random) -> Case:
    """Draw a file."""
    kind = random.choice(KINDS)
    n_series = random.choices([1, 2, 3, 4], [4, 2, 2, 1])[0] if kind not in ("imagej", "stack") else 1
    series = [_stack(random) if kind == "stack" else _series(random, kind) for _ in range(n_series)]
    for number in range(1, n_series):
        if random.random() < 0.3:  # as another one, stored alike or not
            twin = series[random.randrange(number)]
            options = twin.options if random.random() < 0.5 else series[number].options
            if options == twin.options:
                series[number] = Series(twin.shape, twin.dtype, options, random.randrange(2**31))
    order = ">" if kind == "imagej" else random.choice("<<>")
    return Case(kind, order, kind != "imagej" and random.random() < 0.3, tuple(series), random.randrange(2**31))


def check(case: Case) -> None:
    """Write the file, and compare every series and level with what tifffile reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("v.ome.tif" if case.kind == "ome" else "v.tif")
        written = _write(path, case)
        if case.kind == "stack":
            _compare_stack(path, case, written[0])
            return
        with tifffile.TiffFile(path) as tif:
            tif.is_uniform = tif.is_uniform and len({page.hash for page in tif.pages}) == 1  # it looks at a few only
            expected = [
                [level.asarray(squeeze=False).reshape(level.shape) for level in each.levels] for each in tif.series
            ]
        if case.kind in ("shaped", "ome"):
            whole = [level[0] for level in expected]
            for number, (mine, its) in enumerate(zip(written, whole, strict=True)):
                assert_same(np.squeeze(its), np.squeeze(mine), f"tifffile's series {number}")
        for number, levels in enumerate(expected):
            for level, values in enumerate(levels):
                options = {"series": number} | ({"level": level} if level else {})
                _compare(path, options, values, case.seed, f"series {number}, level {level}")


def _compare_stack(path: Path, case: Case, written: np.ndarray) -> None:
    packed = ["compression" in dict(page) for page in case.series[0].pages]
    try:
        _compare(path, {}, written, case.seed, "stack")
    except UnreadableFileError as error:
        # tifffile takes the size of the first page for that of all.
        if packed[0] or not any(packed) or "ImageJ series metadata invalid" not in str(error):
            raise


def _compare(path: Path, options: Any, expected: np.ndarray, seed: int, what: str) -> None:
    random = randomness.Random(seed)
    with open_source(path, **options) as source:
        assert_same(source[...], expected, what)
        for _ in range(3):
            box = []
            for length in expected.shape:
                first = random.randint(0, length - 1)
                box.append(slice(first, random.randint(first + 1, length)))
            assert_same(source[tuple(box)], expected[tuple(box)], f"{what}, box {box}")


def _write(path: Path, case: Case) -> list[np.ndarray]:
    written = []
    formats: dict[str, Any] = {"imagej": {"imagej": True}, "ome": {"ome": True}}.get(case.kind, {"ome": False})
    with tifffile.TiffWriter(path, byteorder=case.byteorder, bigtiff=case.bigtiff, **formats) as writer:
        for number, each in enumerate(case.series):
            data = voxels(each.seed, each.shape, each.dtype, wild=True)
            written.append(data)
            options = dict(each.options)
            if each.pages:
                for page, (plane, own) in enumerate(zip(data, each.pages, strict=True)):
                    text = IMAGEJ.format(len(data)) if page == 0 else None
                    writer.write(plane, description=text, metadata=None, **options | dict(own))
                continue
            if case.kind == "plain" or (case.kind == "some shaped" and number % 2):
                options["metadata"] = None
            n_levels = options.pop("levels", 0)
            writer.write(data, subifds=n_levels, **options)
            for level in range(n_levels):
                step = 2 ** (level + 1)
                axes = _plane_axes(data.ndim, options)
                small = data[tuple(slice(None, None, step if axis in axes else 1) for axis in range(data.ndim))]
                writer.write(small, subfiletype=1, **{name: v for name, v in options.items() if name != "metadata"})
    return written


def _plane_axes(ndim: int, options: dict[str, Any]) -> tuple[int, int]:
    return (ndim - 3, ndim - 2) if options.get("planarconfig") == "contig" else (ndim - 2, ndim - 1)


def _series(random: randomness.Random, kind: str) -> Series:
    dtypes = ["u1", "u2", "f4"] if kind == "imagej" else ["u1", "u2", *INTEGERS, *FLOATS, *COMPLEX, "?"]
    if kind == "ome":
        dtypes = [dtype for dtype in dtypes if dtype not in ("u8", "i8", "f2")]
    dtype = random.choice(dtypes)
    plane = (random.randint(1, 70), random.randint(1, 70))
    leading = tuple(random.choice([1, 2, 3, 5]) for _ in range(random.choice([0, 1, 1, 1, 2])))
    options: dict[str, Any] = {"photometric": random.choice(["minisblack"] * 3 + ["miniswhite"])}
    colour = dtype in ("u1", "u2", "f4") and random.random() < 0.25 and kind != "imagej"
    shape: tuple[int, ...] = (*leading, *plane)
    if colour:
        samples = random.choice([3, 3, 4])
        separate = random.random() < 0.4
        shape = (*leading, samples, *plane) if separate else (*leading, *plane, samples)
        options |= {"photometric": "rgb", "planarconfig": "separate" if separate else "contig"}
    options |= _storage(random, dtype, kind)
    if kind in ("shaped", "ome") and random.random() < 0.15 and min(plane) > 8 and len(shape) > 1:
        options["levels"] = random.choice([1, 2])
    if kind in ("shaped", "some shaped") and "levels" not in options and random.random() < 0.3:
        letters = {2: "YX", 3: random.choice(["ZYX", "TYX", "CYX"]), 4: "CZYX", 5: "TCZYX"}.get(len(shape))
        if letters and not colour:
            options["metadata"] = {"axes": letters}
    return Series(shape, dtype, tuple(options.items()), random.randrange(2**31))


def _storage(random: randomness.Random, dtype: str, kind: str) -> dict[str, Any]:
    """How strips or tiles are cut and compressed."""
    options: dict[str, Any] = {}
    if dtype == "?":
        return {"photometric": "minisblack"} | (
            {"rowsperstrip": random.randint(1, 40)} if random.random() < 0.5 else {}
        )
    if random.random() < 0.6 and kind != "imagej":
        options["compression"] = random.choice(LOSSLESS)
        if options["compression"] != "packbits" and random.random() < 0.5 and dtype not in [*COMPLEX, "u8", "i8"]:
            options["predictor"] = True
    cut = random.choice(["whole", "strips", "strips", "tiles"])
    if cut == "strips":
        options["rowsperstrip"] = random.randint(1, 40)
    if cut == "tiles" and kind != "imagej":
        options["tile"] = (16 * random.randint(1, 3), 16 * random.randint(1, 3))
    return options


def _stack(random: randomness.Random) -> Series:
    """An ImageJ stack whose pages are stored in different ways, of one number of strips."""
    dtype, n_pages = random.choice(["u1", "u2", "f4"]), random.randint(2, 4)
    length, width = random.randint(20, 60), random.randint(5, 60)
    pages = []
    for _ in range(n_pages):
        own = {"rowsperstrip": random.randint(-(-length // 2), length - 1)}
        if random.random() < 0.6:
            own |= {"compression": random.choice(LOSSLESS[:-1]), "predictor": random.random() < 0.5}
        pages.append(tuple(own.items()))
    options = (("photometric", "minisblack"),)
    return Series((n_pages, length, width), dtype, options, random.randrange(2**31), tuple(pages))
