"""Sources of every kind with given voxels."""

from __future__ import annotations

import random as randomness
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import tifffile
import zarr

from tests.fuzz.layouts import LAYOUTS, PLACES, Room, draw_layout
from tilecore import Box, SharedArray, SharedMemory, open_source

FILES = ["npy", "npy F", "tif", "tif deflate", "h5", "h5 chunks", "zarr path", "raw"]
OTHERS = ["broadcast", "SharedArray", "SharedMemory", "zarr", "zarr shards", "zarr 2", "zarr in memory", "by slices"]


class BySlices:
    """Array of another library: it has a shape, a dtype, and supports slices."""

    def __init__(self, values: np.ndarray) -> None:
        self._values, self.shape, self.dtype = values, values.shape, values.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        return self._values[index].copy()


class Source(NamedTuple):
    """Source, and a way to read all of it again."""

    given: Any
    room: Room | None = None

    def read(self) -> np.ndarray:
        """Read all voxels as they are now."""
        if isinstance(self.given, Path):
            return np.array(open_source(self.given)[...])
        if isinstance(self.given, SharedMemory):
            return np.array(self.given.shared().view())
        whole = (slice(None),) * len(self.given.shape)
        return np.array(self.given[whole])


def draw_kind(random: randomness.Random, shape: tuple[int, ...], dtype: str) -> str:
    """Draw a kind of source that can hold an array of this shape."""
    layout = f"{random.choice(LAYOUTS)} in {random.choice(PLACES)}{random.choice(['', '', ' readonly'])}"
    kind = random.choices([layout, random.choice(OTHERS), random.choice(FILES)], [5, 3, 2])[0]
    if kind in OTHERS and kind not in ("zarr", "zarr shards", "zarr 2", "zarr in memory"):
        return kind
    if kind in (*FILES, *OTHERS):
        if random.random() < 0.3 and kind != "zarr in memory":
            kind += " cropped" if kind in FILES else ""
        is_tiff_of_none = kind.startswith("tif") and len(shape) < 2
        return "C in memory" if 0 in shape or is_tiff_of_none else kind
    return kind


def make_source(kind: str, values: np.ndarray, folder: Path, random: randomness.Random) -> Source:
    """Create a source of some kind with given values."""
    if " in " in kind and kind != "zarr in memory":
        name, _, place = kind.partition(" in ")
        room = Room(
            draw_layout(random, name, values.shape, values.dtype), place.removesuffix(" readonly"), folder / "room"
        )
        room.array[...] = values
        return Source(room.readonly() if kind.endswith("readonly") else room.array, room)
    if kind in OTHERS:
        return Source(_other(kind, values, folder, random))
    if not kind.endswith(" cropped"):
        return Source(_file(kind, values, folder, random))
    before = [random.randint(0, 2) for _ in values.shape]
    around = [(first, random.randint(0, 2)) for first in before]
    whole = np.pad(values, around, constant_values=values.dtype.type(1))
    given = _file(kind.removesuffix(" cropped"), whole.astype(values.dtype), folder, random)
    box = Box(before, [first + n for first, n in zip(before, values.shape, strict=True)])
    return Source((open_source(given) if isinstance(given, Path) else given).cropped(box))


def _other(kind: str, values: np.ndarray, folder: Path, random: randomness.Random) -> Any:
    if kind == "broadcast":
        return _broadcast(values)
    if kind == "SharedArray":
        return SharedArray.from_array(values)
    if kind == "SharedMemory":
        memory = SharedMemory(values.shape, values.dtype)
        with memory.txn() as array:
            array[...] = values
        return memory
    if kind == "by slices":
        return BySlices(values)
    chunks = tuple([random.randint(1, max(n, 1)) for n in values.shape])
    options: Any = {"zarr_format": 2} if kind == "zarr 2" else {}
    # In a file, a chunk that is not there is an error, also one of zeros; and to zarr -0.0 is the same as 0.0.
    if kind == "zarr path" or values.dtype.kind in "fc":
        options["config"] = {"write_empty_chunks": True}
    if kind == "zarr shards":
        options["shards"] = tuple([random.randint(1, 3) * n for n in chunks])
    store = {} if kind == "zarr in memory" else folder / "source.zarr"
    array = zarr.create_array(store, shape=values.shape, chunks=chunks, dtype=values.dtype, **options)
    array[...] = values
    return array


def _broadcast(values: np.ndarray) -> np.ndarray:
    """Return a view with stride 0 along an axis whose values are all equal; other arrays as they are."""
    for axis, length in enumerate(values.shape):
        one = values[tuple([slice(0, 1) if each == axis else slice(None) for each in range(values.ndim)])]
        if length > 1 and np.broadcast_to(one, values.shape).tobytes() == values.tobytes():
            return np.broadcast_to(one, values.shape)
    return values


def _file(kind: str, values: np.ndarray, folder: Path, random: randomness.Random) -> Any:
    if kind.startswith("npy"):
        np.save(folder / "source.npy", np.asfortranarray(values) if kind == "npy F" else values)
        return folder / "source.npy"
    if kind.startswith("tif"):
        options: Any = {"compression": "deflate"} if kind == "tif deflate" else {}
        tifffile.imwrite(folder / "source.tif", values, photometric="minisblack", **options)
        return folder / "source.tif"
    if kind.startswith("h5"):
        options = {"chunks": tuple([random.randint(1, n) for n in values.shape])} if kind == "h5 chunks" else {}
        with h5py.File(folder / "source.h5", "w") as file:
            file.create_dataset("values", data=values, **options)
        return Path(f"{folder / 'source.h5'}:/values")
    if kind == "zarr path":
        return Path(_other(kind, values, folder, random).store.root)
    order: Any = random.choice("CF")
    offset = random.choice([0, 3, 64])
    (folder / "source.raw").write_bytes(bytes(offset) + values.tobytes(order))
    return open_source(folder / "source.raw", shape=values.shape, dtype=values.dtype, offset=offset, order=order)
