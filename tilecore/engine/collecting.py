"""The functions `collect_tiles`, `iter_tiles` and `reduce_tiles`: one result of any type per tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, Unpack, overload

from tilecore.array_types import SourceLike
from tilecore.arrays.padding import Boundary
from tilecore.engine.dimensions import HaloByName, TileShapeByName
from tilecore.engine.jobs import CollectJob
from tilecore.engine.options import RunOptions
from tilecore.engine.request import Request
from tilecore.engine.run import Run
from tilecore.engine.tile_tasks import TileTask
from tilecore.engine.verb_options import TileOptions
from tilecore.engine.verbs import takes_run_options
from tilecore.errors import ParameterError
from tilecore.geometry.tiles import Tile

__all__ = ["collect_tiles", "iter_tiles", "reduce_tiles"]

Value = TypeVar("Value")
Total = TypeVar("Total")

# Largest number of tiles that may start ahead of the tile whose result is folded next.
_LARGEST_LEAD = 1024


@takes_run_options
def iter_tiles(
    function: Callable[..., Value],
    source: SourceLike,
    *,
    tile_shape: TileShapeByName = None,
    halo: HaloByName | None = None,
    boundary: Boundary = None,
    kwargs: Mapping[str, Any] | None = None,
    pass_tile: bool = False,
    **run: Unpack[RunOptions],
) -> Iterator[tuple[Tile, Value]]:
    """Apply a function to a volume, tile by tile, and yield each result when it is ready.

    Parameters
    ----------
    function : callable
        ``function(block, **kwargs)``, with one block for each source. It returns any object
        that can be pickled. Large arrays come back through shared memory.
    source, tile_shape, halo, boundary, kwargs, pass_tile, **run
        As for `map_tiles`.

    Yields
    ------
    tile : Tile
        The tile.
    result : object
        Result of the function. Tiles come in the order in which they finish; no more are started than the caller takes.

    Raises
    ------
    TileError
        If tiles failed: at once, or after all others have finished (``on_error="finish"``).
    ParameterError, ParameterTypeError, WorkerError
        As for `map_tiles`; raised before the first result.

    Notes
    -----
    Workers end when the iterator is exhausted, closed or deleted.

    Examples
    --------
    >>> import numpy as np
    >>> from tilecore import iter_tiles
    >>> volume = np.arange(8).reshape(2, 2, 2)
    >>> for tile, total in iter_tiles(np.sum, volume, tile_shape=(1, 2, 2), executor="serial"):
    ...     print(tile.index, total)
    (0, 0, 0) 6
    (1, 0, 0) 22
    """
    one = _prepare(function, source, tile_shape, halo, boundary, kwargs, pass_tile, run)
    return ((task.tile(one.grid), result) for task, result in _results(one))


@takes_run_options
def collect_tiles(
    function: Callable[..., Value],
    source: SourceLike,
    *,
    tile_shape: TileShapeByName = None,
    halo: HaloByName | None = None,
    boundary: Boundary = None,
    kwargs: Mapping[str, Any] | None = None,
    pass_tile: bool = False,
    **run: Unpack[RunOptions],
) -> list[Value]:
    """Apply a function to a volume, tile by tile, and return the list of results.

    Parameters
    ----------
    function, source, tile_shape, halo, boundary, kwargs, pass_tile, **run
        As for `iter_tiles`.

    Returns
    -------
    list
        One result per tile, in the order of the tiles (last axis fastest); with ``shard=`` those of the part's tiles.

    Raises
    ------
    TileError, ParameterError, ParameterTypeError, WorkerError
        As for `iter_tiles`.

    Examples
    --------
    >>> import numpy as np
    >>> from tilecore import collect_tiles
    >>> volume = np.arange(8).reshape(2, 2, 2)
    >>> [int(total) for total in collect_tiles(np.sum, volume, tile_shape=1, executor="serial")]
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    one = _prepare(function, source, tile_shape, halo, boundary, kwargs, pass_tile, run)
    results = {task.number: result for task, result in _results(one)}
    return [results[number] for number in sorted(results)]


@overload
def reduce_tiles(
    function: Callable[..., Value],
    combine: Callable[[Value, Value], Value],
    source: SourceLike,
    *,
    initial: None = None,
    **options: Unpack[TileOptions],
) -> Value | Any: ...
@overload
def reduce_tiles(
    function: Callable[..., Value],
    combine: Callable[[Total, Value], Total],
    source: SourceLike,
    *,
    initial: Total,
    **options: Unpack[TileOptions],
) -> Total: ...
@takes_run_options
def reduce_tiles(
    function: Callable[..., Any],
    combine: Callable[[Any, Any], Any],
    source: SourceLike,
    *,
    initial: object = None,
    tile_shape: TileShapeByName = None,
    halo: HaloByName | None = None,
    boundary: Boundary = None,
    kwargs: Mapping[str, Any] | None = None,
    pass_tile: bool = False,
    **run: Unpack[RunOptions],
) -> object:
    """Apply a function to a volume, tile by tile, and combine the results into one.

    Parameters
    ----------
    function : callable
        As for `iter_tiles`.
    combine : callable
        ``combine(total, result)`` returns the new total; it is called in this process.
    source : array_like, path, or list of them
        As for `map_tiles`.
    initial : object, optional
        Start value of the total. Default: the first tile's result.
    tile_shape, halo, boundary, kwargs, pass_tile, **run
        As for `iter_tiles`.

    Returns
    -------
    object
        The total; `initial` if the volume has no voxel.

    Raises
    ------
    TileError, ParameterError, ParameterTypeError, WorkerError
        As for `iter_tiles`.

    Notes
    -----
    Results are combined in the order of the tiles, however they finish, so that sums of floats
    are the same to the last bit. A result is dropped once it is combined; only results that came
    before an earlier tile's are kept until then, and their number is limited.

    Examples
    --------
    >>> import numpy as np
    >>> from tilecore import reduce_tiles
    >>> float(reduce_tiles(np.sum, np.add, np.ones((4, 4)), tile_shape=2, executor="serial"))
    16.0
    """
    if run.get("shard") is not None:
        raise ParameterError("shard: the results are combined in the order of the tiles: use collect_tiles in parts")
    fold = _Fold(combine, initial)
    one = _prepare(function, source, tile_shape, halo, boundary, kwargs, pass_tile, run, may_start=fold.may_start)
    for task, result in _results(one):
        fold.add(task.number, result)
        del result  # its memory is reused once the last reference is deleted
    return fold.total


class _Fold:
    """Combines results in the order of the tiles, and keeps a limited number of early ones."""

    def __init__(self, combine: Callable[[Any, Any], Any], initial: object) -> None:
        self.total = initial
        self._combine, self._has_total = combine, initial is not None
        self._early: dict[int, Any] = {}
        self._due = 0

    def may_start(self, task: TileTask) -> bool:
        """Whether a task may start: not if its tile is far ahead of the next one to combine."""
        return task.number < self._due + _LARGEST_LEAD

    def add(self, number: int, result: object) -> None:
        self._early[number] = result
        while self._due in self._early:
            value = self._early.pop(self._due)
            self.total = self._combine(self.total, value) if self._has_total else value
            self._has_total = True
            self._due += 1


def _prepare(
    function: Callable[..., Any],
    source: SourceLike,
    tile_shape: TileShapeByName,
    halo: HaloByName | None,
    boundary: Boundary,
    kwargs: Mapping[str, Any] | None,
    pass_tile: bool,
    run: RunOptions,
    may_start: Callable[[TileTask], bool] | None = None,
) -> Run:
    request = Request.of(function, kwargs, source, tile_shape=tile_shape, halo=halo, boundary=boundary, run=run)
    job = CollectJob(function, dict(kwargs or {}), request.boundary, request.options.copy, pass_tile)
    return Run(job, request, may_start=may_start)


def _results(one: Run) -> Iterator[tuple[TileTask, Any]]:
    with one:
        one.plan()
        if one.is_finished:  # by other parts of the run: what was made of all results is there
            return
        one.begin()
        yield from one.work()
        one.finish()
