"""The subcommand ``tilecore info``: properties of an image file, without reading its voxels."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilecore.cli.arguments import add_source_arguments, open_input

if TYPE_CHECKING:
    from tilecore.formats.source import FileSource

__all__ = ["configure"]

# Suffixes of files of plain numbers.
_OF_RECORDINGS = (".bin", ".dat", ".raw")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_source_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    facts = _facts_of_recording(options)
    if facts is None:
        with open_input(options) as source:
            facts = _facts(source)
    if options.json:
        print(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):{width}}  {_readable(name, value)}")


def _facts(source: FileSource) -> dict[str, Any]:
    info = source.info
    return {
        "path": source.path,
        "kind": info.kind,
        "shape": info.shape,
        "axes": info.axes,
        "dtype": str(info.dtype),
        "voxel_size_um": info.voxel_size_um,
        "channels": info.channel_names,
        "chunks": info.chunks,
        "codec": info.codec,
        "levels": info.levels or (info.shape,),
        "size_bytes": info.n_bytes,
        "write_unit": info.write_units,
    }


def _facts_of_recording(options: argparse.Namespace) -> dict[str, Any] | None:
    """Facts of a file of plain numbers that a ``.yaml`` file beside it describes; None of any other."""
    from tilecore.formats.raw_layout import yaml_path
    from tilecore.recordings.reader import RecordingsReader

    path = Path(options.input)
    if options.shape is not None or path.suffix not in _OF_RECORDINGS or not yaml_path(path).is_file():
        return None
    reader = RecordingsReader(path)
    return {
        "path": os.path.abspath(path),
        "kind": "recording",
        "observations": reader.observations,
        "channels": reader.channels,
        "dtype": str(reader.dtype),
        "order": reader.data_order,
        "size_bytes": os.path.getsize(path),
    }


def _readable(name: str, value: Any) -> str:
    from tilecore.bytesize import format_bytes

    if name == "size_bytes":
        return format_bytes(value)
    if name == "levels":
        return ", ".join(_times(level) for level in value)
    if value is None:
        return {"voxel_size_um": "unknown", "chunks": "none", "write_unit": "one voxel"}.get(name, "")
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) if name in ("channels", "voxel_size_um") else _times(value)
    return str(value)


def _times(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
