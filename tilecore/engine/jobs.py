"""What a worker does with a tile: read it, call the user's function, put the result where it belongs."""

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

# What numpy, Python's buffers, Cython and pybind11 say of it.
_FORBIDDEN = re.compile(r"\bis read-?only\b|read-?only memory|(buffer|array|object) is not write?able", re.IGNORECASE)


def is_forbidden_write(error: BaseException) -> bool:
    """Whether numpy, or Python, says that something was written into what is read-only."""
    return not isinstance(error, OSError) and _FORBIDDEN.search(str(error)) is not None


class ReadOnlyBlockError(TilecoreError, ValueError):
    """A function wrote into the block it was given."""


class CastError(TilecoreError, ValueError):
    """A result has values that the output's dtype does not have."""


@dataclass(frozen=True)
class Setup:
    """What a run works on, as far as it is known by now; what becomes known replaces it as a whole.

    Attributes
    ----------
    grid : TileGrid
    sources : tuple of array_like
        As the worker can reach them.
    sinks : tuple of array_like, or None
        One for each output, as the worker can reach it; None: results are sent back to be written by the parent.
    dtypes : tuple of dtype, or None
        Of the outputs.
    inferred : tuple of bool
        Of each output, whether its dtype is that of the first result: then all others have it,
        or which tile comes first would decide what is lost.
    checks : bool
        Whether whoever writes results is to tell their checksums.
    """

    grid: TileGrid
    sources: tuple[Any, ...]
    sinks: tuple[Any, ...] | None = None
    dtypes: tuple[np.dtype[Any], ...] | None = None
    inferred: tuple[bool, ...] = ()
    checks: bool = False


class Written(NamedTuple):
    """Says that a worker has written its results where they belong.

    Attributes
    ----------
    checksums : tuple of int, or None
        Of each output's voxels, if they were asked for.
    """

    checksums: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TileJob:
    """A function and how it is applied to a tile.

    Attributes
    ----------
    function : callable
    kwargs : dict
        Passed to it with each block.
    boundary : Boundary
    copy : bool
        Whether the function may write into its blocks.
    pass_tile : bool
        Whether it gets the tile, as the keyword argument ``tile``.
    shares_memory : bool
        Whether the worker is a thread of the calling process: an array that is handed over may be
        one that the function uses again, and is copied at once.
    """

    function: Callable[..., Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    boundary: Boundary = None
    copy: bool = False
    pass_tile: bool = False
    shares_memory: bool = field(default=False, kw_only=True)

    #: Whether results are the caller's, and a journal has to keep them.
    yields_results: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ParameterTypeError.of("function", self.function, "a function is needed")

    def __call__(self, task: TileTask | PilotTask, setup: Setup) -> object:
        """Work on a task."""
        if isinstance(task, PilotTask):
            return task.run(lambda write: self._measured(write, setup))
        tile = task.tile(setup.grid)
        return self.keep(tile, self._apply(tile, task.slot, setup), setup)

    def keep(self, tile: Tile, result: object, setup: Setup) -> object:
        """Do with the function's result what this kind of job does; return what the parent gets."""
        raise NotImplementedError

    def read(self, source: ReadableArray, tile: Tile) -> npt.NDArray[Any]:
        """Read a tile's block from a source that can be reached here."""
        ndim = tile.read.ndim
        n_axes = min(len(source.shape), ndim)  # a source may lack the last axes
        read, pad = Box.trusted(tile.read.start[:n_axes], tile.read.stop[:n_axes]), tile.pad[:n_axes]
        if n_axes < len(source.shape):  # or have more, which every block has whole
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
            return block.copy()  # always: a source may keep what it gives
        block = block.view()
        block.flags.writeable = False
        return block


@dataclass(frozen=True)
class CollectJob(TileJob):
    """Sends the function's results back."""

    yields_results: ClassVar[bool] = True

    def keep(self, tile: Tile, result: object, setup: Setup) -> object:
        """Return the result, in memory that is its own."""
        return _copied(result) if self.shares_memory else result


def _copied(result: Any) -> Any:
    """A copy of arrays, also of those in lists, tuples and dicts."""
    kind = type(result)
    if isinstance(result, np.ndarray):
        return result.copy()
    if kind in (list, tuple):
        return kind([_copied(each) for each in result])
    return {name: _copied(each) for name, each in result.items()} if kind is dict else result


@dataclass(frozen=True)
class MapJob(TileJob):
    """Writes the function's results into arrays.

    Attributes
    ----------
    placement : Placement
    """

    placement: Placement = field(default_factory=lambda: Placement(()))

    def keep(self, tile: Tile, result: object, setup: Setup) -> tuple[npt.NDArray[Any], ...] | Written:
        """Write what the tile owns of each result, or return it."""
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
            raise ParameterError(f"the function returned {type(result).__name__} for {tile}; an ndarray is needed")
        array = np.asarray(result)
        return array[self.placement.inner(tile, block_box(tile, self.boundary), array.shape)]


def checksums_of(arrays: Iterable[npt.NDArray[Any]]) -> tuple[int, ...]:
    """Checksums of voxels, whatever their layout and the order of their bytes."""
    plain = (np.ascontiguousarray(array, array.dtype.newbyteorder("=")) for array in arrays)
    return tuple([zlib.crc32(array.reshape(-1).view(np.uint8).data) for array in plain])


def fit(tile: Tile, results: Sequence[npt.NDArray[Any]], setup: Setup) -> Sequence[npt.NDArray[Any]]:
    """Give results the dtypes of the outputs, as far as those are known.

    Raises
    ------
    ParameterError
        If there are more or fewer results than outputs.
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
    """Convert to the output's dtype; whole-number outputs refuse what they cannot hold."""
    if inferred and array.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise CastError(
            f"{tile}: the result is of dtype {array.dtype}, that of another tile of {dtype}; say with dtype= "
            "which one the output has"
        )
    if array.dtype.kind == "c" and dtype.kind in "biuf":
        raise CastError(f"{tile}: complex numbers do not fit into dtype {dtype}; take a part of them in the function")
    if array.dtype == dtype or dtype.kind not in "iu" or np.can_cast(array.dtype, dtype) or array.size == 0:
        return array.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    low, high = array.min(), array.max()  # NaN wins both, and fails both comparisons
    if not (low > limits.min - 1 and high < limits.max + 1):
        raise CastError(
            f"{tile}: values from {low} to {high} do not fit into dtype {dtype}; clip them in the function "
            "or choose another dtype"
        )
    return array.astype(dtype)
