"""Planes in one TIFF file each."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tilecore.errors import UnreadableFileError
from tilecore.formats.reader_errors import reading
from tilecore.formats.tiff.directories import layout
from tilecore.formats.tiff.metadata import physical
from tilecore.formats.tiff.pages import TiffSegments
from tilecore.geometry.boxes import Box

if TYPE_CHECKING:
    from tifffile import TiffPage

__all__ = ["TiffPlanes"]


@dataclass(frozen=True)
class _TiffPlane:
    segments: TiffSegments
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    voxel_size_um: tuple[float, float, float] | None

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of a strip or tile; None if the voxels lie in the file as they are."""
        steps = (*self.segments.chunk_shape[1:], self.shape[-1])
        return None if self.segments.is_contiguous else tuple(map(min, steps, self.shape))

    @property
    def codec(self) -> str:
        """Name of the compression."""
        return self.segments.codec

    def read_into(self, result: npt.NDArray[Any], box: Box, n_threads: int) -> None:
        """Read a box of the plane, whose axes are length, width, and colours if there are several."""
        none = (0,) * (3 - len(self.shape))
        inner = Box((0, 0, *box.start, *none), (1, 1, *box.stop, *[1 for _ in none]))
        self.segments.read_into(result.reshape(inner.shape), inner, n_threads)


class TiffPlanes:
    """Opener of planes; of those that are stored alike, all tags are kept once. The first tells the voxel size."""

    def __init__(self, *, fill: bool) -> None:
        self._fill = fill
        self._keyframes: dict[tuple[object, ...], TiffPage] = {}

    def open(self, path: str) -> _TiffPlane:
        """Read the tags of a plane, and compare them with the size of its file.

        Raises
        ------
        UnreadableFileError
            If the file is damaged, or no single plane.
        """
        import tifffile

        with reading(path, "a TIFF plane"), tifffile.TiffFile(path) as tif:
            page = tif.pages.first
            if len(tif.pages) != 1 or page.axes not in ("YX", "YXS") or page.dtype is None:
                raise UnreadableFileError(
                    f"{path} is not a single plane: it has {len(tif.pages)} pages of axes {page.axes}"
                )
            is_first = not self._keyframes  # the others are as it is; their texts are not parsed
            segments = TiffSegments.of(page, fill=self._fill)
            if (stored := layout(page)) not in self._keyframes:
                segments.verify_keyframe(path)
            segments.verify(path, os.path.getsize(path))
            keyframe = self._keyframes.setdefault(stored, page)
            size = physical(tif, 0)[0] if is_first else None
            return _TiffPlane(replace(segments, keyframe=keyframe), page.shape, page.dtype, size)
