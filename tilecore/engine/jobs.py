"""What a worker does with a tile: read it, call the user's function, put the result where it belongs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from tilecore.arrays.boxed import Boundary, read_padded
from tilecore.arrays.slots import SlotArray
from tilecore.engine.measuring import Measurement, measured
from tilecore.errors import ParameterError, ParameterTypeError, TilecoreError
from tilecore.geometry.boxes import Box
from tilecore.geometry.placement import Placement
from tilecore.geometry.tiles import Tile, TileGrid

__all__ = ["CollectJob", "MapJob", "PilotTask", "ReadOnlyBlockError", "TileJob", "TileTask", "is_forbidden_write"]

# What numpy, Python's buffers, Cython and pybind11 say of it.
_FORBIDDEN = re.compile(r"\bis read-?only\b|read-?only memory|(buffer|array|object) is not write?able", re.IGNORECASE)

# A pilot that took longer is not followed by one on more voxels.
_PILOT_SECONDS = 0.02


def is_forbidden_write(error: BaseException) -> bool:
    """Whether numpy, or Python, says that something was written into what is read-only."""
    return not isinstance(error, OSError) and _FORBIDDEN.search(str(error)) is not None


class ReadOnlyBlockError(TilecoreError, ValueError):
    """A function wrote into the block it was given."""


class CastError(TilecoreError, ValueError):
    """A result has values that the output's dtype does not have."""


class TileTask(NamedTuple):
    """A tile, or a part of one, to be worked on.

    Attributes
    ----------
    number : int
        The tile's number in the grid.
    part : Box or None
        The part of its write box, where the whole did not fit into memory.
    slot : int
        Where its input waits, if it does not lie where the worker can reach it.
    """

    number: int
    part: Box | None = None
    slot: int = -1

    def tile(self, grid: TileGrid) -> Tile:
        """The tile, or the part as a tile."""
        whole = grid[self.number]
        return whole if self.part is None else grid.part(whole, self.part)


class PilotTask(NamedTuple):
    """Small regions to be worked on before the run, to learn what the function needs.

    Attributes
    ----------
    writes : tuple of Box
        The smallest first; the larger ones are only tried while that is quick.
    """

    writes: tuple[Box, ...]


@dataclass
class TileJob:
    """A function and what it is applied to.

    Attributes
    ----------
    function : callable
    kwargs : dict
        Passed to it with each block.
    grid : TileGrid
    sources : tuple of array_like
        As the worker can reach them.
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
    kwargs: Mapping[str, Any]
    grid: TileGrid
    sources: tuple[Any, ...]
    boundary: Boundary = None
    copy: bool = False
    pass_tile: bool = False
    shares_memory: bool = field(default=False, kw_only=True)

    #: Whether results are the caller's, and a journal has to keep them.
    yields_results: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ParameterTypeError.of("function", self.function, "a function is needed")

    def open(self) -> TileJob:
        """The job itself is the function of a task."""
        return self

    def receive(self, note: Mapping[str, Any]) -> None:
        """Take in what became known after the job was sent: attributes and their values."""
        for name, value in note.items():
            setattr(self, name, value)

    def __call__(self, task: TileTask | PilotTask) -> Any:
        """Work on a task."""
        if isinstance(task, PilotTask):
            return self._measure(task)
        tile = task.tile(self.grid)
        return self.keep(tile, self._apply(tile, task.slot))

    def keep(self, tile: Tile, result: Any) -> Any:
        """Do with the function's result what this kind of job does; return what the parent gets."""
        raise NotImplementedError

    def block_box(self, tile: Tile) -> Box:
        """The box of a tile's block: what is read, with what is padded."""
        return tile.read if self.boundary is None else tile.read.grown(tile.pad)

    def read(self, source: Any, tile: Tile) -> npt.NDArray[Any]:
        """Read a tile's block from a source that can be reached here."""
        n_axes = min(len(source.shape), self.grid.ndim)  # a source may lack the last axes
        read, pad = Box.trusted(tile.read.start[:n_axes], tile.read.stop[:n_axes]), tile.pad[:n_axes]
        if n_axes < len(source.shape):  # or have more, which every block has whole
            read = Box(read.start + (0,) * (len(source.shape) - n_axes), read.stop + tuple(source.shape[n_axes:]))
            pad += ((0, 0),) * (len(source.shape) - n_axes)
        return read_padded(source, read, pad, self.boundary)

    def extra_voxels(self, source: Any) -> int:
        """Voxels of the axes that a source has beyond the volume's, for each voxel of the volume."""
        return math.prod(source.shape[self.grid.ndim :])

    def _block_shape(self, source: Any, tile: Tile) -> tuple[int, ...]:
        return (*self.block_box(tile).shape, *source.shape[self.grid.ndim :])[: len(source.shape)]

    def _measure(self, task: PilotTask) -> Measurement:
        self._measured(task.writes[0])  # not counted: the first call of all may have to import its modules
        for write in task.writes:
            measurement = self._measured(write)
            if measurement.seconds > _PILOT_SECONDS:
                break
        return measurement

    def _measured(self, write: Box) -> Measurement:
        tile = self.grid.around(write)
        return measured(lambda: self._apply(tile, -1), self.block_box(tile).size)

    def _apply(self, tile: Tile, slot: int) -> Any:
        blocks = [self._block(source, tile, slot) for source in self.sources]
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

    def _block(self, source: Any, tile: Tile, slot: int) -> npt.NDArray[Any]:
        if isinstance(source, SlotArray):
            block = source.block(slot, self._block_shape(source, tile))
        else:
            block = self.read(source, tile)
        if self.copy:
            return block if block.flags.owndata and block.flags.writeable else block.copy()
        block = block.view()
        block.flags.writeable = False
        return block


@dataclass
class CollectJob(TileJob):
    """Sends the function's results back."""

    yields_results: ClassVar[bool] = True

    def keep(self, tile: Tile, result: Any) -> Any:
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


@dataclass
class MapJob(TileJob):
    """Writes the function's results into arrays.

    Attributes
    ----------
    placement : Placement
    sinks : tuple of array_like, or None
        One for each output; while they are None, results are sent back to be written by the parent.
    dtypes : tuple of dtype, or None
    inferred : tuple of bool
        Of each output, whether its dtype is that of the first result: then all others have it,
        or which tile comes first would decide what is lost.
    """

    placement: Placement = field(default_factory=lambda: Placement(()))
    sinks: tuple[Any, ...] | None = None
    dtypes: tuple[np.dtype[Any], ...] | None = None
    inferred: tuple[bool, ...] = ()

    def keep(self, tile: Tile, result: Any) -> tuple[npt.NDArray[Any], ...] | None:
        """Write what the tile owns of each result, or return it."""
        results = result if isinstance(result, tuple) else (result,)
        owned = self.fit(tile, [self._owned(tile, each) for each in results])
        if self.sinks is None:
            is_own = not self.shares_memory
            return tuple([each if is_own and each.flags.c_contiguous else each.copy() for each in owned])
        box = self.placement.box(tile.write)
        for sink, each in zip(self.sinks, owned, strict=True):
            sink[box.slices] = each
        return None

    def fit(self, tile: Tile, results: Sequence[npt.NDArray[Any]]) -> Sequence[npt.NDArray[Any]]:
        """Give results the dtypes of the outputs, as far as those are known.

        Raises
        ------
        ParameterError
            If there are more or fewer results than outputs.
        CastError
            If an output cannot hold a result.
        """
        if self.dtypes is None:
            return results
        if len(results) != len(self.dtypes):
            raise ParameterError(
                f"the function returned {len(results)} results for {tile}, but there are {len(self.dtypes)} outputs"
            )
        inferred = self.inferred or (False,) * len(results)
        return [_cast(*each, tile) for each in zip(results, self.dtypes, inferred, strict=True)]

    def _owned(self, tile: Tile, result: Any) -> npt.NDArray[Any]:
        if result is None or isinstance(result, np.ma.MaskedArray):
            raise ParameterError(f"the function returned {type(result).__name__} for {tile}; an ndarray is needed")
        array = np.asarray(result)
        return array[self.placement.inner(tile, self.block_box(tile), array.shape)]


def _cast(array: npt.NDArray[Any], dtype: np.dtype[Any], inferred: bool, tile: Tile) -> npt.NDArray[Any]:
    """Convert to the output's dtype; whole-number outputs refuse what they cannot hold."""
    if inferred and array.dtype != dtype:
        raise CastError(
            f"{tile}: the result is of dtype {array.dtype}, that of another tile of {dtype}; say with dtype= "
            "which one the output has"
        )
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
