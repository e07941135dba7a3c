"""Reading of tables of blobs from files, also of files from other programs."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from tilecore.blobs.columns import IN_UM
from tilecore.blobs.table import Blobs
from tilecore.blobs.writing import check_suffix, parquet_modules
from tilecore.errors import MissingFileError, UnreadableFileError

__all__ = ["read_blobs"]

Path_ = str | os.PathLike[str]


def read_blobs(path: Path_, *, voxel_size_um: float | Sequence[float] | None = None) -> Blobs:
    """Read a table of blobs from a file.

    Parameters
    ----------
    path : path_like
        Path of a ``.csv`` (also from napari), ``.parquet``, ``.npy``, ``.xml`` (cellfinder) or
        ``.geojson`` file. A ``.npy`` file may also hold an array that `Blobs.of` takes.
    voxel_size_um : float or sequence of float, optional
        Voxel size [um]. Default: computed from the file's columns in micrometres, and so is the position of the
        volume's first voxel; both are unknown if the columns do not tell them, as those of a single blob may not.

    Returns
    -------
    Blobs
        The table that was written; from ``.xml`` the positions of all markers, and their type as a column ``type``
        (in cellfinder 1: a candidate or no cell, 2: a cell).

    Raises
    ------
    MissingFileError
        If the file does not exist.
    ParameterError
        If the suffix is unknown.
    UnreadableFileError
        If the file is not a table of blobs.
    MissingDependencyError
        If the format needs a package that is not installed.
    """
    path = Path(os.path.expanduser(path))
    if not path.is_file():
        raise MissingFileError.of("path", str(path), "there is no such file")
    reader = _READERS[check_suffix(path)]
    try:
        columns = reader(path)
        size, origin = (voxel_size_um, None) if voxel_size_um is not None else _told_scale(columns) or (None, None)
        known = {name: values for name, values in columns.items() if name not in IN_UM}
        return Blobs(known, voxel_size_um=size, origin_um=origin)
    except (ValueError, KeyError, IndexError, TypeError, OSError, csv.Error, ET.ParseError) as error:
        raise UnreadableFileError(f"{path} is not a table of blobs: {error}") from error


def _told_scale(columns: dict[str, npt.NDArray[Any]]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Voxel size and position of the first voxel along each axis [um]; None if the columns do not tell them."""
    axes = [each for each in "zyx" if each in columns]
    lines = [_line(columns[axis], columns.get(f"{axis}_um")) for axis in axes]
    if lines.count(None) == 1:
        place = lines.index(None)
        lines[place] = _line_of_one_plane(columns, axes[place], [line[0] for line in lines if line is not None])
    found = [line for line in lines if line is not None]
    if not axes or len(found) < len(axes):
        return None
    sizes, origins = zip(*found, strict=True)
    # Blobs at one position along an axis lie on many lines; the radii tell whether the right one was found.
    if any(np.ptp(columns[axis]) == 0 for axis in axes) and not _fits_radii(columns, sizes):
        return None
    return sizes, origins


def _line(voxels: npt.NDArray[Any], micrometres: npt.NDArray[Any] | None) -> tuple[float, float] | None:
    """Size and first position [um] of an axis; the position is zero where that is possible.

    None if the columns do not tell them, or were not computed from each other.
    """
    if micrometres is None or not voxels.any():
        return None
    farthest, low, high = np.abs(voxels).argmax(), voxels.argmin(), voxels.argmax()
    size = _rounded(micrometres[farthest] / voxels[farthest])
    if np.allclose(voxels * size, micrometres, rtol=1e-9, atol=1e-9):
        return size, 0.0
    if voxels[high] == voxels[low]:
        return None
    size = _rounded((micrometres[high] - micrometres[low]) / (voxels[high] - voxels[low]))
    origin = _rounded(micrometres[low] - voxels[low] * size)
    fits = size > 0 and np.allclose(voxels * size + origin, micrometres, rtol=1e-9, atol=1e-9)
    return (size, origin) if fits else None


def _line_of_one_plane(
    columns: dict[str, npt.NDArray[Any]], axis: str, others: Sequence[float]
) -> tuple[float, float] | None:
    """The same of the one axis along which all blobs lie at one place: its size follows from the radii."""
    micrometres = columns.get(f"{axis}_um")
    if micrometres is None or not len(micrometres) or not {"radius", "radius_um"} <= set(columns):
        return None
    if np.ptp(columns[axis]) or np.ptp(micrometres) or not columns["radius"].any():
        return None
    largest = columns["radius"].argmax()
    mean = columns["radius_um"][largest] / columns["radius"][largest]
    size = _rounded(mean ** (len(others) + 1) / np.prod(others))
    return size, _rounded(micrometres[0] - columns[axis][0] * size)


def _fits_radii(columns: dict[str, npt.NDArray[Any]], sizes: Sequence[float]) -> bool:
    if not {"radius", "radius_um"} <= set(columns):
        return False
    mean = float(np.prod(sizes)) ** (1 / len(sizes))
    return np.allclose(columns["radius"] * mean, columns["radius_um"], rtol=1e-9, atol=0)


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")


def _read_csv(path: Path) -> dict[str, npt.NDArray[Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a mark before UTF-8
        names = next(csv.reader(file), [])
        lines = file.readlines()
    rows = np.loadtxt(lines, delimiter=",", ndmin=2) if lines else np.empty((0, len(names)))
    if rows.shape[1] != len(names):
        raise ValueError(f"{rows.shape[1]} values for {len(names)} columns")
    if not ({"y", "x"} <= set(names) or "axis-0" in names[:2]):  # there may be spaces behind the commas
        names = [name.strip() for name in names]
    if names[:1] == [""]:  # the numbers of pandas' rows
        names, rows = names[1:], rows[:, 1:]
    n_before = int(names[:1] == ["index"])
    if names[n_before : n_before + 1] == ["axis-0"]:  # napari's points: a number, the position, and their features
        ndim = next(axis for axis in count() if names[n_before + axis :][:1] != [f"axis-{axis}"])
        if ndim > len("zyx"):
            raise ValueError(f"its points have {ndim} axes, a table of blobs has 2 or 3")
        names, rows = [*"zyx"[-ndim:], *names[n_before + ndim :]], rows[:, n_before:]
    if len(set(names)) < len(names):
        raise ValueError(f"several columns have the same name: {', '.join(names)}")
    return dict(zip(names, rows.T, strict=True))


def _read_npy(path: Path) -> dict[str, npt.NDArray[Any]]:
    table = np.load(path, allow_pickle=False)
    if table.dtype.names is None:
        table = Blobs.of(table).table
    return {name: table[name] for name in table.dtype.names}


def _read_parquet(path: Path) -> dict[str, npt.NDArray[Any]]:
    parquet, pyarrow = parquet_modules()
    try:
        table = parquet.ParquetFile(path).read()
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error
    return {name: table[name].to_numpy() for name in table.column_names}


def _read_cellfinder(path: Path) -> dict[str, npt.NDArray[Any]]:
    root = ET.parse(path).getroot()
    if root.tag != "CellCounter_Marker_File":
        raise ValueError(f"its root is {root.tag}, not CellCounter_Marker_File")
    kinds = [(kind, list(kind.iter("Marker"))) for kind in root.iter("Marker_Type")]
    markers = [marker for _, group in kinds for marker in group]
    types = [float(kind.findtext("Type") or "") for kind, group in kinds for _ in group]
    names = {"z": "MarkerZ", "y": "MarkerY", "x": "MarkerX"}
    columns = {axis: np.array([float(each.findtext(name) or "") for each in markers]) for axis, name in names.items()}
    return columns | {"type": np.array(types)}


def _read_geojson(path: Path) -> dict[str, npt.NDArray[Any]]:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
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


_READERS: dict[str, Callable[[Path], dict[str, npt.NDArray[Any]]]] = {
    "csv": _read_csv,
    "parquet": _read_parquet,
    "npy": _read_npy,
    "cellfinder": _read_cellfinder,
    "geojson": _read_geojson,
}
