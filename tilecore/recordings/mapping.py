"""The function `map_batches`: a function of batches, applied to a recording, gives another recording."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Unpack

import numpy.typing as npt

from tilecore.array_types import OneOutput
from tilecore.engine.mapping import map_tiles
from tilecore.engine.options import RunOptions
from tilecore.engine.verbs import takes_run_options
from tilecore.errors import AlignmentError, JournalError, ParameterError
from tilecore.formats.source import FileSource
from tilecore.geometry.per_axis import as_integer
from tilecore.recordings.batches import Channels, Selection
from tilecore.recordings.durations import TimeLike
from tilecore.recordings.excerpt import Excerpt
from tilecore.recordings.opening import RecordingLike, open_recording
from tilecore.recordings.recording import Recording

__all__ = ["map_batches"]


@takes_run_options
def map_batches(
    function: Callable[..., Any],
    recording: RecordingLike,
    *,
    buffer: TimeLike = 0,
    batch_length: TimeLike | None = None,
    from_time: TimeLike | None = None,
    to_time: TimeLike | None = None,
    channels: Channels = "all",
    out: OneOutput = None,
    dtype: npt.DTypeLike | None = None,
    n_columns: int | None = None,
    kwargs: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    **run: Unpack[RunOptions],
) -> npt.NDArray[Any] | FileSource:
    """Apply a function to a recording, batch by batch, and put the results together.

    Parameters
    ----------
    function : callable
        ``function(data, **kwargs)``, with the observations of a batch and its buffer, and the chosen channels: shape
        (observations, channels). It returns as many rows as it gets, from which the buffer is cut off, or as many as
        the batch has without its buffer.
    recording : path, Recording, array_like, or list of them
        What `open_recording` takes; several follow each other in time.
    buffer : int, str, timedelta or timedelta64
        Observations before and after each batch that the function gets besides, or how long they take: ``"5 ms"``.
        They are the recording's own values, and zeros before its first and after its last observation. If no result
        depends on observations farther away, the output equals that on the whole recording bit for bit.
    batch_length : int, str, timedelta or timedelta64, optional
        Length of a batch without its buffer. Default: chosen, after the function has been measured on short batches.
    from_time, to_time : int, str, timedelta or timedelta64, optional
        First observation, and the one after the last; or their times. Default: all.
    channels : int, slice, sequence of int, or "all"
        In the order in which batches have them.
    out : array_like or path, optional
        Where the results go: an array of the right shape, or the path of a new file: ``.bin`` (also ``.dat`` and
        ``.raw``, with a ``.yaml`` file beside it that says what it holds), ``.npy``, ``.zarr``, ``.h5``. Default: a new
        ndarray. All but ``.npy`` keep the rate, and, where results have the recording's channels, their names and
        gains: the results are taken to be in its unit. `open_recording` reads them, unless it is given others.
    dtype : dtype_like, optional
        Kind of number of a new output. Default: that of the first result.
    n_columns : int, optional
        Columns of the results, if it is not the number of channels; 0: a result has one axis, (observations,).
    kwargs : dict, optional
        Keyword arguments for the function.
    overwrite : bool
        Whether an output file may replace one of the same name.
    **run
        Executor, workers, ``max_memory`` (of the whole run), journal and other options: see Other Parameters.

    Returns
    -------
    array_like, shape (observations, channels or columns)
        `out`, or a new array; for a path, the written file as an array.

    Raises
    ------
    TileError
        If batches failed; it lists them, with the tracebacks of the workers. No output file gets its final name then.
    ParameterError, ParameterTypeError
        If a parameter has a wrong type or value, or does not fit the recording.
    AlignmentError
        If two batches of `batch_length` would write the same chunk of an array that was given as `out`.
    MemoryBudgetError
        If an observation with its buffer does not fit into ``max_memory``.
    WorkerError
        If workers cannot be started.

    Notes
    -----
    Process-safety: workers read the recording, and write the output, in place.

    Examples
    --------
    >>> import numpy as np
    >>> from tilecore.recordings import map_batches
    >>> noise = np.random.default_rng(0).normal(size=(1000, 4))
    >>> map_batches(np.abs, noise, buffer=2, executor="serial").shape
    (1000, 4)
    """
    opened = open_recording(recording)
    source = _selected(opened, from_time, to_time, channels)
    n_channels, n_buffer = source.shape[1], opened.observation_at(buffer, "buffer")
    length = None if batch_length is None else opened.observation_at(batch_length, "batch_length")
    if length == 0:
        raise ParameterError.of("batch_length", batch_length, "a batch has one observation at least")
    options: dict[str, Any] = {"out": out, "dtype": dtype, "kwargs": kwargs, "overwrite": overwrite, **run}
    if n_columns is not None and as_integer(n_columns, "n_columns", minimum=0) != n_channels:
        options |= {"drop_axis": 1, "new_axis": {1: n_columns} if n_columns else None}
    tiles: dict[str, Any] = {"tile_shape": (length, n_channels), "halo": [(n_buffer, n_buffer), (0, 0)], "boundary": 0}
    with _in_words_of_batches():
        mapped: npt.NDArray[Any] | FileSource = map_tiles(function, source, **tiles, **options)
    return mapped


@contextlib.contextmanager
def _in_words_of_batches() -> Iterator[None]:
    """Let errors about tiles name the parameter of batches that they come from."""
    try:
        yield
    except (AlignmentError, JournalError) as error:
        text = re.sub(r"\btile_shape(?==| was )", "(batch_length, channels)", str(error))
        raise type(error)(text) from error


def _selected(
    recording: Recording, from_time: TimeLike | None, to_time: TimeLike | None, channels: Channels
) -> Excerpt:
    """The part of a recording that is asked for."""
    times = {"from_time": from_time, "to_time": to_time}
    numbers = {name: None if time is None else recording.observation_at(time, name) for name, time in times.items()}
    selection = Selection.of(recording.shape, **numbers, channels=channels)
    return recording.excerpt(selection.first, selection.stop, selection.channels)
