"""Arguments that several subcommands have in common."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilecore.cli.parser import Numbers

if TYPE_CHECKING:
    import numpy as np

    from tilecore.engine.parts.run_part import RunPart
    from tilecore.formats.source import FileSource

__all__ = [
    "add_function_arguments",
    "add_halo_argument",
    "add_image_arguments",
    "add_output_arguments",
    "add_plan_arguments",
    "add_resume_argument",
    "add_run_arguments",
    "add_shard_argument",
    "as_dtype",
    "as_output",
    "check_exists",
    "kwargs_of",
    "add_source_arguments",
    "open_input",
    "part_of",
    "run_options",
    "tell_output",
]


def add_output_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the arguments ``-o`` and ``--overwrite``."""
    parser.add_argument("-o", "--output", type=as_output, required=True, metavar="FILE", help=what)
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def as_output(text: str) -> Path:
    """The path of an output, which a plain Path would take for a file's also if it is a URL."""
    from tilecore.objects.paths import path_of

    return path_of(text)


def add_resume_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument ``--resume``. To replace an older output, ``--overwrite`` is needed as well."""
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where a run was killed or interrupted, as OUTPUT.journal tells; "
        "with --overwrite, an older output is replaced when the run is complete",
    )


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the input, and for the part of it to read."""
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="image: TIFF, folder or 'glob*.tif' of planes, OME-Zarr, zarr, N5, file.h5:/path, .npy, raw numbers; "
        "zarr and N5 also at a URL, such as s3://bucket/volume.zarr",
    )
    group = parser.add_argument_group("input")
    group.add_argument("--dtype", help="data type of raw numbers, such as uint16 or '>u2'")
    group.add_argument("--offset", type=int, default=0, metavar="BYTES", help="position of the first raw number")
    group.add_argument("--order", choices=["C", "F"], default="C", help="whether x (C) or z (F) varies fastest")
    group.add_argument(
        "--missing-chunks", choices=["error", "fill"], default="error", help="what to do with a missing chunk"
    )
    add_image_arguments(group)


def add_image_arguments(group: argparse._ActionsContainer) -> None:
    """Add the arguments for the part of an image to read."""
    group.add_argument("--axes", help="a letter per axis, such as ZCYX, if the file does not tell them or is wrong")
    group.add_argument("--series", type=int, metavar="N", help="image of a file that has several")
    group.add_argument("--level", type=int, default=0, metavar="N", help="level of a pyramid (default: 0, the finest)")
    group.add_argument("--channel", metavar="NAME", help="number or name of a channel (default: all)")
    group.add_argument("--time", type=int, metavar="N", help="time point (default: all)")
    group.add_argument("--shape", action=Numbers, is_list=True, metavar="Z,Y,X", help="voxels of raw numbers")


def open_input(options: argparse.Namespace) -> FileSource:
    """Open the input that the arguments describe."""
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


def check_exists(name: str, path: str) -> None:
    """Refuse an input that leads to nothing, by the name of its argument; it may be a pattern, or file.h5:/path."""
    from tilecore.errors import MissingFileError
    from tilecore.formats.kinds import split_place
    from tilecore.formats.paths import is_pattern
    from tilecore.objects.urls import is_url

    # What lies at a URL is looked for when it is opened.
    if not (is_url(path) or os.path.exists(split_place(path)[0]) or is_pattern(path)):
        raise MissingFileError.of(name, path, "there is no such file")


def as_dtype(name: str, text: str | None) -> np.dtype[Any] | None:
    """Data type for a name such as ``uint16`` or ``>u2``; None for None."""
    import numpy as np

    from tilecore.errors import ParameterError

    if text is None:
        return None
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError, SyntaxError) as error:
        raise ParameterError.of(name, text, f"must be a data type such as uint16 or '>f4': {error}") from error
    if dtype.kind not in "biufc":
        raise ParameterError.of(name, text, "must be a data type such as uint16 or '>f4'")
    return dtype


def add_plan_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the arguments ``--workers`` and ``--max-memory``, which the plan depends on."""
    parser.add_argument("-j", "--workers", type=int, metavar="N", help="tiles worked on at once (default: every core)")
    parser.add_argument(
        "--max-memory",
        metavar="SIZE",
        help="memory limit for all workers together, such as 4GB (default: half of the free memory)",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the options of a run."""
    group = parser.add_argument_group("run")
    add_plan_arguments(group)
    group.add_argument(
        "--executor",
        metavar="NAME",
        help="who runs the tiles: processes (default), threads, serial, dask, or one that another package brings",
    )
    cluster = group.add_mutually_exclusive_group()
    cluster.add_argument("--dask", metavar="ADDRESS", help="run on the cluster whose scheduler of dask is there")
    cluster.add_argument(
        "--scheduler-file", metavar="FILE", help="the same, by the file that the scheduler has written"
    )
    group.add_argument("--start-method", choices=["forkserver", "spawn", "fork"], help="how processes start")
    group.add_argument(
        "--tile-shape", action=Numbers, metavar="Z,Y,X", help="shape of a tile [voxel] (default: chosen)"
    )
    add_shard_argument(group)
    group.add_argument("--retries", type=int, metavar="N", help="times a failed tile is tried again")
    group.add_argument("--timeout", type=float, metavar="SECONDS", help="seconds a tile may take")
    group.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def add_shard_argument(parser: argparse._ActionsContainer) -> None:
    """Add the argument ``--shard``."""
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="do only the I-th of N parts of the run, on any host at any time; auto/N: as the task of an array job "
        "(Slurm, SGE) tells; 'tilecore finish' completes the run",
    )


def part_of(options: argparse.Namespace) -> RunPart | None:
    """The part of the run that ``--shard`` asks for, with the command that runs it; None for the whole run."""
    from dataclasses import replace

    from tilecore.engine.parts.run_part import RunPart

    if options.shard is None:
        return None
    words = list(options.words)
    while "--shard" in words:
        del words[(place := words.index("--shard")) : place + 2]
    words = [word for word in words if not word.startswith("--shard=")]
    return replace(RunPart.of(options.shard), command=("tilecore", *words))


def tell_output(options: argparse.Namespace) -> None:
    """Print the path of the output, or what was done of it."""
    part = part_of(options)
    print(options.output if part is None else f"{part} of {options.output} is done")


def add_halo_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument ``--halo``."""
    parser.add_argument(
        "--halo",
        action=Numbers,
        metavar="N,N,...",
        help="context around a tile, for all axes or each [voxel] (default: what the function declares)",
    )


def add_function_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the arguments ``--function`` and ``--kwargs``."""
    parser.add_argument(
        "--function",
        required=required,
        metavar="MODULE:NAME",
        help="function that is called with each block: its module, also one in the current folder, or its file, "
        "as in ./my.py:smooth",
    )
    parser.add_argument("--kwargs", default="{}", metavar="JSON", help="further arguments, such as '{\"sigma\": 2}'")


def kwargs_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the function's further arguments, from ``--kwargs``."""
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
    """Return the options of a run that were given, as keyword arguments for `map_tiles` and the other verbs."""
    given = {
        "workers": options.workers,
        "executor": options.executor,
        "start_method": options.start_method,
        "max_memory": options.max_memory,
        "tile_shape": options.tile_shape,
        "retries": options.retries,
        "timeout": options.timeout,
        "shard": part_of(options),
        "progress": False if options.quiet else None,
    }
    told = {name: value for name, value in given.items() if value is not None}
    if options.dask is None and options.scheduler_file is None:
        return told
    return _on_cluster(options, told)


def _on_cluster(options: argparse.Namespace, told: dict[str, Any]) -> dict[str, Any]:
    """Options of a run on a cluster."""
    from tilecore.errors import ParameterError
    from tilecore.executors.dask.connecting import address_in
    from tilecore.executors.dask.executor import DaskExecutor

    option = "--dask" if options.scheduler_file is None else "--scheduler-file"
    if told.pop("executor", "dask") != "dask":
        raise ParameterError.of("executor", options.executor, f"{option} is for executor 'dask' alone: leave out one")
    for name in ("start_method", "timeout"):
        if name in told:
            raise ParameterError.of(name, told[name], f"a cluster of dask ({option}) has no such option")
    where = options.dask if options.scheduler_file is None else address_in(options.scheduler_file)
    return told | {"executor": DaskExecutor(address=where, workers=told.pop("workers", None))}
