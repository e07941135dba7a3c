"""Properties of an image that are stored in its file: shape, axes, voxel size, chunks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tilecore.errors import ParameterError, UnreadableFileError
from tilecore.formats.axes import AXES, as_axes, guessed_axes, known_axes
from tilecore.formats.recorded import NOT_TOLD, Recorded
from tilecore.geometry.boxes import Box
from tilecore.geometry.chunks_in_box import count_touched

__all__ = ["MICROMETRES", "ImageInfo", "level_origin_um", "position_um", "positive_size"]

#: Micrometres per unit of length, by the unit's name in files.
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
    """Properties of an image that are known without reading its voxels.

    Attributes
    ----------
    kind : str
        Kind of file, such as ``"tiff"``.
    shape : tuple of int
        Length of each axis [voxel].
    dtype : dtype
        Data type of the voxels.
    axes : str
        One letter per axis, of ``TCZYX`` or others that the file has. A reader leaves it empty where the file does
        not tell: then `open_source` guesses.
    voxel_size_um : tuple of 3 floats, or None
        Voxel size along z, y and x [um]; None if the file does not tell it.
    channel_names : tuple of str
        Names of the channels; empty if the file does not tell them.
    chunks : tuple of int, or None
        Shape of a chunk, which is decoded as a whole; None if each voxel can be read alone.
    write_units : tuple of int, or None
        Shape of the unit that is written as a whole: a shard, or a chunk if there are no shards.
    codec : str
        Compression of the chunks.
    levels : tuple of tuple of int
        Shape of each level of the pyramid; one shape if there is no pyramid.
    origin_um : tuple of 3 floats
        Position of the first voxel's centre along z, y and x [um], as the file tells it; zeros if it does not.
        The first voxel of a coarser level, or of a part of the image, has a position of its own.
    axes_are_guessed : bool
        Whether nobody says what the axes are, so that their letters are a guess from the shape.
    guess : str
        How the axes were understood, if the file may mean others; otherwise empty.
    recorded : Recorded
        Of a recording: rate and unit of the numbers, as far as the file tells them.
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
    origin_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    axes_are_guessed: bool = False
    guess: str = ""
    recorded: Recorded = NOT_TOLD

    @property
    def n_bytes(self) -> int:
        """Size of all voxels [byte]."""
        return math.prod(self.shape) * self.dtype.itemsize

    def decoded_bytes(self, box: Box) -> int:
        """Size of what is decoded to read a box with voxels: all chunks that it touches [byte]."""
        n_voxels = box.size if self.chunks is None else count_touched(box, self.chunks) * math.prod(self.chunks)
        return n_voxels * self.dtype.itemsize

    @property
    def separate_axes(self) -> tuple[int, ...]:
        """Axes whose neighbours show the same place (time and channel), if the image also has an axis of space.

        A recording has no axis of space, so its neighbours in time are context. A guess does not count: an array in
        memory, without names, is treated the same.
        """
        if self.axes_are_guessed:
            return ()
        has_space = any(name in self.axes for name in "ZYX")
        return tuple([axis for axis, name in enumerate(self.axes) if name in "TC"]) if has_space else ()

    def with_axes(self, axes: str | None) -> ImageInfo:
        """Return the properties with the axes that a caller gives, or else with a guess where the file is silent.

        Raises
        ------
        ParameterError
            If a letter is neither known here nor used in the file.
        """
        if axes is None:
            return self._with_guess()
        letters = as_axes(axes, len(self.shape))
        if strange := set(letters) - set(AXES + "S" + self.axes + guessed_axes(self.shape)):
            of_file = f", and those of the file, {self.axes}" if self.axes else ""
            raise ParameterError.of("axes", axes, f"{''.join(sorted(strange))}: allowed are {AXES} and S{of_file}")
        return replace(self, axes=known_axes(letters), axes_are_guessed=False, guess="")

    def _with_guess(self) -> ImageInfo:
        """Return the properties with a letter for each axis whose meaning the file does not tell."""
        letters = known_axes(self.axes)
        made_up = {letter for letter, told in zip(letters, self.axes, strict=True) if told in "QI" and letter != told}
        if self.axes == "" or made_up & set("TC"):
            guess = guessed_axes(self.shape)
            # A guess says nothing against the axes that the file names, such as those of its pages.
            fits = all(
                told in ("Q", "I", letter) for told, letter in zip(self.axes.replace("S", "C"), guess, strict=False)
            )
            return replace(self, axes=guess if fits else letters, axes_are_guessed=True)
        return replace(self, axes=letters)

    def through(self, window: Sequence[int | slice]) -> ImageInfo:
        """Return the properties of a part of the image: one position on some axes, a range on the others."""
        kept = [(axis, part) for axis, part in enumerate(window) if isinstance(part, slice)]
        info = self.arranged([axis for axis, _ in kept])
        origin = self._origin_of([part.start if isinstance(part, slice) else part for part in window])
        shape = tuple([part.stop - part.start for _, part in kept])
        if "C" in self.axes:
            info = info._of_channels(window[self.axes.index("C")], self.shape[self.axes.index("C")])
        return replace(info, shape=shape, origin_um=origin)

    def _of_channels(self, chosen: int | slice, n_channels: int) -> ImageInfo:
        """Return the properties of some of the channels."""
        if chosen == slice(0, n_channels):
            return self
        names = self.channel_names if len(self.channel_names) == n_channels else ()
        kept = names[chosen] if isinstance(chosen, slice) else self.channel_names
        return replace(self, channel_names=kept, recorded=self.recorded.of_time)

    def arranged(self, order: Sequence[int]) -> ImageInfo:
        """Return the properties of the image with some of its axes, in this order."""

        def moved(values: Sequence[Any]) -> tuple[Any, ...]:
            return tuple([values[axis] for axis in order])

        return replace(
            self,
            shape=moved(self.shape),
            axes="".join(moved(self.axes)),
            chunks=None if self.chunks is None else moved(self.chunks),
            write_units=None if self.write_units is None else moved(self.write_units),
            levels=tuple([moved(level) for level in self.levels]),
        )

    def _origin_of(self, start: Sequence[int]) -> tuple[float, float, float]:
        """Position of the centre of a voxel [um]; that of the first voxel if the voxel size is not known."""
        first = dict(zip(self.axes, start, strict=True))
        sizes = self.voxel_size_um or (0.0, 0.0, 0.0)
        z, y, x = [at + first.get(axis, 0) * size for axis, at, size in zip("ZYX", self.origin_um, sizes, strict=True)]
        return z, y, x

    def check(self, name: str) -> ImageInfo:
        """Refuse properties that no image has: elements that are not numbers, axes that do not fit, impossible shapes.

        Raises
        ------
        UnreadableFileError
            If a property is wrong; the message names it.
        """
        if self.dtype.hasobject or self.dtype.kind not in "biufc":
            raise UnreadableFileError(f"{name} has elements of dtype {self.dtype}: only numbers can be read")
        if any(length < 0 for length in self.shape) or self.n_bytes >= 2**62:
            raise UnreadableFileError(f"{name} declares the shape {self.shape}, which is not possible for an image")
        told = (self.axes,) if self.axes else ()
        if any(len(each) != len(self.shape) for each in (*told, *self.levels)):
            raise UnreadableFileError(f"{name} declares axes {self.axes!r} for the shapes {self.shape}, {self.levels}")
        return self


def level_origin_um(
    finest: tuple[float, float, float] | None, level: tuple[float, float, float] | None
) -> tuple[float, float, float]:
    """Position of the first voxel's centre of a level, for the voxel sizes of the finest level and of this one [um].

    All levels begin at the same edge, so a larger first voxel has its centre farther inside.
    """
    if finest is None or level is None:
        return 0.0, 0.0, 0.0
    z, y, x = [(own - fine) / 2 for fine, own in zip(finest, level, strict=True)]
    return z, y, x


def positive_size(values: Sequence[Any]) -> tuple[float, float, float] | None:
    """Voxel size as three positive numbers; None if one of them is missing or not possible."""
    size = position_um(values)
    return size if size is not None and min(size) > 0 else None


def position_um(values: Sequence[Any]) -> tuple[float, float, float] | None:
    """Position along z, y, x as three finite numbers; None if one of them is missing or not possible."""
    try:
        z, y, x = (float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return (z, y, x) if all(map(math.isfinite, (z, y, x))) else None
