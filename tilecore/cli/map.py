"""The subcommand ``tilecore map``: a function of your own, applied to a volume, writes a file."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tilecore.cli.arguments import (
    add_function_arguments,
    add_halo_argument,
    add_output_arguments,
    add_resume_argument,
    add_run_arguments,
    add_source_arguments,
    as_dtype,
    kwargs_of,
    open_input,
    run_options,
    tell_output,
)
from tilecore.cli.functions import load_function
from tilecore.cli.outputs import check_outputs

__all__ = ["configure"]

_NO_HALO = (
    "tilecore map: no --halo was given, and the function declares none: "
    "the result is right only if the function works on each voxel by itself"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_source_arguments(parser)
    add_function_arguments(parser, required=True)
    add_halo_argument(parser)
    parser.add_argument(
        "--boundary",
        metavar="MODE",
        help="values of blocks beyond the volume: reflect, symmetric, edge, wrap, constant or a number "
        "(default: what the function declares)",
    )
    parser.add_argument(
        "--out-dtype",
        metavar="DTYPE",
        help="data type of the output (default: what the function declares, or that of the first result)",
    )
    add_output_arguments(parser, "file to write")
    add_resume_argument(parser)
    add_run_arguments(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from tilecore.engine.declared import Declared
    from tilecore.engine.mapping import map_tiles

    may_exist = options.overwrite or options.resume or options.shard is not None
    check_outputs({"output": options.output}, inputs={"input": options.input}, overwrite=may_exist)
    function, kwargs, halo = load_function(options.function), kwargs_of(options), options.halo
    if halo is None and Declared.of(function, kwargs).halo is None and not options.quiet:
        print(_NO_HALO, file=sys.stderr)
    map_tiles(
        function,
        open_input(options),
        kwargs=kwargs,
        halo=halo,
        boundary=_boundary(options.boundary),
        dtype=as_dtype("out_dtype", options.out_dtype),
        out=options.output,
        overwrite=options.overwrite,
        resume=options.resume,
        **run_options(options),
    )
    tell_output(options)


def _boundary(text: str | None) -> Any:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
