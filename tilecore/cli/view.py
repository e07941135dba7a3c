"""The subcommand ``tilecore view``: a picture of some channels of a recording over time."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tilecore.cli.arguments import add_output_arguments
from tilecore.cli.outputs import check_outputs
from tilecore.cli.recordings import add_recording_arguments, add_selection_arguments, check_input, open_input_recording

if TYPE_CHECKING:
    from tilecore.recordings.recording import Recording

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
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from tilecore.output_file import finished
    from tilecore.pictures.points import check_picture
    from tilecore.pictures.traces import draw_traces
    from tilecore.recordings.batches import Selection

    inputs = check_input(options)
    check_outputs({"output": options.output}, inputs=inputs, overwrite=options.overwrite)
    check_picture(options.output)
    with open_input_recording(options) as recording:
        selection = Selection.of(recording.shape, *_times(options, recording), _channels(options, recording))
        what: dict[str, Any] = {"rate": recording.rate, "names": recording.channel_names}
        with finished(options.output) as path:
            draw_traces(
                recording,
                selection.channels,
                selection.first,
                selection.stop,
                path,
                unit="uV" if options.uv else "",
                **what,
            )
    print(options.output)


def _times(options: argparse.Namespace, recording: Recording) -> tuple[int, int]:
    """First observation, and the one after the last."""
    first = 0 if options.from_time is None else recording.observation_at(options.from_time, "from_time")
    if options.to_time is not None:
        return first, recording.observation_at(options.to_time, "to_time")
    return first, min(first + _OBSERVATIONS, recording.shape[0])


def _channels(options: argparse.Namespace, recording: Recording) -> list[int]:
    return list(range(min(_CHANNELS, recording.shape[1]))) if options.select is None else list(options.select)
