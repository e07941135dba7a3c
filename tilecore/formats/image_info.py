"""What an image file says of itself: shape, axes, physical size, storage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tilecore.errors import ParameterError, UnreadableFileError
from tilecore.formats.axes import AXES, as_axes, default_axes, known_axes

__all__ = ["MICROMETRES", "ImageInfo", "positive_size"]

#: Micrometres in each unit of length, under the names that files give them.
MICROMETRES = {
    **dict.fromkeys(["um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "\\u00B5m"], 1.0),
    **dict.fromkeys(["nm", "nanometer", "nanometre"], 1e-3),
    **dict.fromkeys(["mm", "millimeter", "millimetre"], 1e3),
    **dict.fromkeys(["cm", "centimeter", "centimetre"], 1e4),
    **dict.fromkeys(["m", "meter", "metre"], 1e6),
    **dict.fromkeys(["pm", "picometer", "picometre"], 1e-6),
    **dict.fromkeys(["Å", "angstrom"], 1e-4),
    **dict.fromkeys(["inch"], 25400.0),
}


@dataclass(frozen=True)
class ImageInfo:
    """What is known of an image without reading its voxels.

    Attributes
    ----------
    kind : str
        Kind of file, such as ``"tiff"``.
    shape : tuple of int
    dtype : dtype
    axes : str
        A letter for each axis, of ``TCZYX`` or another that the file has.
    voxel_size_um : tuple of 3 floats, or None
        Along z, y and x [um]; None if the file does not say.
    channel_names : tuple of str
        Empty if the file does not say.
    chunks : tuple of int, or None
        Shape of what is decoded as one piece; None if every voxel can be read alone.
    write_units : tuple of int, or None
        Shape of what is written as one piece: shards, or chunks where there are none.
    codec : str
        How chunks are compressed.
    levels : tuple of tuple of int
        Shape of each level of a pyramid; one if there is no pyramid.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    voxel_size_um: tuple[float, float, float] | None = None
    channel_names: tuple[str, ...] = ()
    chunks: tuple[int, ...] | None = None
    write_units: tuple[int, ...] | None = None
    codec: str = "none"
    levels: tuple[tuple[int, ...], ...] = ()

    @property
    def n_bytes(self) -> int:
        """Size of all voxels [byte]."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def separate_axes(self) -> tuple[int, ...]:
        """Axes along which neighbours show the same place: time and channel, where there is space besides.

        A recording, which has no axis of space, has its context along time.
        """
        has_space = any(name in self.axes for name in "ZYX")
        return tuple([axis for axis, name in enumerate(self.axes) if name in "TC"]) if has_space else ()

    def with_axes(self, axes: str | None) -> ImageInfo:
        """The same with the axes a caller gives, or with known names for those that have none.

        Raises
        ------
        ParameterError
            If a letter is none that is known here or in the file.
        """
        if axes is None:
            return replace(self, axes=known_axes(self.axes))
        letters, ndim = as_axes(axes, len(self.shape)), len(self.shape)
        if strange := set(letters) - set(AXES + "S" + self.axes + default_axes(ndim)):
            raise ParameterError.of(
                "axes", axes, f"{''.join(sorted(strange))}: letters are of {AXES}, S, or those of the file, {self.axes}"
            )
        return replace(self, axes=letters)

    def through(self, window: Sequence[int | slice]) -> ImageInfo:
        """What is seen of the image at one position of some axes, and in a part of the others."""

        def kept(values: Sequence[Any]) -> tuple[Any, ...]:
            return tuple([value for value, part in zip(values, window, strict=True) if isinstance(part, slice)])

        lengths = [part.stop - part.start if isinstance(part, slice) else 1 for part in window]
        return replace(
            self,
            shape=kept(lengths),
            axes="".join(kept(self.axes)),
            chunks=None if self.chunks is None else kept(self.chunks),
            write_units=None if self.write_units is None else kept(self.write_units),
            levels=tuple([kept(level) for level in self.levels]),
        )

    def check(self, name: str) -> ImageInfo:
        """Refuse what no image is: Python objects, records, axes that do not fit, shapes no machine can address.

        Raises
        ------
        UnreadableFileError
        """
        if self.dtype.hasobject or self.dtype.kind not in "biufc":
            raise UnreadableFileError(f"{name} has elements of dtype {self.dtype}: only numbers are read")
        if any(length < 0 for length in self.shape) or self.n_bytes >= 2**62:
            raise UnreadableFileError(f"{name} declares the shape {self.shape}, which no image has")
        if any(len(each) != len(self.shape) for each in (self.axes, *self.levels)):
            raise UnreadableFileError(f"{name} declares axes {self.axes!r} for the shapes {self.shape}, {self.levels}")
        return self


def positive_size(values: Sequence[Any]) -> tuple[float, float, float] | None:
    """A voxel size, or None if one of the numbers is missing or makes no sense."""
    try:
        z, y, x = (float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return (z, y, x) if all(0 < value < math.inf for value in (z, y, x)) else None
