"""TIFF files written tag by tag, as programs other than tifffile write them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

#: Text that makes a file a stack of three slices to ImageJ.
IMAGEJ = b"ImageJ=1.54f\nimages=3\nslices=3\n"

# Types of values: bytes of text, 2-byte and 4-byte integers, fractions.
TEXT, SHORT, LONG, FRACTION = 2, 3, 4, 5


def imagej(plane: np.ndarray, text: bytes = b"ImageJ=1.54f\n") -> dict[int, tuple[int, Any]]:
    """Tags of ImageJ and Fiji: big-endian, one strip, no Compression and no PlanarConfiguration, resolution by unit."""
    tags = _needed(plane) | {254: (LONG, [0]), 270: (TEXT, text), 277: (SHORT, [1]), 282: (FRACTION, [20, 10])}
    del tags[259]
    return tags | {283: (FRACTION, [20, 10]), 296: (SHORT, [1])}


def bioformats(plane: np.ndarray) -> dict[int, tuple[int, Any]]:
    """Tags of Bio-Formats: one row a strip, Software, PlanarConfiguration, resolution in centimetres."""
    tags = _needed(plane) | {277: (SHORT, [1]), 278: (LONG, [1]), 284: (SHORT, [1]), 305: (TEXT, b"OME Bio-Formats\0")}
    return tags | {282: (FRACTION, [0, 1000]), 283: (FRACTION, [0, 1000]), 296: (SHORT, [3])}


def matlab(plane: np.ndarray) -> dict[int, tuple[int, Any]]:
    """Tags of MATLAB's imwrite without compression: strips of some rows, Orientation, 72 dots per inch."""
    tags = _needed(plane) | {274: (SHORT, [1]), 277: (SHORT, [1]), 278: (SHORT, [11]), 284: (SHORT, [1])}
    return tags | {282: (FRACTION, [72, 1]), 283: (FRACTION, [72, 1]), 296: (SHORT, [2])}


def fewest(plane: np.ndarray) -> dict[int, tuple[int, Any]]:
    """As few tags as possible, as some instruments (LabVIEW) write: neither Compression nor RowsPerStrip."""
    tags = _needed(plane)
    del tags[259]
    return tags


#: Byte order and tags of each program.
PROGRAMS = {"imagej": (">", imagej), "bioformats": (">", bioformats), "matlab": ("<", matlab), "fewest": ("<", fewest)}


def _needed(plane: np.ndarray) -> dict[int, tuple[int, Any]]:
    length, width = plane.shape
    kind = {"u": 1, "i": 2, "f": 3}[plane.dtype.kind]
    tags = {256: (LONG, [width]), 257: (LONG, [length]), 258: (SHORT, [plane.itemsize * 8]), 259: (SHORT, [1])}
    return tags | {262: (SHORT, [1])} | ({339: (SHORT, [kind])} if kind > 1 else {})


def write(path: Path, planes: Sequence[np.ndarray], tags: Sequence[dict[int, tuple[int, Any]]], order: str) -> None:
    """Write one page after the other: the directory of each, then its values, then its voxels."""
    with path.open("wb") as file:
        file.write(struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8))
        for number, (plane, own) in enumerate(zip(planes, tags, strict=True)):
            content = plane.astype(plane.dtype.newbyteorder(order)).tobytes()
            start = file.tell()
            rows = own[278][1][0] if 278 in own else len(plane)
            sizes = [len(content[first : first + rows * plane[0].nbytes])
                     for first in range(0, len(content), rows * plane[0].nbytes)]  # fmt: skip
            size = len(_directory(own | {273: (LONG, sizes), 279: (LONG, sizes)}, start, 0, order))
            offsets = [start + size + sum(sizes[:strip]) for strip in range(len(sizes))]
            last = number == len(planes) - 1
            following = 0 if last else start + size + len(content)
            file.write(_directory(own | {273: (LONG, offsets), 279: (LONG, sizes)}, start, following, order))
            file.write(content)


def _directory(tags: dict[int, tuple[int, Any]], start: int, following: int, order: str) -> bytes:
    entries, values = b"", b""
    place = start + 2 + 12 * len(tags) + 4
    for code, (kind, value) in sorted(tags.items()):
        content = value if kind == TEXT else struct.pack(f"{order}{len(value)}{'H' if kind == SHORT else 'I'}", *value)
        count = len(value) // (2 if kind == FRACTION else 1)
        entries += struct.pack(f"{order}HHI", code, kind, count)
        if len(content) <= 4:
            entries += content.ljust(4, b"\0")
        else:
            entries += struct.pack(f"{order}I", place + len(values))
            values += content + bytes(len(content) % 2)
    return struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", following) + values
