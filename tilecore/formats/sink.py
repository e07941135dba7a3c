"""What an image file in the making is, and what it is to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypedDict, Unpack, runtime_checkable

import numpy as np
import numpy.typing as npt

from tilecore.array_types import Index
from tilecore.errors import ParameterError
from tilecore.formats.axes import as_axes, default_axes
from tilecore.formats.image_info import positive_size
from tilecore.geometry.per_axis import as_integer, as_tile_shape

__all__ = ["Sink", "SinkOptions", "SinkSpec", "Target"]


@runtime_checkable
class Sink(Protocol):
    """An image that is written by region, and has its name once it is complete."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis [voxel]."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""

    @property
    def write_units(self) -> tuple[int, ...] | None:
        """Shape of what no two processes may write at once; None if every voxel can be written alone."""

    def __setitem__(self, index: Index, values: npt.ArrayLike) -> None:
        """Write a region."""

    def commit(self) -> None:
        """Give the file its name: it is complete."""

    def discard(self) -> None:
        """Remove what was written."""


class Target(Protocol):
    """What the regions of a sink are written into."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number."""
        ...

    def __setitem__(self, index: Index, values: npt.ArrayLike, /) -> None:
        """Write a region."""


class SinkOptions(TypedDict, total=False):
    """What a caller may say of a sink: see `create_sink`."""

    axes: str | None
    voxel_size_um: Sequence[float] | None
    channel_names: Sequence[str]
    chunks: int | Sequence[int] | None
    shards: int | Sequence[int] | None
    codec: str
    pyramid: bool
    ome_zarr_version: Literal["0.5", "0.4"]
    overwrite: bool


@dataclass(frozen=True)
class SinkSpec:
    """What a sink is to be, before its dtype is known.

    Attributes
    ----------
    path : Path
    shape : tuple of int
    axes : str
    voxel_size_um : tuple of 3 floats, or None
    channel_names : tuple of str
    chunks, shards : tuple of int, or None
    codec : str
    pyramid : bool
    ome_zarr_version : {"0.5", "0.4"}
    dataset : str
        Place in an HDF5 file; empty for the usual one.
    overwrite : bool
    """

    path: Path
    shape: tuple[int, ...]
    axes: str
    voxel_size_um: tuple[float, float, float] | None = None
    channel_names: tuple[str, ...] = ()
    chunks: tuple[int, ...] | None = None
    shards: tuple[int, ...] | None = None
    codec: str = "default"
    pyramid: bool = True
    ome_zarr_version: Literal["0.5", "0.4"] = "0.5"
    dataset: str = ""
    overwrite: bool = False

    @classmethod
    def of(cls, path: Path, shape: Sequence[int], dataset: str = "", **options: Unpack[SinkOptions]) -> Self:
        """Build from what a caller said.

        Raises
        ------
        ParameterError, ParameterTypeError
            If an option has a value that is not allowed.
        """
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        lengths = tuple(as_integer(length, "shape", minimum=0) for length in shape)
        spec = cls(path, lengths, default_axes(len(lengths)), dataset=dataset)
        if "axes" in given:
            given["axes"] = as_axes(given["axes"], len(lengths))
        if "channel_names" in given:
            given["channel_names"] = tuple(given["channel_names"])
        if (size := given.get("voxel_size_um")) is not None:
            given["voxel_size_um"] = positive_size(size)
            if given["voxel_size_um"] is None:
                raise ParameterError.of("voxel_size_um", size, "three numbers of micrometres, z, y, x")
        for name in ("chunks", "shards"):
            if name in given:
                given[name] = as_tile_shape(given[name], len(lengths), name)
        if given.get("ome_zarr_version", "0.5") not in ("0.5", "0.4"):
            raise ParameterError.of("ome_zarr_version", given["ome_zarr_version"], "'0.5' or '0.4'")
        return replace(spec, **given)
