"""What an image file in the making is, and what it is to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

__all__ = ["Downsampler", "Sink", "SinkSpec"]

#: Makes one level of a pyramid from the next finer one: ``downsample(finer, coarser, factors)``.
Downsampler: TypeAlias = Callable[[Any, Any, tuple[int, ...]], object]


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

    def __setitem__(self, index: Any, values: Any) -> None:
        """Write a region."""

    def commit(self) -> None:
        """Give the file its name: it is complete."""

    def discard(self) -> None:
        """Remove what was written."""


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
