"""Main function of the command ``tilecore``: runs a subcommand, and reports an error in one line."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from tilecore import __version__

__all__ = ["SUBCOMMANDS", "main"]

#: Module and help text of each subcommand.
SUBCOMMANDS = {
    "blobs": ("tilecore.cli.blobs", "find blobs in a volume"),
    "map": ("tilecore.cli.map", "apply a function to a volume"),
    "plan": ("tilecore.cli.plan", "show the tiles that would be chosen for a volume"),
    "convert": ("tilecore.cli.convert", "convert an image to another file format"),
    "info": ("tilecore.cli.info", "show the properties of an image file"),
    "sample": ("tilecore.cli.sample", "write a sample volume"),
    "batch": ("tilecore.cli.batch", "apply a function to a recording"),
    "view": ("tilecore.cli.view", "draw some channels of a recording"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 for success, 1 if tiles failed, 2 for wrong input, 130 after Ctrl-C."""
    sys.exit(_run(sys.argv[1:] if arguments is None else list(arguments)))


def _run(arguments: list[str]) -> int:
    options = _parser(arguments).parse_args(arguments)
    logging.basicConfig(level=options.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    # Imported only here: --help needs neither numpy nor any other part of the package.
    from tilecore.errors import TilecoreError, TileError

    try:
        options.run(options)
    except TileError as error:
        print(f"tilecore {options.subcommand}: {error}", file=sys.stderr)
        return 1
    except (TilecoreError, OSError) as error:
        print(f"tilecore {options.subcommand}: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        how = "; --resume continues from there" if hasattr(options, "resume") else ""
        print(f"tilecore {options.subcommand}: interrupted{how}", file=sys.stderr)
        return 130
    return 0


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    """Build the parser; only the module of the called subcommand is imported, as it alone knows its options."""
    parser = argparse.ArgumentParser(
        prog="tilecore", description="Run functions over image volumes larger than memory, tile by tile, on every core."
    )
    parser.add_argument("--version", action="version", version=f"tilecore {__version__}")
    parser.add_argument(
        "--log-level",
        default=os.environ.get("TILECORE_LOG_LEVEL", "warning"),
        choices=["debug", "info", "warning", "error"],
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


def _one_line(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return " ".join(text.split())
