"""The subcommand ``tilecore plan``: the tiles that would be chosen for a volume, and their memory."""

from __future__ import annotations

import argparse
import math

from tilecore.cli.arguments import (
    add_function_arguments,
    add_halo_argument,
    add_plan_arguments,
    add_source_arguments,
    kwargs_of,
    open_input,
)
from tilecore.cli.functions import load_function
from tilecore.cli.parser import Numbers

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_source_arguments(parser)
    add_function_arguments(parser, required=False)
    add_halo_argument(parser)
    add_plan_arguments(parser)
    parser.add_argument(
        "--write-units", action=Numbers, metavar="N,N,...", help="chunks or shards of the output, per axis [voxel]"
    )
    parser.add_argument(
        "--bytes-per-voxel",
        type=float,
        metavar="N",
        help="memory that the function needs for each voxel of its block (default: a guess; a run measures it)",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from tilecore.arrays.access import chunk_lengths
    from tilecore.engine.declared import Declared, first_given
    from tilecore.engine.inputs import extra_axes, for_all_axes
    from tilecore.errors import ParameterError
    from tilecore.geometry.costs import TileCosts
    from tilecore.geometry.planning import plan_tiles

    given = options.bytes_per_voxel
    if given is not None and not 0 < given < math.inf:
        raise ParameterError.of("bytes_per_voxel", given, "must be more than 0")
    source = open_input(options)
    function = None if options.function is None else load_function(options.function)
    declared = Declared() if function is None else Declared.of(function, kwargs_of(options))
    needed = first_given(given, declared.bytes_per_voxel)
    plan = plan_tiles(
        source.shape,
        source.dtype,
        max_memory=options.max_memory,
        workers=options.workers,
        halo=for_all_axes(first_given(options.halo, declared.halo, 0), source.info, 0),
        chunks=chunk_lengths(source),
        write_units=for_all_axes(options.write_units, source.info, 1),
        single_axes=extra_axes(source.info),
        padded=declared.boundary is not None,
        costs=None if needed is None else TileCosts(needed),
    )
    print(f"volume     {' x '.join(map(str, source.shape))} voxels, {source.dtype}")
    print(plan)
