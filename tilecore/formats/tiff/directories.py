"""Directories of TIFF pages: whether the pages of a stack are stored alike, and where their voxels lie."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from tilecore.errors import UnreadableFileError

if TYPE_CHECKING:
    from tifffile import FileHandle, TiffFile, TiffFrame, TiffPage, TiffPageSeries
    from tifffile.tifffile import TiffFormat

    _File = BinaryIO | FileHandle

__all__ = ["is_one_block", "is_one_stack", "keyframe_of", "layout", "path_of"]

# Tags that tell how strips and tiles are decoded: sizes, bits, compression, colour, order of bits, samples, predictor,
# tiles, sample formats, subsampling, depth, and the value of voxels without data. Offsets and JPEG tables are read
# for each page anyway.
_DECISIVE = frozenset({256, 257, 258, 259, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323, 338, 339, 530})
_DECISIVE |= {32997, 32998, 42113, 50674}
_OFFSETS, _COUNTS = (273, 324), (279, 325)
_READ = _DECISIVE.union(_OFFSETS, _COUNTS)
_JPEG = (6, 7, 33007, 34892)
# Size of a value of each type [byte].
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
# As many directories are looked at together rather than one by one.
_MANY = 8
# Read at once: most directories, with the values behind them [byte].
_AT_ONCE = 1024


class _Directory(NamedTuple):
    decisive: dict[int, bytes]
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    following: int


# Tags of pages that others are compared with.
_of_keyframes: WeakKeyDictionary[TiffPage, tuple[dict[int, bytes], bytes]] = WeakKeyDictionary()


def path_of(page: TiffPage | TiffFrame) -> str:
    """Path of the file that holds a page."""
    return os.path.join(page.parent.filehandle.dirname, page.parent.filehandle.name)


def layout(page: TiffPage) -> tuple[object, ...]:
    """Everything that tells how the strips and tiles of a page are decoded, apart from its JPEG tables."""
    subsampling = page.subsampling if page.is_subsampled else None
    return page.hash, page.dtype, page.nodata, subsampling, page.is_jfif, page.jpegheader


def keyframe_of(page: TiffPage | TiffFrame) -> TiffPage:
    """Return the page whose tags tell how a page is decoded.

    A frame of tifffile is a page of which only offsets were read: all else is taken from its keyframe. That holds
    only if the tags that matter are the same; if not, they are read from the page itself.

    Raises
    ------
    UnreadableFileError
        If tifffile knows no keyframe.
    """
    keyframe = page.keyframe
    if keyframe is None:
        raise UnreadableFileError(f"{path_of(page)} has a page at byte {page.offset} without a layout")
    if not page.is_frame or page.is_virtual or _same_tags(page, keyframe):
        return keyframe
    own = _page_at(page.parent, page.offset, page.index)
    if layout(own) == layout(keyframe):
        return keyframe
    # tifffile keeps one decoder for all pages of one hash, which leaves out a part of the layout.
    own.hash = hash(layout(own))
    return own


def is_one_stack(series: TiffPageSeries) -> bool:
    """Whether all pages of a series have the shape and data type of its first."""
    first = series.keyframe
    keyframes = [keyframe_of(page) for page in series if page is not None]
    return all(each is first or (each.shape, each.dtype) == (first.shape, first.dtype) for each in keyframes)


def is_one_block(series: TiffPageSeries) -> bool:
    """Whether the pages of a series that looks contiguous are all stored alike, one behind the other.

    tifffile looks at the first page alone if that one describes the whole stack.
    """
    keyframe, size = series.keyframe, series.keyframe.nbytes
    if series.is_multifile:
        return False
    with open(path_of(keyframe), "rb") as file:
        first = _read(file, keyframe.offset, keyframe.parent.tiff)
        if _is_chain(series) and _is_regular(file, first, len(series), size, keyframe.parent.tiff):
            return True
        for number, (position, directory) in enumerate(_following(series, file, first), 1):
            if not _is_contiguous(directory, first.offsets[0] + number * size, size):
                return False
            if directory.decisive == first.decisive:
                continue
            if layout(_page_at(keyframe.parent, position, keyframe.index + number)) != layout(keyframe):
                return False
    return True


def _is_chain(series: TiffPageSeries) -> bool:
    """Whether the directories of a series follow each other in the file, and only the first was read."""
    return series.kind in ("shaped", "imagej") and not series.is_truncated and not series.keyframe.is_subifd


def _is_regular(file: BinaryIO, first: _Directory, n_pages: int, size: int, tiff: TiffFormat) -> bool:
    """Whether directories after the first lie at equal distances, and differ only in where their pages lie.

    Most programs write many pages so, and then they can be looked at together. If not, each needs a closer look.
    """
    start = first.following
    if n_pages < _MANY or not start or len(first.offsets) != 1:
        return False
    second = _read(file, start, tiff)
    step, order = second.following - start, np.arange(1, n_pages)
    directories = _at_equal_distances(file, start, step, n_pages - 1, tiff)
    if directories is None or second.decisive != first.decisive:
        return False
    tags, values = directories["tags"], directories["tags"]["value"].astype(np.int64)
    is_decisive, is_offset = ([code in codes for code in tags["code"][0].tolist()] for codes in (_DECISIVE, _OFFSETS))
    held = [np.dtype(_INTEGERS.get(kind, "B")).itemsize for kind in tags["kind"][0, is_offset]]
    return bool(
        held == [tiff.offsetsize]
        and all((part == part[0]).all() for part in (directories["n_tags"], tags["code"], tags["kind"], tags["count"]))
        and (values[:, is_decisive] == values[0, is_decisive]).all()
        and (values[:, is_offset] == first.offsets[0] + order[:, np.newaxis] * size).all()
        and (directories["following"][:-1].astype(np.int64) == start + order[:-1] * step).all()
    )


def _at_equal_distances(
    file: BinaryIO, start: int, step: int, n_directories: int, tiff: TiffFormat
) -> npt.NDArray[np.void] | None:
    """Directories with as many tags as the first of them, of which each lies `step` bytes behind the one before."""
    memory = np.memmap(file, np.uint8, "r")
    (n_tags,) = struct.unpack_from(tiff.tagnoformat, memory.data, start)
    word, integer = f"{tiff.byteorder}u2", f"{tiff.byteorder}u{tiff.offsetsize}"
    tag = np.dtype([("code", word), ("kind", word), ("count", integer), ("value", integer)])
    number = f"{tiff.byteorder}u{tiff.tagnosize}"
    directory = np.dtype([("n_tags", number), ("tags", tag, (n_tags,)), ("following", integer)])
    stop = start + (n_directories - 1) * step + directory.itemsize
    if tag.itemsize != tiff.tagsize or step < directory.itemsize or stop > len(memory):
        return None
    return np.ndarray(n_directories, directory, memory, start, (step,))


def _following(series: TiffPageSeries, file: _File, first: _Directory) -> Iterator[tuple[int, _Directory]]:
    """Positions [byte] and directories of all pages but the first; stacks of ImageJ may have no others."""
    tiff = series.keyframe.parent.tiff
    if series.is_truncated or series.kind == "stk":
        return
    if _is_chain(series):
        position = first.following
        for _ in range(len(series) - 1):
            if position == 0:
                return
            directory = _read(file, position, tiff)
            yield position, directory
            position = directory.following
        return
    positions = _of_level(series) if series.kind == "shaped" else [page.offset for page in series if page is not None]
    for position in positions[1:]:
        yield position, _read(file, position, tiff)


def _of_level(series: TiffPageSeries) -> list[int]:
    """Positions of the directories of a level's pages, each of which belongs to a page of the finest level [byte]."""
    start, level = series.keyframe.treeindex
    pages = [series.keyframe.parent.pages.get(start + number) for number in range(len(series))]
    return [(page.subifds or ())[level] for page in pages]


def _is_contiguous(directory: _Directory, start: int, size: int) -> bool:
    """Whether all strips of a page lie one behind the other from a position on [byte]."""
    ends = [offset + count for offset, count in zip(directory.offsets, directory.counts, strict=False)]
    if len(directory.offsets) == 1:
        return directory.offsets[0] == start  # some programs write a wrong count for the only strip
    return [*directory.offsets, start + size] == [start, *ends]


def _same_tags(page: TiffFrame | TiffPage, keyframe: TiffPage) -> bool:
    """Whether the tags that matter are the same, byte by byte."""
    if page.parent.tiff != keyframe.parent.tiff:
        return False
    if keyframe not in _of_keyframes:
        _of_keyframes[keyframe] = _tags(keyframe)
    return _tags(page) == _of_keyframes[keyframe]


def _tags(page: TiffFrame | TiffPage) -> tuple[dict[int, bytes], bytes]:
    """Tags that matter, and the mark of a JPEG stream, which tells how its colours are stored."""
    is_jpeg = page.keyframe is not None and page.keyframe.compression in _JPEG
    with _opened(page.parent.filehandle) as file:
        directory = _read(file, page.offset, page.parent.tiff, _READ if is_jpeg else _DECISIVE)
        if not directory.offsets:
            return directory.decisive, b""
        file.seek(directory.offsets[0] + 6)
        return directory.decisive, file.read(4)


@contextlib.contextmanager
def _opened(handle: FileHandle) -> Iterator[FileHandle]:
    """Open a file of tifffile's again if it was closed."""
    was_closed = handle.closed
    if was_closed:
        handle.open()
    try:
        yield handle
    finally:
        if was_closed:
            handle.close()


def _page_at(parent: TiffFile, position: int, index: int) -> TiffPage:
    """Read all tags of a page."""
    from tifffile import TiffPage

    with _opened(parent.filehandle) as file:
        file.seek(position)
        page = TiffPage(parent, index)
        layout(page)  # reads from the file what is needed later
        return page


def _read(file: _File, position: int, tiff: TiffFormat, codes: frozenset[int] = _READ) -> _Directory:
    """Read the directory of a page, or those of its tags that have certain codes.

    Raises
    ------
    UnreadableFileError
        If it is cut off.
    """
    file.seek(position)
    start = file.read(_AT_ONCE)
    (n_tags,) = struct.unpack_from(tiff.tagnoformat, start)
    end = tiff.tagnosize + n_tags * tiff.tagsize
    if end + tiff.offsetsize > len(start):
        start += file.read(end + tiff.offsetsize - len(start))
    decisive: dict[int, bytes] = {}
    lists: dict[int, tuple[int, ...]] = {}
    entry = struct.Struct(f"{tiff.byteorder}HH{tiff.offsetformat[1:]}{tiff.offsetsize}s")
    for code, kind, count, value in entry.iter_unpack(start[tiff.tagnosize : end]):
        if code not in codes:
            continue
        size = count * _SIZES.get(kind, 0)
        content = value[:size] if size <= len(value) else _elsewhere(file, position, start, value, size, tiff)
        if code in _DECISIVE:
            decisive[code] = content
        elif kind in _INTEGERS:
            lists[code] = struct.unpack(f"{tiff.byteorder}{count}{_INTEGERS[kind]}", content)
    (following,) = struct.unpack_from(tiff.offsetformat, start, end)
    offsets, counts = (lists.get(strips) or lists.get(tiles) or () for strips, tiles in (_OFFSETS, _COUNTS))
    return _Directory(decisive, offsets, counts, following)


def _elsewhere(file: _File, position: int, start: bytes, value: bytes, size: int, tiff: TiffFormat) -> bytes:
    """Value of a tag that is too long for its entry, which tells where the value lies."""
    (place,) = struct.unpack(tiff.offsetformat, value)
    if 0 <= place - position <= len(start) - size:
        return start[place - position : place - position + size]
    file.seek(place)
    return file.read(size)
