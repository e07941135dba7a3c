"""Fuzzer of the names of axes: any order, however the file tells it, for halos, conversions and blobs."""

from __future__ import annotations

import contextlib
import io
import random as randomness
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy import ndimage

from tests.blobs import volumes
from tests.cli.commands import run
from tests.fuzz.runs import draw_run
from tests.fuzz.voxels import assert_same
from tilecore import create_sink, detect_blobs, map_tiles, open_source

KINDS = ["npy", "raw", "zarr", "h5", "tif", "imagej"]
WRITTEN = ["npy", "tif", "zarr", "ome.zarr", "h5"]


@dataclass(frozen=True)
class Case:
    """A random image, how it is stored, and what is done with it."""

    axes: str
    lengths: dict[str, int]
    kind: str
    task: str
    crop: dict[str, tuple[int, int]]
    chunks: dict[str, int]
    output: str
    reach: int
    tile_shape: int
    run: dict[str, Any]
    detail: int


def draw(random: randomness.Random) -> Case:
    """Draw a random case."""
    kind = random.choice(KINDS)
    letters = [
        letter for letter, chance in zip("TCZYX", (0.4, 0.5, 0.8, 1, 1), strict=True) if random.random() < chance
    ]
    random.shuffle(letters)
    if kind == "imagej":
        letters = [letter for letter in "TZCYX" if letter in letters]
    lengths = {letter: random.randint(2, 4) if letter in "TC" else random.randint(5, 16) for letter in letters}
    crop = {}
    for letter in [each for each in "ZYX" if each in letters]:
        first = random.randint(0, lengths[letter] - 1)
        crop[letter] = first, random.randint(first + 1, lengths[letter])
    return Case(
        axes="".join(letters),
        lengths=lengths,
        kind=kind,
        task=random.choice(["halo", "convert", "blobs"]),
        crop=crop,
        chunks={letter: random.randint(2, 9) for letter in crop},
        output=random.choice(WRITTEN),
        reach=random.randint(0, 3),
        tile_shape=random.randint(3, 20),
        run=draw_run(random),
        detail=random.getrandbits(32),
    )


def check(case: Case) -> None:
    """Do the task with the image as it is stored, and with one whose axes are in the usual order."""
    whole = volumes.textured(tuple(case.lengths.values()), np.uint8, case.detail)
    with tempfile.TemporaryDirectory() as folder:
        path, options = _stored(case, whole, Path(folder))
        {"halo": _check_halo, "convert": _check_convert, "blobs": _check_blobs}[case.task](case, whole, path, options)


def _stored(case: Case, whole: np.ndarray, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Write the image; return its path, and what must be said to open it."""
    path = folder / f"in.{'tif' if case.kind == 'imagej' else case.kind}"
    if case.kind == "npy":
        np.save(path, whole)
    elif case.kind == "raw":
        path.write_bytes(whole.tobytes())
        return path, {"axes": case.axes, "shape": whole.shape, "dtype": "u1"}
    elif case.kind == "imagej":
        tifffile.imwrite(path, whole, imagej=True, metadata={"axes": case.axes})
    else:
        with create_sink(path, whole.shape, "u1", axes=case.axes) as sink:
            sink[...] = whole
    return path, {"axes": case.axes} if case.kind == "npy" else {}


def _check_halo(case: Case, whole: np.ndarray, path: Path, options: dict[str, Any]) -> None:
    sizes = tuple([1 if letter in "TC" else 2 * case.reach + 1 for letter in case.axes])
    found = map_tiles(
        lambda block: ndimage.maximum_filter(block, sizes),
        open_source(path, **options),
        halo=case.reach,
        tile_shape=case.tile_shape,
        **case.run,
    )
    assert_same(np.asarray(found), ndimage.maximum_filter(whole, sizes), "the result")


def _check_convert(case: Case, whole: np.ndarray, path: Path, options: dict[str, Any]) -> None:
    words = [word for name, value in options.items() for word in (f"--{name}", _text(value))]
    crop = ",".join(f"{first}:{last}" for first, last in case.crop.values())
    if "zarr" in case.output or case.output == "h5":
        words += ["--chunks", ",".join(map(str, case.chunks.values()))]
    output = path.parent / f"out.{case.output}"
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        assert run("convert", path, output, "--crop", crop, *words, "--executor", "serial", "-q") == 0
    found = open_source(output, axes=case.axes if case.output == "npy" else None)
    cut = whole[tuple([slice(*case.crop.get(letter, (None,))) for letter in case.axes])]
    assert_same(found[...], cut.transpose([case.axes.index(letter) for letter in found.axes]), f"axes {found.axes}")
    if found.chunks is not None:
        for letter, chunk in zip(found.axes, found.chunks, strict=True):
            given, length = case.chunks.get(letter, 1), found.shape[found.axes.index(letter)]
            assert chunk in (given, min(given, length)), f"chunks {found.chunks} along {found.axes}"


def _check_blobs(case: Case, whole: np.ndarray, path: Path, options: dict[str, Any]) -> None:
    position = {"time": 1} if "T" in case.axes else {}
    spatial = [letter for letter in "ZYX" if letter in case.axes]
    search: dict[str, Any] = {"min_sigma": 1, "max_sigma": 2, "num_sigma": 2, "threshold": 0.02, "overlap": 1}
    found = detect_blobs(open_source(path, **options), tile_shape=case.tile_shape, **position, **search, **case.run)
    leading = [letter for letter in case.axes if letter in "TC"]
    ordered = whole.transpose([case.axes.index(letter) for letter in [*leading, *spatial]])
    for channel in range(case.lengths.get("C", 1)):
        places = {"T": 1, "C": channel}
        volume = ordered[tuple([places[letter] for letter in leading])]
        expected = detect_blobs(volume, executor="serial", **search)
        assert_same(np.asarray(found.filter(channel=(channel, channel))), np.asarray(expected), f"channel {channel}")


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
