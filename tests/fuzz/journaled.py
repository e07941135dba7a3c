"""Runs with a journal: their inputs and outputs, and changes between two runs."""

from __future__ import annotations

import itertools
import math
import random as randomness
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
import zarr

from tests.faults.harness import HANGS
from tests.fuzz.functions import Pairs, padded
from tests.fuzz.targets import reader_of
from tests.fuzz.voxels import voxels
from tilecore import SharedArray, create_sink

SOURCES = ["npy", "map r", "map r+", "memory", "shared", "tif", "zarr", "zarr path", "h5"]
OUTPUTS = [
    "path .npy",
    "path .npy",
    "path .tif",
    "path .h5",
    "path .zarr",
    "path .ome.zarr",
    "map",
    "raw map",
    "zarr",
    "sink",
]

#: Changes that are none to a run: it must be continued.
HARMLESS = ["nothing", "nothing", "nothing", "remark", "executor"]
CHANGES = [
    *HARMLESS,
    "voxel",
    "voxel in place",
    "constant",
    "helper",
    "offset",
    "dtype",
    "halo",
    "boundary",
    "tiles",
    "source dtype",
    "no output",
    "new output",
    "no journal",
    "torn journal",
    "flipped journal",
    "other run",
]

_TEXT = """
import os
import time

import numpy as np

FACTOR = {factor}


def helper(block):
    return np.maximum(block, {least})


def compute(block, offset):
    # {remark}
    result = FACTOR * helper(block).astype(np.int64) + offset
    result[1:] += block[:-1]
    result[..., :-1] += block[..., 1:]
    return result


def function(block, tile, offset, place):
    with open(os.path.join(place, "calls"), "a") as file:
        file.write(str(tile.number) + "\\n")
    if os.path.exists(os.path.join(place, "stop " + str(tile.number))):
        raise RuntimeError("the run is stopped here")
    if os.path.exists(os.path.join(place, "slow")):
        time.sleep(0.004)
    return compute(block, offset)


def collected(block, **named):
    result = function(block, **named)
    return dict(total=int(result.sum()), least=result.min(), parts=(result[:1], "text", None))
"""


@dataclass(frozen=True)
class Computation:
    """Parts of a run that decide its result."""

    shape: tuple[int, ...]
    source_dtype: str
    halo: Pairs
    boundary: Any
    tile_shape: tuple[int, ...]
    dtype: str | None
    factor: int = 3
    least: int = 10
    offset: int = 1
    remark: str = "a remark"

    def functions(self) -> dict[str, Any]:
        """Functions of the plan, as in a user's script."""
        names: dict[str, Any] = {"__name__": "__main__"}
        text = _TEXT.format(factor=self.factor, least=self.least, remark=self.remark)
        exec(compile(text, "<script>", "exec"), names)
        return names

    def whole(self, values: np.ndarray) -> np.ndarray:
        """Compute the result on the whole volume."""
        compute, cut = self.functions()["compute"], (slice(None),) * values.ndim
        if self.boundary is not None:
            cut = tuple([slice(b, b + length) for (b, _), length in zip(self.halo, values.shape, strict=True)])
            values = padded(values, self.halo, self.boundary)
        result: np.ndarray = compute(values, self.offset)[cut]
        return result.astype(self.dtype or result.dtype)

    def collected(self, values: np.ndarray) -> list[Any]:
        """Compute the results of all tiles by a plain loop."""
        compute, results = self.functions()["compute"], []
        room = values if self.boundary is None else padded(values, self.halo, self.boundary)
        steps = [range(0, n, step) for n, step in zip(values.shape, self.tile_shape, strict=True)]
        for starts in itertools.product(*steps):
            spans = zip(starts, self.tile_shape, values.shape, self.halo, strict=True)
            cut = []
            for first, step, n, (before, after) in spans:
                stop = min(first + step, n)
                outer = (max(first - before, 0), min(stop + after, n))
                cut.append(slice(*(outer if self.boundary is None else (first, stop + before + after))))
            result = compute(room[tuple(cut)], self.offset)
            results.append({"total": int(result.sum()), "least": result.min(), "parts": (result[:1], "text", None)})
        return results

    @property
    def n_tiles(self) -> int:
        return int(np.prod([-(-n // step) for n, step in zip(self.shape, self.tile_shape, strict=True)]))


def changed(computation: Computation, change: str, random: randomness.Random) -> Computation:
    """Copy of a computation with one part changed."""
    halo = tuple([(before + random.randint(0, 1), after + 1) for before, after in computation.halo])
    others = {
        "remark": {"remark": "another remark\n\n    # of two lines"},
        "constant": {"factor": computation.factor + 1},
        "helper": {"least": computation.least + 7},
        "offset": {"offset": computation.offset + 1},
        "dtype": {"dtype": "<i8" if computation.dtype else "<f8"},
        "halo": {"halo": halo},
        "boundary": {
            "boundary": random.choice(["reflect", "wrap"] if computation.boundary != "reflect" else ["edge", None])
        },
        "tiles": {"tile_shape": tuple([step + (axis == 0) for axis, step in enumerate(computation.tile_shape)])},
        "source dtype": {"source_dtype": "<i4"},
    }
    return replace(computation, **others.get(change, {}))  # type: ignore[arg-type]


class Input:
    """Source in a folder, of some kind, that may be changed."""

    def __init__(self, kind: str, computation: Computation, seed: int, folder: Path) -> None:
        self.kind, self._folder = kind, folder
        self.values = voxels(seed, computation.shape, computation.source_dtype)
        self._write()

    def change(self, change: str, computation: Computation, random: randomness.Random) -> None:
        """Change a voxel, in place or by writing a new file, or change the dtype."""
        if change == "source dtype":
            self.values = self.values.astype(computation.source_dtype)
            self._write()
        if not change.startswith("voxel"):
            return
        index = tuple([random.randrange(n) for n in self.values.shape])
        self.values = self.values.copy()
        self.values[index] += 1
        if change == "voxel in place" and self.kind in ("npy", "map r", "map r+"):
            mapped = np.load(self._path(".npy"), mmap_mode="r+")
            mapped[index] += 1
            mapped.flush()
        elif change == "voxel in place" and self.kind.startswith("zarr"):
            zarr.open_array(self._path(".zarr"))[index] = self.values[index]
        else:
            self._write()

    def given(self) -> Any:
        """Object that the run gets as source."""
        if self.kind in ("map r", "map r+"):
            return np.load(self._path(".npy"), mmap_mode=self.kind.removeprefix("map "))
        return {
            "npy": lambda: self._path(".npy"),
            "memory": lambda: self.values,
            "shared": lambda: SharedArray.from_array(self.values),
            "tif": lambda: self._path(".tif"),
            "zarr": lambda: zarr.open_array(self._path(".zarr"), mode="r"),
            "zarr path": lambda: self._path(".zarr"),
            "h5": lambda: self._path(".h5"),
        }[self.kind]()

    def _path(self, suffix: str) -> Path:
        return self._folder / f"source{suffix}"

    def _write(self) -> None:
        if self.kind in ("npy", "map r", "map r+"):
            np.save(self._path(".npy"), self.values)
        if self.kind == "tif":
            tifffile.imwrite(self._path(".tif"), self.values, photometric="minisblack")
        if self.kind == "h5":
            with _begun_anew(self._path(".h5")) as file:
                file["values"] = self.values
        if self.kind.startswith("zarr"):
            shape = self.values.shape
            chunks = tuple([max(1, n // 2) for n in shape])
            path = self._path(".zarr")
            options: Any = {"config": {"write_empty_chunks": True}, "overwrite": True}
            array = zarr.create_array(path, shape=shape, chunks=chunks, dtype=self.values.dtype, **options)
            array[...] = self.values


def _begun_anew(path: Path) -> h5py.File:
    """Open an HDF5 file, which workers of a killed run still lock until the last of their files is closed."""
    end = time.monotonic() + HANGS
    while True:
        try:
            return h5py.File(path, "w")
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(0.001)


class Output:
    """Output on disk, of some kind, in its own folder."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self._folder = kind, folder
        folder.mkdir()

    @property
    def is_path(self) -> bool:
        return self.kind.startswith("path")

    @property
    def path(self) -> Path:
        """Path of the output."""
        suffix = {"map": ".npy", "sink": ".npy", "raw map": ".raw"}.get(self.kind, self.kind.removeprefix("path "))
        return self._folder / f"out{suffix if suffix.startswith('.') else '.zarr'}"

    def given(self, computation: Computation, *, anew: bool) -> Any:
        """Object that the run gets as output; new, or as the last run left it."""
        if self.is_path:
            return self.path
        dtype = computation.dtype or "<i8"
        if self.kind == "sink":
            return create_sink(self.path, computation.shape, dtype, overwrite=True)
        if self.kind == "raw map":
            mode: Any = "w+" if anew or not self._is_made(computation) else "r+"
            return np.memmap(self.path, dtype, mode, shape=computation.shape)
        if self.kind == "map":
            if anew or not self._is_made(computation):
                return np.lib.format.open_memmap(self.path, "w+", dtype, computation.shape)
            return np.load(self.path, mmap_mode="r+")
        if anew or not self._is_made(computation):
            tiles = computation.tile_shape
            return zarr.create_array(self.path, shape=computation.shape, chunks=tiles, dtype=dtype, overwrite=True)
        return zarr.open_array(self.path, mode="r+")

    def _is_made(self, computation: Computation) -> bool:
        """Whether the output was created completely; a killed process may have stopped before."""
        if self.kind == "zarr":
            return (self.path / "zarr.json").exists()
        return self.path.exists() and self.path.stat().st_size >= 8 * math.prod(computation.shape)

    def remove(self) -> None:
        """Remove all files that runs have written, except journals."""
        for path in self._folder.iterdir():
            if not path.name.endswith(".journal"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def read(self, dtype: str = "<i8") -> np.ndarray | None:
        """Read the output by another library; None if it does not exist."""
        if self.kind == "raw map":
            return np.fromfile(self.path, dtype)
        return reader_of(self.path)() if self.path.exists() else None
