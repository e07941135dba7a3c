"""Jobs of workers: read a tile, call the user's function, and write the result or send it back."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.arrays.padding import Boundary, block_box, read_padded
from tilecore.arrays.slot_ring import SlotArray
from tilecore.engine.measuring import Measurement, measured
from tilecore.engine.pilot import PilotTask
from tilecore.engine.tile_tasks import TileTask
from tilecore.errors import ParameterError, ParameterTypeError, TilecoreError
from tilecore.geometry.boxes import Box
from tilecore.geometry.placement import Placement
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = [
    "CollectJob",
    "MapJob",
    "ReadOnlyBlockError",
    "Setup",
    "TileJob",
    "Written",
    "checksums_of",
    "fit",
    "is_forbidden_write",
]

# Messages of numpy, Python's buffers, Cython and pybind11 about writing into read-only memory.
_FORBIDDEN = re.compile(r"\bis read-?only\b|read-?only memory|(buffer|array|object) is not write?able", re.IGNORECASE)


def is_forbidden_write(error: BaseException) -> bool:
    """Whether an error of numpy or Python says that a function wrote into read-only memory."""
    return not isinstance(error, OSError) and _FORBIDDEN.search(str(error)) is not None


class ReadOnlyBlockError(TilecoreError, ValueError):
    """A function wrote into its block, which is read-only."""


class CastError(TilecoreError, ValueError):
    """A result has values that the output's dtype cannot hold."""


@dataclass(frozen=True)
class Setup:
    """Shared value of a run: everything that jobs need to know about it; it is replaced as a whole when it changes.

    Attributes
    ----------
    grid : TileGrid
        The tiles.
    sources : tuple of array_like
        Sources in the form in which the worker reads them.
    sinks : tuple of array_like, or None
        One array for each output, in the form in which the worker writes it; None: the parent writes the results.
    dtypes : tuple of dtype, or None
        Data types of the outputs; None if not known yet.
    inferred : tuple of bool
        For each output, whether its dtype is that of the first result. Then all other results must have it,
        or the order of the tiles would decide which values are lost.
    checks : bool
        Whether the writer of results also computes their checksums.
    """

    grid: TileGrid
    sources: tuple[Any, ...]
    sinks: tuple[Any, ...] | None = None
    dtypes: tuple[np.dtype[Any], ...] | None = None
    inferred: tuple[bool, ...] = ()
    checks: bool = False


class Written(NamedTuple):
    """Message that a worker has written its results into the outputs.

    Attributes
    ----------
    checksums : tuple of int, or None
        Checksums of each output's voxels, if they were asked for.
    """

    checksums: tuple[int, ...] | None = None


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
    """

    function: Callable[..., Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    boundary: Boundary = None
    copy: bool = False
    pass_tile: bool = False
    shares_memory: bool = field(default=False, kw_only=True)

    #: Whether results go to the caller, so that a journal has to keep them.
    yields_results: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ParameterTypeError.of("function", self.function, "must be a function")

    def __call__(self, task: TileTask | PilotTask, setup: Setup) -> object:
        """Run a task and return its result."""
        if isinstance(task, PilotTask):
            return task.run(lambda write: self._measured(write, setup))
        tile = task.tile(setup.grid)
        return self.keep(tile, self._apply(tile, task.slot, setup), setup)

    def keep(self, tile: Tile, result: object, setup: Setup) -> object:
        """Use the function's result as this kind of job does; return what is sent to the parent."""
        raise NotImplementedError

    def read(self, source: ReadableArray, tile: Tile) -> npt.NDArray[Any]:
        """Read a tile's block from a source that this process can reach."""
        ndim = tile.read.ndim
        n_axes = min(len(source.shape), ndim)  # a source may lack the last axes
        read, pad = Box.trusted(tile.read.start[:n_axes], tile.read.stop[:n_axes]), tile.pad[:n_axes]
        if n_axes < len(source.shape):  # a source may have more axes: each block has them whole
            read = Box(read.start + (0,) * (len(source.shape) - n_axes), read.stop + tuple(source.shape[n_axes:]))
            pad += ((0, 0),) * (len(source.shape) - n_axes)
        return read_padded(source, read, pad, self.boundary)

    def _measured(self, write: Box, setup: Setup) -> Measurement:
        tile = setup.grid.around(write)
        return measured(lambda: self._apply(tile, -1, setup), block_box(tile, self.boundary).size)

    def _apply(self, tile: Tile, slot: int, setup: Setup) -> object:
        blocks = [self._block(source, tile, slot) for source in setup.sources]
        kwargs = {**self.kwargs, "tile": tile} if self.pass_tile else self.kwargs
        try:
            return self.function(*blocks, **kwargs)
        except (ValueError, TypeError) as error:
            if is_forbidden_write(error) and not self.copy:
                raise ReadOnlyBlockError(
                    f"the function wrote into its block, which is a read-only view of the source ({error}); "
                    "pass copy=True to give it a private copy"
                ) from error
            raise

    def _block(self, source: ReadableArray | SlotArray, tile: Tile, slot: int) -> npt.NDArray[Any]:
        if isinstance(source, SlotArray):
            box = block_box(tile, self.boundary)
            block = source.block(slot, (*box.shape, *source.shape[box.ndim :])[: len(source.shape)])
        else:
            block = self.read(source, tile)
        if self.copy:
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
        return _copied(result) if self.shares_memory else result


def _copied(result: Any) -> Any:
    """Copy arrays, also those in lists, tuples and dicts."""
    kind = type(result)
    if isinstance(result, np.ndarray):
        return result.copy()
    if kind in (list, tuple):
        return kind([_copied(each) for each in result])
    return {name: _copied(each) for name, each in result.items()} if kind is dict else result


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
        results = result if isinstance(result, tuple) else (result,)
        owned = fit(tile, [self._owned(tile, each) for each in results], setup)
        if setup.sinks is None:
            is_own = not self.shares_memory
            return tuple([each if is_own and each.flags.c_contiguous else each.copy() for each in owned])
        box = self.placement.box(tile.write)
        for sink, each in zip(setup.sinks, owned, strict=True):
            sink[box.slices] = each
        return Written(checksums_of(owned) if setup.checks else None)

    def _owned(self, tile: Tile, result: object) -> npt.NDArray[Any]:
        if result is None or isinstance(result, np.ma.MaskedArray):
            raise ParameterError(f"the function returned {type(result).__name__} for {tile}; it must return an ndarray")
        array = np.asarray(result)
        return array[self.placement.inner(tile, block_box(tile, self.boundary), array.shape)]


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
    return [_cast(*each, tile) for each in zip(results, setup.dtypes, inferred, strict=True)]


def _cast(array: npt.NDArray[Any], dtype: np.dtype[Any], inferred: bool, tile: Tile) -> npt.NDArray[Any]:
    """Convert an array to the output's dtype; integer outputs refuse values that they cannot hold."""
    if inferred and array.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise CastError(
            f"{tile}: the result has dtype {array.dtype}, that of another tile has {dtype}; choose with dtype= "
            "the one of the output"
        )
    if array.dtype.kind == "c" and dtype.kind in "biuf":
        raise CastError(f"{tile}: complex numbers do not fit into dtype {dtype}; take a part of them in the function")
    if array.dtype == dtype or dtype.kind not in "iu" or np.can_cast(array.dtype, dtype) or array.size == 0:
        return array.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    low, high = array.min(), array.max()  # NaN becomes both minimum and maximum, and fails both comparisons
    if not (low > limits.min - 1 and high < limits.max + 1):
        raise CastError(
            f"{tile}: values from {low} to {high} do not fit into dtype {dtype}; clip them in the function "
            "or choose another dtype"
        )
    return array.astype(dtype)
