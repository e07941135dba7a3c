"""BatchProcessor: a recording worked on in batches, by functions of one channel or of several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy.typing as npt

from tilecore.arrays.padding import read_padded
from tilecore.bytesize import parse_bytes
from tilecore.errors import ParameterError
from tilecore.formats.raw_layout import Layout
from tilecore.geometry.per_axis import as_integer
from tilecore.recordings.applying import Cleanup, OnBatch, OnChannels, applied, as_processes, run_options
from tilecore.recordings.batched_file import BatchedFile
from tilecore.recordings.batches import Channels, Selection, local_index
from tilecore.recordings.output import IfFileExists, Mode, Output
from tilecore.recordings.reader import Loader, RecordingsReader

__all__ = ["BatchProcessor"]


class BatchProcessor:
    """A recording's file, worked on in batches that fit into memory.

    Parameters
    ----------
    path_to_recordings : path_like
    dtype, n_channels, data_order : optional
        As of `RecordingsReader`.
    max_memory : int or str
        Bound on a batch with its buffer [byte]; ``"500MB"``, where K, M and G are powers of 1024.
    buffer_size : int
        Observations before and after a batch of several channels, which its function gets besides; the recording's own
        values, and zeros beyond its ends.
    loader : {"memmap", "array", "python"}
        As of `RecordingsReader`.
    show_progress_bar : bool
    data_format : {"wide", "long"}, optional
        Old name of `data_order`: "channels" or "samples".

    Attributes
    ----------
    reader : RecordingsReader

    Raises
    ------
    ParameterError
        As of `RecordingsReader`, and if `max_memory` is no size.

    Notes
    -----
    Process-safety: a processor may be used by several threads; with ``processes`` above 1 functions run in workers.

    References
    ----------
    .. [1] ``yass.batch.BatchProcessor``.
    """

    def __init__(
        self,
        path_to_recordings: str | os.PathLike[str],
        dtype: npt.DTypeLike | None = None,
        n_channels: int | None = None,
        data_order: str | None = None,
        max_memory: int | str = "1GB",
        buffer_size: int = 0,
        loader: Loader = "memmap",
        show_progress_bar: bool = True,
        data_format: str | None = None,
    ) -> None:
        layout = Layout.of(path_to_recordings, dtype, n_channels, data_order, data_format)
        self.reader = RecordingsReader(path_to_recordings, **layout.params, loader=loader)
        self.max_memory = _as_bytes(max_memory)
        self.buffer_size = as_integer(buffer_size, "buffer_size", minimum=0)
        self.show_progress_bar = show_progress_bar
        self._file = BatchedFile(self.reader, self.max_memory, self.buffer_size)

    def multi_channel(
        self,
        from_time: int | None = None,
        to_time: int | None = None,
        channels: Channels = "all",
        return_data: bool = True,
    ) -> Iterator[Any]:
        """Go through batches of several channels.

        Parameters
        ----------
        from_time, to_time : int, optional
            First observation, and the one after the last. Default: all.
        channels : int, slice, sequence of int, or "all"
            In the order in which the batches have them.
        return_data : bool

        Yields
        ------
        data : ndarray, shape (observations with buffer, channels)
            A copy, which may be written into.
        idx_local : (slice, slice)
            What of the data is no buffer.
        idx : (slice, index)
            Where in the recording that is; alone with ``return_data=False``.

        Raises
        ------
        ParameterError
            If there is no such time or channel, or `max_memory` does not hold an observation and the buffer.
        """
        selection = Selection.of(self.reader.shape, from_time, to_time, channels)
        grid = self._file.batches(selection)
        if not return_data:
            return (selection.index_of(tile) for tile in grid)
        excerpt = self._file.excerpt(selection)
        return (
            (
                read_padded(excerpt, tile.read, tile.pad, 0),
                local_index(tile, self.buffer_size),
                selection.index_of(tile),
            )
            for tile in grid
        )

    def single_channel(
        self,
        force_complete_channel_batch: bool = True,
        from_time: int | None = None,
        to_time: int | None = None,
        channels: Channels = "all",
    ) -> Iterator[Any]:
        """Go through batches of one channel; they have no buffer.

        Parameters
        ----------
        force_complete_channel_batch : bool
            Whether a batch is a whole channel, as far as it is selected; otherwise the parts of a channel that fit into
            `max_memory` follow each other.
        from_time, to_time, channels : optional
            As of `multi_channel`.

        Yields
        ------
        data : ndarray, shape (observations,)
        channel : int
            Only of parts of channels.

        Raises
        ------
        ParameterError
            As of `multi_channel`; in the iteration, if a whole channel does not fit into `max_memory`.
        """
        selection = Selection.of(self.reader.shape, from_time, to_time, channels)
        return self._file.single_channels(selection, force_complete_channel_batch)

    def multi_channel_apply(
        self,
        function: Callable[..., Any],
        mode: Mode,
        cleanup_function: Cleanup | None = None,
        output_path: str | os.PathLike[str] | None = None,
        from_time: int | None = None,
        to_time: int | None = None,
        channels: Channels = "all",
        if_file_exists: IfFileExists = "overwrite",
        cast_dtype: npt.DTypeLike | None = None,
        pass_batch_info: bool = False,
        pass_batch_results: bool = False,
        processes: int | Literal["max"] = 1,
        **kwargs: object,
    ) -> Any:
        """Apply a function to batches of several channels.

        Parameters
        ----------
        function : callable
            ``function(data, **kwargs)``, with an array of shape (observations with buffer, channels).
        mode : {"disk", "memory"}
            Whether results are written into a file, in "samples" order, with a ``.yaml`` file beside it; or listed.
        cleanup_function : callable, optional
            ``cleanup_function(result, idx_local, idx, buffer_size)`` makes of each result what is kept.
        output_path : path_like, optional
            Where to write; needed for "disk".
        from_time, to_time, channels : optional
            As of `multi_channel`.
        if_file_exists : {"overwrite", "abort", "skip"}
            Replace a file of this name, raise an error, or take it as the result; of "disk".
        cast_dtype : dtype_like, optional
            Kind of number that results are turned into before the cleanup.
        pass_batch_info : bool
            Whether the function gets ``idx_local`` and ``idx`` (see `multi_channel`).
        pass_batch_results : bool
            Whether the function gets ``previous_batch``, what was kept of the batch before, None at first. The batches
            follow each other; of "memory" only, and the last result is returned.
        processes : int or "max"
            Batches worked on at once; "max": as many as there are cores.
        **kwargs
            Passed to the function.

        Returns
        -------
        list
            In mode "memory": what was made of each batch, in order of time.
        output_path, params
            In mode "disk": the path as given, and the parameters of the file.

        Raises
        ------
        ParameterError
            If a parameter does not fit; in mode "disk" with a buffer and without a `cleanup_function`, if a result is
            neither as long as its batch nor as long as that with the buffer.
        NotImplementedError
            For `pass_batch_results` in mode "disk".
        Exception
            What the function raises, with a note that names the batch. No output is left then.

        Notes
        -----
        Results that are as long as their batch are written in place, several at once; others are appended in order of
        time. With ``processes=1`` the function is called in this process.

        References
        ----------
        .. [1] ``yass.batch.BatchProcessor.multi_channel_apply``.
        """
        selection = Selection.of(self.reader.shape, from_time, to_time, channels)
        grid = self._file.batches(selection)
        output = Output(mode, output_path, if_file_exists, self.reader.path_to_recordings)
        on_batch = OnBatch(function, kwargs, selection, self.buffer_size, pass_batch_info, cast_dtype, cleanup_function)
        if pass_batch_results:
            if mode == "disk":
                raise NotImplementedError("pass_batch_results in mode 'disk': results that go on are in memory")
            return on_batch.one_after_the_other(self.multi_channel(from_time, to_time, channels))
        run = run_options(as_processes(processes), shows_bar=self.show_progress_bar)
        return applied(on_batch, self._file.excerpt(selection), grid, run, output)

    def single_channel_apply(
        self,
        function: Callable[..., Any],
        mode: Mode,
        output_path: str | os.PathLike[str] | None = None,
        force_complete_channel_batch: bool = True,
        from_time: int | None = None,
        to_time: int | None = None,
        channels: Channels = "all",
        if_file_exists: IfFileExists = "overwrite",
        cast_dtype: npt.DTypeLike | None = None,
        processes: int | Literal["max"] = 1,
        **kwargs: object,
    ) -> Any:
        """Apply a function to one channel after the other.

        Parameters
        ----------
        function : callable
            ``function(data, **kwargs)``, with an array of shape (observations,).
        mode, output_path, if_file_exists, cast_dtype, processes, **kwargs
            As of `multi_channel_apply`; the file is in "channels" order.
        force_complete_channel_batch, from_time, to_time, channels : optional
            As of `single_channel`.

        Returns
        -------
        list, or output_path and params
            As of `multi_channel_apply`; a result for each channel, or for each part of one.

        Raises
        ------
        ParameterError
            If a parameter does not fit, or a whole channel does not fit into `max_memory`.
        Exception
            What the function raises, with a note that names the batch. No output is left then.

        Notes
        -----
        Of a recording in "samples" order as many channels are read at a time as fit into `max_memory`.

        References
        ----------
        .. [1] ``yass.batch.BatchProcessor.single_channel_apply``.
        """
        selection = Selection.of(self.reader.shape, from_time, to_time, channels)
        n_processes = as_processes(processes)
        grid = self._file.channels(selection, force_complete_channel_batch, n_processes)
        output = Output(mode, output_path, if_file_exists, self.reader.path_to_recordings)
        on_channels = OnChannels(function, kwargs, cast_dtype, selection.n_observations)
        excerpt = self._file.excerpt(selection, turned=True)
        run = run_options(n_processes, shows_bar=self.show_progress_bar)
        return applied(on_channels, excerpt, grid, run, output)


def _as_bytes(max_memory: int | str) -> int:
    try:
        return parse_bytes(max_memory, "max_memory", binary=True)
    except TypeError as error:
        raise ParameterError.of("max_memory", max_memory, "a number of bytes, or a size such as '500MB'") from error
