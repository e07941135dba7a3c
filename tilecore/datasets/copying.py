"""A variable with other chunks: its group is described anew, and its voxels are copied within a memory limit."""

from __future__ import annotations

import itertools
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from tilecore.datasets.described_array import DescribedArraySink, can_be_written
from tilecore.engine.inputs import Inputs
from tilecore.engine.options import RunOptions
from tilecore.engine.rechunk import rechunk_into
from tilecore.errors import MemoryBudgetError, TileError
from tilecore.formats.opening import open_source
from tilecore.formats.writer_errors import writing
from tilecore.formats.zarr.consolidating import consolidate
from tilecore.formats.zarr.quiet import quiet_zarr

if TYPE_CHECKING:
    from zarr import Array

__all__ = ["Layout", "copy_group", "describe_copy"]

# An array of fewer bytes is copied by the calling process: workers would take longer to start.
_SMALL = 16 << 20


@dataclass(frozen=True)
class Layout:
    """Storage units that a variable is to have on disk.

    Attributes
    ----------
    chunks : tuple of int
        Shape of a chunk.
    shards : tuple of int, or None
        Shape of a shard, one file of several chunks; None: each chunk is a file.
    """

    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None

    @property
    def units(self) -> tuple[int, ...]:
        """Shape of what is one file."""
        return self.shards or self.chunks


def describe_copy(source: Path, target: Path, name: str, layout: Layout) -> None:
    """Write a group like another one, with its coordinates, and with the array `name` described but empty."""
    import zarr

    target.mkdir()
    for each in source.iterdir():
        if each.name in (name, ".zmetadata"):
            continue
        (shutil.copytree if each.is_dir() else shutil.copyfile)(each, target / each.name)
    with quiet_zarr():
        old = zarr.open_array(source / name, mode="r")
        form = old.metadata.zarr_format
        options: dict[str, Any] = {"compressors": old.compressors, "filters": old.filters or None}
        if form == 3:
            options |= {"serializer": old.serializer, "dimension_names": old.metadata.to_dict()["dimension_names"]}
        else:
            options["order"] = old.order
        zarr.create_array(
            target,
            name=name,
            shape=old.shape,
            dtype=old.metadata.dtype,
            chunks=layout.chunks,
            shards=layout.shards,
            fill_value=old.fill_value,
            attributes=dict(old.attrs),
            zarr_format=form,
            **options,
        )
    consolidate(target)  # what was copied tells of the chunks of the source


def copy_group(source: Path, target: Path, name: str, **run: Unpack[RunOptions]) -> None:
    """Copy the voxels of a variable into a group that describes them, each unit once.

    Parameters
    ----------
    source, target : Path
        Groups of the variable.
    name : str
        Its array in both.
    **run
        Options of the run, as for `tilecore.rechunk`.

    Raises
    ------
    MemoryBudgetError
        If not even one chunk of both fits into ``max_memory``.
    TileError
        If tiles failed.
    DiskSpaceError
        If the disk has no room.
    """
    import zarr

    old, new = source / name, target / name
    if not (can_be_written(old) and can_be_written(new)):
        with writing(target, 0), quiet_zarr():
            _copy_by_zarr(zarr.open_array(old, mode="r"), zarr.open_array(new, mode="r+"))
        return
    opened = open_source(old, missing_chunks="fill")
    if 0 in opened.shape:
        return
    options = run.copy()
    if opened.dtype.itemsize * np.prod(opened.shape) < _SMALL:
        options.setdefault("executor", "serial")
    elif multiprocessing.current_process().daemon:  # a worker of dask, which may have no children
        options.setdefault("executor", "threads")
    options.setdefault("progress", False)
    with opened, writing(target, int(opened.dtype.itemsize * np.prod(opened.shape))):
        try:
            rechunk_into(Inputs.of(opened), DescribedArraySink.at(new), **options)
        except MemoryBudgetError as error:  # callers know the limit by this name
            raise MemoryBudgetError(str(error).replace("max_memory", "mem_limit")) from error
        except TileError as error:
            if isinstance(error.__cause__, OSError):  # such as of a full disk
                raise error.__cause__ from error
            raise


def _copy_by_zarr(old: Array[Any], new: Array[Any]) -> None:
    """Copy unit by unit what tilecore does not encode itself, such as text."""
    for region in _units(new.shape, new.shards or new.chunks):
        new[region] = old[region]


def _units(shape: Sequence[int], units: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    starts = [range(0, length, unit) for length, unit in zip(shape, units, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple([slice(start, start + unit) for start, unit in zip(corner, units, strict=True)])
