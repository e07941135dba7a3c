"""Reader of TIFF planes, from a folder or a pattern, as one volume."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tilecore.errors import MissingFileError, UnreadableFileError
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.paths import matching, tiffs_in
from tilecore.formats.reader_errors import inside, reading
from tilecore.formats.tiff.directories import layout
from tilecore.formats.tiff.metadata import physical
from tilecore.formats.tiff.pages import TiffSegments
from tilecore.geometry.boxes import Box

if TYPE_CHECKING:
    from tifffile import TiffPage

__all__ = ["open_planes"]


class _Plane(NamedTuple):
    segments: TiffSegments
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def open_planes(path: str, *, missing_chunks: str = "error") -> PlanesReader:
    """Open the TIFF files of a folder, or those that match a pattern with ``*``, as planes of one volume."""
    paths = [inside(path, each) for each in tiffs_in(path)] if os.path.isdir(path) else matching(path)
    if not paths:
        raise MissingFileError.of("path", path, "there is no TIFF file")
    return PlanesReader(path, paths, fill=missing_chunks == "fill")


class PlanesReader:
    """Reader of planes in one file each, in the order of the numbers in their names.

    Parameters
    ----------
    path : str
        The folder or the pattern.
    paths : sequence of str
        Paths of the planes.
    fill : bool
        Whether missing strips and tiles have the fill value.

    Raises
    ------
    UnreadableFileError
        If a plane is missing; the message names it.
    """

    mapped = None

    def __init__(self, path: str, paths: Sequence[str], *, fill: bool) -> None:
        self._path, self._paths, self._fill = path, paths, fill
        self.files = paths
        self._keyframes: dict[tuple[object, ...], TiffPage] = {}
        self._plane = lru_cache(maxsize=4096)(self._parse)
        axes, counts = _numbering([os.path.basename(each) for each in paths], path)
        first, voxel_size = self._first()
        lengths = dict(zip("YX", first.segments.chunk_shape[1:], strict=True))
        page_axes = "YXS"[: len(first.shape)]
        chunks = [min(lengths.get(axis, size), size) for axis, size in zip(page_axes, first.shape, strict=True)]
        self.info = ImageInfo(
            "planes",
            (*counts, *first.shape),
            first.dtype,
            axes + page_axes,
            voxel_size,
            chunks=None if first.segments.is_contiguous else (*[1] * len(counts), *chunks),
            codec=first.segments.codec,
        )

    def verify(self) -> None:
        """Check that every plane has the shape and dtype of the first."""
        for number in range(len(self._paths)):
            self._checked(number)

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Read a box."""
        n_page_axes = 3 if self.info.axes.endswith("S") else 2
        split = len(self.info.shape) - n_page_axes
        counts = self.info.shape[:split]
        inner = Box(
            (0, 0, *box.start[split:], *[0] * (3 - n_page_axes)), (1, 1, *box.stop[split:], *[1] * (3 - n_page_axes))
        )
        result = np.empty(box.shape, self.info.dtype)
        ranges = [range(first, last) for first, last in zip(box.start[:split], box.stop[:split], strict=True)]
        for position in product(*ranges):
            number = int(np.ravel_multi_index(position, counts))
            place = tuple([at - first for at, first in zip(position, box.start, strict=False)])
            with reading(self._paths[number], "a TIFF plane"):
                self._checked(number).segments.read_into(result[place].reshape(inner.shape), inner)
        return result

    def _checked(self, number: int) -> _Plane:
        plane = self._plane(self._paths[number])
        shape, dtype = self.info.shape[-len(plane.shape) :], self.info.dtype
        if (plane.shape, plane.dtype) != (shape, dtype):
            raise UnreadableFileError(
                f"{self._paths[number]} has {plane.shape} voxels of {plane.dtype}; "
                f"the first plane has {shape} of {dtype}"
            )
        return plane

    def _first(self) -> tuple[_Plane, tuple[float, float, float] | None]:
        import tifffile

        with reading(self._paths[0], "a TIFF plane"), tifffile.TiffFile(self._paths[0]) as tif:
            voxel_size, _ = physical(tif, 0)
        return self._plane(self._paths[0]), voxel_size

    def _parse(self, path: str) -> _Plane:
        import tifffile

        with reading(path, "a TIFF plane"), tifffile.TiffFile(path) as tif:
            page = tif.pages.first
            if len(tif.pages) != 1 or page.axes not in ("YX", "YXS") or page.dtype is None:
                raise UnreadableFileError(
                    f"{path} is not a single plane: it has {len(tif.pages)} pages of axes {page.axes}"
                )
            segments = TiffSegments.of(page, fill=self._fill)
            segments.verify(path, os.path.getsize(path))
            # Planes of one layout are decoded in the same way: one page with all its tags is kept for all of them.
            keyframe = self._keyframes.setdefault(layout(page), page)
            return _Plane(replace(segments, keyframe=keyframe), page.shape, page.dtype)


def _numbering(names: Sequence[str], path: str) -> tuple[str, tuple[int, ...]]:
    """Find the axes and their lengths from the numbers in the names.

    Raises
    ------
    UnreadableFileError
        If a number is missing, or a name differs from the others. Numbers may have steps, for example
        if only some planes were kept, or if they are micrometres.
    """
    texts, numbers = _alike(names, path)
    running = [field for field in range(len(numbers[0])) if len({each[field] for each in numbers}) > 1]
    letters = [_letter(texts[field]) for field in running]
    if len(running) == 1:
        letters = [letters[0] or "Z"]
    if len(set(letters)) < len(letters) or None in letters:
        raise UnreadableFileError(
            f"{path}: names such as {names[0]} have several numbers that could count planes; choose some with a pattern"
        )
    positions = [tuple(own[field] for field in running) for own in numbers]
    values = [sorted(set(each)) for each in zip(*positions, strict=True)]
    if (lost := _lost(values, set(positions))) is not None:
        parts = [
            f"{texts[field]}{_padded(at, names, field)}" for field, at in zip(running, lost, strict=True) if at >= 0
        ]
        raise UnreadableFileError(f"{path}: plane {''.join(parts)} is missing")
    counts = tuple([len(each) for each in values]) or (1,)
    if math.prod(counts) != len(names):
        raise UnreadableFileError(f"{path}: two planes have the same numbers")
    return "".join(filter(None, letters)) or "Z", counts


def _alike(names: Sequence[str], path: str) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """Texts that all names have in common, and the numbers between them."""
    texts, numbers = _parts(names[0])[0], []
    for name in names:
        parts, own = _parts(name)
        if parts != texts:
            raise UnreadableFileError(f"{path}: {name} is not named like {names[0]}; choose planes by a pattern with *")
        numbers.append(own)
    return texts, numbers


def _lost(values: Sequence[Sequence[int]], present: set[tuple[int, ...]]) -> tuple[int, ...] | None:
    """First position without a plane, with -1 on axes that do not matter; None if no plane is missing."""
    for axis, each in enumerate(values):
        if (number := _missing(each)) is not None:
            return tuple(number if other == axis else -1 for other in range(len(values)))
    return next((position for position in product(*values) if position not in present), None)


def _missing(numbers: Sequence[int]) -> int | None:
    """First number that is missing in a series of equal steps; None if the series is complete."""
    gaps = [after - before for before, after in pairwise(numbers)]
    step = math.gcd(*gaps)
    return next((before + step for before, gap in zip(numbers, gaps, strict=False) if gap != step), None)


def _padded(number: int, names: Sequence[str], field: int) -> str:
    """A number as text with leading zeros, as in the names."""
    digits = [re.findall(r"\d+", name)[field] for name in names]
    return str(number).zfill(min(map(len, digits)))


def _parts(name: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Texts and numbers in a name."""
    pieces = re.split(r"(\d+)", os.path.splitext(name)[0])
    return tuple(pieces[::2]), tuple(int(piece) for piece in pieces[1::2])


def _letter(text: str) -> str | None:
    """Letter of the axis that a number counts, from the letter or word before the number."""
    word = (re.findall(r"[A-Za-z]+", text) or [""])[-1].upper()
    axes = {"CH": "C", "CHANNEL": "C", "TIME": "T", "SLICE": "Z", "PLANE": "Z"}
    return word if word in tuple("TCZ") else axes.get(word)
