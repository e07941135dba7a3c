"""Pipelines: functions of recordings, one after the other, each reading the file that the one before has written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy.typing as npt

from tilecore.errors import ParameterError
from tilecore.recordings.batches import Channels
from tilecore.recordings.layout import Layout, yaml_path
from tilecore.recordings.output import IfFileExists, check_if_file_exists
from tilecore.recordings.processor import BatchProcessor

__all__ = ["BatchPipeline", "PipedMode", "PipedTransformation"]

#: Whole channels, channels in parts that fit into memory, or all channels over some time.
PipedMode: TypeAlias = Literal["single_channel_one_batch", "single_channel", "multi_channel"]


class PipedTransformation:
    """A step of a `BatchPipeline`.

    Parameters
    ----------
    function : callable
    output_name : str
        Name of the file that it writes.
    mode : {"single_channel_one_batch", "single_channel", "multi_channel"}
        What the function gets: a whole channel, a part of one that fits into memory, or some time of all channels.
    keep : bool
        Whether the file stays once the next step is done; that of the last step always does.
    if_file_exists : {"overwrite", "abort", "skip"}
        As of `BatchProcessor.multi_channel_apply`.
    cast_dtype : dtype_like, optional
    **kwargs
        ``processes``, ``cleanup_function`` and ``pass_batch_info`` are options of the step, as of
        `BatchProcessor.multi_channel_apply`; all others are passed to the function.

    References
    ----------
    .. [1] ``yass.batch.PipedTransformation``.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_name: str,
        mode: PipedMode,
        keep: bool = False,
        if_file_exists: IfFileExists = "overwrite",
        cast_dtype: npt.DTypeLike | None = None,
        **kwargs: object,
    ) -> None:
        if mode not in ("single_channel_one_batch", "single_channel", "multi_channel"):
            raise ParameterError.of("mode", mode, "'single_channel_one_batch', 'single_channel' or 'multi_channel'")
        if not callable(function):
            raise ParameterError.of("function", function, "a function is needed")
        check_if_file_exists(if_file_exists)
        self.function, self.output_name, self.mode, self.keep = function, output_name, mode, keep
        self.if_file_exists, self.cast_dtype, self.kwargs = if_file_exists, cast_dtype, kwargs

    def apply(self, processor: BatchProcessor, output_path: str, **selected: object) -> dict[str, Any]:
        """Run the step, and return the parameters of its file."""
        common: dict[str, Any] = {
            "mode": "disk",
            "output_path": output_path,
            "if_file_exists": self.if_file_exists,
            "cast_dtype": self.cast_dtype,
            **selected,
            **self.kwargs,
        }
        if self.mode == "multi_channel":
            _, params = processor.multi_channel_apply(self.function, **common)
        else:
            is_complete = self.mode == "single_channel_one_batch"
            _, params = processor.single_channel_apply(
                self.function, force_complete_channel_batch=is_complete, **common
            )
        found: dict[str, Any] = params
        return found


class BatchPipeline:
    """Steps that are run one after the other; each writes a file.

    Parameters
    ----------
    path_to_input : path_like
    dtype, n_channels, data_order
        As of `RecordingsReader`.
    max_memory : int or str
        As of `BatchProcessor`.
    output_path : path_like
        Folder of the files.
    from_time, to_time, channels : optional
        What the first step selects from the recording; the later ones take all that they are given.
    data_format : {"wide", "long"}, optional
        Old name of `data_order`.

    References
    ----------
    .. [1] ``yass.batch.BatchPipeline``.
    """

    def __init__(
        self,
        path_to_input: str | os.PathLike[str],
        dtype: npt.DTypeLike | None = None,
        n_channels: int | None = None,
        data_order: str | None = None,
        max_memory: int | str = "1GB",
        output_path: str | os.PathLike[str] = ".",
        from_time: int | None = None,
        to_time: int | None = None,
        channels: Channels = "all",
        data_format: str | None = None,
    ) -> None:
        self._layout = Layout.of(path_to_input, dtype, n_channels, data_order, data_format)
        self.path_to_input, self.max_memory, self.output_path = path_to_input, max_memory, output_path
        self._selected = {"from_time": from_time, "to_time": to_time, "channels": channels}
        self.tasks: list[PipedTransformation] = []

    def add(self, tasks: Sequence[PipedTransformation]) -> None:
        """Add steps at the end.

        Parameters
        ----------
        tasks : sequence of PipedTransformation
        """
        self.tasks = [*self.tasks, *([tasks] if isinstance(tasks, PipedTransformation) else tasks)]

    def run(self) -> tuple[list[str], list[dict[str, Any]]]:
        """Run all steps.

        Returns
        -------
        paths : list of str
            Of the files in order, also of those that do not stay.
        params : list of dict
            Their parameters.

        Raises
        ------
        ParameterError
            If two steps write one file, or one writes the input, or a file is there that must not be. A ``.yaml``
            file counts as its recording does.
        """
        paths = [os.path.join(self.output_path, task.output_name) for task in self.tasks]
        self._check(paths)
        source, params, selected = os.fspath(self.path_to_input), self._layout.params, self._selected
        found = []
        for number, (task, path) in enumerate(zip(self.tasks, paths, strict=True)):
            described = {name: params[name] for name in ("dtype", "n_channels", "data_order")}
            processor = BatchProcessor(source, **described, max_memory=self.max_memory)
            params = task.apply(processor, path, **selected)
            found.append(params)
            if number and not self.tasks[number - 1].keep:
                _remove(paths[number - 1])
            source, selected = path, {}
        return paths, found

    def _check(self, paths: Sequence[str]) -> None:
        names = [os.path.abspath(path) for path in [self.path_to_input, *paths]]
        parameters = [str(yaml_path(name)) for name in names]
        for task, path in zip(self.tasks, paths, strict=True):
            name = os.path.abspath(path)
            if names.count(name) > 1 or parameters.count(str(yaml_path(name))) > 1 or name in parameters:
                raise ParameterError.of("output_name", path, "is the input, or the output of two steps")
            if task.if_file_exists == "abort" and os.path.exists(path):
                raise ParameterError.of("output_name", path, "exists already, and if_file_exists='abort'")


def _remove(path: str) -> None:
    for each in (path, yaml_path(path)):
        if os.path.exists(each):
            os.unlink(each)
