"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_output_arguments", "add_run_arguments", "check_output", "run_options"]


def add_output_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``-o`` and ``--overwrite``."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=what)
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    group = parser.add_argument_group("run")
    group.add_argument("-j", "--workers", type=int, metavar="N", help="tiles worked on at once (default: every core)")
    group.add_argument("--executor", choices=["processes", "threads", "serial"], default="processes")
    group.add_argument("--start-method", choices=["forkserver", "spawn", "fork"], help="how processes start")
    group.add_argument("--max-memory", metavar="SIZE", help="bound on all workers together, such as 4GB")
    group.add_argument(
        "--tile-shape", type=int, nargs="+", metavar="N", help="voxels a tile owns, per axis (default: chosen)"
    )
    group.add_argument("--retries", type=int, default=2, metavar="N", help="times a failed tile is tried again")
    group.add_argument("--timeout", type=float, metavar="SECONDS", help="seconds a tile may take")
    group.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def run_options(options: argparse.Namespace) -> dict[str, Any]:
    """What was given for the options of a run, as keyword arguments of the verbs."""
    shape = options.tile_shape
    return {
        "workers": options.workers,
        "executor": options.executor,
        "start_method": options.start_method,
        "max_memory": options.max_memory,
        "tile_shape": shape[0] if shape and len(shape) == 1 else shape,
        "retries": options.retries,
        "timeout": options.timeout,
        "progress": False if options.quiet else None,
    }


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists, or whose folder does not, before any work is done."""
    from tilecore.errors import MissingFileError
    from tilecore.formats.file_sink import refuse_existing

    if not path.parent.is_dir():
        raise MissingFileError.of("output", str(path), "there is no such folder")
    refuse_existing(path, overwrite=overwrite)
