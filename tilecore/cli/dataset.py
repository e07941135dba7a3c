"""The subcommand ``tilecore dataset``: what labelled datasets hold, other chunks for them, and their metadata."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from tilecore.cli.printing import print_rows

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    what = "show the variables of a dataset"
    one = verbs.add_parser("ls", help=what, description=f"{what.capitalize()}.")
    one.add_argument("folder", metavar="DIR", help="folder of the dataset")
    one.set_defaults(run=_list, names={"dpath": "folder"})
    what = "copy variables into another folder, with other chunks"
    one = verbs.add_parser("rechunk", help=what, description=f"{what.capitalize()}.")
    one.add_argument("source", metavar="SRC", help="folder of the dataset, or of one variable")
    one.add_argument("target", metavar="DST", help="folder for the copies")
    one.add_argument(
        "--chunks",
        type=_lengths,
        required=True,
        metavar="DIM=N,...",
        help="lengths of chunks, such as frame=100,height=-1; -1 is the whole dimension",
    )
    one.add_argument(
        "--max-memory", default="500MB", metavar="SIZE", help="memory for all workers together (default: %(default)s)"
    )
    one.add_argument("--workers", type=int, metavar="N", help="number of processes (default: all usable cores)")
    one.add_argument("--overwrite", action="store_true", help="replace variables that exist")
    one.add_argument("--resume", action="store_true", help="go on with what a stopped run has left")
    one.set_defaults(run=_rechunk, names={"mem_limit": "max_memory"})
    what = "write names of folders into the variables of all datasets below a folder"
    one = verbs.add_parser("set-meta", help=what, description=f"{what.capitalize()}.")
    one.add_argument("folder", metavar="DIR", help="folder that holds the datasets, at any depth")
    one.add_argument(
        "--from-path",
        nargs="+",
        type=_level,
        required=True,
        metavar="NAME=LEVEL",
        help="name of a coordinate, and the level of its folder: -1 is the one that holds the dataset",
    )
    one.add_argument(
        "--pattern", default="^minian$", help="regular expression for the names of datasets (default: %(default)s)"
    )
    one.set_defaults(run=_set_metadata, names={"dpath": "folder", "meta_dict": "from_path"})


def _pair(text: str, example: str) -> tuple[str, int]:
    """A name and a number."""
    name, is_there, number = text.partition("=")
    if not (name and is_there and re.fullmatch("-?[0-9]+", number)):
        raise argparse.ArgumentTypeError(f"{text!r}: a name and a whole number are needed, such as {example}")
    return name, int(number)


def _level(text: str) -> tuple[str, int]:
    return _pair(text, "session=-1")


def _lengths(text: str) -> dict[str, int]:
    return dict(_pair(part, "frame=100") for part in text.split(","))


def _list(options: argparse.Namespace) -> None:
    from tilecore.bytesize import format_bytes
    from tilecore.datasets import list_variables

    found = list_variables(options.folder)
    if not found:
        print("no variables")
        return
    rows = [("name", "dtype", "dims", "shape", "chunks", "size", "coordinates")]
    rows += [
        (
            each.name,
            each.dtype,
            _joined(each.dims),
            _joined(each.shape),
            _joined(each.chunks),
            format_bytes(each.nbytes),
            _joined(each.coordinates),
        )
        for each in found
    ]
    print_rows(rows)


def _joined(parts: Sequence[object]) -> str:
    return ",".join(map(str, parts)) or "-"


def _rechunk(options: argparse.Namespace) -> None:
    from tilecore.datasets import rechunk_dataset

    copies = rechunk_dataset(
        options.source,
        options.target,
        chunks=options.chunks,
        mem_limit=options.max_memory,
        overwrite=options.overwrite,
        resume=options.resume,
        workers=options.workers,
    )
    print(*copies, sep="\n")


def _set_metadata(options: argparse.Namespace) -> None:
    from tilecore.datasets import update_metadata

    update_metadata(options.folder, options.pattern, dict(options.from_path))
