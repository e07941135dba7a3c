"""The subcommand ``tilecore batch``: a function of your own, applied to a recording in batches, writes a file."""

from __future__ import annotations

import argparse

from tilecore.cli.arguments import add_function_arguments, add_output_arguments, kwargs_of
from tilecore.cli.functions import load_function
from tilecore.cli.outputs import check_outputs
from tilecore.cli.recordings import add_recording_arguments, add_selection_arguments, check_input

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_recording_arguments(parser)
    add_function_arguments(parser, required=True)
    add_output_arguments(parser, "file to write; a .yaml file beside it describes it")
    group = parser.add_argument_group("the batches")
    add_selection_arguments(group)
    group.add_argument(
        "--single-channel", action="store_true", help="call the function with one whole channel at a time"
    )
    group.add_argument("--buffer", type=int, default=0, metavar="N", help="observations before and after each batch")
    group.add_argument(
        "--max-memory",
        default="1GB",
        metavar="SIZE",
        help="largest size of a batch, such as 500MB (default: %(default)s)",
    )
    group.add_argument(
        "--processes", type=_processes, default=1, metavar="N", help="batches worked on at once; max: every core"
    )
    group.add_argument("--cast-dtype", metavar="DTYPE", help="kind of number of the output (default: the function's)")
    group.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=_run)


def _processes(text: str) -> int | str:
    return text if text == "max" else int(text)


def _run(options: argparse.Namespace) -> None:
    from tilecore.errors import TilecoreError, TileError
    from tilecore.formats.raw_layout import yaml_path
    from tilecore.recordings.processor import BatchProcessor

    check_input(options)
    outputs = {"output": options.output, "parameters of the output": yaml_path(options.output)}
    check_outputs(outputs, inputs={"input": options.input}, overwrite=options.overwrite)
    processor = BatchProcessor(
        options.input,
        options.dtype,
        options.channels,
        options.order,
        options.max_memory,
        options.buffer,
        show_progress_bar=not options.quiet,
    )
    apply = processor.single_channel_apply if options.single_channel else processor.multi_channel_apply
    function, kwargs = load_function(options.function), kwargs_of(options)
    try:
        apply(
            function,
            mode="disk",
            output_path=options.output,
            from_time=options.from_time,
            to_time=options.to_time,
            channels="all" if options.select is None else list(options.select),
            cast_dtype=options.cast_dtype,
            processes=options.processes,
            **kwargs,
        )
    except (TilecoreError, OSError):
        raise
    except Exception as error:  # of the function: whatever it is, it is told as that of a tile is
        notes = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
        raise TileError(f"{type(error).__name__}: {error}{notes}") from error
    print(options.output)
    print(yaml_path(options.output))
