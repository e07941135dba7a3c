"""Columns of a table of blobs: required and derived columns, and their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError

__all__ = [
    "IN_UM",
    "Columns",
    "Table",
    "as_origin",
    "as_voxel_size",
    "columns_of",
    "groups_of",
    "is_filled",
    "sigma_names",
    "sorted_table",
]

#: Values of the columns, by their names.
Columns = Mapping[str, npt.ArrayLike]


class Table(Protocol):
    """Protocol of the table of blobs, for the modules that the table itself uses."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """Positions of the blobs, shape (n_blobs, ndim) [voxel]."""

    @property
    def sigmas(self) -> npt.NDArray[np.float64]:
        """Sigmas of the blobs, shape (n_blobs, 1) or (n_blobs, ndim), or (n_blobs, 0) if there are none [voxel]."""

    @property
    def positions_um(self) -> npt.NDArray[np.float64]:
        """Positions of the blobs, shape (n_blobs, ndim) [um]; in voxels if the voxel size is not known."""

    @property
    def voxel_size_um(self) -> tuple[float, ...] | None:
        """Voxel size along each axis [um]; None if unknown."""

    @property
    def largest_response(self) -> float | None:
        """Largest response in the whole volume; None if unknown."""

    @property
    def axes_guess(self) -> str | None:
        """What the axes of the source were taken for, if nobody named them."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the volume [voxel]; None if unknown."""

    @property
    def tile_edges(self) -> Sequence[Sequence[int]] | None:
        """Edges between tiles, along each axis [voxel]; None if unknown."""

    @property
    def origin_um(self) -> tuple[float, ...] | None:
        """Position of the volume's first voxel along each axis [um]; None if unknown."""

    def filter(self, **ranges: tuple[float | None, float | None]) -> Self:
        """Keep the blobs whose columns lie in ranges."""

    def __len__(self) -> int: ...
    def __getitem__(self, name: str) -> npt.NDArray[Any]: ...


_WHOLE = {"t", "channel", "tile_z", "tile_y", "tile_x"}
#: Columns that follow from others and the voxel size, if it is known.
IN_UM = ("z_um", "y_um", "x_um", "radius_um")


def columns_of(rows: npt.NDArray[np.float64], ndim: int | None) -> dict[str, npt.NDArray[np.float64]]:
    """Name the columns of an array of scikit-image: positions, then one sigma or one for each axis."""
    width = rows.shape[1] if rows.ndim == 2 else -1
    known = {3: 2, 4: 3, 6: 3}.get(width) if ndim is None else ndim
    if known not in (2, 3) or width not in (known + 1, 2 * known):
        raise ParameterError.of("array", rows.shape, "must hold positions and one sigma, or one for each axis")
    axes = ["z", "y", "x"][-known:]
    sigmas = ["sigma"] if width == known + 1 else [f"sigma_{axis}" for axis in axes]
    return dict(zip([*axes, *sigmas], rows.T, strict=True))


def sorted_table(columns: Columns, axes: Sequence[str]) -> npt.NDArray[Any]:
    """Make the table of these columns and of those that follow from them: a structured array, sorted, read-only."""
    table = _as_table(_completed(columns, axes))
    table = table[np.lexsort([table[name] for name in reversed(_sort_order(table, axes))])]
    table.flags.writeable = False
    return table


def _completed(columns: Columns, axes: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Put the columns in order, and add those that follow from others."""
    missing = [name for name in axes if name not in columns]
    if missing:
        raise ParameterError.of("columns", list(columns), f"a column {missing[0]!r} is needed")
    if computed := [name for name in columns if name in IN_UM]:
        raise ParameterError.of(
            "columns", list(columns), f"{computed[0]} is computed: leave it out, and pass voxel_size_um"
        )
    given = {name: np.atleast_1d(np.asarray(values)) for name, values in columns.items()}
    n_blobs = len(given[axes[0]])
    sigmas = sigma_names(list(given), axes)
    if sigmas and "radius" not in given:
        # The Laplacian of a Gaussian responds most to a ball with radius sigma * sqrt(number of axes).
        sizes = np.prod([given[name] for name in sigmas], axis=0) ** (1 / len(sigmas))
        given["radius"] = np.sqrt(len(axes)) * sizes
    given.setdefault("channel", np.zeros(n_blobs, dtype=np.int64))
    tiles = [f"tile_{axis}" for axis in axes]
    order = [*axes, *sigmas, "radius", "response", "t", "channel", *tiles]
    return {name: given[name] for name in [*order, *[each for each in given if each not in order]] if name in given}


def is_filled(name: str) -> bool:
    """Whether tilecore fills the column of this name, so that a detector must not."""
    return name in {"z", "y", "x", *IN_UM} | _WHOLE


def _as_table(columns: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Convert columns to a structured array: int64 for channels and tiles, float64 for all others."""
    shapes = {name: values.shape for name, values in columns.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ParameterError.of("columns", shapes, "all must have one value for each blob")
    for name, values in columns.items():
        if values.dtype.kind not in "biuf":
            raise ParameterError.of(f"columns[{name!r}]", values.dtype, "must be numbers")
    dtype = np.dtype([(name, np.int64 if name in _WHOLE else np.float64) for name in columns])
    table = np.empty(next(iter(shapes.values())), dtype=dtype)
    for name, values in columns.items():
        table[name] = values
    return table


def _sort_order(table: npt.NDArray[Any], axes: Sequence[str]) -> list[str]:
    """Names of the columns that a table is sorted by: time, position, sigma, channel, the others, the tile last."""
    names = list(table.dtype.names or ())
    tiles = [name for name in names if name.startswith("tile_")]
    first = [*(["t"] if "t" in names else []), *axes, *sigma_names(names, axes), "channel"]
    return [*first, *[name for name in names if name not in first and name not in tiles], *tiles]


def groups_of(blobs: Table) -> npt.NDArray[np.intp]:
    """Number the groups of blobs that can be compared: those of one channel, at one time."""
    numbers = np.zeros(len(blobs), dtype=np.intp)
    for values in (blobs[name] for name in ("t", "channel") if name in blobs.columns):
        if (values != values[:1]).any():  # most tables are of one time and one channel: nothing to sort
            found, own = np.unique(values, return_inverse=True)
            numbers = len(found) * numbers + own
    return numbers


def sigma_names(names: Sequence[str], axes: Sequence[str]) -> list[str]:
    """Names of the sigma columns: one, one for each axis, or none."""
    per_axis = [f"sigma_{axis}" for axis in axes]
    return ["sigma"] if "sigma" in names else per_axis if set(per_axis) <= set(names) else []


def as_voxel_size(size: float | Sequence[float], ndim: int) -> tuple[float, ...]:
    """Convert a voxel size to one number per axis [um]."""
    values = np.asarray(size, dtype=np.float64)
    if values.shape not in ((), (ndim,)) or not (np.isfinite(values) & (values > 0)).all():
        raise ParameterError.of("voxel_size_um", size, f"one number or {ndim}, all more than zero")
    return tuple(np.full(ndim, values).tolist())


def as_origin(origin: Sequence[float], ndim: int) -> tuple[float, ...]:
    """Check the position of the first voxel: one number per axis [um]."""
    values = np.asarray(origin, dtype=np.float64)
    if values.shape != (ndim,) or not np.isfinite(values).all():
        raise ParameterError.of("origin_um", origin, f"{ndim} numbers")
    return tuple(values.tolist())
