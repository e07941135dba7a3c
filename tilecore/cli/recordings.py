"""Arguments that subcommands for recordings share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tilecore.cli.arguments import numbers

if TYPE_CHECKING:
    from tilecore.recordings.reader import RecordingsReader

__all__ = ["add_recording_arguments", "add_selection_arguments", "check_input", "open_recording"]


def add_recording_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the input and what is to be known of it."""
    parser.add_argument("input", metavar="INPUT", help="file of plain numbers; a .yaml file beside it may describe it")
    group = parser.add_argument_group("the recording")
    group.add_argument("--dtype", help="kind of number, such as int16 (default, as below: what the .yaml file says)")
    group.add_argument("--channels", type=int, metavar="N", help="number of channels")
    group.add_argument(
        "--order",
        choices=["samples", "channels"],
        help="whether all channels of one moment, or whole channels, lie together",
    )


def add_selection_arguments(group: argparse._ActionsContainer) -> None:
    """Add arguments that choose channels and time."""
    group.add_argument("--select", type=numbers, metavar="N,N,...", help="channels to take (default: all)")
    group.add_argument("--from-time", type=int, metavar="N", help="first observation to take")
    group.add_argument("--to-time", type=int, metavar="N", help="observation to end before")


def check_input(options: argparse.Namespace) -> None:
    """Refuse a path that leads to no file."""
    from tilecore.errors import MissingFileError

    if not Path(options.input).is_file():
        raise MissingFileError.of("path", options.input, "there is no such file")


def open_recording(options: argparse.Namespace) -> RecordingsReader:
    """Open the input."""
    from tilecore.recordings.reader import RecordingsReader

    check_input(options)
    return RecordingsReader(options.input, options.dtype, options.channels, options.order)
