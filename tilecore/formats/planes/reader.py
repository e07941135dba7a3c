"""Reader of planes in one file each, from a folder or a pattern, as one volume."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tilecore.errors import MissingFileError, UnreadableFileError
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.paths import files_in, matching, tiffs_in
from tilecore.formats.planes.numbering import Numbering
from tilecore.formats.planes.pictures import SUFFIXES, Picture
from tilecore.formats.readahead import expect_bytes
from tilecore.formats.reader_errors import inside, reading
from tilecore.formats.tiff.plane import TiffPlanes
from tilecore.geometry.boxes import Box
from tilecore.spreading import spread, threads_for

__all__ = ["open_planes"]


class Plane(Protocol):
    """One plane, whose header was read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length and width, and the number of colours if there are several."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of what is decoded as a whole; None if each voxel can be read alone."""

    @property
    def codec(self) -> str:
        """Name of the compression."""

    @property
    def voxel_size_um(self) -> tuple[float, float, float] | None:
        """Voxel size along z, y and x [um], if the file tells it."""

    def read_into(self, result: npt.NDArray[Any], box: Box, n_threads: int) -> None:
        """Read a box of the plane, in several threads if it can."""


def open_planes(path: str, *, missing_chunks: str = "error") -> PlanesReader:
    """Open the pictures of a folder, or those that match a pattern with ``*``, as planes of one volume.

    Of a folder that has TIFF files, these are the planes; otherwise its PNG and JPEG files.
    """
    if os.path.isdir(path):
        found = tiffs_in(path) or files_in(path, SUFFIXES)
        paths = [inside(path, each) for each in found]
    else:
        paths = matching(path)
    if not paths:
        raise MissingFileError.of("path", path, "there is no TIFF file, and no PNG or JPEG file")
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
        Whether missing strips and tiles of TIFF have the fill value.

    Raises
    ------
    UnreadableFileError
        If a plane is missing; the message names it.
    """

    mapped = None

    def __init__(self, path: str, paths: Sequence[str], *, fill: bool) -> None:
        self.files = self._paths = paths
        self._plane = lru_cache(maxsize=4096)(_parser(fill=fill))
        axes, counts, guess = Numbering.of([os.path.basename(each) for each in paths], path)
        first = self._plane(paths[0])
        self.info = ImageInfo(
            "planes",
            (*counts, *first.shape),
            first.dtype,
            axes + "YXS"[: len(first.shape)],
            first.voxel_size_um,
            chunks=None if first.chunks is None else (*[1] * len(counts), *first.chunks),
            codec=first.codec,
            guess=guess,
        )

    def verify(self) -> None:
        """Check that every plane has the shape and dtype of the first."""
        for number in range(len(self._paths)):
            self._checked(number)

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Read a box."""
        result = np.empty(box.shape, self.info.dtype)
        self.read_into(box, result)
        return result

    def read_into(self, box: Box, out: npt.NDArray[Any]) -> None:
        """Read a box into an array."""
        positions, split = self._positions(box), self._split
        counts, inner = self.info.shape[:split], Box(box.start[split:], box.stop[split:])
        n_threads = threads_for(self.info.decoded_bytes(box))

        def read_plane(position: tuple[int, ...]) -> None:
            number = int(np.ravel_multi_index(position, counts))
            place = out[tuple([at - first for at, first in zip(position, box.start, strict=False)])]
            with reading(self._paths[number], "a plane"):
                self._checked(number).read_into(place, inner, -(-n_threads // len(positions)))

        spread(read_plane, positions, n_threads)

    def expect(self, box: Box) -> None:
        """Tell the system that the planes of a box are read soon."""
        for position in self._positions(box):
            expect_bytes(self._paths[int(np.ravel_multi_index(position, self.info.shape[: self._split]))])

    def _positions(self, box: Box) -> list[tuple[int, ...]]:
        """Positions of the planes that a box touches."""
        return list(product(*map(range, box.start[: self._split], box.stop[: self._split])))

    @property
    def _split(self) -> int:
        """Number of axes that count the planes."""
        return len(self.info.shape) - (3 if self.info.axes.endswith("S") else 2)

    def _checked(self, number: int) -> Plane:
        plane = self._plane(self._paths[number])
        shape, dtype = self.info.shape[-len(plane.shape) :], self.info.dtype
        if (plane.shape, plane.dtype) != (shape, dtype):
            raise UnreadableFileError(
                f"{self._paths[number]} has {plane.shape} voxels of {plane.dtype}; "
                f"the first plane has {shape} of {dtype}"
            )
        return plane


def _parser(*, fill: bool) -> Callable[[str], Plane]:
    """Function that reads the header of a plane, by the suffix of its file."""
    tiffs = TiffPlanes(fill=fill)
    return lambda path: Picture.of(path) if path.lower().endswith(SUFFIXES) else tiffs.open(path)
