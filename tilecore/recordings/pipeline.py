"""Pipelines: functions of recordings, one after the other, each reading the file that the one before has written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError
from tilecore.formats.raw_layout import Layout, layout_of, read_yaml, yaml_path
from tilecore.recordings.batches import Channels
from tilecore.recordings.finished_steps import identity_of_file, identity_of_step, made_by, sign
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

    def run(self, resume: bool = False) -> tuple[list[str], list[dict[str, Any]]]:
        """Run all steps.

        Parameters
        ----------
        resume : bool
            Whether to leave out steps that an earlier run has finished, with the same input, function and arguments.
            Their outputs must be there, or that of a later finished step.

        Returns
        -------
        paths : list of str
            Of the files in order, also of those that do not stay.
        params : list of dict
            Their parameters; of a step that was left out and whose file does not stay, an empty one.

        Raises
        ------
        ParameterError
            If two steps write one file, or one writes the input, or a file is there that must not be. A ``.yaml``
            file counts as its recording does.
        """
        paths = [os.path.join(self.output_path, task.output_name) for task in self.tasks]
        self._check_names(paths)
        identities = self._identities(paths)
        found = self._finished(paths, identities) if resume else []
        self._check_existing(paths[len(found) :], self.tasks[len(found) :])
        for number in range(len(found), len(self.tasks)):
            found.append(self._run_step(number, paths, found[-1:], identities[number]))
            self._let_go(number - 1, paths)
        return paths, found

    def _run_step(
        self, number: int, paths: Sequence[str], before: Sequence[dict[str, Any]], identity: str | None
    ) -> dict[str, Any]:
        task, path = self.tasks[number], paths[number]
        source = paths[number - 1] if number else os.fspath(self.path_to_input)
        params = before[0] if number else self._layout.params
        processor = BatchProcessor(source, **layout_of(params), max_memory=self.max_memory)
        was_there = task.if_file_exists == "skip" and os.path.exists(path)
        made = task.apply(processor, path, **({} if number else self._selected))
        return made if was_there else sign(path, made, identity)

    def _identities(self, paths: Sequence[str]) -> list[str | None]:
        """What stands for the output of each step; a file that is taken as it is stands for itself."""
        before: str | None = identity_of_file(os.fspath(self.path_to_input), self._layout.params)
        identities = []
        for number, (task, path) in enumerate(zip(self.tasks, paths, strict=True)):
            arguments: dict[str, object] = {
                "mode": task.mode,
                "cast_dtype": None if task.cast_dtype is None else str(np.dtype(task.cast_dtype)),
                "kwargs": task.kwargs,
                "max_memory": self.max_memory,
                "selected": {} if number else {name: repr(value) for name, value in self._selected.items()},
            }
            own = identity_of_step(before, task.function, arguments)
            identities.append(own)
            is_there = os.path.isfile(path) and yaml_path(path).is_file()
            is_taken = task.if_file_exists == "skip" and is_there and made_by(path, own) is None
            before = identity_of_file(path, read_yaml(yaml_path(path))) if is_taken else own
        return identities

    def _finished(self, paths: Sequence[str], identities: Sequence[str | None]) -> list[dict[str, Any]]:
        """Parameters of the steps that need not be run again: all up to the last one whose output is there."""
        params = [made_by(*each) for each in zip(paths, identities, strict=True)]
        n_finished = max((number + 1 for number, each in enumerate(params) if each is not None), default=0)
        for number in range(n_finished - 1):  # what a killed run had no time for
            if params[number] is not None:
                self._let_go(number, paths)
        return [each or {} for each in params[:n_finished]]

    def _let_go(self, number: int, paths: Sequence[str]) -> None:
        if number >= 0 and not self.tasks[number].keep:
            _remove(paths[number])

    def _check_names(self, paths: Sequence[str]) -> None:
        names = [os.path.abspath(path) for path in [self.path_to_input, *paths]]
        parameters = [str(yaml_path(name)) for name in names]
        for path in paths:
            name = os.path.abspath(path)
            if names.count(name) > 1 or parameters.count(str(yaml_path(name))) > 1 or name in parameters:
                raise ParameterError.of("output_name", path, "is the input, or the output of two steps")

    def _check_existing(self, paths: Sequence[str], tasks: Sequence[PipedTransformation]) -> None:
        for task, path in zip(tasks, paths, strict=True):
            if task.if_file_exists == "abort" and os.path.exists(path):
                raise ParameterError.of("output_name", path, "exists already, and if_file_exists='abort'")


def _remove(path: str) -> None:
    for each in (path, yaml_path(path)):
        if os.path.exists(each):
            os.unlink(each)
