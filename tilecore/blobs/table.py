"""Tables of blobs: points with a scale."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import numpy.typing as npt

from tilecore.blobs.columns import Columns, as_origin, as_voxel_size, columns_of, sigma_names, sorted_table
from tilecore.blobs.density import counts_per_tile_of, density_of
from tilecore.blobs.matching import Matching, match_blobs
from tilecore.blobs.showing import as_html, as_pandas, as_text, picture_of
from tilecore.blobs.writing import WRITERS
from tilecore.errors import ParameterError
from tilecore.geometry.boxes import Box

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from tilecore.array_types import OneSource

__all__ = ["Blobs"]

_AXES = ("z", "y", "x")


class Blobs:
    """A table of blobs in coordinates of the volume, sorted.

    Parameters
    ----------
    columns : mapping of str to array_like, shape (n_blobs,), or structured ndarray
        Columns ``z``, ``y``, ``x`` [voxel] (``y``, ``x`` for images); if known,
        ``sigma`` or ``sigma_z``, ``sigma_y``, ``sigma_x`` [voxel], ``radius`` [voxel],
        ``response``, ``t``, ``channel``, and ``tile_z``, ``tile_y``, ``tile_x`` of the tile that found
        the blob; and any others. The radius is computed from sigma; the channel is 0 by default.
    voxel_size_um : float or sequence of float, optional
        Voxel size along each axis [um]. It adds the columns ``z_um``, ``y_um``, ``x_um``, ``radius_um``.
    origin_um : sequence of float, optional
        Position of the volume's first voxel along each axis [um], to which the columns in micrometres are added.
        Default: unknown, and taken as zero.
    shape : sequence of int, optional
        Shape of the volume [voxel].
    tile_edges : sequence of sequence of int, optional
        Edges between tiles, along each axis [voxel].
    axes_guess : str, optional
        What the axes of the source were taken for, such as ``"ZYXC"``, if nobody said which of them were channels.
    largest_response : float, optional
        Largest response in the whole volume, also if it is below the threshold.

    Attributes
    ----------
    table : ndarray
        Structured, read-only array with a field for each column; sorted by position, sigma, channel.
    voxel_size_um : tuple of float, or None
        Voxel size along each axis [um].
    shape, tile_edges, axes_guess, largest_response
        As given, or None. `detect_blobs` tells the largest response to about four digits, unless the detector is one
        of your own, or the volume has a single value: if nothing is found, choose a lower threshold.
    origin_um : tuple of float, or None
        Position of the first voxel along each axis [um].

    Raises
    ------
    ParameterError
        If columns are missing, are not numbers, or have different lengths, or a voxel
        size is not positive.

    Notes
    -----
    ``np.asarray(blobs)`` returns what `skimage.feature.blob_log` returns: positions and sigmas,
    shape (n_blobs, ndim + 1) or (n_blobs, 2 * ndim).

    Two tables are equal if they have the same columns, without those of the tiles, and the
    same values.

    Process-safety: immutable and picklable.

    Examples
    --------
    >>> blobs = Blobs({"z": [5, 2], "y": [6, 2], "x": [7, 2], "sigma": [1.5, 2.0]}, voxel_size_um=(2, 1, 1))
    >>> len(blobs), blobs["z"].tolist(), blobs["z_um"].tolist()
    (2, [2.0, 5.0], [4.0, 10.0])
    >>> np.asarray(blobs)
    array([[2. , 2. , 2. , 2. ],
           [5. , 6. , 7. , 1.5]])
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        columns: Columns | npt.NDArray[Any],
        *,
        voxel_size_um: float | Sequence[float] | None = None,
        origin_um: Sequence[float] | None = None,
        shape: Sequence[int] | None = None,
        tile_edges: Sequence[Sequence[int]] | None = None,
        axes_guess: str | None = None,
        largest_response: float | None = None,
    ) -> None:
        if isinstance(columns, np.ndarray):
            columns = {name: columns[name] for name in columns.dtype.names or ()}
        self._axes = _AXES if "z" in columns else _AXES[1:]
        self.table = sorted_table(columns, self._axes)
        self.voxel_size_um = None if voxel_size_um is None else as_voxel_size(voxel_size_um, self.ndim)
        self.origin_um = None if origin_um is None else as_origin(origin_um, self.ndim)
        self.shape = None if shape is None else tuple(int(length) for length in shape)
        self.tile_edges = tile_edges
        self.axes_guess = axes_guess
        self.largest_response = largest_response

    @classmethod
    def of(cls, array: npt.ArrayLike, **options: Any) -> Self:
        """Build a table from an array of scikit-image, shape (n_blobs, ndim + 1) or (n_blobs, 2 * ndim).

        The first of four columns is z, unless ``ndim=2`` tells that there are two sigmas.
        """
        return cls(columns_of(np.asarray(array, dtype=np.float64), options.pop("ndim", None)), **options)

    @property
    def ndim(self) -> int:
        """Number of axes of the volume."""
        return len(self._axes)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns; those in micrometres come first, if the voxel size is known."""
        physical = [f"{name}_um" for name in (*self._axes, "radius")] if self.voxel_size_um else []
        return *[name for name in physical if name[:-3] in self._names], *self._names

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """Positions of the blobs, shape (n_blobs, ndim) [voxel]."""
        return self._stacked(self._axes)

    @property
    def positions_um(self) -> npt.NDArray[np.float64]:
        """Positions of the blobs, shape (n_blobs, ndim) [um]; in voxels if the voxel size is not known."""
        if self.voxel_size_um is None:
            return self.positions
        return self.positions * self.voxel_size_um + (self.origin_um or 0.0)

    @property
    def sigmas(self) -> npt.NDArray[np.float64]:
        """Sigmas of the blobs, shape (n_blobs, 1) or (n_blobs, ndim), or (n_blobs, 0) if there are none [voxel]."""
        return self._stacked(sigma_names(self._names, self._axes))

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, key: str) -> npt.NDArray[Any]: ...
    @overload
    def __getitem__(self, key: slice | Sequence[int] | Sequence[bool] | npt.NDArray[Any]) -> Self: ...
    def __getitem__(
        self, key: str | slice | Sequence[int] | Sequence[bool] | npt.NDArray[Any]
    ) -> npt.NDArray[Any] | Self:
        """Return a column by its name, or the blobs that a mask, a slice or an array of integers selects."""
        if not isinstance(key, str):
            return self._with(np.atleast_1d(self.table[key]))
        if key in self._names:
            return self.table[key]
        if key not in self.columns or self.voxel_size_um is None:
            raise ParameterError.of("column", key, f"the columns are {', '.join(self.columns)}")
        if key == "radius_um":
            radius: npt.NDArray[Any] = self.table["radius"] * float(np.prod(self.voxel_size_um)) ** (1 / self.ndim)
            return radius
        return self.positions_um[:, self._axes.index(key[:-3])]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Blobs):
            return NotImplemented
        names = [set(each._names) - {"tile_z", "tile_y", "tile_x"} for each in (self, other)]
        if names[0] != names[1] or len(self) != len(other):
            return False
        return all(np.array_equal(self[name], other[name], equal_nan=True) for name in names[0])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.concatenate([self.positions, self.sigmas], axis=1).astype(dtype or np.float64)

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)

    def filter(self, **ranges: tuple[float | None, float | None]) -> Self:
        """Keep the blobs whose columns lie in ranges.

        Parameters
        ----------
        **ranges
            Pair of bounds for a column, both included; None: no bound.

        Examples
        --------
        >>> blobs = Blobs({"z": [1, 2], "y": [1, 2], "x": [1, 2], "sigma": [1, 4]})
        >>> len(blobs.filter(sigma=(2, None), z=(0, 10)))
        1
        """
        keep = np.ones(len(self), dtype=bool)
        for name, (low, high) in ranges.items():
            values = self[name]
            keep &= (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))
        return self._with(self.table[keep])

    def in_box(self, box: Box | Sequence[Sequence[int]]) -> Self:
        """Keep the blobs that lie in a box of the volume, given as a `Box` or as start and stop per axis [voxel]."""
        start, stop = (box.start, box.stop) if isinstance(box, Box) else box
        inside = (self.positions >= np.asarray(start)) & (self.positions < np.asarray(stop))
        return self._with(self.table[inside.all(axis=1)])

    def moved(self, positions: npt.ArrayLike) -> Self:
        """Return the same blobs at other positions, shape (n_blobs, ndim) [voxel]."""
        table = self.table.copy()
        for name, values in zip(self._axes, np.asarray(positions).T, strict=True):
            table[name] = values
        return self._with(table)

    def counts_per_tile(self) -> dict[tuple[int, ...], int]:
        """Count the blobs of each tile that found any, by the tile's position in its grid."""
        return counts_per_tile_of(self)

    def density(self, bin_um: float) -> npt.NDArray[np.float64]:
        """Compute the density of blobs in cubes.

        Parameters
        ----------
        bin_um : float
            Edge of the cubes [um]; in voxels if the voxel size is not known.

        Returns
        -------
        ndarray of float64
            Blobs per cubic micrometre, one value for each cube from the volume's first voxel
            to its last one or, if the shape is not known, to the last blob.
        """
        return density_of(self, bin_um)

    def match(self, other: Blobs, tolerance_um: float) -> Matching:
        """Compare with another table, such as the truth: see `match_blobs`."""
        return match_blobs(self, other, tolerance_um)

    def picture(
        self,
        source: OneSource | None = None,
        path: str | os.PathLike[str] | None = None,
        *,
        truth: Blobs | None = None,
        tolerance_um: float | None = None,
        axes: str | None = None,
        time: int | None = None,
    ) -> Figure:
        """Draw the blobs as circles on projections of their volume along z, y and x: a figure of matplotlib.

        Parameters
        ----------
        source : array_like or path, optional
            The volume. Default: no image, only the blobs.
        path : path_like, optional
            File to write, too; its suffix chooses the format.
        truth, tolerance_um : Blobs and float, optional
            Table to compare with, as `match` does: hits, false blobs and missed ones look different. Default of the
            tolerance: the median radius. Missed ones outside the volume are only counted.
        axes, time : str and int, optional
            Axes of the source, and the time point to draw, as for `detect_blobs`. Default: that of the blobs.

        Raises
        ------
        ParameterError
            If the blobs are of several time points, or of a volume of another shape.
        """
        return picture_of(self, source, path, truth, tolerance_um, axes, time)

    def to_pandas(self) -> pd.DataFrame:
        """Convert to a pandas DataFrame with all columns, those in micrometres first; needs pandas."""
        return as_pandas(self)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file with a line of names; numbers are exact to the last bit."""
        WRITERS["csv"](self, path)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write a Parquet file; needs pyarrow."""
        WRITERS["parquet"](self, path)

    def to_npy(self, path: str | os.PathLike[str]) -> None:
        """Write a ``.npy`` file that holds a structured array."""
        WRITERS["npy"](self, path)

    def to_napari(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file that napari opens as a layer of points; the other columns become its features."""
        WRITERS["napari"](self, path)

    def to_cellfinder_xml(self, path: str | os.PathLike[str]) -> None:
        """Write the XML file of cellfinder and ImageJ's cell counter: only positions, in whole voxels.

        The markers are of type 2, a cell, or of the type that a column ``type`` tells.
        """
        WRITERS["cellfinder"](self, path)

    def to_geojson(self, path: str | os.PathLike[str]) -> None:
        """Write a GeoJSON file: points x, y, z [voxel], with the other columns as properties."""
        WRITERS["geojson"](self, path)

    @property
    def _names(self) -> tuple[str, ...]:
        return self.table.dtype.names or ()

    def _stacked(self, names: Sequence[str]) -> npt.NDArray[np.float64]:
        return np.stack([self.table[name] for name in names], axis=1) if names else np.empty((len(self), 0))

    def _with(self, table: npt.NDArray[Any]) -> Self:
        names = ("voxel_size_um", "origin_um", "shape", "tile_edges", "axes_guess", "largest_response")
        return type(self)(table, **{name: getattr(self, name) for name in names})
