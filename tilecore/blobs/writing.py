"""Writing of tables of blobs to files: CSV, Parquet, npy, napari's points, cellfinder's XML, GeoJSON."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree as ET

import numpy as np

from tilecore.blobs.columns import Table
from tilecore.errors import ParameterError
from tilecore.extras import need
from tilecore.output_file import finished

__all__ = ["SUFFIXES", "WRITERS", "check_suffix", "parquet_modules", "write_blobs"]

Path_ = str | os.PathLike[str]

# Cellfinder's numbers: a candidate, or what is no cell; and a cell.
_CANDIDATE, _CELL = 1, 2


def write_blobs(blobs: Table, path: Path_) -> None:
    """Write a table of blobs in the format of the file's suffix: see `SUFFIXES`.

    Raises
    ------
    ParameterError
        If the suffix is unknown.
    MissingDependencyError
        If the format needs a package that is not installed.
    """
    WRITERS[check_suffix(path)](blobs, path)


def check_suffix(path: Path_) -> str:
    """Return the kind of table that a file's suffix stands for; refuse unknown suffixes, before any work."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ParameterError.of(
            "path", os.fspath(path), f"this suffix is unknown; known ones are {', '.join(SUFFIXES)}"
        )
    return SUFFIXES[suffix]


def _text(values: Iterable[Any]) -> list[str]:
    """Convert numbers to the shortest text that gives the same numbers back."""
    return [repr(value) for value in values]


def _rows(blobs: Table) -> Iterable[tuple[Any, ...]]:
    return zip(*[blobs[name].tolist() for name in blobs.columns], strict=True)


def _write_csv(blobs: Table, path: Path_) -> None:
    _write_table(path, blobs.columns, map(_text, _rows(blobs)))


def _write_napari(blobs: Table, path: Path_) -> None:
    others = _others(blobs)
    names = ["index", *[f"axis-{axis}" for axis in range(blobs.ndim)], *others]
    columns = [*blobs.positions.T.tolist(), *[blobs[name].tolist() for name in others]]
    rows = enumerate(zip(*columns, strict=True))
    _write_table(path, names, ([str(number), *_text(row)] for number, row in rows))


def _others(blobs: Table) -> list[str]:
    """Names of the columns that are not the position in voxels."""
    return [name for name in blobs.columns if name not in ("z", "y", "x")]


def _write_table(path: Path_, names: Sequence[str], rows: Iterable[list[str]]) -> None:
    def write(file: IO[str]) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)

    _write_text(path, write)


def _write_npy(blobs: Table, path: Path_) -> None:
    dtype = [(name, blobs[name].dtype) for name in blobs.columns]
    table = np.empty(len(blobs), dtype=dtype)
    for name in blobs.columns:
        table[name] = blobs[name]
    with finished(path) as partial:
        np.save(partial, table, allow_pickle=False)


def _write_parquet(blobs: Table, path: Path_) -> None:
    parquet, pyarrow = parquet_modules()
    metadata = {} if blobs.axes_guess is None else {"axes_guess": blobs.axes_guess}
    table = pyarrow.table({name: np.ascontiguousarray(blobs[name]) for name in blobs.columns}, metadata=metadata)
    with finished(path) as partial:
        parquet.write_table(table, partial)


def parquet_modules() -> tuple[Any, Any]:
    """Import pyarrow, which is an optional package."""
    need("a Parquet file", "tables", "pyarrow.parquet")
    import pyarrow as pa
    import pyarrow.parquet

    return pa.parquet, pa


def _write_cellfinder(blobs: Table, path: Path_) -> None:
    root = ET.Element("CellCounter_Marker_File")
    image = ET.SubElement(root, "Image_Properties")
    ET.SubElement(image, "Image_Filename").text = "placeholder.tif"
    data = ET.SubElement(root, "Marker_Data")
    ET.SubElement(data, "Current_Type").text = "1"
    types = _marker_types(blobs)
    groups = {}
    for number in sorted({_CANDIDATE, _CELL, *types}):
        groups[number] = ET.SubElement(data, "Marker_Type")
        ET.SubElement(groups[number], "Type").text = str(number)
    columns = [np.rint(blobs[name]).astype(int).tolist() if name in blobs.columns else None for name in "xyz"]
    columns = [[0] * len(blobs) if each is None else each for each in columns]
    for number, position in zip(types, zip(*columns, strict=True), strict=True):
        marker = ET.SubElement(groups[number], "Marker")
        for name, value in zip("XYZ", position, strict=True):
            ET.SubElement(marker, f"Marker{name}").text = str(value)
    ET.indent(root)
    with finished(path) as partial:
        ET.ElementTree(root).write(partial, encoding="UTF-8", xml_declaration=True)


def _marker_types(blobs: Table) -> list[int]:
    """Type of each blob's marker: as the column ``type`` tells, or a cell."""
    if "type" not in blobs.columns:
        return [_CELL] * len(blobs)
    types = blobs["type"]
    if not (np.isfinite(types) & (types == np.rint(types))).all():
        raise ParameterError.of("blobs['type']", types, "must be whole numbers: cellfinder's types of markers")
    return [int(each) for each in types.tolist()]


def _write_geojson(blobs: Table, path: Path_) -> None:
    names = _others(blobs)
    rows = zip(*[blobs[name].tolist() for name in names], strict=True)
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": position[::-1]},
            "properties": dict(zip(names, row, strict=True)),
        }
        for position, row in zip(blobs.positions.tolist(), rows, strict=True)
    ]
    # Keys of tilecore's own, which other readers skip: without features nothing else tells the columns.
    guess = {} if blobs.axes_guess is None else {"axes_guess": blobs.axes_guess}
    content = {"type": "FeatureCollection", "columns": blobs.columns, **guess, "features": features}
    _write_text(path, lambda file: json.dump(content, file))


def _write_text(path: Path_, write: Callable[[IO[str]], object]) -> None:
    with finished(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        write(file)


#: Function that writes each kind of file.
WRITERS: dict[str, Callable[[Table, Path_], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
    "npy": _write_npy,
    "napari": _write_napari,
    "cellfinder": _write_cellfinder,
    "geojson": _write_geojson,
}
#: Kind of file that a suffix stands for.
SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".npy": "npy", ".xml": "cellfinder", ".geojson": "geojson"}
