"""The subcommand ``tilecore view``: a picture of an image, from its sides, or of a recording's channels over time."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilecore.cli.arguments import add_image_arguments, add_output_arguments, open_input
from tilecore.cli.outputs import check_outputs
from tilecore.cli.recordings import add_recording_arguments, add_selection_arguments, check_input, open_input_recording

if TYPE_CHECKING:
    from tilecore.blobs.table import Blobs
    from tilecore.formats.source import FileSource
    from tilecore.recordings.recording import Recording

__all__ = ["configure"]

# What is shown of a recording unless something else is asked for.
_CHANNELS, _OBSERVATIONS = 8, 10_000

# Voxels of an image from which a coarser level, or every n-th voxel, is shown [byte].
_MOST_BYTES = 2**29

_OF_RECORDINGS = ("channels", "order", "rate", "gain_uv", "stream", "uv", "select", "from_time", "to_time")
_OF_IMAGES = ("points", "axes", "series", "level", "channel", "time", "shape")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_recording_arguments(parser, "an image, as for tilecore info, or a recording: ")
    add_output_arguments(parser, "picture to write: .png, .pdf, .svg or another kind that matplotlib writes")
    group = parser.add_argument_group(
        "what is shown of a recording",
        f"Default: the first {_CHANNELS} channels and the first {_OBSERVATIONS} observations.",
    )
    add_selection_arguments(group)
    group = parser.add_argument_group("what is shown of an image", "The brightest voxels along each axis.")
    group.add_argument("--points", type=Path, metavar="TABLE", help="table of blobs, or other points, to draw over it")
    add_image_arguments(group)
    # Raw numbers of an image are those of a file without a header, all of them, x fastest.
    parser.set_defaults(
        run=_run, names={"channels": "select", "picture": "output"}, level=None, offset=0, missing_chunks="error"
    )


def _run(options: argparse.Namespace) -> None:
    from tilecore.output_file import finished
    from tilecore.pictures.points import check_picture

    is_recording = _is_recording(options)
    inputs = check_input(options) | {"points": options.points}
    check_outputs({"output": options.output}, inputs=inputs, overwrite=options.overwrite)
    check_picture(options.output)
    with finished(options.output) as path:
        (_draw_recording if is_recording else _draw_image)(options, path)
    print(options.output)


def _is_recording(options: argparse.Namespace) -> bool:
    """Whether the input is a recording, as the options or the file itself tell; otherwise it is an image."""
    from tilecore.errors import ParameterError
    from tilecore.formats.kinds import kind_of_suffix
    from tilecore.formats.raw_layout import yaml_path
    from tilecore.recordings.opening import is_described

    of_recordings, of_images = (
        [name for name in names if getattr(options, name) not in (None, False)]
        for names in (_OF_RECORDINGS, _OF_IMAGES)
    )
    if of_recordings and of_images:
        value = getattr(options, of_images[0])
        raise ParameterError.of(of_images[0], value, f"is of images, but {of_recordings[0]}= is of recordings")
    path = options.input[0]
    if of_recordings or of_images or len(options.input) > 1:
        return not of_images
    is_raw = kind_of_suffix(path) == "raw" and not yaml_path(path).is_file()
    return is_raw or is_described(path) or _has_no_space(path)


def _has_no_space(path: str) -> bool:
    """Whether a file says that its axes are time and channels, as `map_batches` writes them."""
    from tilecore.errors import TilecoreError
    from tilecore.formats.opening import open_source

    try:
        with open_source(path) as source:
            return not source.info.axes_are_guessed and set(source.axes) <= set("TC")
    except TilecoreError:
        return False  # the same error is told where the image is opened


def _draw_recording(options: argparse.Namespace, path: Path) -> None:
    """Draw channels over time, one above the other."""
    from tilecore.pictures.traces import draw_traces
    from tilecore.recordings.batches import Selection

    with open_input_recording(options) as recording:
        selection = Selection.of(recording.shape, *_times(options, recording), _channels(options, recording))
        what: dict[str, Any] = {"rate": recording.rate, "names": recording.channel_names}
        shown = (selection.channels, selection.first, selection.stop)
        draw_traces(recording, *shown, path, unit="uV" if options.uv else "", **what)


def _times(options: argparse.Namespace, recording: Recording) -> tuple[int, int]:
    """First observation, and the one after the last."""
    first = 0 if options.from_time is None else recording.observation_at(options.from_time, "from_time")
    if options.to_time is not None:
        return first, recording.observation_at(options.to_time, "to_time")
    return first, min(first + _OBSERVATIONS, recording.shape[0])


def _channels(options: argparse.Namespace, recording: Recording) -> list[int]:
    return list(range(min(_CHANNELS, recording.shape[1]))) if options.select is None else list(options.select)


def _draw_image(options: argparse.Namespace, path: Path) -> None:
    """Draw the brightest voxels along each axis, with points if there are any."""
    from tilecore.blobs.channels import channels_of
    from tilecore.pictures.coarsening import coarse_steps, every
    from tilecore.pictures.layers import are_inside
    from tilecore.pictures.points import draw_blobs

    finest, source, notes = _opened(options)
    volumes = channels_of(source, None).volumes
    steps = coarse_steps(_in_space(source), source.dtype.itemsize * len(volumes), _MOST_BYTES)
    if math.prod(steps) > 1:
        volumes = {number: every(volume, steps) for number, volume in volumes.items()}
        notes.append(f"one voxel of {' x '.join(map(str, steps))}")
    factors = [fine / coarse for fine, coarse in zip(_in_space(finest), _in_space(source), strict=True) if coarse]
    points = _points(options, source, volumes, factors, steps)
    inside = are_inside(points.positions, next(iter(volumes.values())).shape)
    if not inside.all():
        notes.append(f"{inside.sum()} of {len(inside)} points, as the others lie outside of the image")
    drawn = [factor * step for factor, step in zip(factors, steps, strict=False)]
    draw_blobs(volumes, points[inside], path, drawn_voxel=drawn)
    if notes:
        print(f"tilecore view: drawn is {', '.join(notes)}", file=sys.stderr)


def _opened(options: argparse.Namespace) -> tuple[FileSource, FileSource, list[str]]:
    """The image at its finest level, at the level that is drawn, and what is to be told of the choice."""
    image = argparse.Namespace(**vars(options) | {"input": options.input[0], "order": "C", "level": 0})
    finest, notes = open_input(image), []
    if "T" in finest.axes:
        notes.append(f"time point 0 of {finest.shape[finest.axes.index('T')]}")
        image.time = 0
        finest = open_input(image)
    levels = finest.info.levels or (finest.shape,)
    sizes = [math.prod(level) * finest.dtype.itemsize for level in levels]
    fits = next((number for number, size in enumerate(sizes) if size <= _MOST_BYTES), len(levels) - 1)
    image.level = fits if options.level is None else options.level
    if image.level == 0:
        return finest, finest, notes
    source = open_input(image)
    notes.append(f"level {image.level} of {len(levels)}, {' x '.join(map(str, source.shape))} voxels")
    return finest, source, notes


def _in_space(source: FileSource) -> tuple[int, ...]:
    """Lengths of the axes z, y and x, in this order [voxel]."""
    from tilecore.formats.axes import in_usual_order

    lengths = {axis: length for length, axis in zip(source.shape, source.axes, strict=True) if axis not in "TC"}
    return tuple([lengths[axis] for axis in in_usual_order("".join(lengths))])


def _points(
    options: argparse.Namespace,
    source: FileSource,
    channels: Collection[int],
    factors: list[float],
    steps: tuple[int, ...],
) -> Blobs:
    """The points to draw, in voxels of what is drawn; none if there is no table."""
    import numpy as np

    from tilecore.blobs.parameters import origin_of, voxel_size_of
    from tilecore.blobs.placing import are_comparable, placed
    from tilecore.blobs.table import Blobs
    from tilecore.cli.tables import read_table

    ndim = len(steps)
    letters = "".join([letter for letter in source.axes if letter not in "TC"])
    size, origin = voxel_size_of(source, None, letters), origin_of(source, None, letters)
    drawn_size = None if size is None else [each * step for each, step in zip(size, steps, strict=True)]
    axes = "zyx"[-ndim:]
    if options.points is None:
        return Blobs({axis: [] for axis in axes}, voxel_size_um=drawn_size)
    table = read_table("points", options.points, ndim, None if options.channel is None else channels)
    points = placed(table, drawn_size, origin)
    places, sigmas = points.positions, points.sigmas * np.ones(ndim if points.sigmas.shape[1] else 0)
    if not are_comparable(table, drawn_size, origin):
        # The points are in voxels of the finest level; one of a coarser level lies in the middle of these.
        places = ((places + 0.5) / factors - 0.5) / steps
        sigmas = sigmas / factors / steps if sigmas.shape[1] else sigmas
    columns = dict(zip(axes, places.T, strict=True)) | {"channel": table["channel"]}
    columns |= {f"sigma_{axis}": sigma for axis, sigma in zip(axes, sigmas.T, strict=False)}
    return Blobs(columns, voxel_size_um=drawn_size)
