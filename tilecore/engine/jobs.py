"""Jobs of workers: read a tile, call the user's function, and write the result or send it back."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.arrays.padding import Boundary, block_box, read_padded
from tilecore.arrays.slot_ring import SlotArray
from tilecore.engine.casting import converted
from tilecore.engine.measuring import Measurement, measured
from tilecore.engine.pilot import PilotTask
from tilecore.engine.setup import Setup
from tilecore.engine.supply.shared_units import SharedUnits
from tilecore.engine.tile_tasks import Ahead, DecodeTask, TileTask
from tilecore.errors import ParameterError, ParameterTypeError, TilecoreError
from tilecore.executors.attempts import lap, not_sent
from tilecore.formats.source import FileSource
from tilecore.geometry.boxes import Box
from tilecore.geometry.placement import Placement
from tilecore.geometry.tiles import Tile

__all__ = [
    "CollectJob",
    "MapJob",
    "ReadOnlyBlockError",
    "TileJob",
    "Written",
    "checksums_of",
    "fit",
    "is_forbidden_write",
]

# Messages of Cython, Python's buffers and pybind11: code asks for memory that it could write into, and may only read.
_ASKED = re.compile(r"buffer source array is read-?only|(buffer|array|object) is not write?able", re.IGNORECASE)
# Messages of numpy, and others, about writing into read-only memory.
_FORBIDDEN = re.compile(rf"\bis read-?only\b|read-?only memory|{_ASKED.pattern}", re.IGNORECASE)
# Types of values that never change.
_FIXED = (type(None), bool, int, float, complex, str, bytes, np.number, np.bool_)


def is_forbidden_write(error: BaseException) -> bool:
    """Whether an error of numpy or Python says that a function wrote into read-only memory."""
    return not isinstance(error, OSError) and _FORBIDDEN.search(str(error)) is not None


class ReadOnlyBlockError(TilecoreError, ValueError):
    """A function wrote into its block, which is read-only."""


class Written(NamedTuple):
    """Message that a worker has written its results into the outputs.

    Attributes
    ----------
    checksums : tuple of int, or None
        Checksums of each output's voxels, if they were asked for.
    """

    checksums: tuple[int, ...] | None = None


@dataclass
class Learned:
    """What the calls of a run have shown in this process.

    Attributes
    ----------
    asks_for_writable : bool
        Whether the function only takes memory that it could write into, as compiled functions may.
    """

    asks_for_writable: bool = False


@dataclass(frozen=True)
class TileJob:
    """A function, and the way it is applied to a tile.

    Attributes
    ----------
    function : callable
        The user's function.
    kwargs : dict
        Keyword arguments for each call.
    boundary : Boundary
        Boundary mode beyond the volume.
    copy : bool
        Whether the function may write into its blocks.
    pass_tile : bool
        Whether the function gets the tile, as the keyword argument ``tile``.
    shares_memory : bool
        Whether the worker is a thread of the calling process. The function may then use a returned array
        again, so it is copied at once.
    learned : Learned
        What the calls have shown so far.
    """

    function: Callable[..., Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    boundary: Boundary = None
    copy: bool = False
    pass_tile: bool = False
    shares_memory: bool = field(default=False, kw_only=True)
    learned: Learned = field(default_factory=Learned, kw_only=True)

    #: Whether results go to the caller, so that a journal has to keep them.
    yields_results: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ParameterTypeError.of("function", self.function, "must be a function")

    def __call__(self, task: TileTask | DecodeTask | PilotTask, setup: Setup) -> object:
        """Run a task and return its result."""
        if isinstance(task, PilotTask):
            return task.run(lambda write: self._measured(write, setup))
        if isinstance(task, DecodeTask):
            return setup.sources[task.source].decode(task.units)
        tile = task.tile(setup.grid)
        blocks = self._read(tile, task, setup)
        if task.ahead is not None:  # the disk works while this core computes
            _expect(task.ahead, setup)
        lap()
        result = self._apply(blocks, tile)
        lap()
        return self.keep(tile, result, setup)

    def keep(self, tile: Tile, result: object, setup: Setup) -> object:
        """Use the function's result as this kind of job does; return what is sent to the parent."""
        raise NotImplementedError

    def dtypes(self, result: object) -> tuple[np.dtype[Any], ...]:
        """Data types of the arrays that a result brings to the outputs."""
        return ()

    def read(self, source: ReadableArray, tile: Tile) -> npt.NDArray[Any]:
        """Read a tile's block from a source that this process can reach."""
        read, pad = tile.read, tile.pad
        n_more = len(source.shape) - read.ndim
        if n_more < 0:  # a source may lack the last axes
            read, pad = Box.trusted(read.start[:n_more], read.stop[:n_more]), pad[:n_more]
        elif n_more > 0:  # a source may have more axes: each block has them whole
            read = Box(read.start + (0,) * n_more, read.stop + tuple(source.shape[-n_more:]))
            pad += ((0, 0),) * n_more
        return read_padded(source, read, pad, self.boundary)

    def _measured(self, write: Box, setup: Setup) -> Measurement:
        tile = setup.grid.around(write)
        read, apply = lambda: self._read(tile, TileTask(-1), setup), lambda blocks: self._apply(blocks, tile)
        return measured(read, apply, block_box(tile, self.boundary).size, self.dtypes)

    def _read(self, tile: Tile, task: TileTask, setup: Setup) -> list[npt.NDArray[Any]]:
        return [self._block(source, tile, task, number) for number, source in enumerate(setup.sources)]

    def _apply(self, blocks: list[npt.NDArray[Any]], tile: Tile) -> object:
        kwargs = {**self.kwargs, "tile": tile} if self.pass_tile else self.kwargs
        try:
            return self.function(*blocks, **kwargs)
        except (ValueError, TypeError, BufferError) as error:
            if self.copy or not is_forbidden_write(error):
                raise
            if _ASKED.search(str(error)) is None:
                raise ReadOnlyBlockError(
                    f"the function wrote into its block, which is a read-only view of the source ({error}); "
                    "pass copy=True to give it a private copy"
                ) from error
        self.learned.asks_for_writable = True
        return self.function(*[block.copy() for block in blocks], **kwargs)

    def _block(
        self, source: ReadableArray | SlotArray | SharedUnits, tile: Tile, task: TileTask, number: int
    ) -> npt.NDArray[Any]:
        if isinstance(source, SlotArray):
            box = block_box(tile, self.boundary)
            block = source.block(task.slot, (*box.shape, *source.shape[box.ndim :])[: len(source.shape)])
        elif isinstance(source, SharedUnits):
            block = self.read(source.through(tile.read, task.shared[number] if task.shared else 0), tile)
        else:
            block = self.read(source, tile)
        if self.copy or self.learned.asks_for_writable:
            return block.copy()  # always, as a source may keep the array that it returns
        block = block.view()
        block.flags.writeable = False
        return block


@dataclass(frozen=True)
class CollectJob(TileJob):
    """Job that sends the function's results to the parent."""

    yields_results: ClassVar[bool] = True

    def keep(self, tile: Tile, result: object, setup: Setup) -> object:
        """Return the result, in memory that belongs to it."""
        if not self.shares_memory:
            return result
        try:
            return _copied(result)
        except Exception as error:  # of the result's own code; to another process, it could not be sent either
            raise not_sent(result, error) from error


def _copied(result: object) -> object:
    """Copy a result as if it was sent from another process; plain arrays, lists, tuples and dicts quickly."""
    if isinstance(result, _FIXED):
        return result
    if isinstance(result, np.ndarray) and not result.dtype.hasobject:
        return result.copy()
    if type(result) is list:
        return [_copied(each) for each in result]
    if type(result) is tuple:
        return tuple([_copied(each) for each in result])
    return {name: _copied(each) for name, each in result.items()} if type(result) is dict else deepcopy(result)


@dataclass(frozen=True)
class MapJob(TileJob):
    """Job that writes the function's results into arrays.

    Attributes
    ----------
    placement : Placement
        Position of a tile's result in the outputs.
    """

    placement: Placement = field(default_factory=lambda: Placement(()))

    def keep(self, tile: Tile, result: object, setup: Setup) -> tuple[npt.NDArray[Any], ...] | Written:
        """Write the part of each result that the tile owns, or return these parts."""
        owned = fit(tile, [self._owned(tile, each) for each in _arrays_of(result)], setup)
        if setup.sinks is None:
            is_own = not self.shares_memory
            return tuple([each if is_own and each.flags.c_contiguous else each.copy() for each in owned])
        box = self.placement.box(tile.write)
        for sink, each in zip(setup.sinks, owned, strict=True):
            sink[box.slices] = each
        return Written(checksums_of(owned) if setup.checks else None)

    def dtypes(self, result: object) -> tuple[np.dtype[Any], ...]:
        """Data types of the function's results."""
        return tuple([array.dtype for array in _arrays_of(result)])

    def _owned(self, tile: Tile, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array[self.placement.inner(tile, block_box(tile, self.boundary), array.shape)]


def _expect(ahead: Ahead, setup: Setup) -> None:
    """Tell the system what is read for a later tile."""
    read = setup.grid[ahead.number].read
    for number, source in enumerate(setup.sources):
        if isinstance(source, SharedUnits):
            source.expect(read, 0 if ahead.missing is None else ahead.missing[number])
        elif ahead.missing is None and isinstance(source, FileSource) and len(source.shape) == read.ndim:
            source.expect(read)


def _arrays_of(result: object) -> list[npt.NDArray[Any]]:
    """Return what a function returned as arrays, one for each output.

    Raises
    ------
    ParameterError
        If it is no array of numbers.
    """
    results = result if isinstance(result, tuple) else (result,)
    for each in results:
        if each is None or isinstance(each, np.ma.MaskedArray):
            raise ParameterError(f"the function returned {type(each).__name__}; it must return an ndarray")
    arrays = [np.asarray(each) for each in results]
    if any(array.dtype.hasobject for array in arrays):
        raise ParameterError(
            "the function returned Python objects; it must return an array of numbers (collect_tiles gives any objects)"
        )
    return arrays


def checksums_of(arrays: Iterable[npt.NDArray[Any]]) -> tuple[int, ...]:
    """Compute checksums of voxels, which do not depend on memory layout and byte order."""
    plain = (np.ascontiguousarray(array, array.dtype.newbyteorder("=")) for array in arrays)
    return tuple([zlib.crc32(array.reshape(-1).view(np.uint8).data) for array in plain])


def fit(tile: Tile, results: Sequence[npt.NDArray[Any]], setup: Setup) -> Sequence[npt.NDArray[Any]]:
    """Convert results to the dtypes of the outputs, as far as these are known.

    Raises
    ------
    ParameterError
        If the numbers of results and outputs differ.
    CastError
        If an output cannot hold a result.
    """
    if setup.dtypes is None:
        return results
    if len(results) != len(setup.dtypes):
        raise ParameterError(
            f"the function returned {len(results)} results for {tile}, but there are {len(setup.dtypes)} outputs"
        )
    inferred = setup.inferred or (False,) * len(results)
    return [converted(*each, tile) for each in zip(results, setup.dtypes, inferred, strict=True)]
