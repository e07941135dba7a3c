"""Sinks: where results go, in a form that workers can write to, and what units they are written in."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tilecore.arrays.mapped import MappedArray
from tilecore.arrays.remote import RemoteArray
from tilecore.arrays.shared import SharedArray
from tilecore.arrays.shared_memory import SharedMemory
from tilecore.arrays.shipping import file_of, is_reachable, root_map
from tilecore.errors import AlignmentError, ParameterError, ParameterTypeError
from tilecore.executors.base import Reach
from tilecore.formats.file_sink import FileSink
from tilecore.geometry.placement import Placement
from tilecore.geometry.tiles import TileGrid
from tilecore.memory.remote import is_reachable_by_workers, populate

__all__ = ["check_alignment", "common_units", "open_sink", "persists", "token_of", "writable_by_workers", "write_units"]


def open_sink(out: Any, shape: tuple[int, ...]) -> Any:
    """Accept an output array of the shape the results need.

    Raises
    ------
    ParameterError
        If its shape differs, or it cannot be written.
    ParameterTypeError
        If it is no array.
    """
    if isinstance(out, SharedMemory):
        out = out.shared()
    if isinstance(out, SharedArray):
        out = out.view()
    if isinstance(out, FileSink) and not out.single_writer:
        out = out.target
    if not all(hasattr(out, name) for name in ("shape", "dtype", "__setitem__")):
        raise ParameterTypeError.of("out", out, "None, an array, or a path")
    if tuple(out.shape) != shape:
        raise ParameterError.of("out", tuple(out.shape), f"the results need the shape {shape}")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ParameterError("out is read-only: give an array that can be written")
    return out


def writable_by_workers(sink: Any, reach: Reach) -> Any | None:
    """Give a sink the form in which workers write to it; None if only this process can."""
    if isinstance(sink, np.ndarray) and file_of(sink) is not None and is_reachable(sink):
        return MappedArray(sink)
    if reach == "same":
        return sink
    if isinstance(sink, np.ndarray):
        if is_reachable(sink):
            return sink
        if not is_reachable_by_workers():
            return None
        populate(sink)
        return RemoteArray(sink)
    return sink if _is_on_disk(sink) else None


def persists(sink: Any) -> bool:
    """Whether what is written into a sink is still there after this process has ended."""
    return (
        file_of(sink) is not None if isinstance(sink, np.ndarray) else hasattr(sink, "write_units") or _is_on_disk(sink)
    )


def token_of(sink: Any) -> str | None:
    """What tells an output from one that is made anew under its name; None if nothing does."""
    if isinstance(sink, FileSink):
        return sink.token
    if isinstance(sink, np.ndarray):
        root = root_map(sink)
        is_new = root is not None and root.mode == "w+"
        return f"made by process {os.getpid()} as map {id(root)}" if is_new else None
    if not _is_on_disk(sink) or not hasattr(sink, "store"):
        return None
    for name in ("zarr.json", ".zarray"):
        with contextlib.suppress(OSError):
            status = os.stat(os.path.join(sink.store.root, sink.path, name))
            return f"file {status.st_ino} of {status.st_mtime_ns}"
    return None


def write_units(sink: Any) -> tuple[int, ...] | None:
    """Shape of the storage units of a sink, none of which two tiles may write; None if there are none."""
    for name in ("write_units", "shards", "chunks"):
        units = getattr(sink, name, None)
        if units is not None:
            return tuple(int(unit) for unit in units)
    return None


def common_units(placement: Placement, sinks: Sequence[Any]) -> tuple[int, ...]:
    """What a tile must be a multiple of, so that no two tiles write one unit of any sink."""
    units = placement.units(None)
    for sink in sinks:
        own = placement.units(write_units(sink))
        units = tuple([math.lcm(unit, other) for unit, other in zip(units, own, strict=True)])
    return units


def check_alignment(grid: TileGrid, units: tuple[int, ...]) -> None:
    """Refuse a grid in which two tiles would write one storage unit.

    Raises
    ------
    AlignmentError
        The message names the nearest tile shapes that work.
    """
    cut = [
        axis
        for axis, (count, step, unit) in enumerate(zip(grid.counts, grid.tile_shape, units, strict=True))
        if count > 1 and (step % unit or (grid.ragged != "keep" and unit > 1))
    ]
    if not cut:
        return
    pairs = list(zip(grid.tile_shape, units, strict=True))
    smaller = tuple(max(step // unit, 1) * unit for step, unit in pairs)
    larger = tuple(-(-step // unit) * unit for step, unit in pairs)
    raise AlignmentError(
        f"tile_shape={grid.tile_shape}: two tiles would write one storage unit of the output, of {units} voxels, "
        f"and data would be lost; use {' or '.join(map(str, dict.fromkeys([smaller, larger])))}"
    )


def _is_on_disk(sink: Any) -> bool:
    """Whether an array other than numpy's reopens the same bytes in another process."""
    if hasattr(sink, "write_units"):  # tilecore's own sinks
        return not getattr(sink, "single_writer", False)
    kind = type(sink)
    return kind.__module__.startswith("zarr.") and type(getattr(sink, "store", None)).__name__ == "LocalStore"
