"""``tilecore blobs``: the blobs of a volume as a table, and a picture of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tilecore.cli.arguments import (
    add_output_arguments,
    add_run_arguments,
    add_source_arguments,
    check_output,
    open_input,
    run_options,
)

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_source_arguments(parser)
    add_output_arguments(parser, "CSV file to be made")
    parser.add_argument("--min-sigma", type=float, default=2, metavar="S", help="smallest scale [voxel]")
    parser.add_argument("--max-sigma", type=float, default=6, metavar="S", help="largest scale [voxel]")
    parser.add_argument("--num-sigma", type=int, default=5, metavar="N", help="number of scales")
    parser.add_argument("--threshold", type=float, default=0.02, metavar="T", help="smallest response")
    parser.add_argument("--overlap", type=float, default=0.5, metavar="F", help="largest overlap of two blobs")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="picture to be made: the blobs on the projection")
    add_run_arguments(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    import numpy as np

    from tilecore.blobs.detection import detect_blobs
    from tilecore.formats.finishing import finished

    for path in filter(None, (options.output, options.picture)):
        check_output(path, overwrite=options.overwrite)
    source = open_input(options)
    blobs = detect_blobs(
        source,
        min_sigma=options.min_sigma,
        max_sigma=options.max_sigma,
        num_sigma=options.num_sigma,
        threshold=options.threshold,
        overlap=options.overlap,
        **run_options(options),
    )
    with finished(options.output) as partial:
        np.savetxt(partial, blobs, delimiter=",", fmt="%.6g", header="z,y,x,sigma", comments="")
    print(f"{len(blobs)} blobs in {source.shape} voxels", file=sys.stderr)
    print(options.output)
    if options.picture:
        _draw(source, blobs, options.picture)
        print(options.picture)


def _draw(source: Any, blobs: Any, path: Path) -> None:
    from tilecore.formats.finishing import finished
    from tilecore.report.projections import draw_blobs

    with finished(path) as partial:
        draw_blobs(source, blobs, partial)
