"""Reader of TIFF files: memory-mapped if voxels are plain bytes, otherwise decoded segment by segment."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError, TilecoreError, UnreadableFileError
from tilecore.formats.image_info import ImageInfo, level_origin_um
from tilecore.formats.reader import MappedReader, Reader
from tilecore.formats.reader_errors import inside, overhearing, reading
from tilecore.formats.tiff.directories import is_one_block, is_one_stack
from tilecore.formats.tiff.metadata import as_written, linked_files, physical
from tilecore.formats.tiff.pages import TiffSegments
from tilecore.geometry.boxes import Box
from tilecore.spreading import spread, threads_for

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

__all__ = ["TiffReader", "images_in", "open_tiff"]

# What tifffile says of a file that it has written with and without its texts; pages that are alike are a series then.
_MIXED = "invalid shaped series metadata or corrupted file"


def open_tiff(path: str, *, series: int | None = None, level: int = 0, missing_chunks: str = "error") -> Reader:
    """Open a TIFF file of any layout."""
    import tifffile

    with reading(path, "TIFF"):
        tif = tifffile.TiffFile(path)
        try:
            with _no_damage(path):
                reader = _reader(tif, path, series or 0, level, missing_chunks)
        except BaseException:
            tif.close()
            raise
        if isinstance(reader, MappedReader):
            tif.close()
        return reader


def images_in(path: str) -> Iterator[ImageInfo | TilecoreError]:
    """Tell what each image of a TIFF file is, by its number, or why it cannot be read."""
    import tifffile

    with tifffile.TiffFile(path) as tif:
        with _no_damage(path):
            n_images = len(_series(tif))
        for number in range(n_images):
            try:
                with reading(path, "TIFF"), _no_damage(path):
                    _, info, _ = _found(tif, path, number, 0)
            except TilecoreError as error:
                yield error
            else:
                yield info


def _reader(tif: TiffFile, path: str, series: int, level: int, missing_chunks: str) -> Reader:
    chosen, info, offset = _found(tif, path, series, level)
    if offset is not None:
        return MappedReader(path, info, offset)
    return TiffReader(tif, path, chosen, info, fill=missing_chunks == "fill")


def _found(tif: TiffFile, path: str, series: int, level: int) -> tuple[TiffPageSeries, ImageInfo, int | None]:
    """Find a level of an image, what it is, and where its voxels begin in the file if they are plain bytes [byte]."""
    if tif.is_ome:
        for name in linked_files(tif.ome_metadata or ""):
            inside(os.path.dirname(path), os.path.join(os.path.dirname(path), name))
    levels = _levels(tif, path, series)
    if not 0 <= level < len(levels):
        raise ParameterError.of("level", level, f"{path} has {len(levels)} level(s), numbered from 0")
    chosen = levels[level]
    if chosen.keyframe.dtype is None:  # the series then names float64, which it does not hold
        raise UnreadableFileError(f"{path} holds samples of a kind that cannot be read")
    finest, names = physical(tif, series)
    voxel_size = _coarser(finest, levels[0], chosen) if finest is not None and level else finest
    origin = level_origin_um(finest, voxel_size)
    noted, is_bool = as_written(tif, series)
    axes, _ = _dimensions(chosen, noted)
    shapes = tuple([_dimensions(each, noted)[1] for each in levels])
    facts: dict[str, Any] = {"levels": shapes, "origin_um": origin}
    info = ImageInfo("tiff", shapes[level], chosen.dtype, axes, voxel_size, names, **facts)
    if not chosen.keyframe.is_subifd:
        tif.pages.useframes = True  # pages that are read later belong to this series
        tif.pages.set_keyframe(chosen.keyframe.index)
    if chosen.dataoffset is None or not is_one_block(chosen):
        return chosen, info.check(path), None
    is_bool = is_bool and chosen.dtype == np.uint8
    kind = np.dtype(bool) if is_bool else chosen.dtype.newbyteorder(tif.byteorder)
    return chosen, replace(info, dtype=kind).check(path), chosen.dataoffset


@contextlib.contextmanager
def _no_damage(path: str) -> Iterator[None]:
    """Raise an error for damage that tifffile only logs before it continues with incomplete data."""
    try:
        with overhearing() as records:
            yield
    except RuntimeError as error:
        if "keyframe" not in str(error):
            raise
        raise UnreadableFileError(
            f"{path}: the pages of its stack differ in width or in their number of strips or tiles, and tifffile "
            "reads no such stack; save it as a stack of pages that are stored alike"
        ) from error
    heard = [record.getMessage() for record in records if record.levelno >= logging.ERROR]
    heard = [message for message in heard if not message.endswith(_MIXED)]
    damage = next((message for message in heard if re.search("page offset|corrupted|series", message)), None)
    if damage is not None:
        raise UnreadableFileError(f"{path} is cut off or damaged: {damage}")


class TiffReader:
    """Reader of a series of pages, which decodes only the strips or tiles that are needed.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file; pages are read from it when they are needed.
    path : str
        Path of the file.
    series : tifffile.TiffPageSeries
        Level of the pyramid to read.
    info : ImageInfo
        Properties of the image that are known without the pages.
    fill : bool
        Whether missing segments and planes have the fill value.
    """

    mapped = None

    def __init__(self, tif: TiffFile, path: str, series: TiffPageSeries, info: ImageInfo, *, fill: bool) -> None:
        self._path, self._series, self._fill = path, series, fill
        self._lock = threading.Lock()
        self._pages: dict[int, TiffSegments] = {}
        self._finalizer = weakref.finalize(self, tif.close)
        self._n_leading = _n_leading(path, series, info.shape)
        segments = TiffSegments.of(series.keyframe, fill=fill)
        chunk = dict(zip("ZYX", segments.chunk_shape, strict=True))
        axes = enumerate(zip(info.axes or series.axes, info.shape, strict=True))
        chunks = [1 if axis < self._n_leading else min(chunk.get(name, size), size) for axis, (name, size) in axes]
        self.info = replace(info, chunks=None if segments.is_contiguous else tuple(chunks), codec=segments.codec)

    @property
    def files(self) -> list[str]:
        """Paths of all files that hold parts of the image."""
        if not self._series.is_multifile:
            return [self._path]
        pages = map(self._page, range(math.prod(self.info.shape[: self._n_leading])))
        return sorted({page.path for page in pages if page is not None})

    def verify(self) -> None:
        """Check that the files hold all pages and segments that the metadata declare."""
        sizes: dict[str, int] = {}
        verified: set[int] = set()
        with _no_damage(self._path):
            for number in range(math.prod(self.info.shape[: self._n_leading])):
                page = self._page(number)
                if page is not None:
                    if id(page.keyframe) not in verified:
                        page.verify_keyframe(f"{self._path}, plane {number}")
                        verified.add(id(page.keyframe))
                    size = sizes.setdefault(page.path, os.path.getsize(page.path))
                    page.verify(f"{self._path}, plane {number}", size)

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Read a box."""
        result = np.empty(box.shape, self.info.dtype)
        self.read_into(box, result)
        return result

    def read_into(self, box: Box, out: npt.NDArray[Any]) -> None:
        """Read a box into an array."""
        positions, inner = self._pages_in(box)
        n_threads = threads_for(self.info.decoded_bytes(box))

        def read_page(position: tuple[int, ...]) -> None:
            place = out[
                tuple([slice(at - first, at - first + 1) for at, first in zip(position, box.start, strict=False)])
            ]
            with reading(self._path, "TIFF"):
                page = self._page(self._number(position))
                if page is None:
                    place[...] = 0
                else:  # a view of the same voxels: only axes of length 1 differ
                    page.read_into(place.reshape(inner.shape), inner, -(-n_threads // len(positions)))

        spread(read_page, positions, n_threads)

    def expect(self, box: Box) -> None:
        """Tell the system that a box is read soon, as far as the places of its pages in the file are known."""
        positions, inner = self._pages_in(box)
        for page in filter(None, [self._pages.get(self._number(position)) for position in positions]):
            page.expect(inner)

    def _pages_in(self, box: Box) -> tuple[list[tuple[int, ...]], Box]:
        """Positions of the pages that a box touches, and the part of each."""
        split = self._n_leading
        inner = Box(box.start[split:], box.stop[split:])
        ranges = [range(first, last) for first, last in zip(box.start[:split], box.stop[:split], strict=True)]
        return list(product(*ranges)), _in_page(inner, self.info.shape[split:], self._series.keyframe.shaped)

    def _number(self, position: tuple[int, ...]) -> int:
        leading = self.info.shape[: self._n_leading]
        return int(np.ravel_multi_index(position, leading)) if leading else 0

    def _checked(self, page: TiffSegments, number: int) -> TiffSegments:
        """Refuse a page of another size or data type than the stack's, which may come from another file."""
        first, own = self._series.keyframe, page.keyframe
        if (own.shape, own.dtype) != (first.shape, first.dtype):
            raise UnreadableFileError(
                f"{page.path}, plane {number}, has {own.shape} voxels of {own.dtype}; "
                f"the stack has {first.shape} of {first.dtype}"
            )
        return page

    def _page(self, number: int) -> TiffSegments | None:
        """Segments of a page; None if the page is missing and has the fill value."""
        with self._lock:  # pages are parsed from one open file
            if number not in self._pages and (page := self._series[number]) is not None:
                self._pages[number] = self._checked(TiffSegments.of(page, fill=self._fill), number)
        if number in self._pages:
            return self._pages[number]
        if not self._fill:
            raise UnreadableFileError(
                f'{self._path} lacks plane {number} of {len(self._series)}; missing_chunks="fill" reads the fill value'
            )
        return None


def _levels(tif: TiffFile, path: str, number: int) -> list[Any]:
    all_series = _series(tif)
    if not all_series:
        raise UnreadableFileError(f"{path} holds no image")
    if not 0 <= number < len(all_series):
        raise ParameterError.of("series", number, f"{path} has {len(all_series)} series, numbered from 0")
    return list(all_series[number].levels)


def _series(tif: TiffFile) -> list[TiffPageSeries]:
    """All images of a file.

    tifffile looks at a few pages only to find out whether all belong to one image.
    """
    found: Any = None
    try:
        found = tif.series
        is_wrong = len(found) == 1 and found[0].kind == "uniform" and not is_one_stack(found[0])
    except RuntimeError:  # its pages cannot be of one image
        if callable(found) and (tif.is_imagej or tif.is_ome or tif.is_shaped):
            raise
        is_wrong = True
    if is_wrong:
        if callable(found):  # from tifffile 2026.11 on
            return list(found(kind="generic"))
        tif.is_uniform = False
        tif.__dict__.pop("series", None)  # it is found again, by the layout of every page
    return tif.series


def _dimensions(series: TiffPageSeries, noted: str) -> tuple[str, tuple[int, ...]]:
    """Axes and shape of a series: those that were noted when it was written, or those that are longer than 1."""
    axes, shape = series.axes, tuple(series.shape)
    every = dict(zip(axes, shape, strict=True))
    if hasattr(series, "get_axes"):  # of tifffile before 2026.11, which otherwise leaves out more
        every = dict(zip(series.get_axes(squeeze=False), series.get_shape(squeeze=False), strict=True))
    others = [length for letter, length in every.items() if letter not in noted]
    in_order = [letter for letter in every if letter in noted] == [letter for letter in noted if letter in every]
    if noted and in_order and math.prod(others) == 1:
        return noted, tuple([every.get(letter, 1) for letter in noted])
    last = list(zip(axes, shape, strict=True))[axes.find("Y") + 1 :]
    if series.kind == "shaped" and ("Q", 1) in last:
        axes = ""  # nobody named them: tifffile takes others for Y and X where the last ones have one voxel
    return axes, shape


def _n_leading(path: str, series: TiffPageSeries, shape: tuple[int, ...]) -> int:
    """Number of an image's leading axes, which count its pages; the other axes are those of a page."""
    page = series.keyframe
    lengths = [length for length in page.shape if length > 1]
    for split in range(len(shape) + 1):
        inner = [length for length in shape[split:] if length > 1]
        if math.prod(shape[:split]) == len(series) and inner == lengths:
            return split
    raise UnreadableFileError(f"{path} declares the shape {shape}, but has {len(series)} pages of {page.shape}")


def _in_page(box: Box, page_shape: tuple[int, ...], shaped: tuple[int, ...]) -> Box:
    """Convert a box of a page's axes to the five axes: samples, depth, length, width, interleaved samples."""
    spans = iter(
        [span for *span, length in zip(box.start, box.stop, page_shape, strict=True) if length > 1]  # the same order
    )
    full = [next(spans) if length > 1 else [0, 1] for length in shaped]
    return Box([first for first, _ in full], [last for _, last in full])


def _coarser(
    size: tuple[float, float, float], finest: TiffPageSeries, level: TiffPageSeries
) -> tuple[float, float, float]:
    """Voxel size of a level of a pyramid [um]."""
    fine, coarse = dict(zip(finest.axes, finest.shape, strict=True)), dict(zip(level.axes, level.shape, strict=True))
    z, y, x = [each * fine.get(axis, 1) / coarse.get(axis, 1) for each, axis in zip(size, "ZYX", strict=True)]
    return z, y, x
