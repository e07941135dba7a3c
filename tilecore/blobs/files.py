"""Tables of blobs as files: CSV, Parquet, npy, napari's points, cellfinder's XML, GeoJSON."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from tilecore.blobs.table import Blobs
from tilecore.errors import MissingDependencyError, MissingFileError, ParameterError, UnreadableFileError
from tilecore.formats.finishing import finished

__all__ = ["SUFFIXES", "WRITERS", "check_suffix", "read_blobs", "write_blobs"]

Path_ = str | os.PathLike[str]

#: What cellfinder calls a cell; type 1 is "not a cell".
_CELL = 2
_UNITS = ("z_um", "y_um", "x_um", "radius_um")


def write_blobs(blobs: Blobs, path: Path_) -> None:
    """Write a table of blobs in the format that the file's suffix names: see `SUFFIXES`.

    Raises
    ------
    ParameterError
        If the suffix is unknown.
    MissingDependencyError
        If the format needs a package that is not installed.
    """
    WRITERS[check_suffix(path)](blobs, path)


def read_blobs(path: Path_, *, voxel_size_um: float | Sequence[float] | None = None) -> Blobs:
    """Read a table of blobs from a file.

    Parameters
    ----------
    path : path_like
        A ``.csv`` (also one of napari's), ``.parquet``, ``.npy``, ``.xml`` (cellfinder) or
        ``.geojson`` file. A ``.npy`` file may also hold an array as `Blobs.of` takes.
    voxel_size_um : float or sequence of float, optional
        [um]. Default: what the file's columns of micrometres tell.

    Returns
    -------
    Blobs
        Equal to what was written; from ``.xml`` with positions alone.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ParameterError
        If its suffix is unknown.
    UnreadableFileError
        If it is not a table of blobs.
    MissingDependencyError
        If the format needs a package that is not installed.
    """
    if not Path(path).is_file():
        raise MissingFileError.of("path", os.fspath(path), "there is no such file")
    reader = _READERS[check_suffix(path)]
    try:
        columns = reader(Path(path))
        size = voxel_size_um if voxel_size_um is not None else _told_size(columns)
        return Blobs({name: values for name, values in columns.items() if name not in _UNITS}, voxel_size_um=size)
    except (ValueError, KeyError, IndexError, TypeError, OSError, ET.ParseError) as error:
        raise UnreadableFileError(f"{os.fspath(path)} is not a table of blobs: {error}") from error


def check_suffix(path: Path_) -> str:
    """Tell which kind of table a file is, by its suffix; refuse unknown ones before any work is done."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ParameterError.of("path", os.fspath(path), f"known kinds of tables are {', '.join(SUFFIXES)}")
    return SUFFIXES[suffix]


def _told_size(columns: dict[str, npt.NDArray[Any]]) -> list[float] | None:
    """The voxel's size, from the columns in voxels and in micrometres; None where it cannot be told."""
    size = []
    for axis in [each for each in "zyx" if each in columns]:
        voxels, micrometres = columns[axis], columns.get(f"{axis}_um")
        if micrometres is None or not voxels.any():
            return None
        largest = np.abs(voxels).argmax()
        size.append(float(f"{micrometres[largest] / voxels[largest]:.12g}"))
    return size


def _text(values: Iterable[Any]) -> list[str]:
    """Numbers as the shortest text that gives them back."""
    return [repr(value) for value in values]


def _rows(blobs: Blobs) -> Iterable[tuple[Any, ...]]:
    return zip(*[blobs[name].tolist() for name in blobs.columns], strict=True)


def _write_csv(blobs: Blobs, path: Path_) -> None:
    _write_table(path, blobs.columns, map(_text, _rows(blobs)))


def _write_napari(blobs: Blobs, path: Path_) -> None:
    axes = len(blobs.columns[: blobs.ndim])
    names = ["index", *[f"axis-{axis}" for axis in range(axes)], *blobs.columns[axes:]]
    _write_table(path, names, ([str(number), *_text(row)] for number, row in enumerate(_rows(blobs))))


def _write_table(path: Path_, names: Sequence[str], rows: Iterable[list[str]]) -> None:
    def write(file: IO[str]) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)

    _write_text(path, write)


def _read_csv(path: Path) -> dict[str, npt.NDArray[Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        names = [name.strip() for name in file.readline().split(",")]
        lines = file.readlines()
    rows = np.loadtxt(lines, delimiter=",", ndmin=2) if lines else np.empty((0, len(names)))
    if "axis-0" in names:
        axes = [name for name in names if name.startswith("axis-")]
        letters = dict(zip(axes, "zyx"[-len(axes) :], strict=True))
        names = [letters.get(name, name) for name in names]
    if rows.shape[1] != len(names):
        raise ValueError(f"{rows.shape[1]} values for {len(names)} columns")
    return {name: values for name, values in zip(names, rows.T, strict=True) if name != "index"}


def _write_npy(blobs: Blobs, path: Path_) -> None:
    dtype = [(name, blobs[name].dtype) for name in blobs.columns]
    table = np.empty(len(blobs), dtype=dtype)
    for name in blobs.columns:
        table[name] = blobs[name]
    with finished(path) as partial:
        np.save(partial, table, allow_pickle=False)


def _read_npy(path: Path) -> dict[str, npt.NDArray[Any]]:
    table = np.load(path, allow_pickle=False)
    if table.dtype.names is None:
        table = Blobs.of(table).table
    return {name: table[name] for name in table.dtype.names}


def _write_parquet(blobs: Blobs, path: Path_) -> None:
    parquet, pyarrow = _parquet()
    table = pyarrow.table({name: np.ascontiguousarray(blobs[name]) for name in blobs.columns})
    with finished(path) as partial:
        parquet.write_table(table, partial)


def _read_parquet(path: Path) -> dict[str, npt.NDArray[Any]]:
    parquet, pyarrow = _parquet()
    try:
        table = parquet.ParquetFile(path).read()
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error
    return {name: table[name].to_numpy() for name in table.column_names}


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError("Parquet files need pyarrow: pip install tilecore[tables]") from error
    return pa.parquet, pa


def _write_cellfinder(blobs: Blobs, path: Path_) -> None:
    root = ET.Element("CellCounter_Marker_File")
    image = ET.SubElement(root, "Image_Properties")
    ET.SubElement(image, "Image_Filename").text = "placeholder.tif"
    data = ET.SubElement(root, "Marker_Data")
    ET.SubElement(data, "Current_Type").text = "1"
    for number in (1, _CELL):
        markers = ET.SubElement(data, "Marker_Type")
        ET.SubElement(markers, "Type").text = str(number)
    columns = [np.rint(blobs[name]).astype(int).tolist() if name in blobs.columns else None for name in "xyz"]
    columns = [[0] * len(blobs) if each is None else each for each in columns]
    for position in zip(*columns, strict=True):
        marker = ET.SubElement(markers, "Marker")
        for name, value in zip("XYZ", position, strict=True):
            ET.SubElement(marker, f"Marker{name}").text = str(value)
    ET.indent(root)
    with finished(path) as partial:
        ET.ElementTree(root).write(partial, encoding="UTF-8", xml_declaration=True)


def _read_cellfinder(path: Path) -> dict[str, npt.NDArray[Any]]:
    root = ET.parse(path).getroot()
    if root.tag != "CellCounter_Marker_File":
        raise ValueError(f"its root is {root.tag}, not CellCounter_Marker_File")
    markers = [
        marker
        for kind in root.iter("Marker_Type")
        if kind.findtext("Type") == str(_CELL)
        for marker in kind.iter("Marker")
    ]
    names = {"z": "MarkerZ", "y": "MarkerY", "x": "MarkerX"}
    return {axis: np.array([float(each.findtext(name) or "") for each in markers]) for axis, name in names.items()}


def _write_geojson(blobs: Blobs, path: Path_) -> None:
    names = blobs.columns
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": list(row[: blobs.ndim])[::-1]},
            "properties": dict(zip(names[blobs.ndim :], row[blobs.ndim :], strict=True)),
        }
        for row in _rows(blobs)
    ]
    # A member of our own, which readers skip: without features nothing else tells the columns.
    content = {"type": "FeatureCollection", "columns": names, "features": features}
    _write_text(path, lambda file: json.dump(content, file))


def _read_geojson(path: Path) -> dict[str, npt.NDArray[Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    features = content["features"]
    names = content.get("columns") or _columns_of(features)
    axes = [name for name in "zyx" if name in names]
    places = [feature["geometry"]["coordinates"][::-1] for feature in features]
    columns = {name: np.array([place[axis] for place in places], dtype=float) for axis, name in enumerate(axes)}
    others = [name for name in names if name not in axes]
    return columns | {name: np.array([each["properties"][name] for each in features]) for name in others}


def _columns_of(features: list[dict[str, Any]]) -> list[str]:
    ndim = len(features[0]["geometry"]["coordinates"]) if features else 3
    numbers = features[0]["properties"].items() if features else ()
    return [*"zyx"[-ndim:], *[name for name, value in numbers if isinstance(value, (int, float))]]


def _write_text(path: Path_, write: Callable[[IO[str]], object]) -> None:
    with finished(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        write(file)


#: How each kind of file is written.
WRITERS: dict[str, Callable[[Blobs, Path_], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
    "npy": _write_npy,
    "napari": _write_napari,
    "cellfinder": _write_cellfinder,
    "geojson": _write_geojson,
}
_READERS: dict[str, Callable[[Path], dict[str, npt.NDArray[Any]]]] = {
    "csv": _read_csv,
    "parquet": _read_parquet,
    "npy": _read_npy,
    "cellfinder": _read_cellfinder,
    "geojson": _read_geojson,
}
#: Which kind of file a suffix stands for.
SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".npy": "npy", ".xml": "cellfinder", ".geojson": "geojson"}
