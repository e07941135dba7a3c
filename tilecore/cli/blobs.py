"""``tilecore blobs``: the blobs of a volume as a table, a picture of them, and how they compare with the truth."""

from __future__ import annotations

import argparse
import ast
import sys
import time
from pathlib import Path
from typing import Any

from tilecore.cli.arguments import (
    add_output_arguments,
    add_run_arguments,
    add_source_arguments,
    open_input,
    run_options,
)
from tilecore.cli.outputs import check_outputs

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_source_arguments(parser)
    add_output_arguments(parser, "table to be made: .csv, .parquet, .npy, .xml (cellfinder) or .geojson")
    group = parser.add_argument_group("what is sought")
    group.add_argument(
        "--diameter-um", type=float, nargs="+", metavar="D", help="diameter, or smallest and largest [um], not sigmas"
    )
    group.add_argument("--min-sigma", type=float, nargs="+", default=[2], metavar="S", help="smallest scale [voxel]")
    group.add_argument("--max-sigma", type=float, nargs="+", default=[6], metavar="S", help="largest scale [voxel]")
    group.add_argument("--num-sigma", type=int, default=5, metavar="N", help="number of scales")
    group.add_argument("--sigma-ratio", type=float, default=1.6, metavar="R", help="from one scale to the next, of dog")
    group.add_argument("--log-scale", action="store_true", help="space the scales by their logarithm")
    group.add_argument("--threshold", type=float, default=0.02, metavar="T", help="smallest response")
    group.add_argument("--threshold-rel", type=float, metavar="T", help="the same, as a part of the largest response")
    group.add_argument("--overlap", type=float, default=0.5, metavar="F", help="largest overlap of two blobs")
    group.add_argument(
        "--exclude-border", type=int, default=0, metavar="N", help="width of the border left out [voxel]"
    )
    group.add_argument("--detector", default="log", metavar="NAME", help="log, dog, doh, module:name or an entry point")
    group.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="for other detectors")
    group.add_argument("--halo", type=int, nargs="+", metavar="N", help="context that other detectors need [voxel]")
    group.add_argument("--voxel-size-um", type=float, nargs="+", metavar="S", help="z, y, x (default: the file's)")
    group.add_argument("--mask", type=Path, metavar="FILE", help="image file; blobs count where it is not zero")
    group = parser.add_argument_group("what is shown")
    group.add_argument("--picture", type=Path, metavar="PNG", help="picture to be made: projections with the blobs")
    group.add_argument("--truth", type=Path, metavar="FILE", help="table to compare with")
    group.add_argument(
        "--tolerance-um", type=float, metavar="D", help="largest distance from the truth (default: the median radius)"
    )
    parser.add_argument("--resume", action="store_true", help="continue a run that was killed: OUTPUT.journal")
    add_run_arguments(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from tilecore.blobs.detection import detect_blobs
    from tilecore.blobs.reading import read_blobs
    from tilecore.blobs.writing import check_suffix, write_blobs

    check_suffix(options.output)
    check_outputs(
        {"output": options.output, "picture": options.picture},
        inputs={name: getattr(options, name) for name in ("input", "mask", "truth")},
        overwrite=options.overwrite,
    )
    truth = None if options.truth is None else read_blobs(options.truth)
    source = open_input(options)
    journal = Path(f"{options.output}.journal")
    start = time.perf_counter()
    blobs = detect_blobs(source, journal=journal, resume=options.resume, **_search(options), **run_options(options))
    seconds = time.perf_counter() - start
    write_blobs(blobs, options.output)
    for left in journal.parent.glob(f"{journal.name}*"):
        left.unlink()
    print(_summary(blobs, seconds), file=sys.stderr)
    print(options.output)
    if options.picture:
        _draw(source, blobs, options.picture)
        print(options.picture)
    if truth is not None:
        print(blobs.match(truth, _tolerance(options.tolerance_um, blobs)))


def _search(options: argparse.Namespace) -> dict[str, Any]:
    """What is sought, as keyword arguments of detect_blobs."""
    names = "detector num_sigma sigma_ratio threshold threshold_rel overlap log_scale exclude_border mask"
    search = {name: getattr(options, name) for name in names.split()}
    for name in ("min_sigma", "max_sigma", "diameter_um", "voxel_size_um", "halo"):
        values = getattr(options, name)
        search[name] = values[0] if values and len(values) == 1 else values
    return search | {"params": dict(map(_parameter, options.param))}


def _parameter(text: str) -> tuple[str, Any]:
    from tilecore.errors import ParameterError

    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise ParameterError.of("param", text, "NAME=VALUE is needed")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _summary(blobs: Any, seconds: float) -> str:
    import numpy as np

    shape = " x ".join(map(str, blobs.shape))
    text = f"{len(blobs)} blobs in {shape} voxels, {seconds:.1f} s"
    for name in ("radius_um", "radius"):
        if len(blobs) and name in blobs.columns:
            unit = "um" if name == "radius_um" else "voxels"
            return f"{text}; median radius {np.median(blobs[name]):.3g} {unit}"
    return text


def _tolerance(given: float | None, blobs: Any) -> float:
    import numpy as np

    radius = "radius_um" if "radius_um" in blobs.columns else "radius"
    if given is not None or not len(blobs) or radius not in blobs.columns:
        return 5.0 if given is None else given
    return float(np.median(blobs[radius]))


def _draw(source: Any, blobs: Any, path: Path) -> None:
    from tilecore.blobs.channels import channels_of
    from tilecore.formats.finishing import finished
    from tilecore.report.projections import draw_blobs

    with finished(path) as partial:
        draw_blobs(next(iter(channels_of(source, None).values())), blobs, partial)
