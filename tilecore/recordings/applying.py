"""A function applied to batches: what a worker does with one, and how the results come together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.configuration import settings
from tilecore.engine.collecting import collect_tiles, reduce_tiles
from tilecore.engine.declared import Declared, declare
from tilecore.engine.options import DEFAULT_RETRIES, RunOptions
from tilecore.errors import ParameterError, TileError
from tilecore.geometry.per_axis import as_integer
from tilecore.geometry.tiles import Tile, TileGrid
from tilecore.recordings.batches import Index, Selection, local_index
from tilecore.recordings.excerpt import Excerpt
from tilecore.recordings.output import Output
from tilecore.recordings.results import Placed, ResultFile, Target

__all__ = ["Cleanup", "OnBatch", "OnChannels", "applied", "as_processes", "run_options"]

Cleanup: TypeAlias = Callable[[Any, Any, Any, int], Any]

#: What a call gives back: each result, or a path and the parameters of its file.
Results: TypeAlias = list[Any] | tuple[str | os.PathLike[str], dict[str, Any]]


def _name(job: OnBatch | OnChannels) -> str:
    """Name of a run in messages: that of the caller's function."""
    return str(Declared.of(job.function, job.kwargs).name)


@dataclass(frozen=True)
class OnBatch:
    """Calls a function for a batch of several channels.

    Attributes
    ----------
    function : callable
    kwargs : mapping
    selection : Selection
    buffer : int
        Observations before and after each batch.
    pass_info : bool
        Whether the function gets ``idx_local`` and ``idx``.
    cast_dtype : dtype_like or None
    cleanup : callable or None
        ``cleanup(result, idx_local, idx, buffer)``
    target : Target or None
        Where results are written that are as long as their batch; None: all are given back.
    """

    function: Callable[..., Any]
    kwargs: Mapping[str, Any]
    selection: Selection
    buffer: int = 0
    pass_info: bool = False
    cast_dtype: Any = None
    cleanup: Cleanup | None = None
    target: Target | None = None

    @declare(name=_name)
    def __call__(self, block: npt.NDArray[Any], tile: Tile) -> object:
        """Work on a batch."""
        result = self.result(_writable(block), local_index(tile, self.buffer), self.selection.index_of(tile))
        return result if self.target is None else self._placed(result, tile, self.target)

    def result(self, data: npt.NDArray[Any], idx_local: Index, idx: Index, **previous: object) -> object:
        """What the function, and the cleanup after it, make of a batch."""
        info = {"idx_local": idx_local, "idx": idx} if self.pass_info else {}
        result = _cast(self.function(data, **info, **previous, **self.kwargs), self.cast_dtype)
        return result if self.cleanup is None else self.cleanup(result, idx_local, idx, self.buffer)

    def one_after_the_other(self, batches: Iterable[Any]) -> object:
        """Call the function for batch after batch with what was kept of the one before; return the last result."""
        previous: object = None
        for number, (data, idx_local, idx) in enumerate(batches):
            try:
                previous = self.result(data, idx_local, idx, previous_batch=previous)
            except Exception as error:
                error.add_note(_note(number, idx[0].start))
                raise
        return previous

    def _placed(self, result: object, tile: Tile, target: Target) -> Placed | npt.NDArray[Any]:
        n_rows = tile.write.shape[0]
        array = _numbers(result)
        if self.buffer and self.cleanup is None:
            array = self._trimmed(array, n_rows)
        if array.ndim == 2 and len(array) == n_rows:
            return target.put(array, tile.write.start[0])
        return array

    def _trimmed(self, array: npt.NDArray[Any], n_rows: int) -> npt.NDArray[Any]:
        if array.ndim and len(array) == n_rows + 2 * self.buffer:
            return array[self.buffer : self.buffer + n_rows]
        if array.ndim and len(array) == n_rows:
            return array
        raise ParameterError(
            f"the function returned an array of shape {array.shape} for a batch of {n_rows} observations with a "
            f"buffer of {self.buffer}: it is not known which part belongs to the buffer; give cleanup_function="
        )


@dataclass(frozen=True)
class OnChannels:
    """Calls a function for each of a few channels.

    Attributes
    ----------
    function : callable
    kwargs : mapping
    cast_dtype : dtype_like or None
    n_observations : int
        Of a whole channel.
    target : Target or None
        As of `OnBatch`.
    """

    function: Callable[..., Any]
    kwargs: Mapping[str, Any]
    cast_dtype: Any = None
    n_observations: int = 0
    target: Target | None = None

    @declare(name=_name)
    def __call__(self, block: npt.NDArray[Any], tile: Tile) -> list[object]:
        """Work on the channels of a block, which is turned: one row a channel."""
        results = []
        for number, data in zip(range(*_span(tile, 0)), _writable(block), strict=True):
            result = _cast(self.function(data, **self.kwargs), self.cast_dtype)
            results.append(result if self.target is None else self._placed(result, number, tile, self.target))
        return results

    def _placed(self, result: object, number: int, tile: Tile, target: Target) -> Placed | npt.NDArray[Any]:
        array = _numbers(result)
        first, stop = _span(tile, 1)
        if array.shape != (stop - first,):
            return array.reshape(-1)
        return target.put(array, number * self.n_observations + first)


def as_processes(processes: int | str) -> int:
    """Number of processes; "max": as many as there are cores that this process may use."""
    return settings.resolve_workers(None) if processes == "max" else as_integer(processes, "processes", minimum=1)


def run_options(processes: int, *, shows_bar: bool) -> RunOptions:
    """Options of a run by so many processes; one is this one, and calls a function once."""
    progress = None if shows_bar else False
    if processes == 1:
        return RunOptions(executor="serial", retries=0, progress=progress)
    return RunOptions(executor="processes", workers=processes, retries=DEFAULT_RETRIES, progress=progress)


def applied(job: OnBatch | OnChannels, excerpt: Excerpt, grid: TileGrid, run: RunOptions, output: Output) -> Results:
    """Run a job for all batches, and put the results where they are wanted: a list, or a path and its parameters."""
    tiles: dict[str, Any] = {"tile_shape": grid.tile_shape, "halo": grid.halo, "boundary": 0, "pass_tile": True}
    if output.mode == "memory" or output.path is None:
        with _naming_batches(excerpt):
            if isinstance(job, OnBatch):
                return collect_tiles(job, excerpt, **tiles, **run)
            return list(chain.from_iterable(collect_tiles(job, excerpt, **tiles, **run)))
    if (there := output.existing()) is not None:
        return output.path, there
    n_observations, n_channels = excerpt.stop - excerpt.first, len(excerpt.channels)
    file = ResultFile(output.path, n_observations * n_channels if excerpt.turned else n_observations)
    try:
        with _naming_batches(excerpt):
            reduce_tiles(replace(job, target=file.target), _added, excerpt, initial=file, **tiles, **run)
        lengths = [tile.write.shape[1 if excerpt.turned else 0] for tile in grid]
        return output.path, file.commit(n_channels, "channels" if excerpt.turned else "samples", lengths)
    except BaseException:
        file.discard()
        raise


def _added(file: ResultFile, found: object) -> ResultFile:
    for result in found if isinstance(found, list) else [found]:
        file.add(result)
    return file


@contextlib.contextmanager
def _naming_batches(excerpt: Excerpt) -> Iterator[None]:
    """Raise what the function raised, with the batch as a note."""
    try:
        yield
    except TileError as error:
        tile = error.failures[0].tile
        first = excerpt.first + tile.write.start[1 if excerpt.turned else 0]
        of = ""
        if excerpt.turned:
            of = f" of channels {list(excerpt.channels[slice(*_span(tile, 0))])}"
        raise error.original(_note(tile.number, first, of)) from error.__cause__


def _note(number: int, first: int, of: str = "") -> str:
    return f"in batch {number}{of}, which begins at observation {first}"


def _cast(result: object, dtype: npt.DTypeLike | None) -> object:
    return result if dtype is None else np.asarray(result).astype(dtype)


def _numbers(result: object) -> npt.NDArray[Any]:
    array = np.asarray(result)
    if array.dtype.kind not in "biufc" or array.ndim > 2:
        raise ParameterError(
            f"the function returned {type(result).__name__} of dtype {array.dtype} and shape {array.shape}: "
            "numbers in one or two dimensions can be written"
        )
    return np.atleast_1d(array)


def _writable(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The block itself, which was read for this call alone, so that the function may write into it."""
    try:
        block.flags.writeable = True
    except ValueError:  # it is somebody else's memory
        return block.copy()
    return block


def _span(tile: Tile, axis: int) -> tuple[int, int]:
    return tile.write.start[axis], tile.write.stop[axis]
