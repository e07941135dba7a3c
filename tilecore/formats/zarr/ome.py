"""Metadata of OME-Zarr images, of versions 0.4 and 0.5."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tilecore.array_types import Json
from tilecore.errors import ParameterError, UnreadableFileError
from tilecore.formats.axes import as_axes
from tilecore.formats.image_info import MICROMETRES, positive_size
from tilecore.formats.zarr.metadata import read_json
from tilecore.formats.zarr.stores import Store

__all__ = ["OmeImage", "find_image", "image_at", "images_at", "is_collection", "multiscales_document"]

_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


@dataclass(frozen=True)
class OmeImage:
    """Metadata of one multiscale image.

    Attributes
    ----------
    version : str
        Version of OME-Zarr.
    folder : str
        Folder of the image in its store, ending in ``/``, or empty.
    axes : str
        One letter per axis.
    units : tuple of str
        Unit of each axis; empty text if the file does not tell it.
    paths : tuple of str
        Path of each level, from the finest.
    scales : tuple of tuple of float
        Voxel size of each level, per axis.
    origins : tuple of tuple of float
        Position of the first voxel's centre of each level, per axis.
    channel_names : tuple of str
        Names of the channels; empty if there are none.
    """

    version: str
    folder: str
    axes: str
    units: tuple[str, ...]
    paths: tuple[str, ...]
    scales: tuple[tuple[float, ...], ...]
    origins: tuple[tuple[float, ...], ...]
    channel_names: tuple[str, ...] = ()

    def folder_of(self, level: int) -> str:
        """Folder of a level's array in the store, ending in ``/``."""
        if not 0 <= level < len(self.paths):
            raise ParameterError.of("level", level, f"the image has {len(self.paths)} level(s), numbered from 0")
        return f"{self.folder}{self.paths[level]}/"

    def voxel_size_um(self, level: int) -> tuple[float, float, float] | None:
        """Voxel size of a level along z, y, x [um]; None if an axis has no unit of length."""
        sizes = self._in_um(self.scales[level])
        flat = 1.0 if "Z" not in self.axes else math.nan
        return positive_size([sizes.get("Z", flat), sizes.get("Y", math.nan), sizes.get("X", math.nan)])

    def origin_um(self, level: int) -> tuple[float, float, float]:
        """Position of the first voxel's centre of a level along z, y, x [um]; zeros if the voxel size is not known."""
        at = self._in_um(self.origins[level]) if self.voxel_size_um(level) is not None else {}
        return at.get("Z", 0.0), at.get("Y", 0.0), at.get("X", 0.0)

    def _in_um(self, values: Sequence[float]) -> dict[str, float]:
        """Convert one length per axis from the file's units [um]; NaN if the unit of an axis is not one of length."""
        described = zip(self.axes, values, self.units, strict=True)
        return {axis: value * MICROMETRES.get(unit, math.nan) for axis, value, unit in described}


def find_image(store: Store, series: int | None) -> OmeImage:
    """Find the image of a store; if there are several, the one of the given number.

    Raises
    ------
    UnreadableFileError
        If there is no image, or its version is unknown.
    ParameterError
        If there is no image of this number.
    """
    if is_collection(store, ""):
        return image_at(store, f"{series or 0}/", 0)
    attributes = _attributes(store, "")
    if "plate" in attributes or "plate" in attributes.get("ome", {}):
        raise UnreadableFileError(f"{store.root} is a plate: open one of its images, such as {store.root}/A/1/0")
    return image_at(store, "", series or 0)


def is_collection(store: Store, folder: str) -> bool:
    """Whether a group holds several images, in folders that are called by their numbers."""
    attributes = _attributes(store, folder)
    return "bioformats2raw.layout" in {*attributes, *attributes.get("ome", {})}


def images_at(store: Store, folder: str) -> int:
    """Number of images that a group itself is."""
    attributes = _attributes(store, folder)
    return len(attributes.get("ome", attributes).get("multiscales") or ())


def multiscales_document(
    name: str,
    axes: str,
    voxel_size_um: tuple[float, float, float] | None,
    origin_um: tuple[float, float, float],
    factors: Sequence[Sequence[int]],
    channel_names: Sequence[str],
    dtype: np.dtype[Any],
    version: Literal["0.5", "0.4"],
) -> dict[str, Any]:
    """Metadata of an image's group, as a document to be written.

    Parameters
    ----------
    name : str
        Name of the image.
    axes : str
        One letter per axis.
    voxel_size_um : tuple of 3 floats, or None
        Voxel size along z, y, x [um].
    origin_um : tuple of 3 floats
        Position of the first voxel's centre of the finest level along z, y, x [um].
    factors : sequence of sequence of int
        For each level, the number of the finest level's voxels in one of its voxels, per axis.
    channel_names : sequence of str
        Names of the channels.
    dtype : dtype
        Data type of the voxels.
    version : {"0.5", "0.4"}
        Version of OME-Zarr.
    """
    sizes = dict(zip("zyx", voxel_size_um or (), strict=False))
    letters = axes.lower()
    described = [
        {"name": axis, "type": _TYPES[axis], **({"unit": "micrometer"} if axis in sizes else {})} for axis in letters
    ]
    scale, origins = [sizes.get(axis, 1.0) for axis in letters], dict(zip("zyx", origin_um, strict=True))
    origin = [origins.get(axis, 0.0) for axis in letters]
    multiscale: dict[str, Any] = {
        "name": name,
        "axes": described,
        "datasets": [
            {"path": str(number), "coordinateTransformations": _transformations(scale, origin, factor)}
            for number, factor in enumerate(factors)
        ],
        "type": "mean",
    }
    if version == "0.4":
        multiscale["version"] = "0.4"
    document: dict[str, Any] = {"multiscales": [multiscale]}
    if channel_names and "c" in letters:
        document["omero"] = {"channels": [_channel(each, dtype) for each in channel_names]}
    return document if version == "0.4" else {"ome": {"version": "0.5", **document}}


def _transformations(scale: Sequence[float], origin: Sequence[float], factors: Sequence[int]) -> list[dict[str, Any]]:
    """Transformations of a level: its voxel size, and the position of its first voxel's centre."""
    sizes = [size * factor for size, factor in zip(scale, factors, strict=True)]
    centre = [at + size * (factor - 1) / 2 for at, size, factor in zip(origin, scale, factors, strict=True)]
    transformations: list[dict[str, Any]] = [{"type": "scale", "scale": sizes}]
    return [*transformations, {"type": "translation", "translation": centre}] if any(centre) else transformations


def _channel(name: str, dtype: np.dtype[Any]) -> dict[str, Any]:
    low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (0, 1)
    window = {"start": int(low), "end": int(high), "min": int(low), "max": int(high)}
    return {"label": name, "color": "FFFFFF", "active": True, "window": window}


def _attributes(store: Store, folder: str) -> dict[str, Any]:
    document = read_json(store, folder + "zarr.json")
    attributes = read_json(store, folder + ".zattrs") if document is None else document.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def image_at(store: Store, folder: str, number: int) -> OmeImage:
    """Read the metadata of one of a group's images.

    Raises
    ------
    UnreadableFileError
        If the group is no image, or its version is unknown.
    ParameterError
        If there is no image of this number.
    """
    name = f"{store.root}/{folder}".rstrip("/")
    attributes = _attributes(store, folder)
    ome = attributes.get("ome", attributes)
    images = ome.get("multiscales")
    if not images:
        raise UnreadableFileError(f"{name} is neither an array nor an OME-Zarr image; add the array's name to the path")
    if not 0 <= number < len(images):
        raise ParameterError.of("series", number, f"{name} has {len(images)} image(s), numbered from 0")
    multiscale = images[number]
    version = str(ome.get("version") or multiscale.get("version") or "0.4")
    if version not in ("0.1", "0.2", "0.3", "0.4", "0.5"):
        raise UnreadableFileError(f"{name} is OME-Zarr {version}; versions up to 0.5 can be read")
    datasets = multiscale["datasets"]
    paths = tuple([_safe(dataset["path"], name) for dataset in datasets])
    axes, units = _axes(multiscale.get("axes"))
    scale, translation = (np.array(each) for each in _transformation(multiscale, len(axes)))
    levels = [_transformation(dataset, len(axes)) for dataset in datasets]
    scales = [tuple((scale * own).tolist()) for own, _ in levels]
    origins = [tuple((scale * own + translation).tolist()) for _, own in levels]
    channels = (ome.get("omero") or {}).get("channels") or ()
    labels = tuple([str(channel.get("label", "")) for channel in channels])
    return OmeImage(version, folder, axes, units, paths, tuple(scales), tuple(origins), labels if all(labels) else ())


def _axes(described: Sequence[str | Mapping[str, str]] | None) -> tuple[str, tuple[str, ...]]:
    if described is None:  # before version 0.3 the axes were always these
        return "TCZYX", ("",) * 5
    letters = "".join([axis if isinstance(axis, str) else axis["name"] for axis in described])
    units = [axis.get("unit") or "" if isinstance(axis, Mapping) else "" for axis in described]
    return as_axes(letters, len(described)), tuple(units)


def _transformation(described: Mapping[str, Any], ndim: int) -> tuple[list[float], list[float]]:
    """Scale and translation that a level, or the whole image, declares; one number per axis."""
    found = {"scale": [1.0] * ndim, "translation": [0.0] * ndim}
    for transformation in described.get("coordinateTransformations") or ():
        kind = transformation["type"]
        if kind in found and kind in transformation:
            values = found[kind] = list(map(float, transformation[kind]))
            if len(values) != ndim or not np.isfinite(values).all():
                raise ValueError(f"a {kind} of {str(values)[:80]} does not fit {ndim} axes")
    return found["scale"], found["translation"]


def _safe(path: Json, name: str) -> str:
    """Check the path of an array in its group, which must not lead out of the group."""
    parts = str(path).split("/")
    if not isinstance(path, str) or path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise UnreadableFileError(f"{name} names the array {str(path)[:80]!r}, which is not inside it")
    return path
