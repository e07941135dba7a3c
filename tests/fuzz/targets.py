"""Outputs of every kind, and reading of them with other libraries."""

from __future__ import annotations

import random as randomness
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import tifffile
import zarr

from tests.fuzz.layouts import LAYOUTS, PLACES, Room, draw_layout
from tilecore import SharedArray, SharedMemory, create_sink, open_source

SUFFIXES = [".npy", ".tif", ".zarr", ".ome.zarr", ".h5"]
#: Files that are written in chunks.
CHUNKED = (".zarr", ".ome.zarr", ".h5")
OTHERS = ["SharedArray", "SharedMemory", "zarr", "zarr shards", "zarr in memory"]


class Axis(NamedTuple):
    """Axis of an output: its length, and the length that a tile writes, if known."""

    length: int
    tile: int | None


class Target(NamedTuple):
    """Output of a run.

    Attributes
    ----------
    given : object
        What is given as ``out``.
    read : callable
        Gives its voxels once the run is over; None if only the run's result has them.
    units : tuple of int, or None
        What is written as one piece; None if any tiles fit.
    room : Room or None
    dtype : dtype or None
        None if it takes that of the first result.
    """

    given: Any = None
    read: Callable[[], np.ndarray] | None = None
    units: tuple[int, ...] | None = None
    room: Room | None = None
    dtype: np.dtype[Any] | None = None


def draw_kind(random: randomness.Random) -> str:
    """Draw a kind of output."""
    layout = f"{random.choice(LAYOUTS)} in {random.choice(PLACES)}"
    path, sink = f"path {random.choice(SUFFIXES)}", f"sink {random.choice(SUFFIXES)}"
    return random.choices(["none", layout, random.choice(OTHERS), path, sink], [5, 6, 3, 3, 3])[0]


def is_refused(kind: str, shape: Sequence[int], dtype: np.dtype[Any]) -> bool:
    """Whether files of a kind cannot hold such an array and must be refused."""
    if not kind.startswith(("path", "sink")):
        return kind.startswith("zarr") and 0 in shape
    if kind.endswith(".tif"):
        return len(shape) < 2 or 0 in shape
    if kind.endswith(".ome.zarr"):
        return not 2 <= len(shape) <= 5 or 0 in shape or dtype.kind == "c"
    return kind.endswith((".h5", ".zarr")) and 0 in shape


def make_target(kind: str, axes: Sequence[Axis], dtype: Any, folder: Path, random: randomness.Random) -> Target:
    """Create an output of some kind with given axes and, if asked for, dtype."""
    shape, kind_of = tuple([axis.length for axis in axes]), None if dtype is None else np.dtype(dtype)
    if kind == "none":
        return Target()
    if kind.startswith("path"):
        path = folder / f"out{kind.removeprefix('path ')}"
        return Target(path, reader_of(path))  # its chunks fit the tiles
    assert kind_of is not None
    if kind.startswith("sink"):
        path = folder / f"sink{kind.removeprefix('sink ')}"
        options = {}
        if path.suffix in CHUNKED:
            chunks, shards = _units(axes, random, path.suffix == ".zarr" and random.random() < 0.3)
            options = {"chunks": chunks} | ({"shards": shards} if shards else {})
        sink = create_sink(path, shape, kind_of, **options)

        def committed() -> np.ndarray:
            sink.commit()
            return reader_of(path)()

        return Target(sink, committed, sink.write_units, None, kind_of)  # many chunks get shards
    if kind in OTHERS:
        return _other(kind, axes, kind_of, folder, random)
    name, _, place = kind.partition(" in ")
    room = Room(draw_layout(random, name, shape, kind_of), place, folder / f"out {random.random()}")
    return Target(room.array, lambda: np.array(room.array), None, room, kind_of)


def _other(kind: str, axes: Sequence[Axis], dtype: np.dtype[Any], folder: Path, random: randomness.Random) -> Target:
    shape = tuple([axis.length for axis in axes])
    if kind == "SharedArray":
        shared = SharedArray(shape, dtype)
        return Target(shared, lambda: np.array(shared.view()), None, None, dtype)
    if kind == "SharedMemory":
        memory = SharedMemory(shape, dtype)
        return Target(memory, lambda: np.array(memory.shared().view()), None, None, dtype)
    chunks, shards = _units(axes, random, kind == "zarr shards")
    store = {} if kind == "zarr in memory" else folder / f"out {random.random()}.zarr"
    config: Any = {"write_empty_chunks": True}  # otherwise a chunk of -0.0 is left out, as one of zeros
    array = zarr.create_array(store, shape=shape, chunks=chunks, shards=shards, dtype=dtype, config=config)
    return Target(array, lambda: np.array(array[...]), shards or chunks, None, dtype)


def _units(
    axes: Sequence[Axis], random: randomness.Random, sharded: bool
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Draw chunks and shards, mostly such that no two tiles write one of them."""
    any_will_do = random.random() < 0.05
    units = []
    for length, tile in axes:
        fits = [
            n for n in range(1, max(length, 1) + 1) if any_will_do or tile is None or tile >= length or tile % n == 0
        ]
        units.append(random.choice(fits[-3:] if random.random() < 0.7 else fits))
    if not sharded:
        return tuple(units), None
    chunks = tuple([random.choice([n for n in range(1, unit + 1) if unit % n == 0]) for unit in units])
    return chunks, tuple(units)


def share_units(axes: Sequence[Axis], units: Sequence[int] | None) -> bool:
    """Whether two tiles write the same unit."""
    if units is None:
        return False
    pairs = zip(axes, units, strict=True)
    return any(axis.tile is not None and axis.tile < axis.length and axis.tile % unit for axis, unit in pairs)


def reader_of(path: Path) -> Callable[[], np.ndarray]:
    """Function that reads an image file with another library."""
    if path.suffix == ".npy":
        return lambda: np.load(path)
    if path.suffix == ".tif":
        return lambda: _only_image(path)
    if path.name.endswith(".ome.zarr"):
        return lambda: np.array(zarr.open_group(path, mode="r")["0"][...])
    if path.suffix == ".zarr":
        return lambda: np.array(zarr.open_array(path, mode="r")[...])
    return lambda: _only_dataset(path)


def _only_image(path: Path) -> np.ndarray:
    values = tifffile.imread(path)
    return values.view(bool) if open_source(path).dtype == bool else values  # others read zeros and ones


def _only_dataset(path: Path) -> np.ndarray:
    found: list[np.ndarray] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: found.append(item[...]) if isinstance(item, h5py.Dataset) else None)
    assert len(found) == 1
    return found[0]
