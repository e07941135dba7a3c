"""The subcommand ``tilecore convert``: an image in another file format, in parallel and in bounded memory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tilecore.cli.arguments import (
    add_resume_argument,
    add_run_arguments,
    add_source_arguments,
    numbers,
    open_input,
    run_options,
)
from tilecore.cli.outputs import check_outputs

if TYPE_CHECKING:
    from tilecore.geometry.boxes import Box

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_source_arguments(parser)
    parser.add_argument(
        "output",
        metavar="OUTPUT",
        help="file to write: .npy, .tif, .ome.tif, .zarr, .ome.zarr, .h5 or file.h5:/path, "
        "or with a suffix that another package writes",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    add_resume_argument(parser)
    parser.add_argument("--crop", metavar="Z0:Z1,Y0:Y1,X0:X1", help="part of the image; empty bounds are its edges")
    group = parser.add_argument_group("output")
    group.add_argument("--chunks", type=numbers, metavar="Z,Y,X", help="shape of a chunk (compressed as a whole)")
    group.add_argument("--shards", type=numbers, metavar="Z,Y,X", help="shape of a shard, a file of several chunks")
    group.add_argument(
        "--codec", default="default", help="compression: zstd, blosc, gzip, lzf or none, if the file format has it"
    )
    group.add_argument(
        "--pyramid", action=argparse.BooleanOptionalAction, default=True, help="write coarser levels of .ome.zarr"
    )
    group.add_argument("--ome-zarr-version", choices=["0.5", "0.4"], default="0.5")
    group.add_argument(
        "--voxel-size", type=float, nargs=3, metavar=("Z", "Y", "X"), help="[um]; default: that of the input"
    )
    add_run_arguments(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from tilecore.engine.mapping import map_tiles
    from tilecore.formats.creating import prepare_sink

    may_exist = options.overwrite or options.resume
    check_outputs({"output": options.output}, inputs={"input": options.input}, overwrite=may_exist)
    source = open_input(options)
    if options.crop:
        source = source.cropped(_box(options.crop, source.shape))
    sink = prepare_sink(
        options.output,
        source.shape,
        axes=source.axes,
        voxel_size_um=options.voxel_size or source.voxel_size_um,
        channel_names=source.info.channel_names if "C" in source.axes else (),
        chunks=_for_all(options.chunks, source.axes),
        shards=_for_all(options.shards, source.axes),
        codec=options.codec,
        pyramid=options.pyramid,
        ome_zarr_version=options.ome_zarr_version,
        overwrite=options.overwrite,
    )
    dtype = source.dtype.newbyteorder("=")
    map_tiles(_same, source, out=sink, dtype=dtype, resume=options.resume, **run_options(options))
    print(Path(options.output))


def _box(text: str, shape: tuple[int, ...]) -> Box:
    """Convert ``z0:z1,y0:y1,x0:x1`` to a box; axes before these are whole."""
    from tilecore.errors import ParameterError
    from tilecore.geometry.boxes import Box

    parts = text.split(",")
    if len(parts) > len(shape):
        raise ParameterError.of("crop", text, f"the image has {len(shape)} axes")
    bounds = [(0, length) for length in shape[: len(shape) - len(parts)]]
    for part, length in zip(parts, shape[len(shape) - len(parts) :], strict=True):
        first, colon, last = part.partition(":")
        try:
            bounds.append((int(first or 0), int(last or length)))
        except ValueError:
            colon = ""
        if not colon or not 0 <= bounds[-1][0] < bounds[-1][1] <= length:
            raise ParameterError.of("crop", part, f"must have the form FIRST:LAST, within 0:{length}")
    return Box([first for first, _ in bounds], [last for _, last in bounds])


def _for_all(lengths: tuple[int, ...] | None, axes: str) -> tuple[int, ...] | None:
    """Extend lengths given for z, y, x to all axes; the other axes get 1."""
    if lengths is None or len(lengths) == len(axes):
        return lengths
    return (1,) * (len(axes) - len(lengths)) + lengths


Same = TypeVar("Same")


def _same(block: Same) -> Same:
    return block
