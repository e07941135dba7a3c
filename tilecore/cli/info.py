"""The subcommand ``tilecore info``: properties of an image file, or what a file holds, without reading voxels."""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tilecore.cli.arguments import add_source_arguments, open_input
from tilecore.cli.printing import print_facts, print_rows

if TYPE_CHECKING:
    from tilecore.formats.contents import Item
    from tilecore.formats.source import FileSource

__all__ = ["configure"]

# Values that are shown of a longer list.
_FEW = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_source_arguments(parser)
    parser.add_argument("--stream", metavar="NAME", help="which stream, of a recording of Open Ephys that has several")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    items: Sequence[Item] = ()
    facts = _facts_of_recording(options)
    if facts is None:
        facts, items = _facts_of_image(options)
    if options.json:
        print(json.dumps(facts | ({"contents": [asdict(item) for item in items]} if items else {})))
        return
    if facts.pop("axes_are_guessed", False):
        facts["axes"] += " (a guess, as the file does not name them: --axes does)"
    print_facts({name.replace("_", " "): _readable(name, value) for name, value in facts.items()})
    if items:
        print()
        print_rows([_row(item) for item in items])


def _facts_of_image(options: argparse.Namespace) -> tuple[dict[str, Any], Sequence[Item]]:
    """Facts of an image, and what its file holds if that is more than this image, or several to choose from."""
    from tilecore.errors import MissingDependencyError, ParameterError, UnreadableFileError
    from tilecore.formats.contents import contents_of
    from tilecore.formats.kinds import split_place
    from tilecore.objects.urls import absolute

    path = split_place(options.input)[0]
    try:
        with open_input(options) as source:
            facts = _facts(source)
    except (ParameterError, UnreadableFileError, MissingDependencyError):
        # A file of several images, of which none was chosen, is told as a whole.
        items = [] if options.input != path or _chooses(options) else contents_of(path)
        if all(item.path == path for item in items):
            raise
        return {"path": absolute(path), "holds": len(items)}, items
    items = [] if options.shape is not None else contents_of(path)
    return facts, items if len(items) > 1 else []


def _chooses(options: argparse.Namespace) -> bool:
    """Whether a part of the file is asked for."""
    return options.level != 0 or any(
        getattr(options, name) is not None for name in ("series", "channel", "time", "shape")
    )


def _row(item: Item) -> tuple[str, ...]:
    series = "" if item.series is None else f" --series {item.series}"
    path = shlex.quote(item.path)
    how = f"{path} cannot be opened: {item.problem}" if item.problem else f"tilecore info {path}{series}"
    return _times(item.shape), item.dtype, item.axes, how


def _facts(source: FileSource) -> dict[str, Any]:
    info = source.info
    facts = {
        "path": source.path,
        "kind": info.kind,
        "shape": info.shape,
        "axes": info.axes,
        "axes_are_guessed": info.axes_are_guessed,
        "dtype": str(info.dtype),
        "voxel_size_um": info.voxel_size_um,
        "channels": info.channel_names,
        "chunks": info.chunks,
        "codec": info.codec,
        "levels": info.levels or (info.shape,),
        "size_bytes": info.n_bytes,
        "write_unit": info.write_units,
    }
    facts |= {"origin_um": info.origin_um} if any(info.origin_um) else {}
    return facts | ({"guess": info.guess} if info.guess else {}) | info.recorded.attributes


def _facts_of_recording(options: argparse.Namespace) -> dict[str, Any] | None:
    """Facts of a recording's file that is described by a header, or by a ``.yaml`` file; None of any other."""
    from tilecore.recordings.opening import is_described, open_recording

    if options.shape is not None or not is_described(options.input):
        return None
    with open_recording(options.input, stream=options.stream) as recording:
        facts = {
            "path": os.path.abspath(options.input),
            "kind": "recording",
            "observations": recording.shape[0],
            "channels": recording.shape[1],
            "dtype": str(recording.dtype),
            "order": "channels" if recording.in_channels else "samples",
            "rate_hz": recording.rate,
            "seconds": recording.seconds,
            "names": recording.channel_names,
            "gains_uv": recording.gains_uv,
            "size_bytes": math.prod(recording.shape) * recording.dtype.itemsize,
        }
    return {name: value for name, value in facts.items() if value not in (None, ())}


def _readable(name: str, value: Any) -> str:
    from tilecore.bytesize import format_bytes

    if name == "size_bytes":
        return format_bytes(value)
    if name == "levels":
        return ", ".join(_times(level) for level in value)
    if value is None:
        return {"voxel_size_um": "unknown", "chunks": "none", "write_unit": "one voxel"}.get(name, "")
    if name in ("names", "gains_uv"):
        return _in_short(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) if name in ("channels", "voxel_size_um", "origin_um") else _times(value)
    return str(value)


def _in_short(values: Sequence[object]) -> str:
    """All values where they are the same, or few; otherwise the first ones and the last."""
    texts = ["none" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    if len(set(texts)) == 1:
        return texts[0]
    return ", ".join(texts if len(texts) <= _FEW else [*texts[: _FEW - 2], "...", texts[-1]])


def _times(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
