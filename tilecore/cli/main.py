"""Main function of the command ``tilecore``: runs a subcommand, and reports an error in one line."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from tilecore import __version__
from tilecore.cli.parser import Parser
from tilecore.cli.wording import in_options, one_line

__all__ = ["SUBCOMMANDS", "main"]

#: Module and help text of each subcommand.
SUBCOMMANDS = {
    "blobs": ("tilecore.cli.blobs", "find blobs in a volume"),
    "map": ("tilecore.cli.map", "apply a function to a volume"),
    "finish": ("tilecore.cli.finish", "complete a run whose parts (--shard) are done"),
    "plan": ("tilecore.cli.plan", "show the tiles that would be chosen for a volume"),
    "convert": ("tilecore.cli.convert", "convert an image to another file format"),
    "info": ("tilecore.cli.info", "show the properties of an image file, or what a file holds"),
    "sample": ("tilecore.cli.sample", "write a sample volume"),
    "batch": ("tilecore.cli.batch", "apply a function to a recording"),
    "dataset": ("tilecore.cli.dataset", "show or change labelled datasets"),
    "view": ("tilecore.cli.view", "draw an image, or some channels of a recording"),
    "doctor": ("tilecore.cli.doctor", "show what this machine and this installation offer"),
}

_FIRST_STEPS = """\
tilecore works on image stacks larger than memory, tile by tile, on every core. To begin:

  tilecore doctor                                                what this machine offers
  tilecore sample synthetic --shape 32 256 256 -o stack.tif      make a stack to try things on
  tilecore info stack.tif                                        what is in a file
  tilecore view stack.tif -o stack.png                           see it from three sides
  tilecore blobs stack.tif -o cells.csv --min-sigma 2 --max-sigma 4 --threshold 0.001
  tilecore map stack.tif --function scipy.ndimage:grey_dilation --kwargs '{"size": 3}' --halo 1 -o wide.tif

tilecore --help lists the subcommands, and tilecore SUBCOMMAND --help tells all of one."""

_LEVELS = ("debug", "info", "warning", "error")

# What a shell reports of a program that nobody reads any more: 128 + SIGPIPE.
_NOBODY_READS = 141


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit.

    The exit code is 0 for success, 1 if tiles failed, 2 for wrong input, 130 after Ctrl-C, 141 if nobody reads what
    is printed.
    """
    try:
        try:
            code = _run(sys.argv[1:] if arguments is None else list(arguments))
        finally:
            sys.stdout.flush()
    except OSError as error:
        code = _without_stdout(error)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    if not arguments:
        print(_FIRST_STEPS, file=sys.stderr)
        return 2
    options = _parser(arguments).parse_args(arguments)
    options.words = arguments
    if options.log_level not in _LEVELS:  # argparse does not check a default
        print(
            f"tilecore: error: TILECORE_LOG_LEVEL={options.log_level!r}: one of {', '.join(_LEVELS)}", file=sys.stderr
        )
        return 2
    logging.basicConfig(level=options.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    # Imported only here: --help needs neither numpy nor any other part of the package.
    from tilecore.errors import TilecoreError, TileError

    try:
        options.run(options)
    except TileError as error:
        print(f"tilecore {options.subcommand}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except (TilecoreError, OSError) as error:
        message = in_options(one_line(error), options.option_of, getattr(options, "names", {}))
        print(f"tilecore {options.subcommand}: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        how = "; --resume continues from there" if hasattr(options, "resume") else ""
        print(f"tilecore {options.subcommand}: interrupted{how}", file=sys.stderr)
        return 130
    return 0


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    """Build the parser; only the module of the called subcommand is imported, as it alone knows its options."""
    parser = Parser(
        prog="tilecore", description="Run functions over image volumes larger than memory, tile by tile, on every core."
    )
    parser.add_argument("--version", action="version", version=f"tilecore {__version__}")
    parser.add_argument(
        "--log-level",
        type=str.lower,
        default=os.environ.get("TILECORE_LOG_LEVEL", "").strip().lower() or "warning",
        choices=_LEVELS,
        help="how much to tell on stderr (default: %(default)s)",
    )
    subparsers = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    # "info" is both a subcommand and a log level.
    start = 2 if arguments[:1] == ["--log-level"] else 0
    called = next((argument for argument in arguments[start:] if argument in SUBCOMMANDS), None)
    for name, (module, summary) in SUBCOMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == called:
            importlib.import_module(module).configure(subparser)
    return parser


def _without_stdout(error: OSError) -> int:
    """Report that stdout cannot be written, and let Python forget what is left for it; return the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):  # as in "tilecore info FILE | head -1": all that was asked for was read
        return _NOBODY_READS
    print(f"tilecore: error: the output cannot be printed: {error}", file=sys.stderr)
    return 2
