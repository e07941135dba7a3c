"""The subcommand ``tilecore batch``: a function of your own, applied to a recording in batches, writes a file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tilecore.cli.arguments import (
    add_function_arguments,
    add_output_arguments,
    add_resume_argument,
    add_shard_argument,
    as_dtype,
    kwargs_of,
    part_of,
    tell_output,
)
from tilecore.cli.functions import load_function
from tilecore.cli.outputs import check_outputs
from tilecore.cli.recordings import (
    add_recording_arguments,
    add_selection_arguments,
    as_time,
    check_input,
    open_input_recording,
)

if TYPE_CHECKING:
    from tilecore.recordings.batches import Channels

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_recording_arguments(parser)
    add_function_arguments(parser, required=True)
    add_output_arguments(parser, "file to write: .bin, with a .yaml file beside it that describes it, .npy, .zarr, .h5")
    add_resume_argument(parser)
    group = parser.add_argument_group("the batches")
    add_selection_arguments(group)
    group.add_argument(
        "--buffer", type=as_time, default=0, metavar="TIME", help="observations before and after each batch, or 5ms"
    )
    group.add_argument("--batch-length", type=as_time, metavar="TIME", help="length of a batch (default: chosen)")
    group.add_argument(
        "--single-channel",
        action="store_true",
        help="call the function with one whole channel at a time; of plain numbers, into a .bin file",
    )
    group.add_argument(
        "--max-memory",
        metavar="SIZE",
        help="memory limit for all processes together, such as 500MB (default: half of the free memory)",
    )
    group.add_argument(
        "--processes", type=_processes, metavar="N", help="batches worked on at once (default: every core)"
    )
    add_shard_argument(group)
    group.add_argument("--cast-dtype", metavar="DTYPE", help="kind of number of the output (default: the function's)")
    group.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=_run, names={"channels": "select", "workers": "processes"})


def _processes(text: str) -> int | None:
    return None if text == "max" else int(text)


def _run(options: argparse.Namespace) -> None:
    from tilecore.formats.kinds import kind_of_suffix
    from tilecore.formats.raw_layout import yaml_path

    inputs = check_input(options)
    outputs = {"output": options.output}
    if kind_of_suffix(str(options.output)) == "raw":
        outputs["parameters of the output"] = yaml_path(options.output)
    may_exist = options.overwrite or options.resume or options.shard is not None
    check_outputs(outputs, inputs=inputs, overwrite=may_exist)
    (_map_channels if options.single_channel else _map_batches)(options)
    if options.shard is not None:
        tell_output(options)
        return
    for path in outputs.values():
        print(path)


def _map_batches(options: argparse.Namespace) -> None:
    from tilecore.recordings.mapping import map_batches

    run = {"executor": "serial"} if options.processes == 1 else {"workers": options.processes}
    with open_input_recording(options) as recording:
        map_batches(
            load_function(options.function),
            recording,
            kwargs=kwargs_of(options),
            buffer=options.buffer,
            batch_length=options.batch_length,
            from_time=options.from_time,
            to_time=options.to_time,
            channels=_channels(options),
            dtype=as_dtype("cast_dtype", options.cast_dtype),
            out=options.output,
            overwrite=options.overwrite,
            resume=options.resume,
            max_memory=options.max_memory,
            shard=part_of(options),
            progress=False if options.quiet else None,
            **run,
        )


def _map_channels(options: argparse.Namespace) -> None:
    from tilecore.errors import ParameterError, TilecoreError, TileError
    from tilecore.formats.kinds import kind_of_suffix
    from tilecore.machine import available_memory
    from tilecore.recordings.processor import BatchProcessor

    if kind_of_suffix(str(options.output)) != "raw":
        raise ParameterError.of("output", str(options.output), "a .bin file is written with --single-channel")
    for name in ("buffer", "batch_length", "resume", "shard", "uv", "stream", "rate", "gain_uv"):
        if getattr(options, name):
            raise ParameterError.of(name, getattr(options, name), "does not go with --single-channel")
    if len(options.input) > 1:
        raise ParameterError.of("input", options.input, "one file alone goes with --single-channel")
    limit = available_memory() // 2 if options.max_memory is None else options.max_memory
    given = (options.dtype, options.channels, options.order, limit)
    processor = BatchProcessor(options.input[0], *given, show_progress_bar=not options.quiet)
    function, kwargs = load_function(options.function), kwargs_of(options)
    try:
        processor.single_channel_apply(
            function,
            mode="disk",
            output_path=options.output,
            from_time=options.from_time,
            to_time=options.to_time,
            channels=_channels(options),
            cast_dtype=as_dtype("cast_dtype", options.cast_dtype),
            processes=options.processes or "max",
            **kwargs,
        )
    except (TilecoreError, OSError):
        raise
    except Exception as error:  # of the function: whatever it is, it is told as that of a tile is
        notes = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
        raise TileError(f"{type(error).__name__}: {error}{notes}") from error


def _channels(options: argparse.Namespace) -> Channels:
    return "all" if options.select is None else list(options.select)
