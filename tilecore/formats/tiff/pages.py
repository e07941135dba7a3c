"""Pages of TIFF files: reads and decodes only the strips or tiles that a box needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from tilecore.errors import UnreadableFileError
from tilecore.extras import needs_extra
from tilecore.formats.readahead import expect_bytes
from tilecore.formats.reader_errors import reading
from tilecore.formats.tiff.directories import keyframe_of, path_of
from tilecore.geometry.boxes import Box
from tilecore.geometry.chunks_in_box import check_chunk_size, touched
from tilecore.spreading import spread

if TYPE_CHECKING:
    from tifffile import TiffFrame, TiffPage

__all__ = ["TiffSegments"]

# Number of a strip or tile, and the voxels that it has in common with a box: their place in the box and in it.
_Segment: TypeAlias = tuple[int, tuple[slice, ...], tuple[slice, ...]]


@dataclass(frozen=True)
class TiffSegments:
    """Strips or tiles of one page: their positions in the file, and how to decode them.

    Attributes
    ----------
    path : str
        Path of the file that holds them.
    keyframe : tifffile.TiffPage
        A page of the same layout, whose tags were read in full.
    offsets, counts : sequence of int
        Position and length of each segment, in the order of the format [byte].
    fill : bool
        Whether segments that were never written have the fill value; otherwise they raise an error.
    tables : bytes, optional
        Tables of this page's JPEG streams, if they are not in the streams.
    """

    path: str
    keyframe: Any
    offsets: Sequence[int]
    counts: Sequence[int]
    fill: bool = False
    tables: bytes | None = None

    @classmethod
    def of(cls, page: TiffPage | TiffFrame, *, fill: bool) -> TiffSegments:
        """Copy from a page or frame of tifffile what is still needed when its file is closed."""
        keyframe = keyframe_of(page)
        if page.is_frame and keyframe is not page.keyframe:
            page = keyframe
        return cls(path_of(page), keyframe, page.dataoffsets, page.databytecounts, fill, page.jpegtables)

    @property
    def codec(self) -> str:
        """Name of the compression; ``"none"`` if there is none, or no tag for it."""
        import tifffile

        code = int(self.keyframe.compression)  # tifffile gives a bare number where there is no tag
        known = {each.value: each.name.lower() for each in tifffile.COMPRESSION}
        return known.get(code, f"compression {code}")

    @property
    def chunk_shape(self) -> tuple[int, int, int]:
        """Shape of a strip or tile: depth, length, width [voxel]."""
        page = self.keyframe
        if page.is_tiled:
            return page.tiledepth, page.tilelength, page.tilewidth
        return 1, min(page.rowsperstrip, page.imagelength), page.imagewidth

    def verify_keyframe(self, name: str) -> None:
        """Check that segments of this page, and of all that are stored alike, can be decoded.

        Raises
        ------
        UnreadableFileError
            If they are too large, or nothing can decode them.
        MissingDependencyError
            If the codec is not built into tifffile.
        """
        if not self.is_contiguous:
            check_chunk_size(self.chunk_shape, self.keyframe.dtype, name)
            if self.keyframe.size:
                self._decode(None, 0, "the strips or tiles")  # whatever they hold: is there a codec?

    def verify(self, name: str, size: int) -> None:
        """Check that the file of `size` bytes holds all segments that the page needs.

        Raises
        ------
        UnreadableFileError
            If a segment is missing, empty or beyond the file's end.
        """
        needed = math.prod(self._counts)
        if min(len(self.offsets), len(self.counts)) < needed:
            raise UnreadableFileError(f"{name} has {len(self.offsets)} strips or tiles, but {needed} are needed")
        for offset, count in zip(self.offsets[:needed], self.counts[:needed], strict=True):
            if offset + count > size:
                raise UnreadableFileError(
                    f"{name} is cut off: the file has {size} bytes, and {offset + count} are needed"
                )
            if count == 0 and not self.fill:
                raise UnreadableFileError(
                    f'{name} has an empty strip or tile; missing_chunks="fill" reads the fill value'
                )
        if self.keyframe.compression == 1 and self.keyframe.predictor == 1 and not self.fill:
            stored, voxels = sum(self.counts[:needed]), self.keyframe.size * self.keyframe.bitspersample // 8
            if stored < voxels:
                raise UnreadableFileError(f"{name} is damaged: it stores {stored} bytes, but {voxels} are needed")

    def read_into(self, result: npt.NDArray[Any], box: Box, n_threads: int) -> None:
        """Read a box of the page; its axes are samples, depth, length, width, interleaved samples.

        Raises
        ------
        UnreadableFileError
            If a segment is missing or cannot be decoded.
        MissingDependencyError
            If the codec is not built into tifffile.
        """
        page = self.keyframe
        if self.is_contiguous:
            self._copy_into(result, box)
            return
        result[...] = page.nodata
        needed = _needed(box, (1, *self.chunk_shape, page.shaped[4]), self._counts)
        n_threads = min(n_threads, len(needed))
        spread(
            partial(self._read_segments, result), [needed[first::n_threads] for first in range(n_threads)], n_threads
        )

    def expect(self, box: Box) -> None:
        """Tell the system that a box of the page is read soon."""
        needed = _needed(box, (1, *self.chunk_shape, self.keyframe.shaped[4]), self._counts)
        expect_bytes(self.path, [(self.offsets[number], self.counts[number]) for number, _, _ in needed])

    def _read_segments(self, result: npt.NDArray[Any], needed: list[_Segment]) -> None:
        with reading(self.path, "TIFF"), open(self.path, "rb", buffering=0) as file:
            for number, in_box, in_segment in needed:
                if (data := self._decoded(file, number)) is None:
                    continue
                part = data[in_segment]
                if part.shape != (wanted := result[in_box]).shape[1:]:
                    raise UnreadableFileError(f"{self.path}: strip or tile {number} holds fewer voxels than it should")
                wanted[0] = part

    def _copy_into(self, result: npt.NDArray[Any], box: Box) -> None:
        """Read a box of an uncompressed page that is contiguous in the file."""
        page = self.keyframe
        dtype = page.dtype.newbyteorder(page.parent.byteorder)
        if box == Box.of_shape(page.shaped) and result.flags.c_contiguous and result.dtype == dtype:
            with open(self.path, "rb", buffering=0) as file:  # faster than a map, as no page of memory has to be mapped
                file.seek(self.offsets[0])
                if file.readinto(result.reshape(-1).view(np.uint8)) == result.nbytes:  # type: ignore[arg-type]
                    return
        whole: npt.NDArray[Any] = np.memmap(self.path, dtype, "r", self.offsets[0], page.shaped)
        result[...] = whole[box.slices]

    @property
    def is_contiguous(self) -> bool:
        """Whether the page is contiguous in the file and uncompressed."""
        page = self.keyframe
        ends = [offset + count for offset, count in zip(self.offsets, self.counts, strict=False)]
        return bool(page.is_final and not page.is_tiled and self.offsets and ends[:-1] == list(self.offsets[1:]))

    @property
    def _counts(self) -> tuple[int, int, int, int]:
        """Number of segments along samples, depth, length and width."""
        samples, *lengths, _ = self.keyframe.shaped
        depth, length, width = [-(-whole // step) for whole, step in zip(lengths, self.chunk_shape, strict=True)]
        return samples, depth, length, width

    def _decoded(self, file: BinaryIO, number: int) -> npt.NDArray[Any] | None:
        """Read and decode a segment; None if it is missing and has the fill value."""
        if self.counts[number] == 0:
            if not self.fill:
                raise UnreadableFileError(f"{self.path}: strip or tile {number} is missing")
            return None
        file.seek(self.offsets[number])
        content = file.read(self.counts[number])
        if len(content) < self.counts[number]:
            raise UnreadableFileError(f"{self.path} is cut off in strip or tile {number}")
        return self._decode(content, number, f"strip or tile {number}")

    def _decode(self, content: bytes | None, number: int, what: str) -> npt.NDArray[Any] | None:
        """Decode the content of a segment; without content, only look for the codec."""
        try:
            decoded = self.keyframe.decode(content, number, jpegtables=self.tables, jpegheader=self.keyframe.jpegheader)
        except Exception as error:  # each codec has its own errors, some of them plain Exceptions
            if "imagecodecs" in str(error):
                raise needs_extra(
                    f"{self.path}, compressed with {self.codec.upper()},", "imagecodecs", "codecs"
                ) from error
            raise UnreadableFileError(f"{self.path}: {what} cannot be decoded: {error}") from error
        voxels: npt.NDArray[Any] | None = decoded[0]
        return voxels


@lru_cache(maxsize=64)
def _needed(box: Box, steps: tuple[int, ...], counts: tuple[int, ...]) -> list[_Segment]:
    """Numbers of the segments that a box touches, and the part of each: the same for all pages of a stack."""
    return [
        (int(np.ravel_multi_index(position[:4], counts)), in_box, in_segment[1:])
        for position, in_box, in_segment in touched(box, steps)
    ]
