"""The subcommand ``tilecore finish``: a run whose parts are done becomes one output."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tilecore.cli.arguments import add_plan_arguments

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    parser.add_argument("output", metavar="OUTPUT", help="file that the parts of the run (--shard I/N) were to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    add_plan_arguments(parser)
    parser.add_argument("--executor", default="processes", metavar="NAME", help="who makes the levels of a pyramid")
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from tilecore.engine.mapping import level_maker
    from tilecore.engine.options import Options, RunOptions
    from tilecore.engine.parts.finishing import done_run
    from tilecore.finishing import APPLICATIONS

    run = RunOptions(executor=options.executor, workers=options.workers, max_memory=options.max_memory)
    run["progress"] = False if options.quiet else None
    Options.of(run)
    with done_run(options.output) as done:
        if done.plan.sink is not None:
            done.complete(level_maker(run), overwrite=options.overwrite)
        else:
            _write_table(done.results(APPLICATIONS), Path(options.output), overwrite=options.overwrite)
            done.tidy()
    print(options.output)


def _write_table(found: object, path: Path, *, overwrite: bool) -> None:
    """Write the blobs of all parts; lists of results are for Python alone."""
    from tilecore.blobs.table import Blobs
    from tilecore.blobs.writing import check_suffix, write_blobs
    from tilecore.errors import ParameterError
    from tilecore.output_file import refuse_existing

    if not isinstance(found, Blobs):
        raise ParameterError.of("path", str(path), "is a run of collect_tiles: get its results by tilecore.finish")
    check_suffix(path)
    refuse_existing(path, overwrite=overwrite)
    write_blobs(found, path)
    print(f"{len(found)} blob{'s' * (len(found) != 1)}", file=sys.stderr)
