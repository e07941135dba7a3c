"""The subcommand ``tilecore view``: a picture of some channels of a recording over time."""

from __future__ import annotations

import argparse

from tilecore.cli.arguments import add_output_arguments
from tilecore.cli.outputs import check_outputs
from tilecore.cli.recordings import add_recording_arguments, add_selection_arguments, open_recording

__all__ = ["configure"]

# What is shown unless something else is asked for.
_CHANNELS, _OBSERVATIONS = 8, 10_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_recording_arguments(parser)
    add_output_arguments(parser, "picture to write")
    group = parser.add_argument_group(
        "what is shown", f"Default: the first {_CHANNELS} channels and the first {_OBSERVATIONS} observations."
    )
    add_selection_arguments(group)
    group.add_argument("--sampling-rate-hz", type=float, metavar="HZ", help="observations a second, to show seconds")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from tilecore.output_file import finished
    from tilecore.pictures.points import check_picture
    from tilecore.pictures.traces import draw_traces
    from tilecore.recordings.batches import Selection

    check_outputs({"output": options.output}, inputs={"input": options.input}, overwrite=options.overwrite)
    check_picture(options.output)
    recording = open_recording(options)
    first = options.from_time or 0
    stop = min(first + _OBSERVATIONS, recording.observations) if options.to_time is None else options.to_time
    chosen = list(range(min(_CHANNELS, recording.channels))) if options.select is None else list(options.select)
    selection = Selection.of(recording.shape, first, stop, chosen)
    with finished(options.output) as path:
        draw_traces(recording.data, selection.channels, first, stop, path, sampling_rate_hz=options.sampling_rate_hz)
    print(options.output)
