"""Checks of the parameters of `detect_blobs`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tilecore.array_types import OneSource, ReadableArray
from tilecore.blobs.channels import channels_of
from tilecore.blobs.columns import as_voxel_size
from tilecore.blobs.scale_space.scales import Sigma
from tilecore.engine.inputs import Inputs
from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.formats.axes import in_usual_order
from tilecore.formats.labels import info_of_labels, told_axes
from tilecore.geometry.per_axis import as_integer, as_integers

__all__ = [
    "as_border",
    "as_mask",
    "check_numbers",
    "check_unread",
    "check_voxels",
    "origin_of",
    "sigmas_of",
    "voxel_size_of",
]


def as_mask(mask: OneSource, shape: tuple[int, ...], axes: str) -> ReadableArray:
    """Check a mask against the volume's shape, and return it as an array with the axes z, y, x.

    A mask whose file does not name its axes has those of the source.
    """
    (opened,) = Inputs.of(mask).arrays
    array: ReadableArray = opened
    if len(opened.shape) == len(shape):
        found = channels_of(opened, None, axes=told_axes(mask) or told_axes(opened) or axes)
        array = next(iter(found.volumes.values()))
    if tuple(array.shape) != shape:
        turned = "" if axes == in_usual_order(axes) else f"; its axes are taken for {axes}, as the source's"
        raise ParameterError.of("mask", tuple(opened.shape), f"along z, y, x it must have the shape {shape}{turned}")
    return array


def voxel_size_of(source: object, given: float | Sequence[float] | None, axes: str) -> tuple[float, ...] | None:
    """Return the voxel size along each axis in the order z, y, x, as given or from the source [um]; None if unknown."""
    told = info_of_labels(source) or source
    size = getattr(told, "voxel_size_um", None)
    if given is not None:
        return as_voxel_size(given, len(axes))
    return None if size is None else as_voxel_size(_along(size, axes), len(axes))


def origin_of(source: object, given: float | Sequence[float] | None, axes: str) -> tuple[float, ...] | None:
    """Return the position of the source's first voxel along each axis, in the order z, y, x [um]; None if unknown.

    It is unknown, too, if the caller gives the voxel size: the source's position belongs to the source's own size.
    """
    told = info_of_labels(source) or source
    if given is not None or getattr(told, "voxel_size_um", None) is None:
        return None
    origin = getattr(told, "origin_um", None)
    return None if origin is None else _along(origin, axes)


def _along(values: Sequence[float], axes: str) -> tuple[float, ...]:
    """Those of the values along z, y and x that belong to the axes that there are."""
    if not set(axes) <= set("ZYX"):
        return tuple(values[-len(axes) :])
    return tuple([value for value, letter in zip(values, "ZYX", strict=True) if letter in axes])


def sigmas_of(
    diameter_um: float | tuple[float, float], size: tuple[float, ...] | None, ndim: int
) -> tuple[Sigma, Sigma]:
    """Convert diameters of blobs to sigmas: the radius is sigma * sqrt(number of axes)."""
    if size is None:
        raise ParameterError.of("diameter_um", diameter_um, "the voxel size is needed: pass voxel_size_um")
    diameters = np.asarray(diameter_um, dtype=np.float64)
    if diameters.shape not in ((), (2,)) or not (diameters > 0).all():
        raise ParameterError.of("diameter_um", diameter_um, "one number or two, more than zero")
    ends = diameters * [0.75, 1.25] if diameters.ndim == 0 else diameters
    low, high = (tuple((end / 2 / math.sqrt(ndim) / np.array(size)).tolist()) for end in ends)
    return (low, high) if len(set(size)) > 1 else (low[0], high[0])


def as_border(exclude_border: int | Sequence[int] | bool, ndim: int) -> tuple[int, ...]:
    """Return the widths of the excluded border, per axis [voxel]."""
    if isinstance(exclude_border, Iterable):
        return as_integers(exclude_border, "exclude_border", ndim, 0)
    return (as_integer(int(exclude_border), "exclude_border", 0),) * ndim


def check_numbers(*, threshold: float | None, threshold_rel: float | None, overlap: float) -> None:
    """Refuse thresholds and overlaps that are not finite numbers or out of range, before any work."""
    for name, value in (("threshold", threshold), ("threshold_rel", threshold_rel)):
        is_number = isinstance(value, (int, float, np.integer, np.floating))
        if value is not None and not (is_number and math.isfinite(value)):
            raise ParameterError.of(name, value, "must be a number")
    if not 0 <= overlap <= 1:
        raise ParameterError.of("overlap", overlap, "must be from 0 to 1")


def check_unread(reader: str, **parameters: object) -> None:
    """Refuse parameters that the detector does not use, because ignoring them would be misleading."""
    for name, value in parameters.items():
        if value is not None and not (isinstance(value, Mapping) and not value):
            raise ParameterError.of(name, value, f"{reader} does not use it: leave it out")


def check_voxels(dtype: npt.DTypeLike) -> None:
    """Refuse voxels that are not real numbers, as only these can be compared."""
    if np.dtype(dtype).kind not in "biuf":
        raise ParameterTypeError.of("source", str(np.dtype(dtype)), "voxels must be real numbers")
