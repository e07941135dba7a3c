"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

__all__ = [
    "add_function_arguments",
    "add_halo_argument",
    "add_output_arguments",
    "add_plan_arguments",
    "add_resume_argument",
    "add_run_arguments",
    "as_dtype",
    "halo_of",
    "kwargs_of",
    "add_source_arguments",
    "numbers",
    "open_input",
    "run_options",
]


def add_output_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``-o`` and ``--overwrite``."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=what)
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def add_resume_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--resume``: beside ``--overwrite`` it has its own meaning, both are needed where an older output exists."""
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where a run was killed or interrupted, as OUTPUT.journal tells; "
        "with --overwrite, an older output is replaced when the run is complete",
    )


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the input, and what to take of it."""
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="image: TIFF, folder or 'glob*.tif' of planes, OME-Zarr, zarr, N5, file.h5:/path, .npy, raw numbers",
    )
    group = parser.add_argument_group("input")
    group.add_argument("--axes", help="a letter per axis, such as ZCYX, where the file is silent or wrong")
    group.add_argument("--series", type=int, metavar="N", help="image of a file that has several")
    group.add_argument("--level", type=int, default=0, metavar="N", help="level of a pyramid (default: 0, the finest)")
    group.add_argument("--channel", metavar="NAME", help="number or name of a channel (default: all)")
    group.add_argument("--time", type=int, metavar="N", help="time point (default: all)")
    group.add_argument("--shape", type=numbers, metavar="Z,Y,X", help="voxels of raw numbers")
    group.add_argument("--dtype", help="kind of raw numbers, such as uint16 or '>u2'")
    group.add_argument("--offset", type=int, default=0, metavar="BYTES", help="where raw numbers begin")
    group.add_argument("--order", choices=["C", "F"], default="C", help="whether x (C) or z (F) varies fastest")
    group.add_argument(
        "--missing-chunks", choices=["error", "fill"], default="error", help="what a chunk that is not there means"
    )


def open_input(options: argparse.Namespace) -> Any:
    """Open the input, as the arguments say."""
    from tilecore.formats.opening import open_source

    channel = options.channel
    return open_source(
        options.input,
        axes=options.axes,
        series=options.series,
        level=options.level,
        channel=int(channel) if channel is not None and channel.lstrip("-").isdigit() else channel,
        time=options.time,
        shape=options.shape,
        dtype=as_dtype("dtype", options.dtype),
        offset=options.offset,
        order=options.order,
        missing_chunks=options.missing_chunks,
    )


def as_dtype(name: str, text: str | None) -> Any:
    """A kind of number by its name, such as ``uint16`` or ``>u2``; None if none was given."""
    import numpy as np

    from tilecore.errors import ParameterError

    if text is None:
        return None
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError, SyntaxError) as error:
        raise ParameterError.of(name, text, f"a kind of number, such as uint16 or '>f4', is needed: {error}") from error
    if dtype.kind not in "biufc":
        raise ParameterError.of(name, text, "a kind of number, such as uint16 or '>f4', is needed")
    return dtype


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas."""
    return tuple(int(part) for part in text.split(","))


def add_plan_arguments(parser: Any) -> None:
    """Add ``--workers`` and ``--max-memory``, from which a plan follows."""
    parser.add_argument("-j", "--workers", type=int, metavar="N", help="tiles worked on at once (default: every core)")
    parser.add_argument(
        "--max-memory",
        metavar="SIZE",
        help="bound on what the tiles of all workers together take, such as 4GB (default: half of what is free)",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    group = parser.add_argument_group("run")
    add_plan_arguments(group)
    group.add_argument(
        "--executor",
        metavar="NAME",
        help="who runs the tiles: processes (default), threads, serial, or one that another package brings",
    )
    group.add_argument("--start-method", choices=["forkserver", "spawn", "fork"], help="how processes start")
    group.add_argument(
        "--tile-shape", type=int, nargs="+", metavar="N", help="voxels a tile owns, per axis (default: chosen)"
    )
    group.add_argument("--retries", type=int, metavar="N", help="times a failed tile is tried again")
    group.add_argument("--timeout", type=float, metavar="SECONDS", help="seconds a tile may take")
    group.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def add_halo_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--halo``."""
    parser.add_argument(
        "--halo",
        type=int,
        nargs="+",
        metavar="N",
        help="context around a tile, for all axes or each [voxel] (default: what the function declares)",
    )


def add_function_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add ``--function`` and what it is called with."""
    parser.add_argument(
        "--function",
        required=required,
        metavar="MODULE:NAME",
        help="called with each block; modules are also looked for in this folder",
    )
    parser.add_argument("--kwargs", default="{}", metavar="JSON", help="further arguments, such as '{\"sigma\": 2}'")


def halo_of(options: argparse.Namespace) -> int | list[int] | None:
    """The halo that was given."""
    halo: list[int] | None = options.halo
    return halo[0] if halo and len(halo) == 1 else halo


def kwargs_of(options: argparse.Namespace) -> dict[str, Any]:
    """The further arguments of the function."""
    from tilecore.errors import ParameterError

    text = options.kwargs
    try:
        kwargs = json.loads(text)
    except ValueError as error:
        raise ParameterError.of("kwargs", text, f"must be JSON: {error}") from error
    if not isinstance(kwargs, dict):
        raise ParameterError.of("kwargs", text, 'must be a JSON object, such as {"sigma": 2}')
    return kwargs


def run_options(options: argparse.Namespace) -> dict[str, Any]:
    """What was given for the options of a run, as keyword arguments of the verbs; the rest is as the verbs have it."""
    shape = options.tile_shape
    given = {
        "workers": options.workers,
        "executor": options.executor,
        "start_method": options.start_method,
        "max_memory": options.max_memory,
        "tile_shape": shape[0] if shape and len(shape) == 1 else shape,
        "retries": options.retries,
        "timeout": options.timeout,
        "progress": False if options.quiet else None,
    }
    return {name: value for name, value in given.items() if value is not None}
