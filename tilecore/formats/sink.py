"""Protocol of sinks, and the description of an image file that is to be written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypedDict, Unpack, runtime_checkable

import numpy as np
import numpy.typing as npt

from tilecore.array_types import Index
from tilecore.errors import ParameterError
from tilecore.formats.axes import as_axes, guessed_axes
from tilecore.formats.chunk_shapes import TileSteps
from tilecore.formats.image_info import position_um, positive_size
from tilecore.formats.recorded import NOT_TOLD, Recorded
from tilecore.geometry.per_axis import as_integer, as_tile_shape

__all__ = ["Sink", "SinkOptions", "SinkSpec", "Target", "stored_dtype"]


@runtime_checkable
class Sink(Protocol):
    """An image file that is written by region, and gets its name when it is complete."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """Shape of the unit that no two processes may write at once; None if each voxel can be written alone."""

    def __setitem__(self, index: Index, values: npt.ArrayLike) -> None:
        """Write a region."""

    def commit(self) -> None:
        """Complete the file and give it its final name."""

    def discard(self) -> None:
        """Remove the written data."""


class Target(Protocol):
    """What the regions of a sink are written into."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""
        ...

    def __setitem__(self, index: Index, values: npt.ArrayLike, /) -> None:
        """Write a region."""


class SinkOptions(TypedDict, total=False):
    """Options of a sink that a caller may give: see `create_sink`."""

    axes: str | None
    voxel_size_um: Sequence[float] | None
    origin_um: Sequence[float]
    channel_names: Sequence[str]
    recorded: Recorded
    chunks: int | Sequence[int] | None
    shards: int | Sequence[int] | None
    codec: str
    pyramid: bool
    ome_zarr_version: Literal["0.5", "0.4"]
    overwrite: bool


@dataclass(frozen=True)
class SinkSpec:
    """Description of a sink before its dtype is known; the attributes are the options of `create_sink`.

    Attributes
    ----------
    path : Path
    shape : tuple of int
    axes : str
    voxel_size_um : tuple of 3 floats, or None
    origin_um : tuple of 3 floats
    channel_names : tuple of str
    recorded : Recorded
        Of a recording: rate and unit of the numbers.
    chunks, shards : tuple of int, or None
    steps : tuple of (int or None), or None
        Lengths of the tiles that will be written, which chunks and shards should divide; see `FileSink.fit_tiles`.
    codec : str
    pyramid : bool
    ome_zarr_version : {"0.5", "0.4"}
    dataset : str
        Name of the dataset in an HDF5 file; empty for the default.
    overwrite : bool
    axes_are_guessed : bool
        Whether the caller named no axes.
    """

    path: Path
    shape: tuple[int, ...]
    axes: str
    voxel_size_um: tuple[float, float, float] | None = None
    origin_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channel_names: tuple[str, ...] = ()
    recorded: Recorded = NOT_TOLD
    chunks: tuple[int, ...] | None = None
    shards: tuple[int, ...] | None = None
    steps: TileSteps | None = None
    codec: str = "default"
    pyramid: bool = True
    ome_zarr_version: Literal["0.5", "0.4"] = "0.5"
    dataset: str = ""
    overwrite: bool = False
    axes_are_guessed: bool = False

    @property
    def told_axes(self) -> str:
        """The axes, for a file that need not name them; empty if it is a guess which of them are channels or times."""
        return "" if self.axes_are_guessed and set(self.axes) & set("TC") else self.axes

    @classmethod
    def of(cls, path: Path, shape: Sequence[int], dataset: str = "", **options: Unpack[SinkOptions]) -> Self:
        """Build the description from the options of a caller.

        Raises
        ------
        ParameterError, ParameterTypeError
            If an option has a value that is not allowed.
        """
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        lengths = tuple(as_integer(length, "shape", minimum=0) for length in shape)
        if len(lengths) > len(axes := guessed_axes(lengths)):
            raise ParameterError.of("shape", lengths, f"image files have at most {len(axes)} axes")
        spec = cls(path, lengths, axes, dataset=dataset, axes_are_guessed="axes" not in given)
        if "axes" in given:
            given["axes"] = as_axes(given["axes"], len(lengths))
        if "channel_names" in given:
            given["channel_names"] = tuple(given["channel_names"])
        if (size := given.get("voxel_size_um")) is not None:
            given["voxel_size_um"] = positive_size(size)
            if given["voxel_size_um"] is None:
                raise ParameterError.of("voxel_size_um", size, "must be three positive numbers of micrometres, z, y, x")
        if (origin := given.get("origin_um")) is not None:
            given["origin_um"] = position_um(origin)
            if given["origin_um"] is None or (any(given["origin_um"]) and given.get("voxel_size_um") is None):
                raise ParameterError.of(
                    "origin_um",
                    origin,
                    "must be three numbers of micrometres, z, y, x, and voxel_size_um is needed, too",
                )
        for name in ("chunks", "shards"):
            if name in given:
                given[name] = as_tile_shape(given[name], len(lengths), name)
        if given.get("ome_zarr_version", "0.5") not in ("0.5", "0.4"):
            raise ParameterError.of("ome_zarr_version", given["ome_zarr_version"], "'0.5' or '0.4'")
        return replace(spec, **given)


def stored_dtype(dtype: npt.DTypeLike, possible: Collection[str] | None, kind: str) -> np.dtype[Any]:
    """Check the dtype of the voxels of a file.

    Parameters
    ----------
    dtype : dtype_like
    possible : collection of str, or None
        Dtypes that such a file can hold, without their byte order; None: those of all numbers.
    kind : str
        Kind of file, for the message.

    Raises
    ------
    ParameterError
        If the file cannot hold it.
    """
    found = np.dtype(dtype)
    if found.kind not in "biufc":
        raise ParameterError.of("dtype", found, "only numbers can be written")
    if possible is not None and found.str[1:] not in possible:
        nearest = {"b": "uint8", "c": "complex128"}.get(found.kind, "float64")
        raise ParameterError.of(
            "dtype", str(found), f"{kind} files cannot hold this dtype: use {nearest}, or a .npy or .h5 file"
        )
    return found
