"""Mapping over chunks as in SCOUT: the function gets the whole array and a chunk's position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tilecore.array_types import ReadableArray
from tilecore.arrays.access import chunk_lengths
from tilecore.arrays.bases import root_map
from tilecore.arrays.kinds import is_reachable
from tilecore.arrays.shared import SharedArray
from tilecore.configuration import settings
from tilecore.engine.events import Observer
from tilecore.engine.jobs import is_forbidden_write
from tilecore.engine.options import DEFAULT_RETRIES
from tilecore.engine.progress import ProgressBar
from tilecore.engine.task_loop import TaskLoop
from tilecore.engine.tasks import Result, Tasks
from tilecore.errors import TileError
from tilecore.executors.base import Executor, create_executor
from tilecore.executors.processes.start_method import familiar_start_method
from tilecore.geometry.per_axis import as_integer, as_integers, as_shape
from tilecore.geometry.tiles import TileGrid
from tilecore.stacks.shared_memory import SharedMemory

__all__ = ["pmap_chunks"]

Value = TypeVar("Value")


def pmap_chunks(
    f: Callable[..., Value],
    arr: ReadableArray | SharedMemory,
    chunks: Sequence[int] | None = None,
    nb_workers: int | None = None,
    use_imap: bool = False,
    unordered: bool = False,
    chunksize: int | None = None,
) -> list[Value]:
    """Apply a function to all chunks of an array, in parallel.

    Parameters
    ----------
    f : callable
        ``f(arr, start_coord, chunks)``: gets the array, the first voxel of a chunk (ndarray
        of int, shape (ndim,)) and the shape of the chunks. It reads from the array what it
        needs, also beyond the chunk. With `use_imap` it gets one tuple of the three.
    arr : array_like or SharedMemory
        The array. An ndarray is inherited by forked processes; for other processes it is copied once
        into shared memory. All workers use memmaps, zarr arrays, `SharedArray` and `SharedMemory`
        in place. In an ndarray or a memmap each call sees the original values, whatever other calls
        write: the array is read-only, and a call that tries to write is repeated with a private
        copy of the array.
    chunks : sequence of int, optional
        Shape of a chunk [voxel]. Default: ``arr.chunks``, otherwise one chunk.
    nb_workers : int, optional
        Number of processes; with 1 or less no process is started. Default: settings, environment,
        number of cores.
    use_imap : bool
        Whether `f` gets one tuple; a progress bar is shown, too.
    unordered : bool
        Whether results are in the order in which calls finish.
    chunksize : int, optional
        Accepted for compatibility and not used; short calls are always sent in batches.

    Returns
    -------
    list
        One result per chunk, last axis fastest. Large arrays in results lie in memory shared
        with the workers, into which they were written once.

    Raises
    ------
    Exception
        Exception that `f` raised, with notes that name the chunk and show where. If its class cannot be sent from a
        worker, one with the same name, text and built-in base.
    ShippingError
        If what `f` returned cannot be sent back.
    TileError
        If a worker died in a chunk, in all attempts.

    Notes
    -----
    Processes start as ``multiprocessing`` is set (see `set_mp_start_method`), unless
    `settings` or ``TILECORE_START_METHOD`` set another method. If it would fork while other
    threads run, the fork server is used instead.

    Process-safety: the function may be a lambda or a closure, under any start method.
    `SharedMemory` and `SharedArray` objects in the function's module are those
    of this process.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.

    Examples
    --------
    >>> import numpy as np
    >>> from tilecore import pmap_chunks
    >>> def total(arr, start_coord, chunks):
    ...     z, y = start_coord
    ...     return int(arr[z : z + chunks[0], y : y + chunks[1]].sum())
    >>> pmap_chunks(total, np.ones((4, 6), dtype=int), chunks=(2, 6), nb_workers=1)
    [12, 12]
    """
    shape = as_shape(arr.shape, "arr.shape")
    if chunks is None:
        chunks = chunk_lengths(arr) or [max(length, 1) for length in shape]
    if chunksize is not None:
        as_integer(chunksize, "chunksize", minimum=1)
    grid = TileGrid(shape, as_integers(chunks, "chunks", len(shape), 1))
    workers = 1 if nb_workers is not None and nb_workers < 1 else settings.resolve_workers(nb_workers)
    name = "processes" if workers > 1 and grid.size else "serial"
    executor = create_executor(name, workers=min(workers, max(grid.size, 1)), start_method=familiar_start_method())
    # an ordinary array is visible to other processes only if they are forked and inherit it
    ordinary = type(arr) is np.ndarray and not is_reachable(arr)
    shared = SharedArray(shape, arr.dtype, reserve=False) if ordinary and executor.reach == "shipped" else None
    protected = ordinary or (isinstance(arr, np.ndarray) and root_map(arr) is not None)
    job = _ChunkJob(f, arr if shared is None else shared, grid, chunks, use_imap, protected)
    results = _run(executor, job, shared, arr, ProgressBar("chunks") if use_imap else None)
    if not unordered:
        results.sort(key=lambda result: result.task)
    return [result.value for result in results]


@dataclass
class _ChunkJob:
    """Job that calls the function for a chunk."""

    function: Callable[..., Any]
    array: Any
    grid: TileGrid
    chunks: Any
    as_tuple: bool
    protected: bool
    _writes: bool = False

    def __call__(self, number: int, known: None) -> object:
        """Call the function for the chunk of this number."""
        start = np.array(self.grid[number].write.start)
        if not self.protected:
            return self._call(self.array, start)
        if not self._writes:
            try:
                return self._call(_readonly(self.array), start)
            except (ValueError, TypeError) as error:
                if not is_forbidden_write(error):
                    raise
            self._writes = True
        # The function writes into the array, so each call gets a private copy.
        return self._call(_private(self.array), start)

    def _call(self, array: object, start: npt.NDArray[np.intp]) -> object:
        arguments = (array, start, self.chunks)
        return self.function(arguments) if self.as_tuple else self.function(*arguments)


def _run(
    executor: Executor,
    job: _ChunkJob,
    shared: SharedArray | None,
    arr: Any,
    announce: Observer | None,
) -> list[Result]:
    """Run the job for all chunks; an array to be shared is copied while the workers start."""
    tasks = Tasks(tasks=range(job.grid.size), tile_of=job.grid.__getitem__, grid=job.grid, name="chunks")
    with ThreadPoolExecutor(1) as copier:
        filled = None if shared is None else copier.submit(shared.fill, arr)
        with executor.start(job) as crew:
            if filled is not None:
                filled.result()
            try:
                return list(TaskLoop(tasks, crew, retries=DEFAULT_RETRIES, announce=announce).results())
            except TileError as error:
                raise error.original() from error.__cause__


def _readonly(array: npt.NDArray[Any] | SharedArray) -> npt.NDArray[Any]:
    if isinstance(array, SharedArray):
        return array.view(readonly=True)
    view: npt.NDArray[Any] = array.view()
    view.flags.writeable = False
    return view


def _private(array: npt.ArrayLike | SharedArray) -> npt.NDArray[Any]:
    return array.private_view() if isinstance(array, SharedArray) else np.array(array)
