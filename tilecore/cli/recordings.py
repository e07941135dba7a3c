"""Arguments that subcommands for recordings share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tilecore.cli.arguments import check_exists
from tilecore.cli.parser import Numbers

if TYPE_CHECKING:
    from tilecore.recordings.recording import Recording

__all__ = ["add_recording_arguments", "add_selection_arguments", "as_time", "check_input", "open_input_recording"]


def add_recording_arguments(parser: argparse.ArgumentParser, also: str = "") -> None:
    """Add the input and what is to be known of it; `also` tells what else may be given."""
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help=f"{also}plain numbers (a .yaml file beside them may describe them), SpikeGLX, Open Ephys, .npy, zarr or "
        "HDF5; several files follow each other in time",
    )
    group = parser.add_argument_group("the recording")
    group.add_argument("--dtype", help="kind of number, such as int16 (default, as below: what the file says)")
    group.add_argument(
        "--channels", type=int, metavar="N", help="number of channels in the file; some of them: --select"
    )
    group.add_argument(
        "--order",
        choices=["samples", "channels"],
        help="whether all channels of one moment, or whole channels, lie together",
    )
    group.add_argument("--rate", type=float, metavar="HZ", help="observations a second")
    group.add_argument("--gain-uv", type=float, metavar="UV", help="microvolts that a number of 1 stands for")
    group.add_argument("--stream", metavar="NAME", help="which stream, of a recording of Open Ephys that has several")
    group.add_argument("--uv", action="store_true", help="take the numbers in microvolts")


def add_selection_arguments(group: argparse._ActionsContainer) -> None:
    """Add arguments that choose channels and time."""
    group.add_argument(
        "--select", action=Numbers, is_list=True, metavar="N,N,...", help="channels to take (default: all)"
    )
    group.add_argument("--from-time", type=as_time, metavar="TIME", help="first observation to take, or its time: 1.5s")
    group.add_argument("--to-time", type=as_time, metavar="TIME", help="observation to end before, or its time")


def as_time(text: str) -> int | str:
    """A number of observations, or a time with its unit."""
    return int(text) if text.lstrip("-").isdigit() else text


def check_input(options: argparse.Namespace) -> dict[str, str]:
    """Refuse a path that leads to nothing; return the inputs by name, as `check_outputs` takes them."""
    for path in options.input:
        check_exists("path", path)
    return {f"input {number}": path for number, path in enumerate(options.input, 1)}


def open_input_recording(options: argparse.Namespace) -> Recording:
    """Open the input, which was checked."""
    from tilecore.recordings.opening import open_recording

    source = options.input[0] if len(options.input) == 1 else options.input
    given = (options.dtype, options.channels, options.order)
    recording = open_recording(source, *given, rate=options.rate, gains_uv=options.gain_uv, stream=options.stream)
    return recording.in_uv() if options.uv else recording
