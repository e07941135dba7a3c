"""Names of axes that a source tells; of labelled arrays of xarray also the voxel size and the channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilecore.arrays.foreign import is_labelled
from tilecore.formats.image_info import MICROMETRES, ImageInfo, positive_size

__all__ = ["info_of_labels", "told_axes"]

_LETTERS = {"time": "T", "channel": "C", **{letter: letter.upper() for letter in "tczyx"}}


def told_axes(source: object) -> str | None:
    """Letters of the axes that a source tells itself; None if it does not, or only by a guess."""
    info = info_of_labels(source) or getattr(source, "info", None)
    if isinstance(info, ImageInfo):
        return None if info.axes_are_guessed else info.axes
    told = getattr(source, "axes", None)
    return told if isinstance(told, str) else None


def info_of_labels(array: object) -> ImageInfo | None:
    """Properties of a labelled array; None if it is not one, or if its axes have other names than an image's.

    The axes are called time, t, channel, c, z, y and x, in capital letters or not. The voxel size is told by
    coordinates along z, y and x that are evenly spaced and have the attribute ``units``.
    """
    if not is_labelled(array):
        return None
    labelled: Any = array
    letters = [_LETTERS.get(str(name).lower(), "") for name in labelled.dims]
    if not letters or not all(letters) or len(set(letters)) < len(letters):
        return None
    names = dict(zip(letters, labelled.dims, strict=True))
    coordinates = getattr(labelled, "coords", {})
    along = {letter: coordinates[name] for letter, name in names.items() if name in coordinates}
    channels = np.asarray(along["C"]) if "C" in along else np.empty(0)
    flat = {} if "Z" in letters else {"Z": 1.0}  # as of images in files
    size = positive_size([flat.get(letter) or _spacing_um(along.get(letter)) for letter in "ZYX"])
    z, y, x = [0.0 if size is None or letter in flat else _first_um(along[letter]) for letter in "ZYX"]
    return ImageInfo(
        "labelled array",
        tuple(labelled.shape),
        np.dtype(labelled.dtype),
        "".join(letters),
        size,
        tuple([str(name) for name in channels]) if channels.dtype.kind == "U" else (),
        origin_um=(z, y, x),
    )


def _first_um(coordinate: Any) -> float:
    """Position of the first voxel along an axis [um]."""
    return float(np.asarray(coordinate)[0]) * MICROMETRES[str(coordinate.attrs["units"])]


def _spacing_um(coordinate: object) -> float | None:
    """Distance between neighbours along an axis [um]; None if it is not the same everywhere, or has no known unit."""
    micrometres = MICROMETRES.get(str(getattr(coordinate, "attrs", {}).get("units")))
    values = np.asarray(coordinate)
    if micrometres is None or values.ndim != 1 or values.size < 2 or values.dtype.kind not in "iuf":
        return None
    steps = np.diff(values.astype(np.float64))
    is_even = bool(np.allclose(steps, steps[0], rtol=1e-3, atol=0))
    return float(values[-1] - values[0]) / (values.size - 1) * micrometres if is_even else None
