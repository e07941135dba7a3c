"""The subcommand ``tilecore blobs``: blobs of a volume as a table, with a picture, and a comparison with the truth."""

from __future__ import annotations

import argparse
import ast
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilecore.blobs.defaults import NUM_SIGMA, OVERLAP, SIGMA_RATIO, THRESHOLD
from tilecore.cli.arguments import (
    add_output_arguments,
    add_resume_argument,
    add_run_arguments,
    add_source_arguments,
    check_exists,
    open_input,
    run_options,
    tell_output,
)
from tilecore.cli.functions import look_here
from tilecore.cli.outputs import check_outputs
from tilecore.cli.parser import Numbers
from tilecore.cli.wording import in_options

if TYPE_CHECKING:
    import numpy as np

    from tilecore.blobs.channels import Channels
    from tilecore.blobs.table import Blobs
    from tilecore.formats.source import FileSource

__all__ = ["configure"]

_OF_ALL_SCALES = {"diameter_um", "min_sigma", "max_sigma", "threshold", "threshold_rel", "exclude_border"}

#: Search options that each of tilecore's own detectors uses; other detectors use the last ones.
_READ = {
    "log": _OF_ALL_SCALES | {"num_sigma", "log_scale"},
    "dog": _OF_ALL_SCALES | {"sigma_ratio"},
    "doh": _OF_ALL_SCALES | {"num_sigma", "log_scale"},
}
_READ_BY_OTHERS = {"param", "halo"}

#: Options that are passed to `detect_blobs` under the same name.
_SOUGHT = (
    "detector",
    "min_sigma",
    "max_sigma",
    "num_sigma",
    "sigma_ratio",
    "diameter_um",
    "threshold",
    "threshold_rel",
    "overlap",
    "log_scale",
    "exclude_border",
    "mask",
    "voxel_size_um",
    "halo",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_source_arguments(parser)
    add_output_arguments(parser, "table to write: .csv, .parquet, .npy, .xml (cellfinder) or .geojson")
    _add_search_arguments(parser.add_argument_group("search"))
    group = parser.add_argument_group("results")
    group.add_argument("--picture", type=Path, metavar="PNG", help="picture to write: projections with the blobs")
    group.add_argument("--truth", type=Path, metavar="FILE", help="table to compare with")
    group.add_argument(
        "--tolerance-um", type=float, metavar="D", help="largest distance from the truth (default: the median radius)"
    )
    add_resume_argument(parser)
    add_run_arguments(parser)
    parser.set_defaults(run=_run)


def _add_search_arguments(group: argparse._ActionsContainer) -> None:
    """Add the arguments of the search, without defaults, so that options that were given can be recognized."""
    group.add_argument(
        "--diameter-um",
        action=Numbers,
        kind=float,
        metavar="D,D",
        help="diameter, or smallest and largest [um], not sigmas",
    )
    group.add_argument("--min-sigma", action=Numbers, kind=float, metavar="S,S,...", help="smallest scale [voxel]")
    group.add_argument("--max-sigma", action=Numbers, kind=float, metavar="S,S,...", help="largest scale [voxel]")
    for name, metavar, kind, what in (
        ("num-sigma", "N", int, f"number of scales, of log and doh (default: {NUM_SIGMA})"),
        ("sigma-ratio", "R", float, f"from one scale to the next, of dog (default: {SIGMA_RATIO})"),
        ("threshold", "T", float, f"smallest response; integers are scaled to 0..1 (default: {_thresholds()})"),
        ("overlap", "F", float, f"largest overlap of two blobs (default: {OVERLAP})"),
    ):
        group.add_argument(f"--{name}", type=kind, metavar=metavar, help=what)
    group.add_argument("--threshold-rel", type=float, metavar="T", help="the same, as a part of the largest response")
    group.add_argument("--log-scale", action="store_true", help="space the scales by their logarithm, of log and doh")
    group.add_argument("--exclude-border", type=int, metavar="N", help="width of the border left out [voxel]")
    group.add_argument("--detector", default="log", metavar="NAME", help="log, dog, doh, module:name or an entry point")
    group.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="for other detectors")
    group.add_argument("--halo", action=Numbers, metavar="N,N,...", help="context that other detectors need [voxel]")
    group.add_argument("--voxel-size-um", action=Numbers, kind=float, metavar="Z,Y,X", help="default: the file's")
    group.add_argument("--mask", type=Path, metavar="FILE", help="image file; blobs count where it is not zero")


def _thresholds() -> str:
    first, *others = THRESHOLD.items()
    return f"{first[1]}, {', '.join(f'of {name} {value}' for name, value in others)}"


def _run(options: argparse.Namespace) -> None:
    from tilecore.blobs.writing import check_suffix

    check_suffix(options.output)
    check_outputs(
        {"output": options.output, "picture": options.picture},
        inputs={name: getattr(options, name) for name in ("input", "mask", "truth")},
        overwrite=options.overwrite or options.shard is not None,  # it may be finished; `finish` replaces no other
    )
    search = _search(options)
    look_here()
    (_search_all if options.shard is None else _search_part)(options, open_input(options), search)


def _search_all(options: argparse.Namespace, source: FileSource, search: dict[str, Any]) -> None:
    """Search in the whole volume, write the table, and make what else is asked for."""
    from tilecore.blobs.channels import channels_of
    from tilecore.blobs.detection import detect_blobs
    from tilecore.blobs.journals import journals_of
    from tilecore.blobs.matching import usual_tolerance
    from tilecore.blobs.writing import write_blobs
    from tilecore.engine.journal_file import is_journal

    channels = channels_of(source, None)
    truth = _truth(options, source, channels, search.get("voxel_size_um"))
    _check_picture(options.picture, channels.volumes)
    journal = Path(f"{options.output}.journal")
    start = time.perf_counter()
    blobs = detect_blobs(source, journal=journal, resume=options.resume, **search, **run_options(options))
    seconds = time.perf_counter() - start
    write_blobs(blobs, options.output)
    for left in filter(is_journal, journals_of(journal, channels)):
        left.unlink()
    print(_summary(blobs, channels, seconds), file=sys.stderr)
    if not len(blobs) and options.detector in _READ:
        hint = _hint(search, source.shape, source.dtype, blobs.largest_response)
        print(in_options(hint, options.option_of, {}), file=sys.stderr)
    print(options.output)
    tolerance = options.tolerance_um
    if tolerance is None and truth is not None:
        tolerance = usual_tolerance(blobs, truth)
    if options.picture:
        _draw(channels, blobs, options.picture, truth, tolerance)
        print(options.picture)
    if truth is not None:
        print(blobs.match(truth, tolerance))


def _search_part(options: argparse.Namespace, source: FileSource, search: dict[str, Any]) -> None:
    """Search in one part of the volume; `tilecore finish` writes the table."""
    from tilecore.blobs.detection import detect_blobs
    from tilecore.errors import ParameterError

    for name in ("picture", "truth"):
        if (given := getattr(options, name)) is not None:
            raise ParameterError.of(
                name, str(given), "does not go with --shard, as no part knows all blobs; leave it out"
            )
    detect_blobs(source, journal=options.output, **search, **run_options(options))
    tell_output(options)


def _search(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of the search, for `detect_blobs`."""
    _refuse_what_is_not_read(options)
    _refuse_unknown_size(options)
    if options.mask is not None:
        check_exists("mask", str(options.mask))
    search = {name: value for name in _SOUGHT if (value := getattr(options, name)) is not None}
    return search | {"params": dict(map(_parameter, options.param))}


def _refuse_what_is_not_read(options: argparse.Namespace) -> None:
    """Refuse options that the detector does not use, and sigmas together with a diameter."""
    from tilecore.errors import ParameterError

    read = _READ.get(options.detector, _READ_BY_OTHERS)
    for name in sorted(_READ["log"] | _READ["dog"] | _READ_BY_OTHERS):
        value = getattr(options, name)
        if value is not None and value is not False and value != [] and name not in read:
            raise ParameterError.of(name, value, f"detector {options.detector!r} does not use it: leave it out")
        if options.diameter_um is not None and value is not None and name in ("min_sigma", "max_sigma"):
            raise ParameterError.of(name, value, "the sigmas follow from diameter_um: give one or the other")


def _refuse_unknown_size(options: argparse.Namespace) -> None:
    """Ask how large the blobs are: a guess would find others, and take long."""
    from tilecore.errors import ParameterError

    if options.detector in _READ and options.diameter_um is None and None in (options.min_sigma, options.max_sigma):
        raise ParameterError(
            "how large are the blobs? Give their diameters in um, as in --diameter-um 6 10, "
            "or the smallest and the largest sigma in voxels, as in --min-sigma 2 --max-sigma 5"
        )


def _truth(
    options: argparse.Namespace, source: object, channels: Channels, voxel_size_um: float | tuple[float, ...] | None
) -> Blobs | None:
    """The table to compare with, checked before the search; None if there is none."""
    from tilecore.blobs.parameters import origin_of, voxel_size_of
    from tilecore.blobs.table import Blobs
    from tilecore.cli.tables import read_table
    from tilecore.errors import ParameterError

    tolerance = options.tolerance_um
    if tolerance is not None and options.truth is None:
        raise ParameterError.of("tolerance_um", tolerance, "is for a comparison: give --truth, too, or leave it out")
    if tolerance is not None and not tolerance >= 0:
        raise ParameterError.of("tolerance_um", tolerance, "must be at least zero")
    if options.truth is None:
        return None
    chosen = None if options.channel is None else channels.volumes
    table = read_table("truth", options.truth, len(channels.axes), chosen)
    size, origin = (each(source, voxel_size_um, channels.axes) for each in (voxel_size_of, origin_of))
    nothing = Blobs({axis: [] for axis in "zyx"[-table.ndim :]}, voxel_size_um=size, origin_um=origin)
    nothing.match(table, tolerance or 0)  # refuses what cannot be compared
    return table


def _parameter(text: str) -> tuple[str, Any]:
    from tilecore.errors import ParameterError

    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise ParameterError.of("param", text, "must have the form NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _hint(search: dict[str, Any], shape: tuple[int, ...], dtype: np.dtype[Any], largest: float | None) -> str:
    """Return a hint for a search that found nothing: mostly the threshold is too high."""
    if 0 in shape:
        return f"no blob can be there: the image, of shape {shape}, has no voxels"
    if largest is None:
        return "no blob can be there: all voxels that were searched have the same value, or none is a number"
    integers = "integers are scaled to 0..1 as skimage.util.img_as_float does"
    scaled = f"{dtype} voxels are taken as they are" if dtype.kind == "f" else integers
    limits = {name: search[name] for name in ("threshold", "threshold_rel") if name in search}
    told = limits or {"threshold": THRESHOLD[search["detector"]]}
    limit = " and ".join(f"{name}={value:g}" for name, value in told.items())
    return f"the largest response is {largest:.4g}, and blobs have one above {limit}; {scaled}: try a lower one"


def _summary(blobs: Blobs, channels: Channels, seconds: float) -> str:
    import numpy as np

    lengths = np.array(blobs.shape or (), dtype=int)
    where = f"{' x '.join(map(str, lengths))} voxels"
    if blobs.voxel_size_um:
        where = f"{' x '.join(f'{each:.4g}' for each in lengths * blobs.voxel_size_um)} um ({where})"
    for number, what in ((len(channels.volumes), "channels"), (len(channels.by_time), "time points")):
        where = where if number == 1 else f"{number} {what} of {where}"
    text = f"{len(blobs)} blob{'s' * (len(blobs) != 1)} in {where}, {seconds:.1f} s"
    for name in ("radius_um", "radius"):
        if len(blobs) and name in blobs.columns:
            unit = "um" if name == "radius_um" else "voxels"
            return f"{text}; median radius {np.median(blobs[name]):.3g} {unit}"
    return text


def _check_picture(path: Path | None, volumes: dict[int, Any]) -> None:
    """Refuse a picture that cannot be made, before the search."""
    if path is None:
        return
    from tilecore.errors import ParameterError
    from tilecore.pictures.points import check_picture

    check_picture(path)
    shape = next(iter(volumes.values())).shape
    if 0 in shape:
        raise ParameterError.of("picture", str(path), f"the image, of shape {tuple(shape)}, has no voxels to be drawn")


def _draw(channels: Channels, blobs: Blobs, path: Path, truth: Blobs | None, tolerance: float | None) -> None:
    """Draw the blobs of the first time point."""
    from tilecore.blobs.placing import placed
    from tilecore.output_file import finished
    from tilecore.pictures.points import draw_blobs

    if len(channels.by_time) > 1:
        print(f"the picture shows time point {channels.first_time} of {len(channels.by_time)}", file=sys.stderr)
        blobs = blobs.filter(t=(channels.first_time,) * 2)
        truth = truth if truth is None or "t" not in truth.columns else truth.filter(t=(channels.first_time,) * 2)
    pairs = None if truth is None or tolerance is None else blobs.match(truth, tolerance).pairs
    shown = None if truth is None else placed(truth, blobs.voxel_size_um, blobs.origin_um)
    with finished(path) as partial:
        draw_blobs(channels.volumes, blobs, partial, truth=shown, pairs=pairs)
