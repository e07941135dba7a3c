"""The subcommand ``tilecore convert``: an image in another file format, in parallel and in bounded memory."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, TypeVar

from tilecore.cli.arguments import (
    add_resume_argument,
    add_run_arguments,
    add_source_arguments,
    open_input,
    run_options,
    tell_output,
)
from tilecore.cli.outputs import check_outputs
from tilecore.cli.parser import Numbers

if TYPE_CHECKING:
    from tilecore.array_types import ReadableArray
    from tilecore.formats.file_sink import FileSink
    from tilecore.formats.source import FileSource
    from tilecore.geometry.boxes import Box

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_source_arguments(parser)
    parser.add_argument(
        "output",
        metavar="OUTPUT",
        help="file to write: .npy, .tif, .ome.tif, .zarr, .ome.zarr, .h5 or file.h5:/path, s3://bucket/out.zarr, "
        "or with a suffix that another package writes",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    add_resume_argument(parser)
    parser.add_argument(
        "--crop", metavar="Z0:Z1,Y0:Y1,X0:X1", help="part along z, y, x, or along all axes; empty bounds are edges"
    )
    group = parser.add_argument_group("output")
    for name, what in (("chunks", "a chunk (compressed as a whole)"), ("shards", "a shard, a file of several chunks")):
        group.add_argument(f"--{name}", action=Numbers, is_list=True, metavar="Z,Y,X", help=f"shape of {what}")
    group.add_argument(
        "--codec", default="default", help="compression: zstd, blosc, gzip, lzf or none, if the file format has it"
    )
    group.add_argument(
        "--pyramid", action=argparse.BooleanOptionalAction, default=True, help="write coarser levels of .ome.zarr"
    )
    group.add_argument("--ome-zarr-version", choices=["0.5", "0.4"], default="0.5")
    group.add_argument(
        "--voxel-size-um", action=Numbers, kind=float, count=3, metavar="Z,Y,X", help="default: that of the input"
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="with --chunks or --shards: print in what passes and tiles the image is copied, and write nothing",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from tilecore.errors import ParameterError
    from tilecore.formats.arranged import arranged
    from tilecore.formats.creating import prepare_sink

    is_rechunk = (options.chunks or options.shards) is not None and options.tile_shape is None
    if options.dry_run and not is_rechunk:
        raise ParameterError("dry_run=True: needs chunks or shards, and tiles that are chosen")
    may_exist = options.overwrite or options.resume or options.shard is not None
    check_outputs({"output": options.output}, inputs={"input": options.input}, overwrite=may_exist)
    source, axes = _source(options)
    info, is_guess = source.info, source.info.axes_are_guessed
    if axes != info.axes:
        print(f"axes {'without names, taken for ' * is_guess}{info.axes}, are written as {axes}", file=sys.stderr)
    sink = prepare_sink(
        options.output,
        [source.shape[info.axes.index(letter)] for letter in axes],
        axes=None if is_guess and axes == info.axes else axes,
        voxel_size_um=options.voxel_size_um or info.voxel_size_um,
        origin_um=(0, 0, 0) if options.voxel_size_um or info.voxel_size_um is None else info.origin_um,
        channel_names=info.channel_names if "C" in axes else (),
        recorded=info.recorded,
        chunks=_for_all(options.chunks, axes),
        shards=_for_all(options.shards, axes),
        codec=options.codec,
        pyramid=options.pyramid,
        ome_zarr_version=options.ome_zarr_version,
        overwrite=options.overwrite,
    )
    moved = arranged(source, [info.axes.index(letter) for letter in axes])
    if is_rechunk:
        _rechunk(moved, sink, options)
        return
    from tilecore.engine.mapping import map_tiles

    dtype = source.dtype.newbyteorder("=")
    map_tiles(convert, moved, out=sink, dtype=dtype, resume=options.resume, **run_options(options))
    tell_output(options)


def _rechunk(source: ReadableArray, sink: FileSink, options: argparse.Namespace) -> None:
    """Copy the image with the fewest bytes moved, or print how that is done."""
    from tilecore.engine.inputs import Inputs
    from tilecore.engine.rechunk import rechunk_into

    how = {"dry_run": options.dry_run, "resume": options.resume}
    result = rechunk_into(Inputs.of(source), sink, **how, **run_options(options))
    print(result if options.dry_run else options.output)


def _source(options: argparse.Namespace) -> tuple[FileSource, str]:
    """The part of the input that is converted, and the order in which its axes are written."""
    from tilecore.formats.creating import written_axes

    source = open_input(options)
    if options.crop:
        source = source.cropped(_box(options.crop, source.shape, source.axes))
    return source, written_axes(options.output, source.axes)


def _box(text: str, shape: tuple[int, ...], axes: str) -> Box:
    """Convert ``z0:z1,y0:y1,x0:x1`` to a box, whatever the order of these axes; all others are whole."""
    from tilecore.errors import ParameterError
    from tilecore.geometry.boxes import Box

    parts = text.split(",")
    named = [axes.index(letter) for letter in "ZYX" if letter in axes]
    if len(parts) > len(shape):
        raise ParameterError.of("crop", text, f"the image has {len(shape)} axes, {axes}")
    places = named[len(named) - len(parts) :] if len(parts) <= len(named) else range(-len(parts), 0)
    bounds = [(0, length) for length in shape]
    for place, part in zip(places, parts, strict=True):
        first, colon, last = part.partition(":")
        length = shape[place]
        try:
            bounds[place] = int(first or 0), int(last or length)
        except ValueError:
            colon = ""
        if not colon or not 0 <= bounds[place][0] < bounds[place][1] <= length:
            raise ParameterError.of("crop", part, f"must have the form FIRST:LAST, within 0:{length}")
    return Box([first for first, _ in bounds], [last for _, last in bounds])


def _for_all(lengths: tuple[int, ...] | None, axes: str) -> tuple[int, ...] | None:
    """Extend lengths given for z, y, x to all axes, in their own order; the other axes get 1."""
    named = [letter for letter in "ZYX" if letter in axes]
    if lengths is None or len(lengths) != len(named):
        return lengths
    given = dict(zip(named, lengths, strict=True))
    return tuple([given.get(letter, 1) for letter in axes])


Same = TypeVar("Same")


def convert(block: Same) -> Same:
    """Leave a tile as it is; the run has this function's name."""
    return block
